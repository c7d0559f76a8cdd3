"""Wraps every call of an environment, so that an error says that the environment raised it, and in which call."""

from __future__ import annotations

from kaimesh.contract.agent import called_exit
from kaimesh.contract.errors import AgentError, EnvError, MeshError, Stopped, words


class environment:
    """A context that turns what an environment raises into an EnvError with the original as its cause, and a call of
    `exit` into an AgentError.

    verb: the name of the call, such as "step". The context is entered in every step, so it does no other work.
    """

    __slots__ = ("_verb",)

    def __init__(self, verb: str) -> None:
        self._verb = verb

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if error is None:
            return
        if isinstance(error, SystemExit):
            raise AgentError(called_exit(f"the environment, in {self._verb},", error)) from error
        if not isinstance(error, MeshError | Stopped | KeyboardInterrupt):
            raise EnvError(f"the environment raised {type(error).__name__} in {self._verb}: {words(error)}") from error
