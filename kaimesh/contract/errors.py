"""Errors that name the value, the consequence and the remedy, and the exit codes that the supervisor reads."""

from __future__ import annotations

EXIT_OK = 0
EXIT_CRASH = 1  # restarted with back-off
EXIT_CONFIG = 2  # nothing was started
EXIT_AGENT = 3  # the user's code raised: the same again after a restart, so the mesh stops
EXIT_WATCHDOG = 70  # a thread that no deadline could reach; restarted


def words(error: BaseException) -> str:
    """`str(error)` of an error from somebody else's code; if its own `__str__` raises, a note that it does."""
    try:
        return str(error)
    except Exception as broken:
        return f"(its __str__ raised {type(broken).__name__})"


class MeshError(Exception):
    """A fault of a user, a peer or the machine, explained in its message.

    The process that it ends is restarted, unless a subclass has another exit code.
    """

    exit_code = EXIT_CRASH


class ConfigError(MeshError):
    """The configuration is wrong; nothing may start."""

    exit_code = EXIT_CONFIG


class AgentError(MeshError):
    """The user's agent, workflow or environment raised.

    remote_traceback: the original traceback as text, if the code ran in another process; else "".
    """

    exit_code = EXIT_AGENT

    def __init__(self, message: str, remote_traceback: str = "") -> None:
        super().__init__(message)
        self.remote_traceback = remote_traceback

    def __str__(self) -> str:
        text = super().__str__()
        return (
            f"{text}\n--- traceback in the other process ---\n{self.remote_traceback}"
            if self.remote_traceback
            else text
        )


class EnvError(MeshError):
    """An environment raised. It may be the game server's fault, so the process restarts; max_restarts bounds it."""


class SampleError(AgentError):
    """A sample or an observation does not have the fields, shapes or dtypes that were declared."""


class PeerError(MeshError):
    """The other end of a connection is gone, late, or speaks something else. Callers reconnect."""


class Refused(PeerError):
    """A server refused this client, with its reason (token, protocol version, specs)."""


class Stopped(BaseException):
    """The process was asked to stop; raised in a workflow to leave any blocking call.

    A BaseException, because it is no error: a workflow that catches every Exception still ends with it.
    """
