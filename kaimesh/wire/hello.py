"""Checks the first frame of a client, HELLO; the token is compared before the rest is read."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter

from kaimesh.contract.errors import Refused
from kaimesh.contract.untrusted import Name, parsed
from kaimesh.wire import frame as wire
from kaimesh.wire.frame import Header, Kind
from kaimesh.wire.gate import Caller, Gate


class Hello(BaseModel):
    """The HELLO of a client whose token is right.

    role: as what it connects, such as "writer": a word of the port's own, and not its role in the mesh, which its token
    names.
    specs, spaces: the JSON that the client sent, for Specs.from_json and Spaces.from_json. The server forgets them
    (None) when it has accepted the client.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    role: Name
    name: Name = "?"
    specs: Any = None
    spaces: Any = None


class _Credentials(BaseModel):
    """The part of a HELLO that is read before the token was checked."""

    model_config = ConfigDict(strict=True, extra="ignore")

    protocol: int
    token: Annotated[str, StringConstraints(max_length=4096)] = ""


_CREDENTIALS, _HELLO = TypeAdapter(_Credentials), TypeAdapter(Hello)


def hello_of(header: Header, payload: memoryview, gate: Gate) -> tuple[Hello, Caller]:
    """The HELLO in a client's first frame, and who the client is by its token.

    Raises BadFrame or Refused: it is no HELLO, of another protocol version, or has a wrong token.
    """
    if header.kind != Kind.HELLO:
        raise Refused(f"the first frame is of kind {header.kind}, not HELLO, so the connection ends; send HELLO first")
    data = wire.from_json(payload)
    sent = parsed(_CREDENTIALS, data, "HELLO", Refused, secret=True)
    if sent.protocol != wire.PROTOCOL:
        raise Refused(
            f"protocol {sent.protocol}; this server speaks {wire.PROTOCOL}, and neither would understand the other; "
            "update the older side"
        )
    caller = gate.caller(sent.token.encode())
    return parsed(_HELLO, data, "HELLO", Refused), caller
