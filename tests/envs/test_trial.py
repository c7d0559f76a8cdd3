"""What is wrong with an environment is told before anything starts, in words, with the remedy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kaimesh import envs
from kaimesh.aisrv.check import check
from kaimesh.contract.errors import ConfigError, EnvContractError
from tests.envs import faulty
from tests.envs.faulty import WORDS, Faulty

OWN = "tests.envs.faulty:"


def told(app: str, slots: int = 4, **conf: Any) -> str:
    """The note of a check; raises what it raises."""
    return check({"app": f"{OWN}{app}", "env_conf": conf, "max_episode_steps": conf.pop("limit", 0), "slots": slots})


@pytest.mark.parametrize("fault", WORDS)
@pytest.mark.parametrize("at", [1, 9])  # in the first episode, and in the second
def test_what_is_returned_wrongly_is_told(fault: str, at: int) -> None:
    with pytest.raises(EnvContractError, match=f"^{OWN}Faulty: (?s:.*){WORDS[fault]}"):
        told("Faulty", fault=fault, at=at)


@pytest.mark.parametrize(
    "fault", ["end none", "end word", "reward two", "reward none", "reward nan", "obs nan", "obs inf"]
)
def test_kaiwus_workflows_are_told_what_is_returned_wrongly_too(fault: str) -> None:
    facade = envs.facade(f"{OWN}Faulty", env_conf={"fault": fault, "at": 2})
    facade.reset()
    facade.step(0)
    with pytest.raises(EnvContractError, match=f"^{OWN}Faulty: (?s:.*){WORDS[fault]}"):
        facade.step(0)


def begin(app: str) -> None:
    """A reset and a step, as a Kaiwu-style workflow makes them."""
    facade = envs.facade(app, max_episode_steps=50)
    facade.reset()
    facade.step(0)


@pytest.mark.parametrize("kind", ["OldReset", "OldSeed", "OldStep", "Old"])
def test_gyms_old_interface_is_named_with_the_wrapper_that_mends_it(kind: str) -> None:
    for limit in (0, 50):  # gymnasium's own TimeLimit stands between, with words of its own
        with pytest.raises(EnvContractError, match=r"gym before 0.26(?s:.*)kaimesh\.envs\.OldGym"):
            told(kind, limit=limit)
    with pytest.raises(EnvContractError, match=r"kaimesh\.envs\.OldGym"):
        begin(f"{OWN}{kind}")
    assert told("mended", kind=kind) == ""
    env = envs.make_vector(f"{OWN}mended", 2, env_conf={"kind": kind}, seed=3)
    env.reset()
    over = np.zeros(2, bool)
    for _ in range(faulty.LENGTH):
        _, _, over, _, _ = env.step(np.zeros(2, np.int64))
    assert over.all()
    assert Faulty.made[-1].seeds[0] == 4


def test_oldgym_takes_gyms_own_environments() -> None:
    gym = pytest.importorskip("gym")
    with pytest.raises(ConfigError, match=r"names a class that is no environment(?s:.*)kaimesh\.envs\.OldGym"):
        envs.make("gym.envs.classic_control.cartpole:CartPoleEnv")
    conf = {"observation_space": gym.spaces.Box(0, 1, (3,)), "action_space": gym.spaces.Discrete(4), "reset": lambda: 0}
    old = envs.OldGym(SimpleNamespace(**conf))
    assert (old.observation_space.shape, old.action_space.n) == ((3,), 4)
    with pytest.raises(ConfigError, match="neither gymnasium's nor a Box or Discrete"):
        envs.OldGym(SimpleNamespace(**{**conf, "observation_space": gym.spaces.MultiBinary(3)}))


@pytest.mark.parametrize("fault", ["step", "reset"])
def test_what_raises_at_once_is_refused_and_what_raises_later_is_not(fault: str) -> None:
    with pytest.raises(ConnectionError):
        told("Faulty", fault=fault, at=1)
    assert told("Faulty", fault=fault, at=3) == ""


@pytest.mark.parametrize(
    ("app", "conf", "words"),
    [
        ("one_object", {}, "gave one and the same TimeLimit object for two slots"),
        ("wrapped", {}, "gave a TimeLimit around one and the same TimeLimit object for two slots"),
        ("Around", {}, "gave a Around around one and the same CartPoleEnv object for two slots"),
        ("Simulated", {}, "share the World `simulator`, and what one does changes what the other sees"),
    ],
)
def test_one_object_in_two_slots_is_refused(app: str, conf: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        told(app, **conf)
    assert told(app, slots=1, **conf) == "", "one slot may have it"
    if app != "Simulated":  # which only an experiment shows
        with pytest.raises(ConfigError, match=words):
            envs.make_vector(OWN + app, 2)
        for make in (lambda: envs.make_vector(OWN + app, 1), lambda: envs.facade(OWN + app)):
            first = make()
            with pytest.raises(ConfigError, match=words):
                make()
            first.close()


def test_a_state_that_no_attribute_leads_to_is_a_note() -> None:
    assert "changes what another one sees" in told("Simulated", named=False)
    assert told("Simulated", own=True) == told("Simulated", own=True, named=False) == ""


def test_one_that_was_closed_may_be_given_again() -> None:
    for _ in range(2):
        env = envs.make_vector(f"{OWN}one_object", 1)
        env.reset()
        env.close()
        facade = envs.facade(f"{OWN}wrapped")
        facade.close()


@pytest.mark.parametrize("app", ["gym:CartPole-v1", "gym:Pendulum-v1", "gym:FrozenLake-v1", "realm-mini", "catch"])
def test_sound_environments_pass(app: str) -> None:
    assert check({"app": app, "env_conf": {}, "max_episode_steps": 0, "slots": 4}) == ""
