"""What a stranger's file may name: built-in environments and plain values. Nothing else is imported or called."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh import ROOT, envs
from kaimesh.arena import evaluate, replay
from kaimesh.arena.recording import Recording
from kaimesh.config.trust import is_below
from kaimesh.contract.errors import EXIT_CONFIG, ConfigError
from kaimesh.operate.cli.start import Wish, configure
from kaimesh.process.run_dir import RunDir
from tests.envs import own


@pytest.mark.parametrize(
    ("app", "conf"),
    [
        ("gym:CartPole-v1", {}),
        ("gym:FrozenLake-v1", {"map_name": "8x8", "is_slippery": False}),
        ("gym:FrozenLake-v1", {"desc": ["SF", "FG"]}),
        ("gym:ALE/Pong-v5", {"frameskip": 4}),
        ("gym:kaimesh/Realm-v0", {"treasure_num": [3, 9]}),
        ("ale:pong", {"repeat_action_probability": 0.25}),
        ("procgen:coinrun", {"distribution_mode": "easy", "num_levels": 200}),
        ("minigrid:Empty-5x5", {"agent_view_size": 5}),
        ("realm", {"observation": "bytes", "treasure_sets": "train", "map_seed": 3, "map_file": ""}),
        ("kaimesh.envs.realm.vector:RealmMini", {}),
        ("catch", {}),
    ],
)
def test_what_is_built_in_is_familiar(app, conf):
    assert envs.unfamiliar(app, conf) == []


@pytest.mark.parametrize(
    ("app", "conf", "told"),
    [
        ("subprocess:Popen", {"args": ["true"]}, "imports the module subprocess and calls its Popen"),
        ("os:system", {"command": "true"}, "imports the module os"),
        ("tests.envs.own:Counter", {}, "imports the module 'tests.envs.own'"),
        ("kaimesh.envs.realm.map:load", {"path": "/etc/passwd"}, "imports the module 'kaimesh.envs.realm.map'"),
        ("kaimesh.envs.realm.vector:split_bytes", {}, "imports the module"),
        ("gym:antigravity:CartPole-v1", {}, "imports the module antigravity"),
        ("gym::CartPole-v1", {}, "imports the module"),
        ("gym:GymV26Environment-v0", {"env_id": "antigravity:X-v0"}, "env_conf.env_id"),
        ("realm", {"map_file": "/dev/zero"}, "env_conf.map_file = '/dev/zero' names a file or code"),
        ("realm", {"map_file": "map.json"}, "names a file or code"),
        ("gym:Ant-v5", {"xml_file": "ant.xml"}, "names a file or code"),
        ("gym:CartPole-v1", {"vector_entry_point": "os:system"}, "names a file or code"),
        ("gym:CartPole-v1", {"additional_wrappers": ["x"]}, "is not the environment's own argument"),
        ("gym:CartPole-v1", {"wrappers": ["os.system"]}, "is not the environment's own argument"),
        ("gym:CartPole-v1", {"render_mode": "human"}, "is not the environment's own argument"),
        ("gym:CartPole-v1", {"reward": "os:system"}, "is more than numbers and plain words"),
        ("gym:CartPole-v1", {"a": {"b": [{"c": "../x"}]}}, "is more than numbers and plain words"),
        ("gym:CartPole-v1", {"a": {"os:system": 1}}, "is more than numbers and plain words"),
        ("catch", {"level": "-rf"}, "is more than numbers and plain words"),
    ],
)
def test_what_is_not_is_told_in_words_and_not_imported(app, conf, told):
    before = set(sys.modules)
    assert told in "; ".join(envs.unfamiliar(app, conf))
    assert "antigravity" not in set(sys.modules) - before


@pytest.mark.parametrize("point", ["another_package.envs:Env", lambda: None])
def test_what_another_package_registered_is_not_built_in(monkeypatch, point):
    spec = gymnasium.envs.registration.EnvSpec("Another-v0", entry_point=point)
    monkeypatch.setitem(gymnasium.registry, "Another-v0", spec)
    assert "which another package registered" in envs.unfamiliar("gym:Another-v0", {})[0]


STDLIB = sorted(name for name in sys.stdlib_module_names if not name.startswith("_"))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(STDLIB), st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8))
def test_no_module_of_python_is_imported_by_name(module, name):
    before = set(sys.modules)
    for app in (f"{module}:{name}", f"gym:{module}:{name}"):
        assert envs.unfamiliar(app, {})
    assert set(sys.modules) == before


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A module whose import leaves a mark; trap(): whether it did."""
    (tmp_path / "a_trap_of_this_test.py").write_text(
        f"from pathlib import Path\nimport gymnasium\nPath({str(tmp_path / 'sprung')!r}).touch()\n"
        "from kaimesh.envs.catch import Catch\nclass Env(Catch): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("KAIMESH_FROM", raising=False)
    yield lambda: (tmp_path / "sprung").exists()
    sys.modules.pop("a_trap_of_this_test", None)


def recorded(path: Path, app: str, **conf: object) -> str:
    Recording(app, dict(conf), 0, 1, np.ones(3, np.int64), 0.0, "x").save(path)
    return str(path)


@pytest.mark.parametrize("app", ["a_trap_of_this_test:Env", "gym:a_trap_of_this_test:Env-v0"])
def test_a_recording_imports_nothing_before_it_is_trusted(tmp_path, trap, capsys, app):
    file = recorded(tmp_path / "r.json", app)
    assert replay.main([file]) == EXIT_CONFIG
    err = capsys.readouterr().err
    assert "a_trap_of_this_test" in err
    assert "--trust" in err
    assert not trap()
    replay.main([file, "--trust"])
    assert trap()


def test_a_recording_calls_no_program_even_when_trusted(tmp_path, capsys):
    """What is no environment is never called; trust only allows the import."""
    mark = tmp_path / "ran"
    file = recorded(tmp_path / "r.json", "subprocess:Popen", args=["touch", str(mark)])
    assert replay.main([file]) == EXIT_CONFIG
    assert replay.main([file, "--trust"]) == EXIT_CONFIG
    assert "names a class that is no environment, so it was not called" in capsys.readouterr().err
    assert not mark.exists()


@pytest.mark.parametrize("field", ["app", "model"])
@pytest.mark.parametrize("text", ["\ud800", "\x1b]0;owned\x07", "a\nb", "\u202etxt"])
def test_a_recording_cannot_steer_the_terminal(tmp_path, capsys, field, text):
    path = tmp_path / "r.json"
    recorded(path, "catch")
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: text}))
    assert replay.main([str(path)]) == EXIT_CONFIG
    assert text not in capsys.readouterr().err


def test_a_recording_of_a_thousand_brackets_is_refused(tmp_path):
    path = tmp_path / "r.json"
    path.write_text("[" * 200_000)
    with pytest.raises(ConfigError, match="is not JSON"):
        Recording.load(path)


def run_of(folder: Path, app: str = "catch", extra: str = "") -> RunDir:
    run = RunDir(folder)
    run.prepare()
    run.conf.write_text(f'resolved = "x"\n[app]\napp = "{app}"\nalgo = "evil"\n{extra}')
    (run.ckpt / "model.ckpt-1.txt").write_text("1")
    return run


@pytest.fixture
def evil_registry(tmp_path):
    """An algo_conf that names the trap in one of its places."""

    def write(place: str) -> str:
        names = {f"{role}_agent": "tests.arena.fake.VectorisedAgent" for role in ("actor", "learner", "aisrv")}
        names |= {"train_workflow": "tests.arena.fake.vectorised_workflow", place: "a_trap_of_this_test.Env"}
        path = tmp_path / "algo_conf.toml"
        path.write_text("[evil]\n" + "".join(f'{key} = "{value}"\n' for key, value in names.items()))
        return f'algo_conf = "{path}"\n'

    return write


@pytest.mark.parametrize("place", ["actor_agent", "train_workflow", "config", "app", "app in gymnasium"])
def test_a_run_of_somebody_else_imports_nothing_before_it_is_trusted(tmp_path, trap, capsys, evil_registry, place):
    app = {"app": "a_trap_of_this_test:Env", "app in gymnasium": "gym:a_trap_of_this_test:Env-v0"}.get(place, "catch")
    run = run_of(tmp_path / "theirs", app, evil_registry(place.partition(" ")[0] if app == "catch" else "actor_agent"))
    assert evaluate.main(["--run", str(run.root), "--episodes", "1"]) == EXIT_CONFIG
    assert "--trust" in capsys.readouterr().err
    assert not trap()
    with contextlib.suppress(TypeError):  # the trap is no agent
        evaluate.main(["--run", str(run.root), "--episodes", "1", "--trust"])
    assert trap() or place == "train_workflow"


def test_a_link_in_ones_own_runs_to_a_strangers_folder_is_the_strangers(tmp_path, monkeypatch, trap, capsys):
    runs = tmp_path / "runs"
    runs.mkdir()
    monkeypatch.setenv("runs_dir", str(runs))
    theirs = run_of(tmp_path / "theirs", "a_trap_of_this_test:Env")
    (runs / "mine").symlink_to(theirs.root)
    (runs / "latest").symlink_to("mine")
    for arguments in (["--run", str(runs / "mine")], []):
        assert evaluate.main(arguments) == EXIT_CONFIG
        assert "--trust" in capsys.readouterr().err
    wish = Wish(None, {"runs_dir": str(runs)}, resume=True)
    with pytest.raises(ConfigError, match=f"latest leads to {theirs.root}, which does not lie in"):
        configure(wish)
    copied = run_of(runs / "half", "catch")
    copied.conf.unlink()
    copied.conf.symlink_to(theirs.conf)
    copied.become_latest()
    assert evaluate.main(["--run", str(copied.root)]) == EXIT_CONFIG
    with pytest.raises(ConfigError, match=f"latest leads to {theirs.conf}, which"):
        configure(wish)
    assert not trap()


def test_below_follows_links_on_both_sides(tmp_path):
    disk, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
    for folder in (disk / "run", elsewhere):
        folder.mkdir(parents=True)
    (tmp_path / "runs").symlink_to(disk)  # one's runs on a larger disk are one's own
    (disk / "theirs").symlink_to(elsewhere)
    assert is_below(tmp_path / "runs" / "run" / "conf.toml", [tmp_path / "runs"])
    assert is_below(disk / "run", [tmp_path / "runs"])
    assert not is_below(tmp_path / "runs" / "theirs" / "conf.toml", [tmp_path / "runs"])
    assert not is_below(tmp_path / "runs" / ".." / "elsewhere", [tmp_path / "runs"])
    assert not is_below(tmp_path / "runs-of-others", [tmp_path / "runs"])
    assert is_below(ROOT / "runs" / "x", [ROOT / "runs"])


@pytest.mark.parametrize("name", ["unmarked", "NotAnEnvironment", "a_number"])
def test_a_name_that_is_no_environment_is_not_called(name):
    for make in (
        lambda app: envs.make(app),
        lambda app: envs.make_vector(app, 1),
        lambda app: envs.facade(app),
        lambda app: envs.for_evaluation(app, {}),
    ):
        with pytest.raises(ConfigError, match=r"no environment, so it was not called|no class or function") as caught:
            make(f"tests.envs.own:{name}")
    if name == "unmarked":
        assert "@env_factory" in str(caught.value)


@pytest.mark.parametrize("app", [":x", ".own:x", "tests..own:x", "a b:x", "tests/envs/own:Counter"])
def test_what_is_no_modules_name_is_told(app):
    with pytest.raises(ConfigError, match="is no module's name"):
        envs.make(app)


def test_a_factory_is_marked_by_the_decorator_or_an_attribute(monkeypatch):
    monkeypatch.setattr(own, "by_attribute", lambda: own.Counter(), raising=False)
    own.by_attribute.env_factory = True
    for name in ("function", "by_attribute"):
        assert isinstance(envs.make(f"tests.envs.own:{name}").unwrapped, own.Counter)
