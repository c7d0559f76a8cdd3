"""Features: what an agent makes of an environment's observations and rewards before its network sees them.

Hand-made features and reward shaping belong to the agent, not to the environment, whose score stays what it is. A class
here turns the observations of N slots into features and the environment's rewards into shaped ones; aisrv asks the agent
for one (`Agent.features`) and puts it between the environment and everything else. Evaluation uses the same features and
no rewards.
"""

from __future__ import annotations

from kaimesh.contract.agent import Features
from kaimesh.contract.spaces import Spaces

WORLDS = {"realm": 128, "realm-mini": 32}  # cells per side of the Realm's worlds
MAPS = "-maps"  # ends the name where a network sees the observation's own maps instead of features made of them
NAMES = ("none", *WORLDS, *(world + MAPS for world in WORLDS))


def make(name: str, count: int, spaces: Spaces) -> Features | None:
    """The features called `name` for `count` slots of `spaces`; None for "none". Raises ValueError: they do not fit."""
    if name == "none":
        return None
    if name in NAMES:
        from kaimesh.envs.realm.features import RealmFeatures, RealmMaps  # numba is loaded where it is used

        make_one = RealmMaps if name.endswith(MAPS) else RealmFeatures
        return make_one(count, spaces, WORLDS[name.removesuffix(MAPS)])
    raise ValueError(f"features = {name!r} is unknown; there are {', '.join(NAMES)}. Set [ppo] features.")
