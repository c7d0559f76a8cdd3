"""Kaiwu's calls of its own services; here there are none."""

from typing import Any


def http_utils_request(*args: Any, **named: Any) -> None:
    """None: nobody is asked."""
    del args, named
