"""The learner's gRPC server. The training thread does the saves, between two learns, while the calls wait for it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future

import grpc

from kaimesh.contract.errors import AgentError, MeshError, Refused
from kaimesh.learner import learner_pb2 as pb
from kaimesh.learner import learner_pb2_grpc as pb_grpc
from kaimesh.process.meter import Meter
from kaimesh.wire import grpc_edge

MAX_SAVE_S = 600.0
MAX_WAITING_SAVES = 16  # each of them blocks a thread of the server
MAX_MESSAGE_BYTES = 1 << 16  # requests are empty now, but those of a later version may not be


class LearnerServer(pb_grpc.LearnerServicer):  # type: ignore[misc]
    """Takes requests. The training thread calls `serve_saves` between two learns.

    status: returns the current pb.Status; called from any thread.
    """

    def __init__(self, status: Callable[[], pb.Status], logger: logging.Logger, meter: Meter | None = None) -> None:
        self._status, self._log, self._meter = status, logger, meter
        self._waiting = threading.BoundedSemaphore(MAX_WAITING_SAVES)
        self._saves: queue.SimpleQueue[Future[int]] = queue.SimpleQueue()

    def start(self, bind: str, token: str, *, key: str = "learner_addr") -> int:
        """Opens the port and returns it. key: the configuration key to name if it cannot be opened."""
        self._server, port = grpc_edge.serve(
            [lambda server: pb_grpc.add_LearnerServicer_to_server(self, server)],
            bind,
            token,
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
