"""Who may ask this actor: what a HELLO declares, and what must agree between the clients of a native agent."""

from __future__ import annotations

from typing import Any

from actor.batcher import Batcher, Lane
from kaimesh.agent import Spaces
from kaimesh.arrays import Specs
from kaimesh.errors import Refused
from kaimesh.wire.connection import Connection, Hello
from kaimesh.wire.frame import MAX_FRAME_BYTES


class Peer:
    """What the loop knows of one connection.

    lanes: where its rows go, by `method`: PREDICT, EXPLOIT; none if it only sends CONTROL. act_specs: the last that it was
    told. most_rows: of its requests so far.
    """

    __slots__ = ("act_specs", "lanes", "most_rows")

    def __init__(self, lanes: tuple[Lane, ...]) -> None:
        self.lanes = lanes
        self.act_specs: Specs | None = None
        self.most_rows = 0


class Admission:
    """Gives every connection its Peer. `spaces` is what the first client of a native agent named."""

    def __init__(self, batcher: Batcher) -> None:
        self.spaces: Spaces | None = None
        self._specs: Specs | None = None
        self._batcher = batcher

    def greet(self, connection: Connection, hello: Hello) -> dict[str, Any]:
        """What WELCOME says. Raises Refused, SampleError: this client cannot be served, and why."""
        specs = Specs.from_json(hello["specs"]) if hello.get("specs") else None
        if specs is not None and specs.row_bytes > MAX_FRAME_BYTES:
            raise Refused(f"one observation of {specs.row_bytes} bytes is over the limit of {MAX_FRAME_BYTES}")
        if self._batcher.native:
            self._compare(hello.get("spaces"), specs)
        lanes = () if specs is None else tuple(self._batcher.lane(specs, exploit) for exploit in (False, True))
        connection.state = Peer(lanes)
        return {"version": self._batcher.version}

    def _compare(self, data: Any, specs: Specs | None) -> None:
        """A native agent has one network, so every client must have the same spaces and observations."""
        try:
            spaces = None if data is None else Spaces.from_json(data)
        except (TypeError, AttributeError) as error:
            raise Refused(f"spaces {data!r} cannot be read: {error}") from error
        agent = type(self._batcher.agent).__name__
        if spaces is None and specs is not None:
            raise Refused(f"{agent} builds its network from the environment's spaces, and this client named none")
        if spaces is not None and self.spaces not in (None, spaces):
            raise Refused(
                f"spaces {spaces} differ from {self.spaces}, for which {agent}'s network was built; every aisrv of a mesh "
                "must run the same environment"
            )
        if specs is not None and self._specs not in (None, specs):
            raise Refused(
                f"observations {specs.to_json()} differ from {Specs(self._specs or ()).to_json()}, which the first client "
                f"declared; {agent} takes only one kind"
            )
        self.spaces, self._specs = spaces or self.spaces, specs or self._specs
