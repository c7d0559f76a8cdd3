"""Small JSON files of a run: written whole, read with care. A damaged one counts as absent, with a warning that names it.

A power cut empties or halves files that were just written, a disk returns other bytes, a person edits them: no reader of
such a file may raise. What a reader may rely on is the file's shape: `Status` for what a process publishes, `Mesh` for
mesh.json. Keys that a shape does not know pass through.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import stat
import threading
import time
from pathlib import Path
from typing import Annotated, Any, NotRequired, Required

from pydantic import BeforeValidator, ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from kaimesh.process import disk

MAX_BYTES = 64 << 20  # no file of this kind is near it
_AGAIN_S = 0.02  # a file that is being overwritten in place is whole after that
_log = logging.getLogger("kaimesh.process.documents")
_damaged: set[Path] = set()  # those that were named already


def _finite(value: Any) -> Any:
    """A dictionary without the numbers that are none: a metric of the user's may be NaN, and its neighbours are right."""
    if not isinstance(value, dict):
        return value
    return {key: number for key, number in value.items() if not isinstance(number, float) or math.isfinite(number)}


Numbers = Annotated[dict[str, FiniteFloat], BeforeValidator(_finite)]
Pid = Annotated[int, Field(ge=0, le=2**31)]


@with_config(ConfigDict(extra="allow"))
class Status(TypedDict, total=False):
    """status/<process>.json: what a process says of itself each second."""

    name: str
    pid: Pid | None
    state: str
    blocked_on: str
    since: FiniteFloat | None
    started: FiniteFloat
    time: FiniteFloat
    counters: Numbers
    rates: Numbers
    gauges: Numbers
    phases: Numbers
    phase_seconds: Numbers
    recent_episodes: list[tuple[float, float, int]]
    model_version: int | None
    work: str
    port: Annotated[int, Field(ge=0, le=65535)]
    exit_code: int
    previous_state: str | None
    signal: str
    disk: str


@with_config(ConfigDict(extra="allow"))
class Process(TypedDict):
    """One process in mesh.json."""

    role: str
    address: NotRequired[str]
    stop: NotRequired[int]
    pid: NotRequired[Pid | None]
    supervisor: NotRequired[str]
    restarts: NotRequired[list[FiniteFloat]]


@with_config(ConfigDict(extra="allow"))
class Limits(TypedDict):
    """Where the run ends by itself; 0: no limit."""

    max_env_steps: Annotated[int, Field(ge=0)]
    max_seconds: Annotated[FiniteFloat, Field(ge=0)]


@with_config(ConfigDict(extra="allow"))
class Supervisor(TypedDict):
    """Where supervisord answers."""

    socket: str
    pid: NotRequired[Pid | None]


@with_config(ConfigDict(extra="allow"))
class Moment(TypedDict):
    """Wall time, s, and the env steps by then."""

    time: FiniteFloat
    env_steps: FiniteFloat


@with_config(ConfigDict(extra="allow"))
class Mesh(TypedDict, total=False):
    """mesh.json, see kaimesh.operate.local.mesh_file."""

    run: str
    commit: str
    start: str
    state: Required[str]
    reason: str
    started: Required[FiniteFloat]
    up: FiniteFloat | None
    ended: FiniteFloat | None
    limits: Required[Limits]
    supervisor: Required[Supervisor]
    processes: Required[dict[str, Process]]
    first_learn: Moment | None
    end: Moment | None
    finished: list[str]
    failed: str
    learner_steps_before: int
    disk: str


STATUS: TypeAdapter[Any] = TypeAdapter(Status)
MESH: TypeAdapter[Any] = TypeAdapter(Mesh)
ANYTHING: TypeAdapter[Any] = TypeAdapter(dict[str, Any])


def read_json(path: Path, shape: TypeAdapter[Any] = ANYTHING) -> dict[str, Any]:
    """A JSON object of that shape; {} where there is none, or a damaged one, which is logged once."""
    for last in (False, True):
        try:
            found: dict[str, Any] = shape.validate_python(json.loads(read_bytes(path)))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, RecursionError, OverflowError) as error:
            if not last and path not in _damaged:
                time.sleep(_AGAIN_S)
                continue
            if path not in _damaged:
                _damaged.add(path)
                _log.warning("%s is damaged (%s); it counts as absent", path, _in_a_line(error))
            return {}
        _damaged.discard(path)
        return found
    raise AssertionError("the second try returns")


def read_bytes(path: Path) -> bytes:
    """The content of a regular file. Raises OSError, ValueError: it is something else; a pipe would be waited for without end."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        kind = os.fstat(file.fileno())
        if not stat.S_ISREG(kind.st_mode):
            raise ValueError("it is no file")
        if kind.st_size > MAX_BYTES:
            raise ValueError(f"it has {kind.st_size:,} bytes")
        return file.read(MAX_BYTES)


def read_text(path: Path) -> str:
    """The text of a small file of ours; "" where there is none, or something that cannot be read as text."""
    try:
        return read_bytes(path).decode()
    except (OSError, ValueError):
        return ""


def _in_a_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'its content'}: {first['msg']}"
    return str(error).partition("\n")[0] or type(error).__name__


def write_text(path: Path, text: str) -> None:
    """Writes whole or not at all, also where the power is cut. Raises OSError; what was there stays then."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """As `write_text`."""
    _write(path, content, durable=True)


def write_json(path: Path, data: Any, *, durable: bool = False) -> None:
    """Whole or not at all. durable: also where the power is cut, at the price of two fsync. Raises OSError."""
    _write(path, _encoded(data), durable)


def publish_json(path: Path, data: Any) -> str:
    """Writes what is rewritten again and again; "" or, where the disk takes nothing, why: nothing raises.

    On a full disk the file is overwritten in place, which needs no room: a reader then sees the present all the same.
    """
    content = _encoded(data)
    try:
        _write(path, content, durable=False)
    except OSError as error:
        if error.errno in disk.NO_ROOM:
            with contextlib.suppress(OSError):
                _overwrite(path, json.dumps(data, separators=(",", ":"), default=str).encode())
        return disk.trouble(error, path) or f"{path} cannot be written ({error.strerror or error})"
    return ""


def _encoded(data: Any) -> bytes:
    return json.dumps(data, indent=1, default=str).encode()


def _write(path: Path, content: bytes, durable: bool) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
        if durable:
            disk.sync(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _overwrite(path: Path, content: bytes) -> None:
    """In the blocks that the file has, if they suffice; blanks cover the rest of what was there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and len(content) <= max(found.st_size, 512 * found.st_blocks):
            os.pwrite(descriptor, content.ljust(found.st_size), 0)
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Removes what writers that were killed left unfinished: `.<name>.<pid>.<thread>.tmp`."""
    for leftover in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            leftover.unlink()


def set_aside(path: Path, why: str) -> None:
    """Renames what stands where a file or a folder of ours belongs, so that it can be made anew and still be looked at."""
    target = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}-{time.monotonic_ns() % 10**6}")
    path.rename(target)
    _log.warning("%s %s; it was renamed to %s", path, why, target.name)
