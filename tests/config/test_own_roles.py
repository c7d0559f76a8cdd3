"""`[roles.<name>]`: a row that holds, and one report of all that does not: value, consequence and remedy."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kaimesh.config import App, Config, load
from kaimesh.config.load import DEFAULT_CONF
from kaimesh.config.own_roles import cannot_be_run, own_roles, read_roles
from kaimesh.config.roles import LAST_STAGE, ROLES, Right, addresses_of, role_of
from kaimesh.contract.errors import ConfigError

TOY = """
[roles.evaluator]
package = "mine.evaluator"
addresses = ["127.0.0.1:9100", "127.0.0.1:9101"]
stage = 2
stop = 55
agent_type = "actor"
rights = ["pull", "report"]
work = "evaluations"
probe = "tcp"
threads = 2
settings = {every_seconds = 60, maps = ["a", "b"]}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "c.toml"
    path.write_text(text)
    return path


def test_a_row_says_what_its_table_says(tmp_path: Path) -> None:
    config = load(written(tmp_path, TOY), environ={})
    role = config.roles["evaluator"]
    assert (role.package, role.stage, role.stop, role.agent_type, role.work) == (
        "mine.evaluator", 2, 55, "actor", "evaluations",
    )  # fmt: skip
    assert role.rights == {Right.PULL, Right.REPORT}
    assert role.probes == (("evaluator_addrs", "tcp"),)
    assert config.threads_of(role) == 2
    assert role.settings == {"every_seconds": 60, "maps": ["a", "b"]}
    assert addresses_of(role, config.app) == {"roles.evaluator.addresses": ["127.0.0.1:9100", "127.0.0.1:9101"]}
    assert {"127.0.0.1:9100", "127.0.0.1:9101"} < set(config.addresses)
    assert list(config.roles)[: len(ROLES)] == list(ROLES)


def test_one_setting_of_a_role_is_set_and_the_others_stay(tmp_path: Path) -> None:
    keys = {"roles.evaluator.settings.every_seconds": "5", "roles.evaluator.stage": "1"}
    role = load(written(tmp_path, TOY), keys, environ={}).roles["evaluator"]
    assert (role.stage, role.settings) == (1, {"every_seconds": 5, "maps": ["a", "b"]})


def test_a_process_reads_what_the_start_wrote(tmp_path: Path) -> None:
    overrides = {"roles.evaluator.stage": "1", "roles.evaluator.settings": "{every_seconds = 5}"}
    config = load(written(tmp_path, TOY), overrides, {"evaluator_addrs": '["elsewhere:1"]'})
    path = tmp_path / "conf.toml"
    path.write_text(config.to_toml())
    again = load(path, environ={"evaluator_addrs": '["ignored:2"]'})
    assert again.roles == config.roles
    role = again.roles["evaluator"]
    assert (role.stage, role.own["addresses"], role.settings) == (1, ["elsewhere:1"], {"every_seconds": 5})
    assert any("environment variable evaluator_addrs" in note for note in config.warnings)


def test_the_rows_are_read_without_the_rest(tmp_path: Path) -> None:
    path = written(tmp_path, "[app]\nalgo = 'nobody'\n" + TOY)
    assert read_roles(path, {"evaluator_addrs": "here:5"})["evaluator"].own["addresses"] == ["here:5"]
    with pytest.raises(ConfigError, match=r"stage = 9.*0 to 3"):
        read_roles(written(tmp_path, TOY.replace("stage = 2", "stage = 9")), {})


WRONG = [
    ("roles = 3", "stands before any table"),
    ("[roles]\nevaluator = 3", "roles.evaluator = 3 is no table"),
    (
        "[roles.buffer]\npackage='mine.buffer'",
        "buffer is taken, so the two could not be told apart. Choose another name",
    ),
    ("[roles.tensorboard]\npackage='mine.tensorboard'", "tensorboard is taken"),
    ("[roles.all]\npackage='mine.all'", "all is taken"),
    ("[roles.buffer_ingest]\npackage='mine.buffer_ingest'", "buffer_ingest is taken"),
    ("[roles.Eval]\npackage='mine.Eval'", "'Eval' cannot be the name of files and containers"),
    ('[roles."../up"]\npackage="mine.up"', "'../up' cannot be the name"),
    ("[roles.evaluator]\nstage=1", "package is missing. `python -m <package>` runs the process"),
    ("[roles.evaluator]\npackage='mine evaluator'", "it is no dotted name of a module. `python -m <package>`"),
    (
        "[roles.evaluator]\npackage='mine.other'",
        "does not end in evaluator, by which a process's command line is known",
    ),
    (
        "[roles.evaluator]\npackage='mine.evaluator'\nstage=4",
        "stage = 4: Input should be less than or equal to 3. Outside of 0 to 3",
    ),
    ("[roles.evaluator]\npackage='mine.evaluator'\nstage='early'", "stage = 'early': Input should be a valid integer"),
    ("[roles.evaluator]\npackage='mine.evaluator'\nstop=1", "stop = 1: Input should be greater than or equal to 2"),
    ("[roles.evaluator]\npackage='mine.evaluator'\nstop=true", "stop = True"),
    ("[roles.evaluator]\npackage='mine.evaluator'\naddresses=['9100']", "an address is host:port"),
    ("[roles.evaluator]\npackage='mine.evaluator'\naddresses=['h:0']", "the port must be 1 to 65535"),
    (
        "[roles.evaluator]\npackage='mine.evaluator'\naddresses='127.0.0.1:9999'",
        "127.0.0.1:9999 is given to two ports (buffer_addrs and roles.evaluator.addresses); the second would not start",
    ),
    (
        "[roles.evaluator]\npackage='mine.evaluator'\naddresses=['h:1','h:2']\ncount=2",
        "which number holds would be a guess",
    ),
    ("[roles.evaluator]\npackage='mine.evaluator'\ncount=0", "count = 0: Input should be greater than or equal to 1"),
    ("[roles.evaluator]\npackage='mine.evaluator'\nagent_type='critic'", "No algorithm has such an agent"),
    ("[roles.evaluator]\npackage='mine.evaluator'\nrights=['rule']", "Write a list of predict, pin, insert"),
    ("[roles.evaluator]\npackage='mine.evaluator'\nrights=['pul']", "'pul': it is no right (did you mean 'pull'?). A"),
    ("[roles.evaluator]\npackage='mine.evaluator'\nrights=[3]", "rights = 3: it is no right. A port would refuse"),
    *(
        (f"[roles.evaluator]\npackage='mine.evaluator'\nsettings={{a={value}}}", told)
        for value, told in (
            ("nan", "a: nan is no finite number"),
            ("[1.0, -inf]", "a: -inf is no finite number"),
            ("{b={c=inf}}", "a: inf is no finite number"),
            ("1979-05-27", "a: 1979-05-27 is date, which the processes would not get. Write a number, or text"),
            ("[1979-05-27T07:32:00Z]", "is datetime, which the processes would not get"),
            ("07:32:00", "a: 07:32:00 is time, which the processes would not get"),
            ("{b=[1, {c=2}]}", "a: in a list, a table stands beside or below something else; it would be lost"),
            ("[{b={}}]", "a: in a list, a table holds an empty table, which would be lost. Leave the empty one out"),
            ("[{b=[{c={d={}}}]}]", "a: in a list, a table holds an empty table, which would be lost"),
            ("[[{c=2}]]", "a: in a list, a table stands beside or below something else; it would be lost"),
        )
    ),
    ("[roles.evaluator]\npackage='mine.evaluator'\nwork='<b>'", "Name a counter of its meter"),
    ("[roles.evaluator]\npackage='mine.evaluator'\nprobe='tcp'", "there is no port to ask"),
    ("[roles.evaluator]\npackage='mine.evaluator'\nprobe='ftp'", "Write tcp, grpc or http"),
    ("[roles.evaluator]\npackage='mine.evaluator'\nthreads=0", "threads = 0"),
    ("[roles.evaluator]\npackage='mine.evaluator'\nstages=0", "unknown key 'stages' (did you mean 'stage'?)"),
]


@pytest.mark.parametrize(("text", "told"), WRONG, ids=[text.replace("\n", " ") for text, _ in WRONG])
def test_what_is_wrong_is_told_in_words(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text + "\n[app]\naisrv_count = 0\n")
    with pytest.raises(ConfigError) as caught:
        load(path, environ={})
    message = str(caught.value)
    assert told in message
    assert "aisrv_count = 0" in message, "one report of everything"
    assert str(path) in message


ATOMS = (
    st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats()
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | st.dates()
    | st.times()
    | st.datetimes()
)
KEYS = st.from_regex(r"[a-z_-]{1,6}", fullmatch=True)
VALUES = st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))


@functools.cache
def _delivered() -> Config:
    return load(DEFAULT_CONF, environ={})


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=3))
@example({"a": [{"b": {}}]})
@example({"a": [{"b": [{}]}], "c": {"d": {}}})
def test_settings_reach_the_process_as_they_are_or_are_refused(given_settings: dict[str, Any]) -> None:
    problems: list[str] = []
    table = {"evaluator": {"package": "mine.evaluator", "settings": given_settings}}
    roles = own_roles(table, "c.toml", {}, problems, [])
    if problems:
        assert "settings = " in problems[0]
        return
    kept = tomllib.loads(replace(_delivered(), roles=roles).to_toml())
    assert kept["roles"]["evaluator"]["settings"] == given_settings


def test_packages_that_cannot_be_run_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "owned" / "folder").mkdir(parents=True)
    (tmp_path / "owned" / "module.py").touch()
    (tmp_path / "owned" / "raises").mkdir()
    (tmp_path / "owned" / "raises" / "__init__.py").write_text("1 / 0")
    (tmp_path / "owned" / "whole").mkdir()
    (tmp_path / "owned" / "whole" / "__main__.py").touch()
    names = {
        "module": "",
        "whole": "",
        "folder": "no __main__.py",
        "raises": "ZeroDivisionError",
        "absent": "no module",
    }
    tables = "".join(f'[roles.{name}]\npackage = "owned.{name}"\n' for name in names)
    found = cannot_be_run(load(written(tmp_path, tables), environ={}).roles)
    assert len(found) == 3
    for text, words in zip(found, [words for words in names.values() if words], strict=True):
        assert words in text


def test_kaimeshs_own_rows_hold_what_a_users_must() -> None:
    for name, role in ROLES.items():
        assert role.name == name == role.package.rpartition(".")[2]
        assert role.stage <= LAST_STAGE
        assert all(key in App.model_fields for key in (*role.keys, *(key for key, _ in role.probes)))
        assert not role.threads or role.threads in App.model_fields
        assert role_of(f"{name}_0") == name
    assert {right for role in ROLES.values() for right in role.rights} == set(Right), "each is somebody's"
    assert ROLES["aisrv"].rights == {Right(name) for name in ("predict", "insert", "pull", "report", "save", "pin")}
    assert not ROLES["monitor"].rights | ROLES["keeper"].rights, "they watch"
    stops = [role.stop for role in ROLES.values()]
    assert len(set(stops)) == len(stops)
