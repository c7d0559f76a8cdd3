"""Wraps every call of an environment, so that an error says that the environment raised it, and in which call."""

from __future__ import annotations

import signal

from kaimesh.contract.agent import called_exit
from kaimesh.contract.calls import Call
from kaimesh.contract.errors import AgentError, EnvError, MeshError, Stopped, words


class environment(Call):
    """A context that turns what an environment raises into an EnvError with the original as its cause, and a call of
    `exit` into an AgentError. The watchdog knows which call it is (see Call).

    where: the name of the call, such as "step". The context is entered in every step, so it does no other work.
    """

    __slots__ = ()

    def words(self) -> str:
        """What it is called in messages."""
        return f"the environment: {self.where}"

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        super().__exit__(kind, error, trace)
        if error is None:
            return
        if isinstance(error, SystemExit):
            raise AgentError(called_exit(f"the environment, in {self.where},", error)) from error
        if isinstance(error, MeshError | Stopped) or (isinstance(error, KeyboardInterrupt) and _typed(error)):
            return
        raise EnvError(f"the environment raised {type(error).__name__} in {self.where}: {words(error)}") from error


def _typed(error: KeyboardInterrupt) -> bool:
    """Whether Ctrl-C raised it, and not the environment: then the signal's handler is the innermost frame. Python's own
    handler has no frame, so where that is installed, all are taken for Ctrl-C.
    """
    handler, trace = signal.getsignal(signal.SIGINT), error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    code = getattr(handler, "__code__", None)
    return handler is signal.default_int_handler or (trace is not None and trace.tb_frame.f_code is code)
