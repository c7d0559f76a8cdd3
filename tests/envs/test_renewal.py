"""An environment that fails is made anew, alone: what its slot shows meanwhile, and that the others do not notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kaimesh import envs
from kaimesh.contract.errors import ConfigError, EnvContractError
from kaimesh.envs.renewal import next_seed
from tests.envs.faulty import LENGTH, Faulty, Together, fresh, play

FAULTY, TOGETHER = "tests.envs.faulty:Faulty", "tests.envs.faulty:Together"


@pytest.fixture(autouse=True)
def numbers() -> None:
    fresh()


class Renewer:
    """Makes each environment anew, at once."""

    def __init__(self) -> None:
        self.told: list[tuple[range, int, str, Exception]] = []

    def __call__(self, slots: range, steps: int, verb: str, error: Exception, make: Callable[[], Any]) -> Any:
        while True:
            self.told.append((slots, steps, verb, error))
            try:
                return make()
            except ConnectionError as again:
                error = again


def steps(env: envs.MeshEnv, count: int) -> list[dict[str, np.ndarray]]:
    """What was seen in `count` steps, with legal actions."""
    seen = []
    for _ in range(count):
        observation, reward, terminated, truncated, _ = env.step(np.zeros(env.num_envs, np.int64))
        aborted = np.zeros(env.num_envs, bool) if env.aborted is None else env.aborted.copy()
        seen.append(
            {
                "obs": observation.copy(), "reward": reward, "terminated": terminated, "truncated": truncated,
                "aborted": aborted, "true": env.true_rewards,
            }
        )  # fmt: skip
    return seen


RETURNED = [*Faulty.RESULTS, *Faulty.MASKS]


@pytest.mark.parametrize("fault", ["step", *RETURNED])
def test_one_that_fails_is_made_anew_and_the_others_go_on(fault: str) -> None:
    renewer = Renewer()
    env = envs.make_vector(FAULTY, 3, env_conf={"fault": fault, "at": 9, "which": [1]}, seed=5, renew=renewer)
    env.reset()
    seen = steps(env, 20)
    assert [(slots, verb) for slots, _, verb, _ in renewer.told] == [(range(1, 2), "step")]
    error = renewer.told[0][3]
    assert isinstance(error, ConnectionError if fault == "step" else EnvContractError)
    ages = np.stack([one["obs"] for one in seen])[..., 1]  # [20, 3]
    numbers = np.stack([one["obs"] for one in seen])[..., 0]
    # Steps 1 to 6, a reset, 1 to 2, then the step that failed, which shows the observation of before; then the reset.
    assert ages[:12, 1].tolist() == [1, 2, 3, 4, 5, 6, 0, 1, 2, 2, 0, 1]
    assert numbers[:12, 1].tolist() == [1] * 10 + [3, 3], "a new one, number 3"
    assert ages[:, 0].tolist() == ages[:, 2].tolist() == [1, 2, 3, 4, 5, 6, 0] * 2 + [1, 2, 3, 4, 5, 6], "the others"
    aborted = np.stack([one["aborted"] for one in seen])
    assert np.argwhere(aborted).tolist() == [[9, 1]]
    assert (seen[9]["truncated"].tolist(), seen[9]["terminated"].tolist()) == ([False, True, False], [False] * 3)
    assert seen[9]["reward"].tolist() == seen[9]["true"].tolist() == [1.0, 0.0, 1.0]
    assert seen[10]["reward"].tolist() == [1.0, 0.0, 1.0], "a reset earns nothing"
    assert Faulty.made[1].closed
    assert Faulty.made[3].seeds[0] == next_seed(6, 1) != next_seed(5, 1)
    assert Faulty.made[0].seeds == [5, None, None], "its random stream goes on"


@pytest.mark.parametrize(
    ("conf", "told"),
    [
        ({"fault": "reset", "at": 2, "which": [0]}, ["reset"]),
        ({"fault": "reset", "at": 1, "which": [1]}, ["reset"]),  # the first one of all
        ({"fault": "step", "at": 3, "which": [0, 2], "again": True}, ["step"] * 2),  # raises in close, too
    ],
)
def test_a_reset_that_fails_is_done_by_a_new_one_in_the_same_step(conf: dict[str, Any], told: list[str]) -> None:
    renewer = Renewer()
    env = envs.make_vector(FAULTY, 2, env_conf=conf, renew=renewer)
    env.reset()
    seen = steps(env, 14)
    assert [verb for _, _, verb, _ in renewer.told] == told
    assert all(one["obs"].shape == (2, 2) for one in seen)


def test_what_is_made_anew_may_fail_as_well() -> None:
    renewer = Renewer()
    env = envs.make_vector(FAULTY, 1, env_conf={"fault": "constructor", "which": [1, 2]}, renew=renewer)
    env.reset()
    Faulty.made[0].fault, Faulty.made[0].at = "step", 2
    seen = steps(env, 4)
    assert [one["obs"][0].tolist() for one in seen] == [[0, 1], [0, 1], [3, 0], [3, 1]]
    assert len(renewer.told) == 3, "one step, and two constructors"


@pytest.mark.parametrize("fault", ["step", "obs shape", "obs nan", "reward nan", "four values", "reset"])
def test_a_vector_environment_is_made_anew_as_a_whole(fault: str) -> None:
    renewer = Renewer()
    conf = {"fault": fault, "at": 2 if fault == "reset" else 9, "which": [1]}
    env = envs.make_vector(TOGETHER, 2, env_conf=conf, seed=5, renew=renewer)
    env.reset()
    seen = steps(env, 12)
    failed = 6 if fault == "reset" else 9
    assert [(slots, verb) for slots, _, verb, _ in renewer.told] == [(range(2), "step")]
    assert [bool(one["aborted"].all()) for one in seen] == [step == failed for step in range(12)]
    assert seen[failed]["truncated"].all()
    assert not seen[failed]["terminated"].any()
    np.testing.assert_array_equal(seen[failed]["obs"], seen[failed - 1]["obs"])
    assert seen[failed + 1]["obs"].tolist() == [[2, 0], [3, 0]]
    assert [vector.closed for vector in Together.vectors] == [True, False]
    assert [Faulty.made[i].seeds[0] for i in (2, 3)] == [next_seed(5, 1), next_seed(5, 1) + 1]


@pytest.mark.parametrize(
    ("app", "fault"),
    [*((FAULTY, fault) for fault in RETURNED), *((TOGETHER, fault) for fault in ("obs nan", "obs inf", "reward nan"))],
)
def test_one_that_never_kept_the_interface_is_not_made_anew(app: str, fault: str) -> None:
    env = envs.make_vector(app, 2, env_conf={"fault": fault, "at": 1}, renew=Renewer())
    env.reset()
    with pytest.raises(EnvContractError, match=f"^{app}: "):
        play(env, 1)


def test_without_a_renewer_the_error_passes_through() -> None:
    env = envs.make_vector(FAULTY, 2, env_conf={"fault": "step", "at": 2})
    env.reset()
    env.step(np.zeros(2, np.int64))
    with pytest.raises(ConnectionError):
        env.step(np.zeros(2, np.int64))


def test_one_with_other_spaces_is_refused() -> None:
    env = envs.make_vector("tests.envs.test_renewal:Varied", 1, renew=Renewer())
    env.reset()
    with pytest.raises(ConfigError, match="one network cannot be built for both"):
        steps(env, 3)


class Varied(Faulty):
    """Each one observes one number more."""

    def __init__(self) -> None:
        super().__init__("step", at=1)
        self.observation_space = type(self.observation_space)(0, 1, (2 + self.number,), np.float32)

    def _seen(self) -> np.ndarray:
        return np.zeros(2 + self.number, np.float32)


@pytest.mark.parametrize(
    "form", [[True, False, True], (1, 0, 1), [np.int8(1), 0, 1.0], np.array([1.0, 0.0, 1.0]), np.array([1, 0, 1])]
)
def test_masks_in_every_form(monkeypatch: pytest.MonkeyPatch, form: Any) -> None:
    monkeypatch.setattr(Faulty, "_info", lambda self: {"legal_act": form})
    env = envs.make_vector(FAULTY, 2)
    env.reset()
    assert env.legal_actions is not None
    steps(env, 3)
    assert env.legal_actions.tolist() == [[True, False, True]] * 2
    assert env.legal_actions.dtype == bool
    facade = envs.facade(FAULTY)
    assert facade.reset().legal_act == facade.step(0)[1].legal_act == [1, 0, 1]


def test_at_the_end_of_an_episode_nothing_needs_to_be_allowed() -> None:
    env = envs.make_vector(FAULTY, 1)
    env.reset()
    assert [bool(one["terminated"][0]) for one in steps(env, LENGTH)].index(True) == LENGTH - 1
    assert env.legal_actions is not None
    assert not env.legal_actions.any()


@pytest.mark.parametrize("fault", ["obs shape", "four values", "mask short", "mask two", "mask nothing allowed"])
def test_the_facade_says_it_in_words(fault: str) -> None:
    env = envs.facade(FAULTY, env_conf={"fault": fault, "at": 3})
    env.reset()
    with pytest.raises(EnvContractError, match=f"^{FAULTY}: "):
        play(env, 4)
