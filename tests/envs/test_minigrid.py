"""MiniGrid's dictionaries as parts of bytes: nothing is lost, and names and missions are found."""

from __future__ import annotations

import gymnasium
import minigrid  # noqa: F401  registers its environments
import numpy as np
import pytest

from kaimesh import envs
from kaimesh.contract.errors import ConfigError


def parts_of(env, observation: np.ndarray) -> dict[str, np.ndarray]:
    """Each part `[N, ...]` of observations `[N, L]`, those of bits as numbers `[N, H, W, bits]`."""
    found, start = {}, 0
    for part in env.spaces.parts:
        raw = observation[:, start : start + part.nbytes].reshape(-1, *part.shape)
        start += part.nbytes
        found[part.name] = raw[..., None] >> np.arange(part.bits, dtype=np.uint8) & 1 if part.bits else raw
    assert start == observation.shape[1]
    return found


@pytest.mark.parametrize(
    ("name", "env_id", "conf"),
    [
        ("DoorKey-5x5", "MiniGrid-DoorKey-5x5-v0", {}),
        ("MiniGrid-Fetch-6x6-N2-v0", "MiniGrid-Fetch-6x6-N2-v0", {}),
        ("LavaGapS5", "MiniGrid-LavaGapS5-v0", {"agent_view_size": 5}),
        ("Dynamic-Obstacles-6x6", "MiniGrid-Dynamic-Obstacles-6x6-v0", {}),
        ("PutNear-6x6-N2", "MiniGrid-PutNear-6x6-N2-v0", {}),
    ],
)
def test_what_minigrid_shows_can_be_read_from_the_bytes(name, env_id, conf):
    env = envs.make_vector(f"minigrid:{name}", 1, env_conf=conf, seed=4)
    raw = gymnasium.make(env_id, **conf)
    words = [list(choice) for choice in raw.observation_space["mission"].ordered_placeholders or []]
    observation, _ = env.reset()
    shown, _ = raw.reset(seed=4)
    rng, over, ends = np.random.default_rng(0), False, 0
    for _ in range(400):
        parts = parts_of(env, observation)
        kinds = np.concatenate([parts["kinds"], parts["goals"]], -1)[0]
        for plane, number in ((kinds, 0), (parts["colours"][0], 1), (parts["states"][0], 2)):
            assert (plane.sum(-1) == 1).all()
            np.testing.assert_array_equal(plane.argmax(-1), shown["image"][..., number])
        assert parts["direction"][0].tolist() == [int(i == shown["direction"]) for i in range(4)]
        if words:
            chosen = np.split(parts["mission"][0], np.cumsum([len(choice) for choice in words])[:-1])
            assert [one.sum() for one in chosen] == [1] * len(words)
            named = [choice[one.argmax()] for choice, one in zip(words, chosen, strict=True)]
            assert raw.observation_space["mission"].mission_func(*named) == shown["mission"]
        else:
            assert "mission" not in parts
        action = rng.integers(env.spaces.action_size)
        observation, reward, terminated, truncated, _ = env.step(np.array([action]))
        if over:
            shown, _ = raw.reset()
            over = False
            continue
        shown, raw_reward, *flags, _ = raw.step(action)
        assert (reward[0], [terminated[0], truncated[0]]) == (np.float32(raw_reward), flags)
        over = any(flags)
        ends += over
    assert ends >= 1
    env.close()


def test_the_newest_version_is_taken_unless_one_is_named():
    maze = "ObstructedMaze-2Dlhb"
    for app, version in ((f"minigrid:{maze}", 1), (f"minigrid:{maze}-v0", 0), (f"gym:MiniGrid-{maze}-v0", 0)):
        assert envs.make(app).spec.id == f"MiniGrid-{maze}-v{version}"
        assert len(envs.make_vector(app, 2).spaces.parts) >= 5


@pytest.mark.parametrize(
    ("app", "conf", "hint"),
    [
        ("minigrid:Emty-5x5", {}, "did you mean minigrid:Empty-5x5"),
        ("minigrid:Empty-5x5", {"sise": 3}, "sise.*Remove that key"),
        ("minigrid:WFC-MazeSimple", {}, "needs a package that is not installed"),
    ],
)
def test_what_is_not_there_is_named(app, conf, hint):
    for make in (lambda: envs.make_vector(app, 2, env_conf=conf), lambda: envs.make(app, env_conf=conf)):
        with pytest.raises(ConfigError, match=hint):
            make()


def test_what_counts_as_success_is_a_solved_grid():
    env = envs.make("minigrid:Empty-5x5")
    assert 0 < env.metadata["success_return"] < 1 - 0.9
    assert envs.for_evaluation("minigrid:Empty-5x5", {"size": 5}) == {"size": 5}
