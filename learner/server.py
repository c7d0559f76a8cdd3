"""The learner's gRPC server. The training thread does the saves, between two learns, while the calls wait for it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future

import grpc

from kaimesh.config.roles import Right, Rights
from kaimesh.contract.errors import AgentError, MeshError, Refused
from kaimesh.learner import learner_pb2 as pb
from kaimesh.learner import learner_pb2_grpc as pb_grpc
from kaimesh.process.meter import Meter
from kaimesh.wire import grpc_edge
from kaimesh.wire.gate import OWN_RIGHTS

MAX_SAVE_S = 600.0
MAX_WAITING_SAVES = 16  # each of them blocks a thread of the server
SAVES_AT_ONCE, SAVE_S = 32, 3.0  # per machine: one of each environment of an aisrv, and then one every so many seconds
_SERVICE = pb.DESCRIPTOR.services_by_name["Learner"].full_name
NEEDS: dict[str, tuple[Right, ...]] = {f"/{_SERVICE}/SaveModel": (Right.SAVE,), f"/{_SERVICE}/GetStatus": ()}
MAX_MESSAGE_BYTES = 1 << 16  # requests are empty now, but those of a later version may not be


class SavePace:
    """How often each machine may ask for a save.

    A save stops training while the model is written, and counts towards `user_save_mode_max_count`; a machine that asks
    on and on would take both from the others.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._paid: dict[str, float] = {}  # by machine: until when its saves so far have used up its share

    def admits(self, machine: str) -> bool:
        """Whether one more save may be made now; it is counted if so."""
        now = self._clock()
        with self._lock:
            self._paid = {known: until for known, until in self._paid.items() if until > now}
            until = self._paid.get(machine, now) + SAVE_S
            if until - now > SAVES_AT_ONCE * SAVE_S:
                return False
            self._paid[machine] = until
            return True


class LearnerServer(pb_grpc.LearnerServicer):  # type: ignore[misc]
    """Takes requests. The training thread calls `serve_saves` between two learns.

    status: returns the current pb.Status; called from any thread.
    """

    def __init__(self, status: Callable[[], pb.Status], logger: logging.Logger, meter: Meter | None = None) -> None:
        self._status, self._log, self._meter = status, logger, meter
        self._waiting = threading.BoundedSemaphore(MAX_WAITING_SAVES)
        self._pace = SavePace()
        self._saves: queue.SimpleQueue[Future[int]] = queue.SimpleQueue()

    def start(self, bind: str, token: str, *, rights: Rights = OWN_RIGHTS, key: str = "learner_addr") -> int:
        """Opens the port and returns it.

        token: the mesh token. rights: of each role in the mesh. key: the configuration key to name if it cannot be
        opened.
        """
        self._server, port = grpc_edge.serve(
            [lambda server: pb_grpc.add_LearnerServicer_to_server(self, server)],
            bind,
            token,
            needs=NEEDS,
            rights=rights,
            key=key,
            max_message_bytes=MAX_MESSAGE_BYTES,
            meter=self._meter,
            logger=self._log,
        )
        return port

    def stop(self, grace_s: float = 1.0) -> None:
        """Refuses the waiting saves and ends the calls."""
        self._drain(
            lambda: _raise(Refused("the learner is stopping, so the model was not saved; its last dump is kept"))
        )
        self._server.stop(grace_s).wait()

    def serve_saves(self, save: Callable[[], int]) -> None:
        """Does the saves that clients wait for, by `save`. Raises AgentError: the agent's save_model raised."""
        self._drain(save)

    def SaveModel(self, _request: pb.Nothing, context: grpc.ServicerContext) -> pb.Saved:
        """Waits until the training thread has saved. The save is cancelled if the caller goes away before."""
        if not self._pace.admits(context.peer().rpartition(":")[0]):
            context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"this machine has asked for {SAVES_AT_ONCE} saves, and may ask for one every {SAVE_S:g} s from then "
                "on; this one is not made. Call save_model less often",
            )
        if not self._waiting.acquire(blocking=False):
            context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{MAX_WAITING_SAVES} saves are asked for already, so this one is not made; call save_model less often",
            )
        done: Future[int] = Future()
        self._saves.put(done)
        try:
            if not context.add_callback(lambda: _give_up(done)):
                done.cancel()
            return pb.Saved(id=done.result(min(context.time_remaining(), MAX_SAVE_S)))
        except (TimeoutError, CancelledError):
            done.cancel()
            context.abort(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                "no learn ended in time, so the model was not saved; save again, or look at what the learner waits for",
            )
        except MeshError as error:
            code = grpc.StatusCode.FAILED_PRECONDITION if isinstance(error, Refused) else grpc.StatusCode.INTERNAL
            grpc_edge.refuse(context, error, code)
        finally:
            self._waiting.release()

    def GetStatus(self, _request: pb.Nothing, _context: grpc.ServicerContext) -> pb.Status:
        """The learner's counters; see learner.proto."""
        return self._status()

    def _drain(self, save: Callable[[], int]) -> None:
        while True:
            try:
                request = self._saves.get_nowait()
            except queue.Empty:
                return
            if not request.set_running_or_notify_cancel():
                continue
            try:
                request.set_result(save())
            except MeshError as error:
                request.set_exception(error)
                if isinstance(error, AgentError):
                    raise
                self._log.warning("a save was refused: %s", error)
            except Exception as error:
                request.set_exception(error)  # the caller gets the error before this process ends
                raise


def _give_up(done: Future[int]) -> None:
    done.cancel()


def _raise(error: MeshError) -> int:
    raise error
