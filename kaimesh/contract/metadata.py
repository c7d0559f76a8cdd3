"""The keys by which an environment describes itself in gymnasium's `metadata`, in addition to gymnasium's own keys.

Code that belongs to one game (its display, its features) is named here as `<module>:<name>` and imported where it is
used; so the rest of the mesh never mentions a game.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from kaimesh.contract.errors import ConfigError

LEGAL_ACTIONS = "legal_actions"  # true if every info has "legal_act", bool [A]
PARTS = "parts"  # a list of kaimesh.agent.Part, if the observation is flat bytes that consist of them
FRAME_STACK = "frame_stack"  # the number of stacked images in an observation, if it is a stack; see contract/stacking

FACE = "face"  # a function: vector environment -> its contract.face.Face
STORY = "story"  # a function: vector environment -> its contract.story.Story
FACADE = "facade"  # the environment as Kaiwu's workflows (generation G1) see it; arguments as envs.facade
FEATURES = "features"  # a mapping: name -> function(number of slots, Spaces) -> contract.agent.Features


def named(metadata: Mapping[str, Any], key: str) -> Any:
    """The object that `metadata[key]` names; None without the key. Raises ConfigError: it cannot be imported."""
    if key not in metadata:
        return None
    module, _, name = str(metadata[key]).partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"the environment's metadata name {key} = {metadata[key]!r}, which cannot be found ({error}), so the "
            "environment cannot be shown or used that way. Write '<module>:<name>', or leave the key out."
        ) from error
