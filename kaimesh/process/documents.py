"""Small JSON files of a run: written atomically, checked when read. A damaged file counts as absent.

A power cut can empty or truncate files that were just written, a disk can return wrong bytes, a person can edit them.
So reading such a file never raises. What it returns has the declared shape: `Status` for what a process publishes,
`Mesh` for mesh.json. Keys that the shape does not name are kept.
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

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    TypeAdapter,
    ValidationError,
    with_config,
)
from typing_extensions import TypedDict

from kaimesh.contract.json_text import json_text
from kaimesh.contract.untrusted import clean
from kaimesh.process import disk

MAX_BYTES = 64 << 20  # far above any such file
_AGAIN_S = 0.02  # by then a file that is being overwritten in place is complete
_log = logging.getLogger("kaimesh.process.documents")
_damaged: set[Path] = set()  # already warned about


def _finite(value: Any) -> Any:
    """The dictionary without values that are null, NaN or infinite: a user's metric may be, and the others are good."""
    if not isinstance(value, dict):
        return value
    return {
        key: number
        for key, number in value.items()
        if number is not None and not (isinstance(number, float) and not math.isfinite(number))
    }


Numbers = Annotated[dict[str, FiniteFloat], BeforeValidator(_finite)]
Pid = Annotated[int, Field(ge=0, le=2**31)]
Shown = Annotated[str, AfterValidator(clean)]  # on terminals; it may be the words of a user's exception


@with_config(ConfigDict(extra="allow"))
class Status(TypedDict, total=False):
    """status/<process>.json: what a process says of itself each second."""

    name: Shown
    pid: Pid | None
    state: Shown
    blocked_on: Shown
    since: FiniteFloat | None
    started: FiniteFloat
    up_s: FiniteFloat
    time: FiniteFloat
    clock: FiniteFloat
    boot: str
    counters: Numbers
    rates: Numbers
    gauges: Numbers
    phases: Numbers
    phase_seconds: Numbers
    recent_episodes: list[tuple[float, float | None, int]]
    model_version: int | None
    work: Shown
    port: Annotated[int, Field(ge=0, le=65535)]
    exit_code: int
    previous_state: Shown | None
    life_number: Annotated[int, Field(ge=0)]
    signal: Shown
    disk: Shown


@with_config(ConfigDict(extra="allow"))
class Process(TypedDict):
    """One process in mesh.json."""

    role: str
    address: NotRequired[str]
    stop: NotRequired[int]
    pid: NotRequired[Pid | None]
    supervisor: NotRequired[str]
    restarts: NotRequired[list[FiniteFloat]]
    excused: NotRequired[list[FiniteFloat]]


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
    commit: Shown
    start: str
    time: FiniteFloat
    clock: FiniteFloat
    boot: str
    state: Required[Shown]
    reason: Shown
    started: Required[FiniteFloat]
    up: FiniteFloat | None
    ended: FiniteFloat | None
    limits: Required[Limits]
    supervisor: Required[Supervisor]
    processes: Required[dict[str, Process]]
    first_learn: Moment | None
    end: Moment | None
    finished: list[str]
    failed: Shown
    learner_steps_before: int
    disk: Shown


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
    """The content of a regular file.

    Raises OSError; ValueError: it is too large or no regular file (reading a pipe could block).
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        kind = os.fstat(file.fileno())
        if not stat.S_ISREG(kind.st_mode):
            raise ValueError("it is no regular file")
        if kind.st_size > MAX_BYTES:
            raise ValueError(f"it has {kind.st_size:,} bytes")
        return file.read(MAX_BYTES)


def read_text(path: Path) -> str:
    """The text of a small file; "" where there is none, or it cannot be read as text."""
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
    """Replaces the file atomically, safe against a power cut. Raises OSError; the old content stays then."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """As `write_text`."""
    _write(path, content, durable=True)


def write_json(path: Path, data: Any, *, durable: bool = False, reasons: bool = False) -> None:
    """Replaces the file atomically. Raises OSError.

    durable: safe against a power cut, too; costs two fsync. reasons: as of `json_text`.
    """
    _write(path, json_text(data, reasons=reasons, indent=1, default=str).encode(), durable)


def publish_json(path: Path, data: dict[str, Any]) -> str:
    """Writes a file that is rewritten every second. Never raises; returns "" or why it could not be written.

    Where a number in it is not finite, it is null, and the entry `not_finite` says what it was.

    On a full disk the file is overwritten in place, which needs no new blocks, so that readers still see current
    values.
    """
    try:
        _write(path, json_text(data, reasons=True, indent=1, default=str).encode(), durable=False)
    except OSError as error:
        if error.errno in disk.NO_ROOM:
            with contextlib.suppress(OSError):
                _overwrite(path, json_text(data, reasons=True, compact=True, default=str).encode())
        return disk.trouble(error, path) or f"{path} cannot be written ({error.strerror or error})"
    return ""


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
    """Overwrites within the blocks that the file has, if they suffice; pads the rest of the old content with blanks."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and len(content) <= max(found.st_size, 512 * found.st_blocks):
            os.pwrite(descriptor, content.ljust(found.st_size), 0)
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Removes the temporary files of writers that were killed: `.<name>.<pid>.<thread>.tmp`."""
    for leftover in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            leftover.unlink()


def set_aside(path: Path, why: str) -> None:
    """Renames something that stands in the place of a file or folder of the run, so that it can be made anew."""
    target = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}-{time.monotonic_ns() % 10**6}")
    path.rename(target)
    _log.warning("%s %s; it was renamed to %s", path, why, target.name)
