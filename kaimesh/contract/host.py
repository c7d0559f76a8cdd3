"""What users' code may ask of the process that runs it; the import names in compat/ hand it on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Host:
    """values: the configuration, by key, with folders that exist. metrics: numbers of the whole training, by group;
    None: there are none yet.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    metrics: Callable[[], Mapping[str, Any] | None] = lambda: None


_host = Host()


def host() -> Host:
    """This process's; where no mesh runs, one that knows nothing."""
    return _host


def become(host: Host) -> None:
    """Makes `host` this process's."""
    global _host
    _host = host
