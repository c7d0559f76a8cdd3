"""An agent gets its hyper-parameters: an instance of its own, or the plain class that all agents of a process share."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from kaimesh import ROOT
from kaimesh.agent import Spaces
from kaimesh.config import Config, load
from kaimesh.config.load import REGISTRY
from kaimesh.contract.errors import ConfigError
from kaimesh.process.agents import make_agent
from kaimesh.process.documents import write_text

SPACES = Spaces((5,), "<f4", "discrete", 3)
NAMES = 'actor_agent = "own.Agent"\nlearner_agent = "own.Agent"\naisrv_agent = "own.Agent"\n'


class Taken:
    """A user's agent that keeps what it was called with."""

    def __init__(self, **given: Any) -> None:
        self.given = given


class Plain:
    """Hyper-parameters as Kaiwu's agents have them."""

    WIDTH = 8
    seed = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frozen:
    """Hyper-parameters of which each agent has its own."""

    width: int = 8


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Loads `own`, an algorithm of the test's, with some settings."""
    module = ModuleType("own")
    module.Agent, module.Plain, module.Frozen = Taken, type("Plain", (Plain,), {}), Frozen  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own", module)

    def of(kind: str, **settings: Any) -> Config:
        registry = tmp_path / f"{kind}.toml"
        registry.write_text(f'[own]\n{NAMES}train_workflow = "own.Agent"\nconfig = "own.{kind}"\n')
        (tmp_path / "c.toml").write_text(f'[app]\nalgo = "own"\nalgo_conf = "{registry}"\n')
        return load(tmp_path / "c.toml", {f"own.{key}": str(value) for key, value in settings.items()}, {})

    of.module = module  # type: ignore[attr-defined]
    return of


def test_each_agent_of_a_frozen_class_has_its_own_instance(own: Any) -> None:
    first, second = (make_agent(own("Frozen", width=width), "actor").agent.given["config"] for width in (16, 32))
    assert (first, second) == (Frozen(width=16), Frozen(width=32))
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.width = 1
    assert Frozen().width == 8, "the class itself is what it was"


def test_an_agent_with_a_plain_class_is_called_as_kaiwu_calls_it(own: Any) -> None:
    agent = make_agent(own("Plain", WIDTH=16), "aisrv").agent
    assert set(agent.given) == {"agent_type", "device", "logger", "monitor"}
    assert (agent.given["agent_type"], agent.given["device"]) == ("aisrv", "cpu")
    assert own.module.Plain.WIDTH == 16


def test_configurations_of_a_plain_class_can_be_loaded_one_after_the_other(own: Any) -> None:
    first, second = own("Plain", WIDTH=16), own("Plain", WIDTH=32)
    assert (first.hyper["WIDTH"], second.hyper["WIDTH"], own.module.Plain.WIDTH) == (16, 32, 32)
    make_agent(first, "actor")
    assert own.module.Plain.WIDTH == 16, "an agent runs with the values of the configuration that it is made from"


def test_two_agents_of_one_plain_class_with_different_values_are_refused_in_words(own: Any) -> None:
    before = own("Plain", WIDTH=32)
    make_agent(own("Plain", WIDTH=16), "learner")
    make_agent(own("Plain", WIDTH=16), "actor")  # the same values
    wanted = (
        r"\[own\] sets WIDTH = 32 in the class own.Plain, but an agent of \[own\] in this process was made with "
        r"WIDTH = 16 in the same class: the hyper-parameters of that agent would change while it runs. .*"
        r"a process of its own.*frozen dataclass"
    )
    with pytest.raises(ConfigError, match=wanted):
        own("Plain", WIDTH=32)
    with pytest.raises(ConfigError, match=wanted):
        make_agent(before, "actor")
    assert own.module.Plain.WIDTH == 16


def test_a_hyper_parameter_without_a_default_is_told(own: Any) -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Wanting:
        width: int

    own.module.Wanting = Wanting
    with pytest.raises(ConfigError, match="Wanting has no default for width"):
        own("Wanting", width=3)


def test_dqn_and_target_dqn_live_side_by_side() -> None:
    """Two algorithms of one class in one process: each learns with its own hyper-parameters, whatever the other has."""
    from tests.algorithms.test_dqn import samples

    def made(algo: str) -> Any:
        agent = make_agent(load("conf/configure_app.toml", {"algo": algo}, {}), "learner").agent
        agent.setup(SPACES)
        return agent

    alone = made("target_dqn")
    batches = [samples(alone, SPACES, seed=seed) for seed in range(2)]
    wanted = [alone.learn(batch)["total_loss"] for batch in batches]
    dqn, target_dqn = made("dqn"), made("target_dqn")
    assert (dqn.config.double, dqn.config.n_step, dqn._net.dueling) == (True, 3, True)
    assert (target_dqn.config.double, target_dqn.config.n_step, target_dqn._net.dueling) == (False, 1, False)
    found = []
    for batch in batches:
        found.append((target_dqn.learn(batch)["total_loss"], dqn.learn(batch)["total_loss"]))
    assert [loss for loss, _ in found] == wanted
    assert all(other != loss for loss, other in found)
    assert np.ptp(dqn.slot_columns(np.arange(4), 4)["epsilon"]) > 0
    assert np.ptp(target_dqn.slot_columns(np.arange(4), 4)["epsilon"]) == 0


def test_a_copy_of_an_algorithms_folder_has_an_algorithm_and_hyper_parameters_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    for file in (ROOT / "algorithms" / "ppo").glob("*.py"):
        write_text(tmp_path / "mine" / file.name, file.read_text().replace("kaimesh.algorithms.ppo", "mine"))
    config_file = tmp_path / "mine" / "config.py"
    write_text(config_file, config_file.read_text().replace("clip: float = 0.2", "clip: float = 0.3"))
    registry = tmp_path / "algo.toml"
    registry.write_text(f'{REGISTRY.read_text()}\n[mine]\ncopy_of = "ppo"\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    config = load("conf/configure_app.toml", {"algo": "mine", "algo_conf": str(registry)}, {})
    agent: Any = make_agent(config, "actor").agent
    assert {type(part).__module__ for part in (agent, agent.config)} == {"mine.agent", "mine.config"}
    assert agent.config.clip == 0.3
    assert agent.algorithm.learner.__module__ == "mine.agent"
