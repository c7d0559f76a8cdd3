"""Admits clients to this actor: reads what a HELLO declares, and checks that all clients of a prepared agent agree."""

from __future__ import annotations

from collections import Counter
from typing import Any

from kaimesh.actor.batcher import NO_MODEL, Batcher, Lane
from kaimesh.config.roles import Right
from kaimesh.contract.arrays import Specs
from kaimesh.contract.errors import Refused
from kaimesh.contract.spaces import Spaces
from kaimesh.wire.connection import Connection, Hello


class Peer:
    """What the actor keeps for one connection.

    specs, spaces: as its HELLO declared them. lanes: the lanes for its rows, by `method` PREDICT and EXPLOIT; empty if
    it declared no specs, and so only sends CONTROL. act_specs: the specs that it was sent last. most_rows: the rows of
    its largest request so far.
    """

    __slots__ = ("act_specs", "lanes", "most_rows", "spaces", "specs")

    def __init__(self, specs: Specs | None, spaces: Spaces | None, lanes: tuple[Lane, ...]) -> None:
        self.specs, self.spaces, self.lanes = specs, spaces, lanes
        self.act_specs: Specs | None = None
        self.most_rows = 0


class Admission:
    """Makes a Peer for each connection, or refuses it.

    A prepared agent has one network, so all its clients must declare the same spaces and specs: those of the first
    client. The spaces are fixed once a model is loaded. Before that, and for the specs always, they are forgotten when
    no client that declared them is connected any more.

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
        spaces = None
        if self._batcher.wants_spaces:
            spaces = None if hello.spaces is None else Spaces.from_json(hello.spaces)
            self._compare(spaces, specs)
        lanes = () if specs is None else tuple(self._batcher.lane(specs, exploit) for exploit in (False, True))
        connection.state = Peer(specs, spaces, lanes)
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

    def _compare(self, spaces: Spaces | None, specs: Specs | None) -> None:
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
        if specs is not None and self._specs not in (None, specs):
            raise Refused(
                f"observations {specs.to_json()} differ from {Specs(self._specs or ()).to_json()}, which the first "
                f"client declared. {agent} takes only one kind, so this client gets no predictions. Send the same "
                "fields."
            )
        self.spaces, self._specs = spaces or self.spaces, specs or self._specs
