"""What an environment says of itself in gymnasium's `metadata`, beside gymnasium's own keys.

A game that has more to show than any environment names it here, as `<module>:<name>`; nothing else of the mesh knows the game, and
the module is imported where it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from kaimesh.contract.errors import ConfigError

LEGAL_ACTIONS = "legal_actions"  # true if every info has "legal_act", bool [A]
PARTS = "parts"  # kaimesh.agent.Part of an observation that is flat bytes
FRAME_STACK = "frame_stack"  # of observations that are stacked frames, how many these are; see contract/stacking

FACE = "face"  # from the vector environment to its contract.face.Face
STORY = "story"  # from the vector environment to its contract.story.Story
FACADE = "facade"  # the environment as Kaiwu's workflows (generation G1) see it; arguments as envs.facade
FEATURES = "features"  # a mapping: name -> from the number of slots and Spaces to contract.agent.Features


def named(metadata: Mapping[str, Any], key: str) -> Any:
    """What `metadata[key]` names; None where it says nothing. Raises ConfigError: there is no such thing."""
    if key not in metadata:
        return None
    module, _, name = str(metadata[key]).partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"the environment's metadata name {key} = {metadata[key]!r}, which cannot be found ({error}), so it cannot be shown or "
            "used so. Write '<module>:<name>', or leave the key out."
        ) from error
