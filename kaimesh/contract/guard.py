"""Wraps every call of an environment, so that an error says that the environment raised it, and in which call."""

from __future__ import annotations

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
        if not isinstance(error, MeshError | Stopped | KeyboardInterrupt):
            raise EnvError(f"the environment raised {type(error).__name__} in {self.where}: {words(error)}") from error
