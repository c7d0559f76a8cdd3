"""From `app` to an environment.

The table of short names is here; the kinds of `app` are described in envs/__init__.py.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gymnasium
from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import VectorEnv

from kaimesh.contract.errors import ConfigError
from kaimesh.contract.kaiwu import KaiwuEnv
from kaimesh.contract.spaces import Spaces
from kaimesh.envs import gym
from kaimesh.envs.interface import Offers, Seed
from kaimesh.envs.kaiwu import Facade
from kaimesh.envs.minigrid import PREFIX, make_minigrid, vector_minigrid
from kaimesh.envs.one_by_one import OneByOne, Tell, tell_nobody
from kaimesh.envs.procgen import Procgen
from kaimesh.envs.renewal import Renew
from kaimesh.envs.single import Single
from kaimesh.envs.translation import Translation
from kaimesh.envs.vector import FeaturedVectorEnv, MeshVectorEnv
from kaimesh.envs.whole import Whole

# What stands before the colon of an app that is not a module of one's own.
KINDS = ("gym", "ale", "procgen", "minigrid", "spiel")

# Arguments that the mesh itself gives to a vector environment.
RESERVED = {"self", "game", "num_envs", "max_episode_steps", "render_mode"}

# Short names: name -> what `app = "module:name"` would say.
ENVIRONMENTS: dict[str, str] = {
    "cartpole-masked": "kaimesh.envs.masked:MaskedCartPole",
    "catch": "kaimesh.envs.catch:Catch",
    "back_to_the_realm": "kaimesh.envs.realm.vector:Realm",
    "realm": "kaimesh.envs.realm.vector:Realm",
    "realm-mini": "kaimesh.envs.realm.vector:RealmMini",
    "bandit": "kaimesh.envs.bandit:Bandit",
    "three": "kaimesh.envs.three:Three",
}


def make_vector(
    app: str,
    count: int,
    *,
    env_conf: Mapping[str, Any] | None = None,
    seed: Seed = None,
    max_episode_steps: int = 0,
    render_mode: str | None = None,
    unit_actions: bool = False,
    tell: Tell = tell_nobody,
    renew: Renew | None = None,
) -> MeshVectorEnv:
    """`count` slots of `app` in NEXT_STEP mode, on the fastest vectorisation that it has.

    env_conf: keyword arguments of the environment. seed: of the first reset, of all slots or of each.
    max_episode_steps: episodes are truncated there; 0 leaves the environment's own limit. unit_actions: `step` scales
    continuous actions to their bounds (contract/scaling). tell: called before each environment is made, with its number
    from 1; once, where all are made at once. renew: decides about environments that fail (envs/renewal); None: their
    errors pass through.
    Raises ConfigError: an unknown name (with the nearest known), arguments that it does not take, spaces that the mesh
    cannot carry.
    """
    build = partial(_vector, app, count, dict(env_conf or {}), max_episode_steps, render_mode, tell, renew)
    vector, clip = build()
    if renew is not None and not isinstance(vector, OneByOne):
        vector = Whole(vector, lambda: build()[0], app, renew)
    return MeshVectorEnv(vector, app, seed=seed, clip_rewards=clip, unit_actions=unit_actions)


def _vector(
    app: str,
    count: int,
    conf: dict[str, Any],
    max_episode_steps: int,
    render_mode: str | None,
    tell: Tell,
    renew: Renew | None,
) -> tuple[VectorEnv, bool]:
    """As `make_vector`, without the mesh's wrapper, and whether that is to clip rewards."""
    kind, name = resolve(app)
    slots = (name, count, conf, max_episode_steps, render_mode)
    if kind == "gym":
        return gym.vector_registered(*slots, tell, renew), False
    if kind == "minigrid":
        return vector_minigrid(*slots, tell, renew), False
    if kind == "own":
        return gym.vector_own(*slots, tell, renew), False
    tell(1)
    if kind == "procgen":
        return _procgen(*slots), False
    if kind == "spiel":
        return _spiel(*slots), False
    from kaimesh.envs.atari import vector_atari  # the emulator is loaded where it is used

    return vector_atari(*slots)


def make(
    app: str, *, env_conf: Mapping[str, Any] | None = None, render_mode: str | None = None, max_episode_steps: int = 0
) -> gymnasium.Env:
    """One `app` as a plain gymnasium.Env, spaces and rewards its own. Raises ConfigError as `make_vector`."""
    conf = dict(env_conf or {})
    kind, name = resolve(app)
    if kind == "gym":
        return gym.make_registered(name, conf, max_episode_steps, render_mode)
    if kind == "ale":
        from kaimesh.envs.atari import vector_atari

        return Single(vector_atari(name, 1, conf, max_episode_steps, render_mode)[0])
    if kind == "procgen":
        return Single(_procgen(name, 1, conf, max_episode_steps, render_mode))
    if kind == "minigrid":
        return make_minigrid(name, conf, max_episode_steps, render_mode)
    if kind == "spiel":
        return Single(_spiel(name, 1, conf, max_episode_steps, render_mode))
    return gym.make_own(name, conf, max_episode_steps, render_mode)


def facade(
    app: str,
    *,
    env_conf: Mapping[str, Any] | None = None,
    seed: int | None = None,
    max_episode_steps: int = 0,
    render_mode: str | None = None,
    unit_actions: bool = False,
    generation: str = "",
) -> KaiwuEnv:
    """One `app` as Kaiwu's workflows (generation G1) see it: by its own facade if it offers one, else by Facade.

    unit_actions: as make_vector's. An environment's own facade takes what it takes. generation: whose protocol it is to
    speak, "G1", "G2a", "G2b" or "G3"; "": G1's. Raises ConfigError: the general facade speaks G1's alone.
    """
    own = offers(app).facade() if resolve(app)[0] == "own" else None
    if own is not None:
        named: dict[str, Any] = {"generation": generation} if generation else {}
        return own(
            app, env_conf=env_conf, seed=seed, max_episode_steps=max_episode_steps, render_mode=render_mode, **named
        )
    if generation not in ("", "G1"):
        raise ConfigError(
            f"app = {app!r} speaks generation G1's protocol alone, and the agents' folder is of {generation}; its "
            "workflow would misread every step. Name an environment with a facade of its own."
        )

    def build(conf: Mapping[str, Any], limit: int) -> gymnasium.Env:
        return make(app, env_conf=conf, render_mode=render_mode, max_episode_steps=limit)

    conf = dict(env_conf or {})
    return Facade(app, build, conf, seed=seed, max_episode_steps=max_episode_steps, unit_actions=unit_actions)


def spaces_of(env: VectorEnv | gymnasium.Env) -> Spaces:
    """What a network sees of `env`. Raises ConfigError: spaces that the mesh cannot carry."""
    if isinstance(env, MeshVectorEnv | FeaturedVectorEnv):
        return env.spaces
    if isinstance(env, VectorEnv):
        observation_space, action_space = env.single_observation_space, env.single_action_space
    else:
        observation_space, action_space = env.observation_space, env.action_space
    name = type(env.unwrapped).__name__
    declared = Offers.of(env.metadata, name)
    spaces = Translation(observation_space, action_space, name).spaces(declared.legal_actions)
    return spaces._replace(parts=declared.parts, players=declared.players, symmetry=declared.symmetry)


def maker(app: str) -> Callable[..., object]:
    """The class, or the function, that environments of `app` are made by; makes none.

    Raises ConfigError: there is none.
    """
    kind, name = resolve(app)
    if kind == "ale":
        from kaimesh.envs.atari import Atari

        return Atari
    if kind == "procgen":
        return Procgen
    if kind == "minigrid":
        return make_minigrid
    if kind == "spiel":
        from kaimesh.envs.spiel.vector import Spiel

        return Spiel
    if kind == "own":
        return gym.load(name)
    spec = gym.find(name)
    point = spec.vector_entry_point or spec.entry_point
    assert point is not None, spec  # gymnasium registers nothing without one
    return load_env_creator(point) if isinstance(point, str) else point


def is_built_in(app: str) -> bool:
    """Whether kaimesh itself says what environments of `app` do. Raises ConfigError: there are none."""
    return app in ENVIRONMENTS or resolve(app)[0] not in ("gym", "own")


def offers(app: str) -> Offers:
    """What the class of `app` declares, before an environment is made; one may declare more.

    Raises ConfigError as `maker`.
    """
    made_by = maker(app)
    if inspect.isclass(made_by) and issubclass(made_by, gymnasium.Env | VectorEnv):
        declared: object = made_by.metadata  # of a wrapper's class it is a property
        if isinstance(declared, Mapping):
            return Offers.of(declared, app)
    return Offers(app)


def _procgen(name: str, count: int, conf: dict[str, Any], max_episode_steps: int, render_mode: str | None) -> Procgen:
    for key in RESERVED & conf.keys():
        raise ConfigError(f"env_conf.{key} cannot be set for procgen:{name}: the mesh sets it. Remove it.")
    return Procgen(name, count, max_episode_steps=max_episode_steps, render_mode=render_mode, **conf)


def _spiel(name: str, count: int, conf: dict[str, Any], limit: int, render_mode: str | None) -> VectorEnv:
    from kaimesh.envs.spiel.vector import Spiel  # OpenSpiel is loaded where it is used

    for key in RESERVED & conf.keys():
        raise ConfigError(f"env_conf.{key} cannot be set for spiel:{name}: the mesh sets it. Remove it.")
    return Spiel(name, count, max_episode_steps=limit, render_mode=render_mode, **conf)


def resolve(app: str) -> tuple[str, str]:
    """The kind of `app`, one of KINDS or "own", and the name that this kind knows it by.

    Raises ConfigError: there is none.
    """
    kind, colon, name = app.partition(":")
    if app in ENVIRONMENTS:
        return "own", ENVIRONMENTS[app]
    if kind == "gym" and name.startswith(PREFIX):
        return "minigrid", name
    if colon and kind in KINDS and name:
        return kind, name
    if colon and name:
        return "own", app
    candidates = {**dict.fromkeys(ENVIRONMENTS), **{env_id: f"gym:{env_id}" for env_id in gymnasium.registry}}
    near = [candidates[n] or n for n in difflib.get_close_matches(app, candidates, 2, 0.6)]
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    raise ConfigError(
        f"app = {app!r} names no environment{hint} None was made. Write gym:<id>, ale:<game>, procgen:<game>, "
        f"minigrid:<id>, spiel:<game>, {', '.join(ENVIRONMENTS)}, or your own as <package>.<module>:<class>."
    )
