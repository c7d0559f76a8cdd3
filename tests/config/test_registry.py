"""The registry of algorithms: copies of an agent's folder, what they inherit, and whose code they run."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.config import Config, load
from kaimesh.config.load import REGISTRY
from kaimesh.config.packages import leading_nowhere
from kaimesh.contract.errors import ConfigError
from kaimesh.process.agents import make_agent

ROOT = Path(__file__).resolve().parents[2]
HAND_WRITTEN = "".join(
    f'{key} = "{{package}}.{path}"\n'
    for key, path in {
        "actor_agent": "algorithm.agent.Agent",
        "learner_agent": "algorithm.agent.Agent",
        "aisrv_agent": "algorithm.agent.Agent",
        "train_workflow": "train_workflow.workflow",
        "config": "config.Config",
    }.items()
)


def of(folder: Path, text: str, algo: str, app: str = "realm-mini", **overrides: str) -> Config:
    """The configuration of `algo` with the delivered registry and `text` behind it."""
    file = folder / "algo_conf.toml"
    file.write_text(REGISTRY.read_text() + "\n" + text)
    keys = {"algo_conf": str(file), "algo": algo, "app": app, **overrides}
    return load(ROOT / "conf/configure_app.toml", keys, {})


def copied(monkeypatch: pytest.MonkeyPatch, folder: Path, package: str) -> Path:
    """A copy of diy in a folder outside of the checkout, which can be imported as `package`."""
    copy = folder / package.replace(".", "/")
    shutil.copytree(ROOT / "diy", copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.syspath_prepend(str(folder))
    return copy


def test_two_lines_make_a_copy_of_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied(monkeypatch, tmp_path, "twin")
    twin, diy = of(tmp_path, '[twin]\ncopy_of = "diy"', "twin"), of(tmp_path, "", "diy")
    assert twin.algo.names == {key: "twin" + name.removeprefix("diy") for key, name in diy.algo.names.items()}
    assert (twin.hyper, twin.app.dump_model_freq) == (diy.hyper, diy.app.dump_model_freq)
    assert twin.hyper["WORLD"] == 32, "the preset of realm-mini"
    assert not [warning for warning in twin.warnings if "another agent" in warning or "looks like" in warning]


def test_what_a_copy_says_itself_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied(monkeypatch, tmp_path, "teams.red.second")
    text = """[second]
copy_of = "diy"
package = "teams.red.second"
[second.defaults]
train_batch_size = 16
[second.presets."realm-mini"]
second = { HIDDEN = 32 }
[third]
copy_of = "second"
package = "teams.red.second"
"""
    for name in ("second", "third"):  # a copy of a copy
        config = of(tmp_path, text, name)
        assert config.algo.actor_agent == "teams.red.second.algorithm.agent.Agent"
        assert (config.app.train_batch_size, config.app.replay_buffer_capacity) == (16, 128)
        assert (config.hyper["HIDDEN"], config.hyper["EPOCHS"]) == (32, 4)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[twin]\ncopy_of = "dyi"', "copy_of = 'dyi' is no table of this file (did you mean 'diy'?)"),
        ('[twin]\ncopy_of = "twin"', "copy_of = 'twin' is this table itself"),
        ('[twin]\ncopy_of = "other"\n[other]\ncopy_of = "twin"', "is this table itself"),
        ("[twin]\ncopy_of = 3", "copy_of = 3: Input should be a valid string"),
        ('[twin]\ncopyof = "diy"', "unknown key 'copyof' (did you mean 'copy_of'?)"),
        ('[twin]\npackage = "x"', "without copy_of it would have no effect"),
        ("[twin]\n" + HAND_WRITTEN.format(package="diy") + "presets = 3", "presets = 3: Input should be a valid dict"),
        (
            "[twin]\n" + HAND_WRITTEN.format(package="diy") + '[twin.presets."realm*"]\ndiy = { HIDDEN = 3 }',
            "presets.'realm*': diy = {...} is another algorithm's; it would have no effect. Write twin = {...}.",
        ),
    ],
)
def test_a_wrong_copy_is_refused_in_words(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        of(tmp_path, text, "twin")
    assert told in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(
    st.text("[]{}=\"'.,\n 01abcopy_ftwin", max_size=40), st.sampled_from(["copy_of", "defaults", "presets", "config"])
)
def test_no_registry_whatever_raises_anything_but_a_report(
    tmp_path_factory: pytest.TempPathFactory, value: str, key: str
) -> None:
    told = "nothing was started"
    try:
        of(tmp_path_factory.getbasetemp(), f'[twin]\ncopy_of = "diy"\npackage = "diy"\n{key} = {value}', "twin")
    except ConfigError as error:
        told = str(error)
    assert "nothing was started" in told


def test_a_hand_written_table_of_a_copy_is_told_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied(monkeypatch, tmp_path, "fourth")
    config = of(tmp_path, "[fourth]\n" + HAND_WRITTEN.format(package="fourth"), "fourth")
    (told,) = [warning for warning in config.warnings if "looks like" in warning]
    assert "[fourth] looks like a copy of [diy], but has none of its defaults and presets" in told
    assert 'Add copy_of = "diy"' in told


@pytest.mark.parametrize(
    ("file", "line", "module", "instead"),
    [
        ("algorithm/agent.py", "from diy.config import Config", "diy.config", "..config"),
        ("model/model.py", "import diy.config as numbers", "diy.config", "..config"),
        ("feature/definition.py", "from diy import feature", "diy.feature", "..feature"),
        ("train_workflow.py", "    import diy.algorithm.agent", "diy.algorithm.agent", ".algorithm.agent"),
        (
            "feature/realm.py",
            "from kaimesh.algorithms.ppo.config import Config as _Ppo",
            "kaimesh.algorithms.ppo.config",
            "..config",
        ),
        (
            "feature/definition.py",
            "from kaimesh.algorithms.ppo.losses import ratio",
            "kaimesh.algorithms.ppo.losses",
            "",
        ),
    ],
)
def test_a_copy_that_imports_another_agent_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, line: str, module: str, instead: str
) -> None:
    package = "half_" + file.removesuffix(".py").replace("/", "_") + ("" if instead else "_alone")
    path = copied(monkeypatch, tmp_path, package) / file
    path.write_text(path.read_text() + f"\n\ndef _late():\n    {line.strip()}\n")
    config = of(tmp_path, f'[half]\ncopy_of = "diy"\npackage = "{package}"', "half")
    (told,) = [warning for warning in config.warnings if "another agent" in warning]
    assert f"[half] runs code of another agent: {package}/{file} imports {module}." in told
    way = f"Import relatively (in {package}/{file}: from {instead} import ...), or by"
    assert (way if instead else "Copy what is used there, and use") + " the package's own name." in told


def test_a_copy_of_ppo_is_told_the_imports_that_fit_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "algorithms/ppo", tmp_path / "own_ppo", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.syspath_prepend(str(tmp_path))
    (told,) = [w for w in of(tmp_path, '[own_ppo]\ncopy_of = "ppo"', "own_ppo").warnings if "another agent" in w]
    files = sorted((tmp_path / "own_ppo").glob("*.py"))
    fitting = re.findall(r"in own_ppo/(\w+\.py): from (\S+) import \.\.\.", told)
    assert fitting
    for name, module in fitting:
        assert tmp_path / "own_ppo" / name in files
        assert module.startswith(".")
        assert tmp_path / "own_ppo" / f"{module[1:]}.py" in files
    for name, module in fitting:
        path = tmp_path / "own_ppo" / name
        path.write_text(
            path.read_text().replace(f"from kaimesh.algorithms.ppo{module} import", f"from {module} import")
        )
    again = of(tmp_path, '[own_ppo]\ncopy_of = "ppo"', "own_ppo").warnings
    assert not [warning for warning in again if "another agent" in warning], "the advice is all that it takes"


def test_a_table_that_was_changed_in_part_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied(monkeypatch, tmp_path, "fifth")
    text = HAND_WRITTEN.format(package="fifth").replace("fifth.train_workflow", "diy.train_workflow")
    (told,) = [w for w in of(tmp_path, f"[fifth]\n{text}", "fifth").warnings if "another agent" in w]
    assert "train_workflow = diy.train_workflow.workflow ([diy])" in told


@pytest.mark.parametrize("algo", ["ppo", "impala", "dqn", "target_dqn", "diy"])
def test_the_delivered_algorithms_run_their_own_code(tmp_path: Path, algo: str) -> None:
    found = of(tmp_path, "", algo, app="gym:CartPole-v1").warnings
    assert not [warning for warning in found if "another agent" in warning or "looks like" in warning]


def test_what_a_preset_overrides_is_named_with_the_way_to_win(tmp_path: Path) -> None:
    told = [warning for warning in of(tmp_path, "", "diy").warnings if warning.startswith("diy.")]
    assert len(told) == 6, told
    line = (
        f"diy.HIDDEN: diy/config.py has 64, this run 128, by {tmp_path}/algo_conf.toml, "
        "[diy.presets.'realm*']; to have the file's: --set diy.HIDDEN=64"
    )
    assert line in told
    won = of(tmp_path, "", "diy", **{"diy.HIDDEN": "64"})
    assert won.hyper["HIDDEN"] == 64
    assert not [warning for warning in won.warnings if warning.startswith("diy.HIDDEN")]


def test_every_way_to_win_that_is_told_wins(tmp_path: Path) -> None:
    """Whatever the value's kind: numbers, text, lists."""
    told = [warning for warning in of(tmp_path, "", "ppo").warnings if warning.startswith("ppo.")]
    words = [shlex.split(warning.partition("have the file's: ")[2]) for warning in told]
    assert {flag for flag, _ in words} == {"--set"}
    said = dict(setting.split("=", 1) for _, setting in words)
    assert set(said) == {f"ppo.{key}" for key in ("features", "gamma", "hidden_sizes", "activation", "torso")}
    delivered = of(tmp_path, "", "ppo", app="catch").hyper
    assert of(tmp_path, "", "ppo", **said).hyper == delivered


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("Agent = 5", True),
        ('Agent: str = "x"', True),
        ("class Agent: pass\nAgent = None", True),
        ("Agent = 5\nclass Agent: pass", False),
        ("Agent = type('Agent', (), {})", False),
        ("if True:\n    Agent = 5\n    class Agent: pass", False),
    ],
)
def test_an_agent_that_is_a_number_is_named_without_being_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, refused: bool
) -> None:
    (tmp_path / "numbered.py").write_text(f"{line}\nraise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    said = leading_nowhere({"actor_agent": "numbered.Agent"})
    assert bool(said) == refused
    assert all("which is no code" in text for text in said)


def test_an_agent_that_is_a_number_of_compiled_code_is_refused_where_it_is_made(tmp_path: Path) -> None:
    names = "".join(f'{key} = "math.pi"\n' for key in ("actor_agent", "learner_agent", "aisrv_agent"))
    config = of(tmp_path, f'[pi]\n{names}train_workflow = "diy.train_workflow.workflow"\n', "pi")
    with pytest.raises(ConfigError, match=r"'math\.pi' as an agent, which is 3\.14.*Name the agent's class"):
        make_agent(config, "actor")


@pytest.mark.parametrize("layer", ["defaults", 'presets."gym:*"'])
@pytest.mark.parametrize("key", ["algo", "app", "algo_conf"])
def test_a_table_cannot_choose_what_it_is_chosen_by(tmp_path: Path, layer: str, key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key} = 'diy' chooses what runs"):
        of(tmp_path, f'[mine]\ncopy_of = "diy"\n[mine.{layer}]\n{key} = "diy"\n', "mine")
