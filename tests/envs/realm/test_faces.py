"""The gymnasium faces: registered, checked by gymnasium, seeded, configurable."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from kaimesh import envs
from kaimesh.contract.errors import ConfigError
from kaimesh.contract.spaces import Spaces
from kaimesh.envs.realm import views
from kaimesh.envs.realm.vector import Realm, RealmEnv, split_bytes

IDS = ["kaimesh/Realm-v0", "kaimesh/RealmMini-v0"]


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("observation", ["features", "bytes", "floats"])
def test_gymnasiums_own_check(env_id, observation):
    env = gymnasium.make(f"kaimesh.envs.realm:{env_id}", observation=observation)
    assert isinstance(env.unwrapped, RealmEnv)
    check_env(env.unwrapped, skip_render_check=True)


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasium_makes_vectors(env_id):
    vector = gymnasium.make_vec(
        f"kaimesh.envs.realm:{env_id}", 3, vectorization_mode="vector_entry_point", treasure_num=4
    )
    assert isinstance(vector, Realm)
    assert vector.reset(seed=1)[0].shape == (3, views.FEATURES)
    assert vector.state.present.sum() == 12


@pytest.mark.parametrize(
    ("app", "size", "treasures"),
    [
        ("realm", 128, 9),
        ("realm-mini", 32, 5),
        ("gym:kaimesh/Realm-v0", 128, 9),
        ("gym:kaimesh.envs.realm:kaimesh/RealmMini-v0", 32, 5),
    ],
)
def test_every_name_gives_the_native_vector(app, size, treasures):
    env = envs.make_vector(app, 2, seed=1)
    env.reset()
    assert isinstance(env.unwrapped, Realm)
    assert env.unwrapped.map.size == size
    assert env.unwrapped.state.present.sum(1).tolist() == [treasures] * 2
    assert envs.spaces_of(env) == Spaces((views.FEATURES,), "<f4", "discrete", 16, legal_actions=True)
    assert env.legal_actions.all()


def test_legal_actions_are_flashes_only_when_they_are_ready():
    env = envs.make_vector("realm", 3, seed=1)
    env.reset()
    env.step([0, 9, 3])
    assert env.legal_actions[:, :8].all()
    assert env.legal_actions[:, 8:].all(1).tolist() == [True, False, True]
    assert not env.legal_actions[1, 8:].any()
    for _ in range(605):
        env.step([0, 0, 0])
    assert not env.legal_actions[1, 8:].any()
    env.step([0, 0, 0])
    assert env.legal_actions.all()


def test_seeds():
    def treasures(env, **seed):
        env.reset(**seed)
        return env.state.present.copy()

    one, two = Realm(4), Realm(4)
    first = treasures(one, seed=3)
    assert np.array_equal(first, treasures(two, seed=3))
    assert not np.array_equal(first, treasures(one)), "episodes differ"
    assert not np.array_equal(first, treasures(two, seed=4))
    assert np.array_equal(first, treasures(two, seed=3))
    assert np.array_equal(treasures(Realm(1), seed=3), first[:1]), "a slot does not depend on how many there are"
    assert not np.array_equal(treasures(Realm(4)), treasures(Realm(4))), "without a seed it is not always the same"


def test_an_observation_is_not_written_again():
    env = Realm(2, preset="realm-mini", observation="bytes")
    before, _ = env.reset(seed=1)
    copy = before.copy()
    env.step(np.array([0, 3]))
    assert np.array_equal(before, copy)


def test_the_three_observations_say_the_same():
    faces = {kind: Realm(3, observation=kind, max_episode_steps=40) for kind in ("features", "bytes", "floats")}
    rng = np.random.default_rng(0)
    seen = {kind: env.reset(seed=5)[0] for kind, env in faces.items()}
    for _ in range(90):
        features, packed = split_bytes(seen["bytes"])
        assert np.array_equal(features, seen["features"])
        assert np.array_equal(seen["floats"][:, : views.FEATURES], features)
        assert np.array_equal(seen["floats"][:, views.FEATURES :].reshape(3, 4, 51, 51), views.unpack(packed))
        actions = rng.integers(0, 16, 3)
        seen = {kind: env.step(actions)[0] for kind, env in faces.items()}
        for kind, env in faces.items():
            assert env.observation_space.contains(seen[kind]), kind


def test_returns_are_scores():
    mini = Realm(1, preset="realm-mini").map.positions
    near = 3 + int(np.hypot(*(mini[3:] - mini[2]).T).argmin())  # an end that random walks find
    env = Realm(8, preset="realm-mini", max_episode_steps=100, treasure_num=5, end=near)
    env.reset(seed=2)
    rng, totals, ends = np.random.default_rng(1), np.zeros(8), []
    actions = np.zeros(8, int)
    for _ in range(2000):
        fresh = env.state.over.astype(bool)
        actions = np.where(rng.random(8) < 0.2, rng.integers(0, 8, 8), actions)  # goes on for a while
        _, rewards, terminated, truncated, _ = env.step(actions)
        totals = np.where(fresh, 0, totals) + rewards
        for i in np.flatnonzero(terminated | truncated):
            left, taken = 100 - env.state.step[i], env.state.treasures[i]
            expected = 0 if truncated[i] else 150 + 0.2 * left + 100 * taken
            assert totals[i] == pytest.approx(expected, abs=1e-3)
            ends.append(bool(truncated[i]))
    assert len(set(ends)) == 2, "it saw both ends"


def test_the_map_is_the_configurations(tmp_path):
    Realm(1, preset="realm-mini", map_seed=9).map.save(tmp_path / "own.json")
    own = Realm(1, map_file=str(tmp_path / "own.json"))
    assert np.array_equal(own.map.walkable, Realm(1, preset="realm-mini", map_seed=9).map.walkable)
    assert not np.array_equal(own.map.walkable, Realm(1, preset="realm-mini").map.walkable)


@pytest.mark.parametrize(
    ("conf", "reason"),
    [
        ({"observation": "picture"}, "observation = 'picture'"),
        ({"render_mode": "human"}, "render_mode = 'human'"),
        ({"treasures": 3}, "no key 'treasures'"),
        ({"max_episode_steps": 5000}, "max_step = 5000"),
        ({"preset": "real"}, "'real' is unknown"),
    ],
)
def test_what_it_does_not_take(conf, reason):
    with pytest.raises(ConfigError, match=reason):
        Realm(1, **conf)
