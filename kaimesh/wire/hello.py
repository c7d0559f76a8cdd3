"""What a client says of itself in its first frame, checked; the token is compared before anything else is looked at."""

from __future__ import annotations

import hmac
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter

from kaimesh.contract.errors import Refused
from kaimesh.contract.untrusted import Name, parsed
from kaimesh.wire import frame as wire
from kaimesh.wire.frame import Header, Kind


class Hello(BaseModel):
    """A client that has the token. specs, spaces: JSON as it came, for Specs.from_json and Spaces.from_json; None once it was welcomed."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    role: Name
    name: Name = "?"
    specs: Any = None
    spaces: Any = None


class _Letter(BaseModel):
    """What is read of a HELLO before the token is known to be right."""

    model_config = ConfigDict(strict=True, extra="ignore")

    protocol: int
    token: Annotated[str, StringConstraints(max_length=4096)] = ""


_LETTER, _HELLO = TypeAdapter(_Letter), TypeAdapter(Hello)


def hello_of(header: Header, payload: memoryview, token: bytes) -> Hello:
    """The HELLO in a first frame. Raises BadFrame, Refused: it is none, of another protocol, or does not have the token."""
    if header.kind != Kind.HELLO:
        raise Refused(f"the first frame is of kind {header.kind}, not HELLO")
    data = wire.from_json(payload)
    letter = parsed(_LETTER, data, "HELLO", Refused, secret=True)
    if letter.protocol != wire.PROTOCOL:
        raise Refused(f"protocol {letter.protocol}; this server speaks {wire.PROTOCOL}; update the older side")
    if not hmac.compare_digest(letter.token.encode(), token):
        raise Refused("wrong token; set KAIMESH_TOKEN, or share the run directory's `token` file")
    return parsed(_HELLO, data, "HELLO", Refused)
