"""Everything that can be wrong is found before anything is written: a start that is refused changes no byte."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from kaimesh.aisrv.check import check, check_models
from kaimesh.config import load
from kaimesh.config.load import DEFAULT_CONF, REGISTRY
from kaimesh.config.packages import leading_nowhere
from kaimesh.config.registry import registry as registry_of
from kaimesh.contract.errors import ConfigError
from kaimesh.operate.cli import start as starting
from kaimesh.operate.cli.start import Wish, configure
from kaimesh.operate.cli.trial import Trial
from kaimesh.process.documents import write_text
from kaimesh.process.run_dir import RunDir
from tests.operate.conftest import Mesh

ENVS = """
import os, sys, signal
import gymnasium
print("what an environment prints is no answer")

class Raises(gymnasium.Env):
    def __init__(self): raise KeyError("no such level")

class Exits(gymnasium.Env):
    def __init__(self): os._exit(0)

class SysExits(gymnasium.Env):
    def __init__(self): sys.exit(0)

class Dies(gymnasium.Env):
    def __init__(self): os.kill(os.getpid(), signal.SIGSEGV)

def nothing(): return None
"""

REFUSED = {  # found by building it
    "gym:CartPol-v1": "did you mean gym:CartPole-v1",
    "cach": "did you mean 'catch'",
    "minigrid:Empty-5x6": "minigrid",
    "gym:no_such_module:X-v0": "no_such_module",
    "no_such_package.envs:Env": "there is no module 'no_such_package'",
    "mine_of_the_test:Raise": "did you mean mine_of_the_test:Raises",
    "mine_of_the_test:Raises": "no such level",
    "mine_of_the_test:nothing": "env_factory",
}
ENDS = {  # ends the process that builds it
    "mine_of_the_test:Exits": "exit code 0",
    "mine_of_the_test:SysExits": "SystemExit",
    "mine_of_the_test:Dies": "killed by SIGSEGV",
}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Environments of the user's, where the mesh looks for them."""
    (tmp_path / "mine_of_the_test.py").write_text(ENVS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def verdict(app: str, **settings: str) -> str:
    wish = Wish(None, {"app": app, **settings})
    config = load(DEFAULT_CONF, wish.overrides)
    trial = Trial(config, None, DEFAULT_CONF, wish.overrides)
    try:
        return trial.verdict()
    finally:
        trial.close()


@pytest.mark.parametrize("app", REFUSED)
def test_an_environment_that_cannot_be_built_is_refused_with_the_nearest_name(
    app: str, modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(modules))
    with pytest.raises((ConfigError, KeyError, ImportError)) as caught:
        check({"app": app, "env_conf": {}, "max_episode_steps": 0})
    assert REFUSED[app] in str(caught.value)
    assert app in str(caught.value) or not isinstance(caught.value, ConfigError)


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize("app", ENDS)
def test_an_environment_that_ends_its_process_is_refused_with_what_it_said(app: str) -> None:
    with pytest.raises(ConfigError) as caught:
        verdict(app)
    assert ENDS[app] in str(caught.value)
    assert app in str(caught.value)
    assert "Nothing was started" in str(caught.value)


def test_arguments_that_the_environment_does_not_take_are_refused() -> None:
    with pytest.raises(ConfigError, match="no_such_argument"):
        check({"app": "gym:CartPole-v1", "env_conf": {"no_such_argument": 1}, "max_episode_steps": 0})


def test_one_that_takes_its_time_is_given_the_benefit_of_the_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_of_the_test.py").write_text("import threading\nthreading.Event().wait()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("kaimesh.operate.cli.trial.LIMIT_S", 0.5)
    assert "was not built within" in verdict("slow_of_the_test:Env")


def everything(folder: Path) -> dict[str, str]:
    """Each file's and link's content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path)] = str(path.readlink())
        elif path.is_file() and path.name != ".start.lock":
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@pytest.fixture
def ended(tmp_path: Path) -> RunDir:
    """A run of PPO on CartPole that has ended, with a model and its configuration."""
    from kaimesh.algorithms.ppo.agent import Agent
    from kaimesh.training import checkpoint

    runs = tmp_path / "runs"
    run = RunDir.create(runs, "gym:CartPole-v1", "ppo")
    config = load(DEFAULT_CONF, {"runs_dir": str(runs), "app": "gym:CartPole-v1", "algo": "ppo"})
    write_text(run.conf, config.to_toml())
    run.result.write_text("{}")

    from kaimesh import envs

    env = envs.make_vector("gym:CartPole-v1", 1)
    agent = Agent("actor")
    agent.setup(env.spaces)
    env.close()
    checkpoint.dump(run.ckpt, 3, lambda path, id: agent.save_model(path, id))
    return run


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"app": "catch"}, "--resume with app = catch"),
        ({"algo": "dqn"}, "--resume with algo = dqn"),
        ({"ppo.hidden_sizes": "[32, 32]"}, "hidden_sizes"),
        ({"no_such_key": "1"}, "no_such_key"),
        ({"train_batch_size": "many"}, "train_batch_size"),
        ({"ppo.hidden_sizes": '"wide"'}, "hidden_sizes"),
        ({"actor_addrs": "[1, 2"}, "actor_addrs"),
    ],
)
def test_a_refused_resume_changes_nothing(
    ended: RunDir, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], words: str
) -> None:
    before = everything(ended.root.parent)
    wish = Wish(None, {"runs_dir": str(ended.root.parent), **settings}, resume=True)
    monkeypatch.setattr(starting, "_begin", lambda *_: pytest.fail("it was started"))
    with pytest.raises(ConfigError, match=words):
        starting.start(*configure(wish), wish, lambda _: None)
    assert everything(ended.root.parent) == before


@pytest.mark.parametrize(("key", "value"), [("hidden_sizes", "[32, 32]"), ("activation", '"relu"'), ("lstm_size", "8")])
def test_a_network_that_the_runs_models_do_not_fit_is_refused(ended: RunDir, key: str, value: str) -> None:
    check_models(ended.ckpt, ended.conf, {})
    with pytest.raises(ConfigError, match=key):
        check_models(ended.ckpt, ended.conf, {f"ppo.{key}": value})


NOWHERE = {  # as algo_conf names them
    "actor_agent": ("kaimesh.algorithms.ppo.agent.Agnet", "has no 'Agnet' (did you mean 'Agent'?)"),
    "learner_agent": ("kaimesh.algorithms.ppoo.agent.Agent", "no module 'kaimesh.algorithms.ppoo'"),
    "aisrv_agent": ("kaimesh.algorithms.ppo.agnet.Agent", "no module 'kaimesh.algorithms.ppo.agnet'"),
    "train_workflow": ("workflow", "no dotted name"),
}


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_more_players_than_the_algorithm_learns_for_start_nothing(algo: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s){algo.upper()} learns what one player .* has 3 players.*was started"):
        verdict("three", algo=algo)


def test_features_that_the_environment_does_not_offer_start_nothing() -> None:
    with pytest.raises(
        ConfigError, match=r"(?s)features = 'realm': gym:CartPole-v1 offers no features.*Nothing was started"
    ):
        verdict("gym:CartPole-v1", algo="ppo", **{"ppo.features": "realm"})
    request = {"app": "realm-mini", "env_conf": {}, "max_episode_steps": 0}
    with pytest.raises(ConfigError, match="features = 'realms': realm-mini offers realm, realm-mini, realm-maps"):
        check({**request, "features": "realms"})
    check({**request, "features": "realm-mini"})


def test_dotted_names_that_lead_nowhere_are_told_together_and_what_is_made_at_run_time_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    made = "import sys\ntry:\n    from x import Agent\nexcept ImportError:\n    if sys.argv:\n        Agent = int\n"
    made += "for A, (B, *C) in (): pass\n"
    (tmp_path / "made_of_the_test.py").write_text(made)
    (tmp_path / "lazy_of_the_test.py").write_text("def __getattr__(name): return int\n")
    (tmp_path / "star_of_the_test.py").write_text("from made_of_the_test import *\n")
    (tmp_path / "broken_of_the_test.py").write_text("class Agent:\n")
    fine = (
        "made_of_the_test.Agent",
        "made_of_the_test.C",
        "lazy_of_the_test.X",
        "star_of_the_test.X",
        "broken_of_the_test.X",
    )
    assert leading_nowhere({name: name for name in (*fine, "collections.OrderedDict", "_socket.socket")}) == []
    assert leading_nowhere({"config": "made_of_the_test.D"}) == [
        "config = 'made_of_the_test.D': module 'made_of_the_test' has no 'D'"
    ]
    (told,) = leading_nowhere({"config": "algorithms.ppo.config.Config"})
    assert told.endswith("write kaimesh.algorithms.ppo.config.Config"), "as it was called before"
    registry = tmp_path / "algo_conf.toml"
    registry.write_text("[mine]\n" + "".join(f'{key} = "{name}"\n' for key, (name, _) in NOWHERE.items()))
    with pytest.raises(ConfigError) as caught:
        configure(Wish(None, {"algo": "mine", "algo_conf": str(registry)}))
    for key, (_, words) in NOWHERE.items():
        assert any(key in line and words in line for line in str(caught.value).splitlines()), str(caught.value)


def test_every_delivered_algorithm_leads_somewhere() -> None:
    for algo in registry_of([], REGISTRY).values():
        assert leading_nowhere(algo.names) == []


def test_what_the_run_can_take_is_not_refused(ended: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    wish = Wish(None, {"runs_dir": str(ended.root.parent), "ppo.learning_rate": "1e-4"}, resume=True)
    monkeypatch.setattr(starting, "_begin", lambda _config, resumed, _order: resumed)
    monkeypatch.setattr(starting, "check_ports", lambda _app: None)
    assert starting.start(*configure(wish), wish, lambda _: None).root == ended.root


def test_samples_of_another_table_are_refused_and_an_empty_buffer_is_not(ended: RunDir) -> None:
    kept = ended.buffer / "buffer_0" / "kept" / "1"
    kept.mkdir(parents=True)
    (kept / "manifest.json").write_text('{"items": 5, "configuration": {"max_times_sampled": "0"}}')
    for key, value in (("replay_buffer_capacity", "9999"), ("ppo.unroll_length", "7")):
        wish = Wish(None, {"runs_dir": str(ended.root.parent), key: value}, resume=True)
        with pytest.raises(ConfigError, match=rf"--resume with {key} = {value} .*delete .*buffer"):
            configure(wish)
    (kept / "manifest.json").write_text("")
    configure(wish)


def test_a_second_table_of_another_size_is_refused_and_other_words_for_the_same_size_are_not(ended: RunDir) -> None:
    kept = ended.buffer / "buffer_0" / "kept" / "1"
    kept.mkdir(parents=True)
    manifest = kept / "manifest.json"
    told = r"--resume with reanalyse_capacity = 65 \(it was 0, which means 64\): the samples .*none .*delete .*buffer"
    for copies, capacity, words in (({"max_size": "64"}, 65, told), ({"max_size": "64"}, 64, ""), (None, 65, "")):
        manifest.write_text(json.dumps({"items": 5, "configuration": {}, "copies": copies}))
        wish = Wish(None, {"runs_dir": str(ended.root.parent), "reanalyse_capacity": str(capacity)}, resume=True)
        with pytest.raises(ConfigError, match=words) if words else contextlib.nullcontext():
            configure(wish)


def test_a_start_that_fails_puts_everything_back(ended: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        assert RunDir.latest(ended.root.parent).root != other.root
        raise KeyboardInterrupt

    started = subprocess.Popen(["sleep", "600"])
    other = RunDir.create(ended.root.parent, "gym:CartPole-v1", "ppo")
    ended.become_latest()
    before = everything(ended.root.parent)
    monkeypatch.setattr(starting.supervise, "launch", lambda *_: started)
    monkeypatch.setattr(starting, "_wait_for_the_keeper", fails)
    monkeypatch.setattr(starting, "check_ports", lambda _app: None)
    for resume in (True, False):
        wish = Wish(None, {"runs_dir": str(ended.root.parent), "app": "gym:CartPole-v1"}, resume=resume)
        with pytest.raises(KeyboardInterrupt):
            starting.start(*configure(wish), wish, lambda _: None)
        after = everything(ended.root.parent)
        assert {path: after.get(path) for path in before} == before
    assert RunDir.latest(ended.root.parent).root == ended.root
    assert {path.name for path in ended.root.parent.iterdir()} == {
        ended.root.name,
        other.root.name,
        "latest",
        ".start.lock",
    }


def test_a_typo_on_the_command_line_leaves_no_run_and_the_latest_as_it_is(mesh: Mesh) -> None:
    for words, hint in ((("--app", "gym:CartPol-v1"), "gym:CartPole-v1"), (("--algo", "ppoo"), "did you mean 'ppo'")):
        done = mesh.call("start", "--detach", *words)
        assert (done.returncode, hint in done.stderr, "Traceback" in done.stderr) == (2, True, False)
    assert not mesh.runs.exists()
