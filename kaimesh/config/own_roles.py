"""`[roles.<name>]` of the configuration: processes of one's own, started, shown and stopped beside kaimesh's."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from kaimesh.config import caller
from kaimesh.config.key_types import Address
from kaimesh.config.keys import App
from kaimesh.config.nearest import nearest
from kaimesh.config.reading import cannot_be_kept, parse, read
from kaimesh.config.roles import AISRV, BUFFER, LAST_STAGE, ROLES, Right, Role
from kaimesh.contract.errors import ConfigError

TABLE = "roles"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}[a-z0-9]")
AGENT_TYPES = tuple(sorted({role.agent_type for role in ROLES.values() if role.agent_type}))
_TAKEN = frozenset({"all", "operator", "setup", "tensorboard", "supervisord"})  # other things of a mesh are called so


def _package(value: str) -> str:
    if not value or not all(part.isidentifier() for part in value.split(".")):
        raise ValueError("it is no dotted name of a module")
    return value


def _agent_type(value: str) -> str:
    if value and value not in AGENT_TYPES:
        raise ValueError("it is no agent type")
    return value


def _right(value: Any) -> Right:
    if not isinstance(value, str) or value not in list(Right):
        raise ValueError(f"it is no right{nearest(value, map(str, Right)) if isinstance(value, str) else ''}")
    return Right(value)


def _kept(value: dict[str, Any]) -> dict[str, Any]:
    wrong = [f"{key}: {why}" for key, item in value.items() if (why := cannot_be_kept(item))]
    if wrong:
        raise ValueError(" ".join(wrong).removesuffix("."))
    return value


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _stages() -> str:
    """Which roles start when."""
    stages = range(LAST_STAGE)
    names = [" and ".join(role.name for role in ROLES.values() if role.stage == i and not role.home) for i in stages]
    return " ".join(f"{i}: with {names[i]}." for i in stages) + f" {LAST_STAGE}: when all of these are healthy."


class OwnRole(BaseModel):
    """What a `[roles.<name>]` may say; each description is what a message about a wrong value goes on with."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    package: Annotated[str, AfterValidator(_package)] = Field(
        description=(
            "`python -m <package>` runs the process, so nothing could be started. Name its package, such as "
            "mine.evaluator."
        )
    )
    stage: int = Field(
        LAST_STAGE,
        ge=0,
        le=LAST_STAGE,
        description=f"Outside of 0 to {LAST_STAGE} it would never be started. {_stages()}",
    )
    stop: int = Field(
        60,
        ge=2,
        le=99,
        description=(
            "Its place in the order in which a mesh stops would be unknown. The highest of 2 to 99 is first; "
            f"{AISRV.name} has {AISRV.stop}, {BUFFER.name} {BUFFER.stop}."
        ),
    )
    addresses: Annotated[list[Address], BeforeValidator(_one_or_more)] = Field(
        [],
        description="Nobody could reach its port. Write host:port, one for each process, which opens that port itself.",
    )
    count: int = Field(1, ge=1, le=256, description="So many processes cannot be started. Write 1 to 256.")
    agent_type: Annotated[str, AfterValidator(_agent_type)] = Field(
        "", description=f"No algorithm has such an agent. Write {', '.join(AGENT_TYPES)}, or leave it out."
    )
    rights: list[Annotated[Right, BeforeValidator(_right)]] = Field(
        [Right.REPORT],
        description=f"A port would refuse what it cannot name. Write a list of {', '.join(Right)}.",
    )
    work: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_./ -]{0,64}$",
        description="`status` could not show its throughput. Name a counter of its meter, such as evaluations.",
    )
    probe: Literal["", "tcp", "grpc", "http"] = Field(
        "",
        description=(
            "A container's health check could not ask its port. Write tcp, grpc or http, or leave it out: then the "
            "state that it publishes is enough."
        ),
    )
    threads: int = Field(
        1, ge=1, le=1024, description="Its numerical library would not start. Write a number of threads, 1 to 1024."
    )
    settings: Annotated[dict[str, Any], AfterValidator(_kept)] = Field(
        default_factory=dict, description="It holds what the process itself wants to know: write a table."
    )


def own_roles(
    tables: Any, where: str, environ: Mapping[str, str], problems: list[str], notes: list[str]
) -> dict[str, Role]:
    """The rows that `[roles.<name>]` tables describe, by name; what is wrong there is added to `problems`.

    environ: `<name>_addrs` in it replaces a role's addresses, as a key's variable does; `notes` tells of it.
    """
    if not isinstance(tables, Mapping):
        problems.append(f"{where}: roles = {tables!r} is no table; no process could be started. Write [roles.<name>].")
        return {}
    found = {}
    for name, table in tables.items():
        place = f"{where}, [{TABLE}.{name}]"
        if wrong := _wrong_name(name):
            problems.append(f"{place}: {wrong}")
            continue
        if not isinstance(table, Mapping):
            problems.append(
                f"{where}: {TABLE}.{name} = {table!r} is no table; no process could be started. Write [{TABLE}.{name}]."
            )
            continue
        given = dict(table)
        if (variable := f"{name}_addrs") in environ:
            given["addresses"] = parse(environ[variable], list)
            notes.append(
                f"{TABLE}.{name}.addresses = {given['addresses']!r} comes from the environment variable {variable}"
            )
        if (role := _row(name, given, place, problems)) is not None:
            found[name] = role
    return found


def _wrong_name(name: str) -> str:
    """Why a role cannot be called so, or ""."""
    if name in ROLES or name in _TAKEN or f"{name}_addrs" in App.model_fields:
        taken = ", ".join(sorted({*ROLES, *_TAKEN}))
        return f"{name} is taken, so the two could not be told apart. Choose another name than {taken}."
    if not _NAME.fullmatch(name):
        return (
            f"{name!r} cannot be the name of files and containers; nothing could be started. Write 2 to 32 small "
            "letters, digits and _, a letter first and no _ at the end."
        )
    return ""


def _row(name: str, table: dict[str, Any], place: str, problems: list[str]) -> Role | None:
    try:
        own = OwnRole(**table)
    except ValidationError as error:
        problems += [_told(item, place) for item in error.errors()]
        return None
    if own.package.rpartition(".")[2] != name:
        problems.append(
            f"{place}: package = {own.package!r} does not end in {name}, by which a process's command line is known; "
            f"stop and status would not find it. Name the table [{TABLE}.{own.package.rpartition('.')[2]}], or the "
            f"package {name}."
        )
        return None
    if own.addresses and own.count != 1:
        problems.append(
            f"{place}: count = {own.count} beside {len(own.addresses)} addresses, each of which is one process; which "
            "number holds would be a guess. Leave count out."
        )
        return None
    if own.probe and not own.addresses:
        problems.append(
            f"{place}: probe = {own.probe!r} without addresses; there is no port to ask, so its container would never "
            "be healthy. Give addresses, or leave probe out."
        )
        return None
    return Role(
        name=name,
        package=own.package,
        stage=own.stage,
        stop=own.stop,
        count=own.count,
        agent_type=own.agent_type or None,
        rights=frozenset(own.rights),
        work=own.work,
        probes=((f"{name}_addrs", own.probe),) if own.probe else (),
        own=own.model_dump(mode="json"),
    )


def _told(item: Any, place: str) -> str:
    """One of pydantic's errors, with the value, the consequence and the remedy."""
    key = str(item["loc"][0])
    if key not in OwnRole.model_fields:
        return f"{place}: unknown key {key!r}{nearest(key, OwnRole.model_fields)}. It would have no effect."
    meaning = OwnRole.model_fields[key].description
    if item["type"] == "missing":
        return f"{place}: {key} is missing. {meaning}"
    return f"{place}: {key} = {item['input']!r:.200}: {item['msg'].removeprefix('Value error, ')}. {meaning}"


def read_roles(path: Path, environ: Mapping[str, str]) -> dict[str, Role]:
    """Every role of the configuration in `path`, without reading the rest of it. Raises ConfigError."""
    problems: list[str] = []
    tables = read(path, problems).data.get(TABLE, {})
    own = own_roles(tables, str(path), environ, problems, [])
    if problems:
        raise ConfigError("\n".join(problems))
    return {**ROLES, **own}


def cannot_be_run(roles: Mapping[str, Role]) -> list[str]:
    """Packages of one's own that `python -m` would not find, in words. It imports the packages above them."""
    return [
        f"[{TABLE}.{role.name}] package = {role.package!r}: {why}"
        for role in roles.values()
        if role.own and (why := _why_not(role.package))
    ]


def _why_not(package: str) -> str:
    try:
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.submodule_search_locations is not None:
            package = f"{package}.__main__"
            spec = importlib.util.find_spec(package)
    except ModuleNotFoundError as error:
        missing = error.name or package
        return _missing(missing)
    except Exception as error:  # what a user's __init__ raises
        return f"importing it raised {type(error).__name__}: {error}, so it could not be started. Mend that."
    if spec is not None:
        return ""
    if package.endswith(".__main__"):
        return "it has no __main__.py, so `python -m` cannot run it. Write one, or name a module."
    return _missing(package)


def _missing(module: str) -> str:
    return (
        f"there is no module {module!r}, so it could not be started. Correct it, or put the module into the folder in "
        f"which you type the command ({caller.folder()}), or on PYTHONPATH."
    )
