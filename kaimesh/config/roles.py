"""The roles table: a row for every kind of process that a mesh may have. Nothing else knows a process's name.

supervisord, keeper, containers, command line and status page read it. The configuration adds rows: `[roles.<name>]`
(kaimesh.config.own_roles). It lies in this room, below wire and process, because ports and addresses are looked up from
there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal

from kaimesh.config.keys import App


class Right(StrEnum):
    """What a process may ask of the others' ports. Counters of a process, and its health, are open to every role."""

    PREDICT = "predict"  # of an actor: predictions
    PIN = "pin"  # of an actor: to predict with one model instead of the newest
    INSERT = "insert"  # of a buffer: to store samples
    REFRESH = "refresh"  # of a buffer: to store fresh copies of samples
    DRAW = "draw"  # of a buffer: what it holds
    PACE = "pace"  # of a buffer: how much it may take, and that drawn samples have arrived
    DROP = "drop"  # of a buffer: to throw away what it holds
    PULL = "pull"  # of the model pool: models
    PUSH = "push"  # to the model pool: a new model
    SAVE = "save"  # of the learner: a save that the workflow asks for
    REPORT = "report"  # to a cluster's monitor: its status


Rights = Mapping[str, frozenset[Right]]  # of each role, by its name

# How a health check asks a port: a handshake of framed TCP as that peer, the ingest's own question, gRPC's health
# check, a web page, or only whether somebody accepts a connection.
Ask = Literal["player", "reader", "ingest", "grpc", "http", "tcp"]


@dataclass(frozen=True, kw_only=True)
class Role:
    """One kind of process.

    package: `python -m <package>` runs it; the last part of its name is the role's name.
    stage: a mesh starts the processes of a stage once all of the stages before are healthy; -1: supervisord itself
    starts it.
    stop: the highest is stopped first, and the next once it has ended.
    keys: of `[app]`, its addresses; the first one's is its main port, and each address there is one process.
    count: how many processes, where it has no addresses: a number, or a key of `[app]`.
    agent_type: which of the algorithm's agents it makes; None: it makes none.
    rights: what it may ask of the others; its token opens nothing else (kaimesh.wire.gate).
    switches: rights of it that a key of `[app]` takes away where that key is false.
    work: the counter that says that it makes progress, which `status` shows as its throughput; "": none does.
    probes: by key, how a container's health check asks its ports, besides the process's own word.
    threads: the key of `[app]` with the threads of its numerical library; "": one, or as `[roles.<name>]` says.
    home: where it runs: "": everywhere; else only under supervisord, or only in containers.
    local: whether it runs with wrapper_type = local, too.
    learns_in: with which wrapper_type its processes are those that learn.
    ends: whether its work can be done; the run has finished once all such processes are done.
    trusted: whether its containers may hold the mesh token though they open no port: code of others runs in none.
    own: what `[roles.<name>]` says, every key named; empty for the roles of kaimesh's own.
    """

    name: str
    package: str
    stage: int
    stop: int
    keys: tuple[str, ...] = ()
    count: str | int = 1
    agent_type: str | None = None
    rights: frozenset[Right] = frozenset()
    switches: tuple[tuple[Right, str], ...] = ()
    work: str = ""
    probes: tuple[tuple[str, Ask], ...] = ()
    threads: str = ""
    home: Literal["", "supervisord", "containers"] = ""
    local: bool = False
    learns_in: tuple[str, ...] = ()
    ends: bool = False
    trusted: bool = False
    own: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Mapping[str, Any]:
        """What `[roles.<name>.settings]` says, for the process itself."""
        found: Mapping[str, Any] = self.own.get("settings", {})
        return found

    @property
    def first(self) -> str:
        """The name of its first process."""
        return f"{self.name}_0"


KEEPER = Role(
    name="keeper", package="kaimesh.operate.local.keeper", stage=-1, stop=1, home="supervisord", local=True
)  # supervisord stops it last: it writes down what the others have done
BUFFER = Role(
    name="buffer",
    package="kaimesh.buffer",
    stage=0,
    stop=10,
    keys=("buffer_addrs", "buffer_ingest_addrs"),
    rights=frozenset({Right.REPORT}),
    work="inserted",
    probes=(("buffer_ingest_addrs", "ingest"),),
)
MODEL_POOL = Role(
    name="model_pool",
    package="kaimesh.model_pool",
    stage=0,
    stop=20,
    keys=("model_pool_addr",),
    rights=frozenset({Right.REPORT}),
    probes=(("model_pool_addr", "grpc"),),
)
LEARNER = Role(
    name="learner",
    package="kaimesh.learner",
    stage=1,
    stop=40,
    keys=("learner_addr",),
    agent_type="learner",
    rights=frozenset({Right.DRAW, Right.PACE, Right.DROP, Right.PUSH, Right.REPORT}),
    work="learner_steps",
    probes=(("learner_addr", "grpc"),),
    threads="learner_threads",
    learns_in=("remote",),
)
ACTOR = Role(
    name="actor",
    package="kaimesh.actor",
    stage=1,
    stop=30,
    keys=("actor_addrs",),
    agent_type="actor",
    rights=frozenset({Right.PULL, Right.REPORT}),
    work="predictions",
    probes=(("actor_addrs", "player"),),
    threads="actor_threads",
)
AISRV = Role(
    name="aisrv",
    package="kaimesh.aisrv",
    stage=2,
    stop=50,  # samples cease; then what is there is learned from, dumped, pooled and kept
    count="aisrv_count",
    agent_type="aisrv",
    rights=frozenset({Right.PREDICT, Right.PIN, Right.INSERT, Right.PULL, Right.SAVE, Right.REPORT}),
    switches=((Right.PIN, "aisrv_may_pin"),),
    work="env_steps",
    local=True,
    learns_in=("local",),
    ends=True,
)
REANALYSE = Role(
    name="reanalyse",
    package="kaimesh.reanalyse",
    stage=2,
    stop=55,  # before what it needs
    count="reanalyse_count",
    agent_type="aisrv",
    rights=frozenset({Right.PREDICT, Right.REFRESH, Right.DRAW, Right.REPORT}),
    work="reanalysed_samples",
    trusted=True,
)
MONITOR = Role(
    name="monitor",
    package="kaimesh.operate.cluster.monitor",
    stage=0,
    stop=90,
    keys=("monitor_addr",),
    probes=(("monitor_addr", "reader"), ("monitor_page_port", "http")),
    home="containers",
)
ROLES: Mapping[str, Role] = MappingProxyType(
    {role.name: role for role in (KEEPER, BUFFER, MODEL_POOL, LEARNER, ACTOR, AISRV, REANALYSE, MONITOR)}
)
LAST_STAGE = 3  # a mesh is up when the processes of all stages are healthy; kaimesh's own are in 0 to 2


def role_of(process: str) -> str:
    """The role's name in a process's name, such as `model_pool_0`."""
    return process.rpartition("_")[0]


def rights_of(roles: Iterable[Role], app: App | None = None) -> Rights:
    """What each role may do, by its name; less what keys of `app` take away."""
    return {
        role.name: role.rights - {right for right, key in role.switches if app is not None and not getattr(app, key)}
        for role in roles
    }


def addresses_of(role: Role, app: App) -> dict[str, list[str]]:
    """Its addresses, "host:port", by key; a key without an address is left out."""
    if role.own:
        return {f"roles.{role.name}.addresses": list(role.own["addresses"])} if role.own["addresses"] else {}
    found = {key: getattr(app, key) for key in role.keys}
    return {key: value if isinstance(value, list) else [value] for key, value in found.items() if value}


def every_address(roles: Iterable[Role], app: App) -> list[tuple[str, str]]:
    """Every address of a mesh, each with its key."""
    found = [(key, group) for role in roles for key, group in addresses_of(role, app).items()]
    return [(key, address) for key, group in found for address in group]


def clashes(roles: Iterable[Role], app: App) -> list[str]:
    """Addresses that are given twice, in words."""
    keys: dict[str, list[str]] = {}
    for key, address in every_address(roles, app):
        keys.setdefault(address, []).append(key)
    return [
        f"{address} is given to two ports ({' and '.join(named)}); the second would not start. Change one of them."
        for address, named in sorted(keys.items())
        if len(named) > 1
    ]
