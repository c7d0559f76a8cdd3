"""Configuration: one report of everything, nothing converted, exact round trip, who overrides whom."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kaimesh.config import App, Config, check, load
from kaimesh.contract.errors import ConfigError
from kaimesh.process.documents import write_text

DELIVERED = Path("conf/configure_app.toml")


def of(
    tmp_path: Path, text: str, overrides: dict[str, str] | None = None, environ: dict[str, str] | None = None
) -> Config:
    path = tmp_path / "c.toml"
    path.write_text(text)
    return load(path, overrides, environ or {})


def instance(config: Config) -> Any:
    """The algorithm's hyper-parameters as its agents get them."""
    assert config.parameters is not None
    return config.parameters.instance


def report(
    tmp_path: Path, text: str, overrides: dict[str, str] | None = None, environ: dict[str, str] | None = None
) -> str:
    with pytest.raises(ConfigError) as caught:
        of(tmp_path, text, overrides, environ)
    return str(caught.value)


def test_the_delivered_file_is_valid() -> None:
    config = load(DELIVERED, environ={})
    assert (config.app.app, config.algo.name, config.app.wrapper_type) == ("gym:CartPole-v1", "ppo", "remote")


def test_one_report_names_every_problem_with_its_line(tmp_path: Path) -> None:
    text = report(
        tmp_path,
        """stray = 1
[app]
aisrv_cuont = 2
train_batch_size = "32"
predict_batch_size = 4
predict_batch_size = 8
app = "${KAIWU_APP}"
actor_addrs = "127.0.0.1:70000"
aisrv_connect_to_kaiwu_env_count = 1
[pppo]
x = 1
[ppo]
learning_rat = 1.0
gamma = "high"
""",
        {"diy.x": "1", "reverb_sampler": "reverb.selectors.Fiffo"},
    )
    assert "11 problems" in text
    for part in (
        "stray stands before any table",
        "c.toml, line 3: unknown key 'aisrv_cuont' (did you mean 'aisrv_count'?)",
        "c.toml, line 4: train_batch_size = '32'",
        "c.toml, line 6: predict_batch_size is set twice (first in line 5)",
        "c.toml, line 7: app = '${KAIWU_APP}' is a placeholder",
        "c.toml, line 8: actor_addrs = '127.0.0.1:70000': the port must be 1 to 65535",
        "[pppo] is neither app nor an algorithm (did you mean 'ppo'?)",
        "unknown key 'learning_rat' (did you mean 'learning_rate'?)",
        "gamma = 'high' is str; it must be float",
        "--set diy.*: the algorithm is ppo",
        "--set reverb_sampler",
    ):
        assert part in text, f"{part!r} is missing in\n{text}"


@pytest.mark.parametrize(
    "line",
    [
        "train_batch_size = true",
        "train_batch_size = 1.5",
        "train_batch_size = 32.0",
        'train_batch_size = "32"',
        "train_batch_size = 0",
        "learner_train_sleep_seconds = true",
        'learner_train_sleep_seconds = "1"',
        "learner_train_sleep_seconds = -1.0",
        "learner_train_by_while_true = 1",
        "learner_train_by_while_true = 'true'",
        "report_seconds = inf",
        "app = 3",
        "app = ' '",
        "env_conf = 3",
        "actor_addrs = []",
        "actor_addrs = [1]",
        "actor_addrs = 'here'",
        "actor_addrs = 'here:0'",
        "actor_addrs = 'here:x'",
        "actor_addrs = ':80'",
        "actor_addrs = {train_one = 3}",
        "wrapper_type = 'Remote'",
    ],
)
def test_a_wrong_type_is_never_converted(tmp_path: Path, line: str) -> None:
    text = report(tmp_path, f"[app]\n{line}")
    assert text.startswith(f"{tmp_path}/c.toml: 1 problem; nothing was started.\n  1. {tmp_path}/c.toml, line 2: ")


@pytest.mark.parametrize(
    ("lines", "part"),
    [
        (
            "replay_buffer_capacity = 8\ntrain_batch_size = 9",
            "replay_buffer_capacity = 8 is below train_batch_size = 9",
        ),
        ("wrapper_type = 'local'\naisrv_count = 2", "wrapper_type = local with aisrv_count = 2"),
        ("preload_model = true", "preload_model = true without preload_model_dir"),
        ("actor_addrs = '127.0.0.1:9997'", "127.0.0.1:9997 is given to two ports"),
        ("buffer_addrs = ['a:1', 'b:2']", "buffer_addrs has 2 servers, buffer_ingest_addrs 1"),
        (
            "algorithm_on_policy_or_off_policy = 'on_policy'\ndump_model_freq = 2",
            "on-policy with dump_model_freq = 2",
        ),
        (
            "algorithm_on_policy_or_off_policy = 'on-policy'\nmodel_file_load_per_minutes = 0.5",
            "on-policy with model_file_load_per_minutes = 0.5",
        ),
        (
            "reverb_rate_limiter = 'SampleToInsertRatio'\nreverb_samples_per_insert = 8\nreverb_error_buffer = 7",
            "reverb_error_buffer = 7 is below max(1, reverb_samples_per_insert) = 8",
        ),
    ],
)
def test_contradictions(tmp_path: Path, lines: str, part: str) -> None:
    assert part in report(tmp_path, f"[app]\n{lines}")


def test_contradictions_are_told_beside_wrong_types_but_not_made_up(tmp_path: Path) -> None:
    text = report(
        tmp_path, "[app]\ntrain_batch_size = 'x'\nreplay_buffer_capacity = 1\nwrapper_type = 'local'\naisrv_count = 3"
    )
    assert "2 problems" in text
    assert "aisrv_count = 3" in text


@pytest.mark.parametrize("text", ["[app", "[app]\nx = ", "[app]\na = [1,\n", "\x00", "[app]\n= 3", "[app]\n[app]\n"])
def test_what_is_not_toml_is_told(tmp_path: Path, text: str) -> None:
    assert "is not TOML" in report(tmp_path, text)


@pytest.mark.parametrize("text", ["1" * 5000, "[" * 5000 + "]" * 5000])
def test_what_the_toml_reader_gives_up_on_is_told(tmp_path: Path, text: str) -> None:
    assert "is not TOML" in report(tmp_path, f"[app]\naisrv_count = {text}")
    assert "aisrv_count" in report(tmp_path, "[app]", {"aisrv_count": text})


@pytest.mark.parametrize("text", ["{b = [1, {c = 2}]}", "{b = [[{c = 2}]]}", "{a = {b = [{c = [{}, 1]}]}}"])
def test_tables_that_the_runs_own_file_cannot_hold_are_told(tmp_path: Path, text: str) -> None:
    assert "a table stands beside or below something else" in report(tmp_path, "[app]", {"env_conf": text})


def test_a_missing_and_an_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "bytes.toml")


def test_an_unknown_algorithm_names_the_nearest(tmp_path: Path) -> None:
    assert "algo = 'ppoo' is not in" in (text := report(tmp_path, "[app]\nalgo = 'ppoo'"))
    assert "did you mean 'ppo'?" in text


def test_a_broken_config_module_is_one_line_of_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = tmp_path / "algos.toml"
    entry = 'actor_agent="a.A"\nlearner_agent="a.A"\naisrv_agent="a.A"\ntrain_workflow="a.w"\n'
    registry.write_text(f'[mine]\n{entry}config="broken_config_of_this_test.Config"\n[half]\nactr_agent="x"\n')
    (tmp_path / "broken_config_of_this_test.py").write_text("raise ZeroDivisionError('inside')")
    monkeypatch.syspath_prepend(str(tmp_path))
    text = report(tmp_path, f"[app]\nalgo='mine'\nalgo_conf='{registry}'")
    assert "ZeroDivisionError: inside" in text
    assert "[half]: unknown key 'actr_agent' (did you mean 'actor_agent'?)" in text
    assert "[half]: actor_agent, learner_agent, aisrv_agent is missing" in text


def test_an_own_registry_of_algorithms_travels_with_the_run(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        '[mine]\nactor_agent="a.A"\nlearner_agent="a.A"\naisrv_agent="a.A"\ntrain_workflow="a.w"\n'
        "[mine.defaults]\ntrain_batch_size = 7\n"
    )
    config = of(tmp_path, "[app]\nalgo = 'mine'", {"algo_conf": str(tmp_path / "mine.toml")})
    assert (config.algo.actor_agent, config.app.train_batch_size) == ("a.A", 7)
    write_text(tmp_path / "resolved.toml", config.to_toml())
    again = load(tmp_path / "resolved.toml", environ={})
    assert (again.app, again.algo) == (config.app, config.algo)


def test_a_missing_registry_and_one_of_kaiwus(tmp_path: Path) -> None:
    assert "none.toml cannot be read: No such file" in (text := report(tmp_path, "[app]\nalgo_conf = 'none.toml'"))
    assert "algo_conf" in text
    assert "algo_conf = 3" in report(tmp_path, "[app]\nalgo_conf = 3")
    config = of(tmp_path, "[app]\nalgo_conf = 'conf/nature_algo_walk.yaml'")
    assert config.app.algo_conf == App().algo_conf
    assert any("algo_conf is a Kaiwu key" in warning for warning in config.warnings)


def test_precedence_file_environment_set(tmp_path: Path) -> None:
    text = "[app]\ntrain_batch_size = 8\naisrv_count = 3"
    config = of(tmp_path, text, {"train_batch_size": "16"}, {"train_batch_size": "12", "aisrv_count": "4", "PATH": "x"})
    assert (config.app.train_batch_size, config.app.aisrv_count) == (16, 4)
    assert any("aisrv_count = 4 comes from the environment" in warning for warning in config.warnings)
    assert of(tmp_path, text).app.aisrv_count == 3


@pytest.mark.parametrize("prefix", ["", "app."])
def test_a_dotted_key_goes_into_a_table_of_the_file(tmp_path: Path, prefix: str) -> None:
    text = "[app]\n[app.env_conf]\nlength = 5\nseed = 1\nlight = {sun = true, moon = false}"
    keys = {f"{prefix}env_conf.length": "8", f"{prefix}env_conf.light.sun": "false"}
    config = of(tmp_path, text, keys)
    assert config.app.env_conf == {"length": 8, "seed": 1, "light": {"sun": False, "moon": False}}
    assert of(tmp_path, "[app]", keys).app.env_conf == {"length": 8, "light": {"sun": False}}
    variable = {"env_conf": "{depth = 2}"}
    assert of(tmp_path, text, {f"{prefix}env_conf.length": "8"}, variable).app.env_conf == {"depth": 2, "length": 8}
    assert of(tmp_path, text, {f"{prefix}env_conf": "{length = 8}"}).app.env_conf == {"length": 8}
    groups = "[app]\nactor_addrs = {train_one = ['127.0.0.1:81'], train_two = ['127.0.0.1:82']}"
    config = of(tmp_path, groups, {f"{prefix}actor_addrs.train_two": "127.0.0.1:83"})
    assert config.app.actor_addrs == ["127.0.0.1:81", "127.0.0.1:83"]


def test_a_dotted_key_that_leads_nowhere_is_told_with_a_remedy(tmp_path: Path) -> None:
    told = report(tmp_path, "[app]\ntrain_batch_size = 8", {"train_batch_size.x": "3", "env_cnf.length": "8"})
    assert "unknown key 'dqn'" in report(tmp_path, "[app]", {"app.dqn.gamma": "0.9"})
    assert "--set train_batch_size.x: train_batch_size = 8 is no table" in told
    assert "Set train_batch_size itself." in told
    assert "[env_cnf] is neither app nor an algorithm (did you mean 'app.env_conf'?)" in told
    assert "or a table of [app] (app.env_conf)." in told


def test_values_as_text_take_the_type_of_their_key(tmp_path: Path) -> None:
    environ = {"learner_train_by_while_true": "False", "app": "gym:CartPole-v1", "actor_addrs": "127.0.0.1:81"}
    config = of(tmp_path, "[app]", {"preload_model_dir": "123", "ppo.learning_rate": "1e-5"}, environ)
    assert config.app.learner_train_by_while_true is False
    assert config.app.actor_addrs == ["127.0.0.1:81"]
    assert config.app.preload_model_dir == "123"
    assert config.hyper["learning_rate"] == instance(config).learning_rate == 1e-5


def test_the_algorithms_defaults_lie_below_the_file(tmp_path: Path) -> None:
    assert of(tmp_path, "[app]").app.replay_buffer_capacity == 256
    assert of(tmp_path, "[app]\nreplay_buffer_capacity = 300").app.replay_buffer_capacity == 300


def test_kaiwu_keys_are_accepted_whatever_they_hold(tmp_path: Path) -> None:
    text = """[app]
use_which_deep_learning_framework = "${KAIWU_FRAMEWORK}"
predict_local_or_remote = "local" # a comment
actor_addrs = {train_one = ["127.0.0.1:8888", "127.0.0.1:8889"]}
eval_model_id = 1
eval_model_id = "22"
preload_ratio = 2
"""
    config = of(tmp_path, text)
    assert config.app.actor_addrs == ["127.0.0.1:8888", "127.0.0.1:8889"]
    assert config.app.eval_model_id == "22"
    assert sum("has no effect here" in warning for warning in config.warnings) == 2


def test_hyper_parameters_go_back_to_their_defaults(tmp_path: Path) -> None:
    first = instance(of(tmp_path, "[ppo]\ngamma = 0.5\nhidden_sizes = [8]\n[app]\nrandom_seed = 7"))
    second = instance(of(tmp_path, "[app]"))
    assert (first.gamma, first.hidden_sizes, first.seed) == (0.5, (8,), 7)
    assert (second.gamma, second.hidden_sizes, second.seed) == (0.99, (64, 64), 1)


def test_the_algorithms_own_check_is_part_of_the_report(tmp_path: Path) -> None:
    assert "epochs" in report(tmp_path, "[ppo]\nepochs = 0")


def test_a_resolved_file_takes_neither_environment_nor_defaults_again(tmp_path: Path) -> None:
    config = of(
        tmp_path, "[app]\naisrv_count = 3\n[ppo]\ngamma = 0.5", {"train_batch_size": "16"}, {"aisrv_count": "5"}
    )
    write_text(tmp_path / "resolved.toml", config.to_toml())
    again = load(tmp_path / "resolved.toml", environ={"aisrv_count": "9", "train_batch_size": "9"})
    assert (again.app, again.hyper, again.algo) == (config.app, config.hyper, config.algo)
    assert load(tmp_path / "resolved.toml", {"aisrv_count": "6"}, {}).app.aisrv_count == 6
    assert (tmp_path / "resolved.toml").read_text().count("gamma = 0.5") == 1


@settings(max_examples=200, deadline=None)
@given(share=st.floats(0, 1))
def test_a_resolved_file_that_was_cut_off_anywhere_is_refused(
    tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    """Also between two lines, where what is left is TOML. Its first line says that it has a last one."""
    text = delivered().to_toml()
    path = tmp_path_factory.getbasetemp() / "cut.toml"
    path.write_text(text[: text.index("\n") + int(share * (len(text) - text.index("\n") - 2))])
    with pytest.raises(ConfigError, match=r"was cut off|is not TOML"):
        load(path, environ={})
    path.write_text(f"{text}# edited by hand\n")
    assert load(path, environ={}).app == delivered().app


delivered = functools.cache(lambda: load(DELIVERED, environ={}))
words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=20)
values = st.one_of(st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), words)


@settings(max_examples=80, deadline=None)
@given(
    env_conf=st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), values, max_size=4),
    folder=words.filter(lambda text: "${" not in text),
    ratio=st.floats(1e-9, 1e9),
    seed=st.integers(0, 2**40),
)
def test_dump_and_load_are_inverse(
    tmp_path_factory: pytest.TempPathFactory, env_conf: dict[str, object], folder: str, ratio: float, seed: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "round.toml"
    base = delivered()
    app = App(
        **{
            **base.app.model_dump(),
            "env_conf": env_conf,
            "preload_model_dir": folder,
            "preload_ratio": ratio,
            "random_seed": seed,
        }
    )
    write_text(path, Config(app, base.algo, base.hyper, (), "x").to_toml())
    assert load(path, environ={}).app == app


@settings(max_examples=200, deadline=None)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, 2000), st.integers(0, 3), st.text("[]{}=\"'#.,\n \\0123abc_-:$é", max_size=3)),
        max_size=5,
    )
)
def test_no_text_whatever_raises_anything_but_a_report(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, int, str]]
) -> None:
    text = DELIVERED.read_text()
    for position, length, replacement in edits:
        position %= len(text)
        text = text[:position] + replacement + text[position + length :]
    path = tmp_path_factory.getbasetemp() / "edited.toml"
    path.write_text(text)
    report = ""
    try:
        load(path, environ={})
    except ConfigError as error:
        report = str(error)
    assert not report or re.search(r"\d+ problems?; nothing was started", report)


@pytest.mark.parametrize(("ratio", "samples"), [(1.0, 1000), (2, 500), (0.25, 250), (1e9, 64), (1e-9, 64)])
def test_preload_divides_above_one_and_is_a_fraction_below(ratio: float, samples: int) -> None:
    assert check.preload_samples(App(replay_buffer_capacity=1000, preload_ratio=ratio)) == samples


def test_the_active_trigger_is_told_in_numbers() -> None:
    assert "after every 16 new samples" in check.active_trigger(
        App(learner_train_by_while_true=False, production_consume_ratio=4)
    )
    assert check.active_trigger(App(algorithm_on_policy_or_off_policy="on-policy")).startswith("on-policy")


def test_the_active_trigger_tells_what_is_replayed() -> None:
    app = {"train_batch_size": 32, "replay_share": 0.25}
    told = "8 of each batch of 32 are replayed, after the first two (replay_share = 0.25)"
    trigger = check.active_trigger(App(**app))
    assert "learn whenever 24 samples can be drawn" in trigger
    assert told in trigger
    trigger = check.active_trigger(App(**app, learner_train_by_while_true=False, production_consume_ratio=2))
    assert "after every 12 new samples" in trigger
    assert told in trigger
    assert "replay" not in check.active_trigger(App(train_batch_size=32))


@pytest.mark.parametrize(
    ("batch", "share", "fresh"), [(32, 0, 32), (32, 0.5, 16), (32, 0.99, 1), (5, 0.5, 2), (1, 0.5, 1)]
)
def test_a_batch_has_at_least_one_fresh_sample(batch: int, share: float, fresh: int) -> None:
    assert check.fresh_samples(App(train_batch_size=batch, replay_share=share)) == fresh


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            {"algorithm_on_policy_or_off_policy": "on-policy", "dump_model_freq": 1},
            r"with on-policy.*none could be replayed",
        ),
        ({"wrapper_type": "local", "aisrv_count": 1}, r"with wrapper_type = local.*nothing would be replayed"),
        ({"train_batch_size": 1}, r"of train_batch_size = 1 is less than half a sample"),
        (
            {"replay_share_capacity": 127},
            r"replay_share_capacity = 127 is below 2 x train_batch_size = 128.*at least 128",
        ),
    ],
)
def test_a_share_that_could_not_be_replayed_is_refused(wrong: dict[str, Any], told: str) -> None:
    (problem,) = check.problems(App(**{"replay_share": 0.5, **wrong}))
    assert re.search(told, problem)
    assert "replay_share" in problem
    assert check.problems(App(**wrong)) == []
    assert check.problems(App(replay_share=0.5, replay_share_capacity=128)) == []


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5])
def test_a_share_is_below_1(share: float) -> None:
    with pytest.raises(ValidationError):
        App(replay_share=share)


def test_what_runs_but_badly_is_a_warning_with_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    text = "\n".join(
        check.warnings(
            App(
                actor_threads=2,
                learner_threads=2,
                aisrv_count=9,
                bind_host="0.0.0.0",
                predict_max_wait_us=5,
                predict_batch_size=9999,
            )
        )
    )
    for part in (
        "actor_threads = 2 and learner_threads = 2 on 2 cores",
        "aisrv_count = 9",
        "0.0.0.0",
        "predict_batch_size = 9999",
        "no authentication",
    ):
        assert part in text
    assert check.warnings(App(wrapper_type="local", aisrv_count=1)) == []


def test_a_preset_of_the_app_comes_between_the_algorithms_defaults_and_the_user(tmp_path: Path) -> None:
    path = tmp_path / "conf.toml"
    path.write_text('[app]\napp = "ale:pong"\ntrain_batch_size = 12\n[ppo]\nepochs = 3\n')
    config = load(path, environ={})
    preset = config.algo.presets["ale:*"]
    assert config.app.train_batch_size == 12  # the user's
    assert config.app.replay_buffer_capacity == preset["replay_buffer_capacity"] != 256
    assert config.hyper["epochs"] == 3  # the user's
    assert config.hyper["clip"] == preset["ppo"]["clip"]
    write_text(tmp_path / "again.toml", config.to_toml())
    assert load(tmp_path / "again.toml", environ={}).hyper == config.hyper
    other = load(path, {"app": "catch"}, environ={})
    assert other.app.replay_buffer_capacity == other.algo.defaults["replay_buffer_capacity"]
    assert other.hyper["clip"] != preset["ppo"]["clip"]


def test_a_table_of_the_users_is_completed_by_the_presets_and_wins(tmp_path: Path) -> None:
    base = '[app]\napp = "realm-mini"\n'
    preset = of(tmp_path, base).app.env_conf
    assert preset["observation"] == "bytes"
    config = of(tmp_path, base + "env_conf = { max_step = 500 }\n")
    assert config.app.env_conf == {**preset, "max_step": 500}
    assert of(tmp_path, base, {"env_conf": "{ max_step = 7 }"}).app.env_conf == {**preset, "max_step": 7}
    assert (
        of(tmp_path, base, environ={"env_conf": '{ observation = "floats" }'}).app.env_conf["observation"] == "floats"
    )
    assert of(tmp_path, base).app.env_conf == preset, "a preset is the same every time"
    write_text(tmp_path / "again.toml", config.to_toml())
    assert load(tmp_path / "again.toml", environ={}).app.env_conf == config.app.env_conf
    assert "observation" not in of(tmp_path, base.replace("realm-mini", "catch")).app.env_conf
    assert "env_conf = 3" in report(tmp_path, base + "env_conf = 3\n")
