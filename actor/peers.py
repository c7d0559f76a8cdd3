"""Admits clients to this actor: reads what a HELLO declares, and checks that all clients of a prepared agent agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from kaimesh.actor.batcher import NO_MODEL, Batcher, Lane
from kaimesh.actor.client import PLAYER, REANALYSER
from kaimesh.config.roles import Right
from kaimesh.contract.arrays import Layout, Specs
from kaimesh.contract.errors import Refused, SampleError
from kaimesh.contract.predicting import EXPLOIT, PREDICT, REANALYSE
from kaimesh.contract.spaces import Spaces
from kaimesh.wire.connection import Connection, Hello
from kaimesh.wire.frame import Header

MOST_ROWS = 1 << 16  # of one request
_METHODS = {PLAYER: (PREDICT, EXPLOIT), REANALYSER: (REANALYSE,)}


class Peer:
    """What the actor keeps for one connection.

    specs, spaces: as its HELLO declared them. lanes: the lanes for its rows, by the `method` of a DATA frame; empty if
    it declared no specs, and so only sends CONTROL. again: whether it is a REANALYSER. act_specs: the specs that it was
    sent last. most_rows: the rows of its largest request so far.
    """

    __slots__ = ("act_specs", "again", "lanes", "most_rows", "spaces", "specs")

    def __init__(self, specs: Specs | None, spaces: Spaces | None, lanes: Mapping[int, Lane], again: bool) -> None:
        self.specs, self.spaces, self.lanes, self.again = specs, spaces, lanes, again
        self.act_specs: Specs | None = None
        self.most_rows = 0

    def lane_of(self, header: Header) -> tuple[Lane, Layout]:
        """The lane of a DATA frame, and the layout of its rows.

        Raises Refused: this client declared no such rows. SampleError: it declared others.
        """
        if (lane := self.lanes.get(header.method)) is None:
            raise Refused(
                f"rows for method {header.method} from a client that declared no such rows, so their layout is "
                "unknown. Send `specs` in HELLO."
            )
        plan = lane.layout(header.rows)
        if not 0 < header.rows <= MOST_ROWS or plan.total_bytes != header.length:
            raise SampleError(
                f"{header.rows} observations (at most {MOST_ROWS}) of {lane.specs.names} in {header.length} bytes, not "
                f"{plan.total_bytes}, so they were not read. Send the fields that HELLO declared."
            )
        return lane, plan


class Admission:
    """Makes a Peer for each connection, or refuses it.

    A prepared agent has one network, so all its clients must declare the same spaces, and its players the same specs:
    those of the first client. The spaces are fixed once a model is loaded. Before that, and for the specs always, they
    are forgotten when no client that declared them is connected any more.

    spaces: of the agent's environment; None: no client has declared any. is_set_up: whether `setup` was called.
    """

    def __init__(self, batcher: Batcher) -> None:
        self.spaces: Spaces | None = None
        self.is_set_up = False
        self._specs: Specs | None = None
        self._batcher = batcher
        self._declared: Counter[Specs | Spaces] = Counter()  # by how many connected clients

    def greet(self, connection: Connection, hello: Hello) -> dict[str, Any]:
        """The contents of the WELCOME frame. Raises Refused, SampleError: this client cannot be served."""
        assert connection.caller is not None
        if hello.specs or hello.spaces:
            connection.caller.want(Right.PREDICT, loss="its observations were not accepted and it gets no predictions")
        specs = Specs.from_json(hello.specs) if hello.specs else None
        if specs is not None and not specs.row_bytes:
            raise Refused(
                f"observations of {len(specs)} fields and no bytes; nothing can be predicted from them. Give ObsData "
                "at least one value."
            )
        again = hello.role == REANALYSER
        if again and self._batcher.user.reanalysing is None:
            raise Refused(
                f"{self._batcher.user.name} cannot search stored samples again, so this client gets no answers. Set "
                "reanalyse_count = 0, or run the same algorithm in the whole mesh."
            )
        spaces = None
        if self._batcher.wants_spaces:
            spaces = None if hello.spaces is None else Spaces.from_json(hello.spaces)
            self._compare(spaces, specs, again)
        methods = () if specs is None else _METHODS[hello.role]
        lanes = {method: self._batcher.lane(specs, method) for method in methods if specs is not None}
        connection.state = Peer(specs, spaces, lanes, again)
        self._declared.update(declared for declared in (specs, spaces) if declared is not None)
        return {"version": self._batcher.version}

    def leave(self, connection: Connection) -> None:
        """After `connection` was closed: forgets what no other client has declared."""
        peer: Peer = connection.state
        for declared in (peer.specs, peer.spaces):
            if declared is None:
                continue
            self._declared[declared] -= 1
            if self._declared[declared]:
                continue
            del self._declared[declared]
            if isinstance(declared, Spaces):
                self._forget(declared)
            else:
                self._batcher.forget(declared)
                if declared == self._specs:
                    self._specs = None

    def _forget(self, spaces: Spaces) -> None:
        if spaces == self.spaces and self._batcher.version == NO_MODEL:
            self.spaces, self.is_set_up = None, False

    def _compare(self, spaces: Spaces | None, specs: Specs | None, again: bool) -> None:
        """Raises Refused: the client's spaces or specs differ from those of the clients before."""
        agent = self._batcher.user.name
        if spaces is None and specs is not None:
            raise Refused(
                f"{agent} builds its network from the environment's spaces, and this client named none, so it gets no "
                "predictions. Send `spaces` in HELLO."
            )
        if spaces is not None and self.spaces not in (None, spaces):
            raise Refused(
                f"spaces {spaces} differ from {self.spaces}, for which {agent}'s network was built, so this client "
                "gets no predictions. Run the same environment in every aisrv of a mesh."
            )
        if again:  # it asks about stored samples, which have other fields than observations
            self.spaces = spaces or self.spaces
            return
        if specs is not None and self._specs not in (None, specs):
            raise Refused(
                f"observations {specs.to_json()} differ from {Specs(self._specs or ()).to_json()}, which the first "
                f"client declared. {agent} takes only one kind, so this client gets no predictions. Send the same "
                "fields."
            )
        self.spaces, self._specs = spaces or self.spaces, specs or self._specs
