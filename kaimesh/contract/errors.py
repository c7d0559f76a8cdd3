"""Errors that name the value, the consequence and the remedy, and the exit codes that the supervisor reads."""

from __future__ import annotations

import os
import sysconfig
import traceback

EXIT_OK = 0
EXIT_CRASH = 1  # restarted with back-off
EXIT_CONFIG = 2  # nothing was started
EXIT_AGENT = 3  # the user's code raised; it would raise again after a restart, so the mesh stops
EXIT_WATCHDOG = 70  # a thread hung; restarted


def words(error: BaseException) -> str:
    """`str(error)` for an error of foreign code; if its `__str__` raises, a note about that."""
    try:
        return str(error)
    except Exception as broken:
        return f"(its __str__ raised {type(broken).__name__})"


_NOT_THEIRS = (
    os.path.dirname(os.path.dirname(__file__)) + os.sep,
    *(os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)


def named(error: BaseException) -> str:
    """Its class and its words; and where in the user's own files it was raised, if it was: its last frame that is
    neither kaimesh's nor a library's, of a SyntaxError the line that is wrong.
    """
    text = f"{type(error).__name__}: {words(error)}"
    frames = [(one.filename, one.lineno, f", in {one.name}") for one in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((error.filename, error.lineno, ""))
    for file, line, name in reversed(frames):
        if os.path.isabs(file) and not file.startswith(_NOT_THEIRS) and "/site-packages/" not in file:
            return f"{text.rstrip('.')}. Correct it in {file}, line {line}{name}."
    return text


class MeshError(Exception):
    """An error that a user, a peer or the machine caused; its message explains it.

    A process that ends with it is restarted, unless a subclass has another exit code.
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
    """An environment raised. A game server may be the cause, so the process is restarted, up to max_restarts times."""


class EnvContractError(ConfigError):
    """An environment returned what no environment may return, such as an observation of another shape than its space.

    A restart would change nothing.
    """


class SampleError(AgentError):
    """A sample or an observation has fields, shapes or dtypes other than declared, or values that are not finite."""


class PeerError(MeshError):
    """The other end of a connection is gone, late, or does not follow the protocol. Callers connect again."""


class Refused(PeerError):
    """A server refused this client; the message has its reason (token, protocol version, specs)."""


class Denied(Refused):
    """The client's token is right, and its role lacks the right to what it asked for."""


class Stopped(BaseException):
    """The process was asked to stop. Raised in a workflow's thread, so that every blocking call ends.

    It is a BaseException, so that a workflow that catches every Exception ends too. raised: how many this process made;
    where they become more and more, a workflow catches them all the same.
    """

    raised = 0

    def __init__(self) -> None:
        super().__init__()
        Stopped.raised += 1
