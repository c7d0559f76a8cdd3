"""The functions that users register with `attached`, importable before they are registered.

Each name here looks for the user's function when it is called; the one that was registered last is called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kaimesh.agent import attached_as


def _late(name: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        found = attached_as(name)
        if found is None:
            raise NameError(
                f"{name} was called, but no function of that name was registered; nothing was converted. Put @attached "
                f"above def {name} in feature/definition.py, and import that module."
            )
        return found(*args, **kwargs)

    call.__name__ = call.__qualname__ = name
    return call


observation_process = _late("observation_process")
action_process = _late("action_process")
sample_process = _late("sample_process")
reward_shaping = _late("reward_shaping")
SampleData2NumpyData = _late("SampleData2NumpyData")
NumpyData2SampleData = _late("NumpyData2SampleData")
