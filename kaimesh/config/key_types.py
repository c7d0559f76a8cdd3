"""The types of keys that need more than pydantic's own: what may be written for them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from kaimesh.config.reading import mixed_tables


def _addresses(value: Any) -> Any:
    """Accepts Kaiwu's form `{train_one = ["ip:port"]}`, a plain list, or one address; returns a list."""
    if isinstance(value, dict):
        groups = [[group] if isinstance(group, str) else group for group in value.values()]
        value = [address for group in groups for address in (group if isinstance(group, list) else [group])]
    return [value] if isinstance(value, str) else value


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not re.fullmatch(r"[^:\s\[\]/]+", host):
        raise ValueError(
            "an address is host:port, such as 127.0.0.1:8888 (IPv6 needs a host name); this one cannot be used, "
            "correct it"
        )
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError(f"the port must be 1 to 65535, not {port!r}, which nothing can listen on; correct it")
    return value


def _host(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]+", value):
        raise ValueError(
            "it is no IPv4 address and no host name, and ports are opened for IPv4 alone; write 127.0.0.1 (this "
            "machine only), 0.0.0.0 (all interfaces), or the address of one of them"
        )
    return value


def _hyphen(value: Any) -> Any:
    return value.replace("_", "-") if isinstance(value, str) else value


def _address_or_none(value: str) -> str:
    return _address(value) if value else value


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty: name something, or leave the key out for its default")
    if not value.isprintable():
        raise ValueError("has control characters, which would garble every log and table that shows it: leave them out")
    return value


def _writable(value: dict[str, Any]) -> dict[str, Any]:
    if why := mixed_tables(value):
        raise ValueError(why.removesuffix("."))
    return value


def _opponent(value: str) -> str:
    if not re.fullmatch("self|random|(minimax|mcts):[1-9][0-9]{0,8}", value):
        raise ValueError(
            "it is none of self, random, minimax:DEPTH and mcts:SIMS, with a whole number for the last word, so there "
            "is nobody to play against; write one of these, such as minimax:2"
        )
    return value


Address = Annotated[str, AfterValidator(_address)]
MaybeAddress = Annotated[str, AfterValidator(_address_or_none)]
Text = Annotated[str, AfterValidator(_filled)]
Addresses = Annotated[list[Address], BeforeValidator(_addresses), Field(min_length=1)]
Host = Annotated[str, AfterValidator(_host)]
Hyphened = BeforeValidator(_hyphen)
Opponent = Annotated[str, AfterValidator(_opponent)]
Table = Annotated[dict[str, Any], AfterValidator(_writable)]
Selector = Literal[
    "reverb.selectors.Fifo", "reverb.selectors.Lifo", "reverb.selectors.Uniform", "reverb.selectors.Prioritized"
]
