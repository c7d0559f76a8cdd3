"""Totals, rows, sentences and lines: what a user reads of a run."""

from __future__ import annotations

import dataclasses
import io
import os
import re
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from supervisor import options

from kaimesh.config import App, Config, load
from kaimesh.config.load import DEFAULT_CONF
from kaimesh.config.roles import ROLES
from kaimesh.operate.cli import commands
from kaimesh.operate.cli.logs import tail
from kaimesh.operate.cli.start import elsewhere
from kaimesh.operate.cluster import tool
from kaimesh.operate.local import supervise
from kaimesh.operate.local.supervisord import Literal, as_it_stands
from kaimesh.operate.view import overview, progress
from kaimesh.operate.view.overview import Overview, look
from kaimesh.operate.view.row import Row, sentence
from kaimesh.operate.view.totals import Totals, curves, last_returns, mean, shown, totals
from kaimesh.process.documents import write_json
from kaimesh.process.run_dir import RunDir

NOW = 1000.0


def config(**keys: Any) -> Config:
    return dataclasses.replace(load(DEFAULT_CONF, environ={}), app=App(**keys))


def row(**values: Any) -> Row:
    blank = Row("learner_0", 5, 80, "ok", 0, None, "", None, "working", "", NOW - 12)
    return blank._replace(**values)


def test_totals_add_what_was_done_and_only_present_speed() -> None:
    statuses: dict[str, dict[str, Any]] = {
        "aisrv_0": {
            "time": NOW,
            "state": "working",
            "counters": {"env_steps": 10, "episodes": 1},
            "rates": {"env_steps": 5.0},
        },
        "aisrv_1": {
            "time": NOW - 60,
            "state": "working",
            "counters": {"env_steps": 20, "samples_lost": 3},
            "rates": {"env_steps": 7.0},
        },
        "learner_0": {
            "time": NOW,
            "state": "working",
            "counters": {"learner_steps": 4, "policy_lag_sum": 6, "policy_lag_count": 4},
            "gauges": {"policy_lag": 2.0},
            "model_version": 4,
        },
        "actor_0": {"time": NOW, "state": "working", "model_version": 3},
        "buffer_0": {"time": NOW, "state": "working", "gauges": {"size": 5, "capacity": 9}},
    }
    total = totals(statuses, NOW)
    assert total == Totals(30, 5.0, 1, None, 4, 0.0, 5, 9, 4, 2.0, 1.5, 3)
    assert totals({}, NOW) == Totals()


def test_environments_that_were_made_anew_are_counted_and_shown_where_there_are_any() -> None:
    statuses = {f"aisrv_{i}": {"time": NOW, "state": "working", "counters": {"env_restarts": i}} for i in range(3)}
    total = totals(statuses, NOW)
    assert total.env_restarts == 3
    assert ("environments made anew", "3") in shown(total)
    assert len(shown(total)) == len(shown(Totals())) + 1


def test_the_mean_return_is_over_the_last_hundred_of_all_processes() -> None:
    early = {"recent_episodes": [[float(second), 0.0, 1] for second in range(100)]}
    late = {"recent_episodes": [[50.5 + second, 1.0, 1] for second in range(100)]}
    # 99 episodes of each end before 149.5; the last hundred are all of `late` but none of `early` before 50.
    assert mean(last_returns([early], NOW)) == 0.0
    assert mean(last_returns([early, late], NOW)) == pytest.approx(75 / 100, abs=0.011)
    assert mean(last_returns([], NOW)) is None


def test_curves_are_the_learner_s_what_reanalyse_tells_and_the_mean_return_of_each_seat() -> None:
    aisrv = {"gauges": {"return_seat_0": 1.0, "return_seat_1": -1.0, "other": 3.0}}
    another = {"gauges": {"return_seat_0": 0.0, "return_seat_1": None}}
    learner = {"gauges": {"learn/loss": 0.5}}
    again = [{"gauges": {"reanalysed_age": age, "fresh_size": 3.0}} for age in (2.0, 5.0)]
    assert curves([aisrv, another, *again, learner, {}]) == {
        "learn/loss": 0.5,
        "reanalysed_age": 3.5,
        "return_seat_0": 0.5,
        "return_seat_1": -1.0,
    }


def test_sentences() -> None:
    waiting = row(state="waiting", blocked_on="buffer: 30 of 64 samples")
    assert sentence(waiting, NOW) == "waiting 12 s for buffer: 30 of 64 samples"
    assert sentence(row(), NOW) == "working"
    assert sentence(row(state="failed", blocked_on="ValueError: x"), NOW) == "failed: ValueError: x"
    assert sentence(row(health="silent"), NOW) == "alive, but silent: it was working when it last reported"
    assert sentence(row(health="restarting", blocked_on="OSError: full"), NOW) == "restarting after: OSError: full"


def view(tmp_path: Path, state: str = "running", rows: list[Row] | None = None, **mesh: Any) -> Overview:
    limits = {"max_env_steps": 1000, "max_seconds": 500}
    total = Totals(500, 50.0, 7, 123.456, 40, 4.0, 30, 256, 40, 1.25, 1.0)
    return Overview(RunDir(tmp_path), state, {"limits": limits, "up": NOW - 100, **mesh}, total, rows or [row()], {})


def test_the_plain_line_has_every_figure_and_who_waits(tmp_path: Path) -> None:
    stuck = row(name="learner_0", state="waiting", blocked_on="buffer: 30 of 64 samples")
    line = progress.plain_line(view(tmp_path, rows=[row(), stuck]), progress.Rates(50.0, 4.0), NOW)
    for part in (
        "env steps 500 (50/s)",
        "episodes 7",
        "mean return 123.46",
        "learner steps 40 (4.0/s)",
        "buffer 30 of 256",
        "model 40",
        "policy lag 1.2",
        "samples lost 0",
        "left 10 s",  # 500 steps at 50/s come before 400 s
        "learner_0: waiting 12 s for buffer: 30 of 64 samples",
    ):
        assert part in line
    assert "\n" not in line


def test_while_starting_the_line_says_who_is_late(tmp_path: Path) -> None:
    rows = [
        row(name="keeper_0", state="waiting", blocked_on="learner_0 to be healthy"),
        row(name="aisrv_0", state="not started", health="starting"),
    ]
    line = progress.plain_line(view(tmp_path, "starting", rows), progress.Rates(), NOW)
    assert line.endswith("starting | keeper_0: waiting 12 s for learner_0 to be healthy")


def test_a_mesh_of_all_roles_fits_a_terminal_of_80_by_24(tmp_path: Path) -> None:
    stuck = "learner: it is to draw the fresh copies that there are first"
    names = ("keeper", "buffer", "model_pool", "learner", "actor", "aisrv", "reanalyse")
    rows = [row(name=f"{name}_0", state="waiting", blocked_on=stuck) for name in names[-2:]]
    rows = [row(name=f"{name}_0", throughput=25e3, throughput_unit="predictions/s") for name in names[:-2]] + rows
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(progress.panel(view(tmp_path, rows=rows), progress.Rates(), NOW, console.width))
    lines = console.export_text().splitlines()
    assert len(lines) <= 24
    words = " ".join(line.strip("│ ") for line in lines)
    for part in (*(f"{name}_0" for name in names), "25,000 predictions/s", "waiting 12 s for"):
        assert part in words, part
    assert "…" not in words, "nothing is cut"
    again = row(restarts=7)
    console.print(progress.panel(view(tmp_path, rows=[again]), progress.Rates(), NOW, console.width))
    assert re.search(r"restarts.*\n.* 7 ", console.export_text())


def test_the_panel_draws_whatever_processes_say(tmp_path: Path) -> None:
    words = "[/red] no [markup] \\[/bold] C:\\[x]\\"
    rows = [row(blocked_on=words, name=words[:9], throughput=1.0, throughput_unit=words[9:], state="waiting")]
    console = Console(width=150, record=True, file=(tmp_path / "out").open("w"))
    console.print(progress.panel(view(tmp_path, rows=rows, reason="a [b] c"), progress.Rates(), NOW))
    text = console.export_text()
    assert text.replace("\n", "").count(words[:9]) == 2
    assert words.split()[-1] in text
    assert "a [b] c" in text
    assert "Ctrl-C leaves this view" in text


def test_what_a_process_says_of_itself_cannot_steer_the_terminal(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "catch", "ppo")
    words = "\x1b[2J\x1b]0;forged\x07\r\n12:00:00 | running\u2028\u202e"
    said = {"name": "aisrv_0", "pid": os.getpid(), "state": "waiting", "blocked_on": words, "since": 0.0, "work": words}
    write_json(run.status / "aisrv_0.json", {**said, "rates": {words: 1.0}, "time": time.time()})
    view = look(run)
    assert [line.blocked_on.isprintable() and line.throughput_unit.isprintable() for line in view.rows] == [True]
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(progress.table(view, time.time()))
    shown_words = console.export_text()
    assert "\\x1b[2J" in shown_words
    assert all(line.isprintable() for line in shown_words.split("\n"))


def test_what_a_cluster_says_is_drawn_as_it_stands() -> None:
    words = "\\[/bold] [/]"
    process = {"name": words, "host": words, "health": "ok", "restarts": 0, "throughput": 1.0, "model_version": 1}
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(tool._table([], [{**process, "throughput_unit": words, "does": words}]))
    assert console.export_text().count(words) == 4


@pytest.mark.parametrize(
    "line", ['{"time": 3}', '{"time": "T", "level": null, "process": 1, "message": ""}', "{" * 99_999, "{}"]
)
def test_a_log_line_that_only_looks_like_ours_is_shown_as_it_is(line: str) -> None:
    assert tool.as_line(line) == line


def test_why_a_run_ended_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDir.create(tmp_path, "catch", "ppo")
    words = "failed: ValueError: \x1b[2J\x1b]0;forged\x07"
    mesh = {"state": "ended", "reason": words, "started": 1.0, "supervisor": {"socket": "/nowhere"}, "processes": {}}
    write_json(run.mesh, {**mesh, "limits": {"max_env_steps": 0, "max_seconds": 0}})
    for arguments in (["stop", "all"], ["status"]):
        with pytest.raises(SystemExit) as ended:
            commands.app([*arguments, "--run", str(run.root)])
        shown_words = capsys.readouterr().out
        assert not ended.value.code
        assert "\\x1b[2J" in shown_words
        assert all(line.isprintable() for line in shown_words.split("\n"))


def test_speed_is_over_the_last_seconds(tmp_path: Path) -> None:
    speed, current = progress.Speedometer(10.0), view(tmp_path)
    assert speed(0.0, current) == progress.Rates()
    for second in range(1, 31):
        steps = 500 + (0 if second <= 15 else (second - 15) * 100)
        rates = speed(float(second), current._replace(totals=current.totals._replace(env_steps=steps)))
    assert rates.env_steps == pytest.approx(100.0)


def test_a_row_never_shows_an_earlier_lifes_state(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "a_run")
    run.prepare()
    process = {"role": "learner", "pid": os.getpid(), "supervisor": "RUNNING", "address": "h:81", "restarts": [1.0]}
    rest = {"started": 1.0, "limits": {"max_env_steps": 0, "max_seconds": 0}, "supervisor": {"socket": "/nowhere"}}
    write_json(run.mesh, {"state": "running", "processes": {"learner_0": process}, **rest})
    write_json(run.status / "learner_0.json", {"pid": 1, "state": "working", "time": time.time(), "blocked_on": ""})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overview, "is_ours", lambda pid, _run: pid == os.getpid())
        patch.setattr(overview, "supervisor_pid", lambda _run: 1)
        seen = look(run).rows[0]
        assert (seen.health, seen.state, seen.port, seen.restarts) == ("starting", "starting", 81, 1)
        write_json(run.status / "learner_0.json", {"pid": os.getpid(), "state": "working", "time": time.time() - 9})
        assert look(run).rows[0].health == "silent"
        patch.setattr(overview, "supervisor_pid", lambda _run: None)
        assert look(run).state == "dead"


def test_the_processes_are_those_of_this_machine() -> None:
    three = config(actor_addrs=["127.0.0.1:1", "192.0.2.7:2", "127.0.0.1:3"], aisrv_count=2)
    names = [program.name for program in supervise.programs(three)]
    assert names == ["keeper_0", "buffer_0", "model_pool_0", "learner_0", "actor_0", "actor_2", "aisrv_0", "aisrv_1"]
    local = config(wrapper_type="local", aisrv_count=1)
    assert [program.name for program in supervise.programs(local)] == ["keeper_0", "aisrv_0"]


def test_what_is_not_started_here_is_told(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[roles.judge]\npackage = "mine.judge"\naddresses = ["192.0.2.8:9"]\n')
    remote = load(tmp_path / "c.toml", {"actor_addrs": '["127.0.0.1:1", "192.0.2.7:2"]'}, {})
    assert elsewhere(remote) == [
        "actor_addrs: 192.0.2.7:2 is another machine; that process must be started there",
        "roles.judge.addresses: 192.0.2.8:9 is another machine; that process must be started there",
    ]
    local = dataclasses.replace(remote, app=App(wrapper_type="local", aisrv_count=1))
    assert elsewhere(local) == [
        "[roles.judge] is not started: with wrapper_type = local there is no other process than aisrv"
    ]
    assert "judge_0" not in {program.name for program in supervise.programs(local)}


def test_the_supervisors_configuration(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "a run")
    text = supervise.configuration(config(max_restarts=3, log_backups=2), run, tmp_path / "s.sock")
    assert f"command={sys.executable} -m kaimesh.learner --conf '{run.conf}'" in text
    assert "startretries=3" in text
    assert "stdout_logfile_backups=2" in text
    assert text.count("autostart=true") == 1
    groups = [section.splitlines()[0].rstrip("]") for section in text.split("[group:")[1:]]
    assert groups == ["keeper", "buffer", "model_pool", "actor", "learner", "aisrv"]  # the last is stopped first
    assert [int(line.partition("=")[2]) for line in text.splitlines() if line.startswith("priority=")] == [
        ROLES[name].stop for name in groups
    ]


@pytest.mark.parametrize(
    "folder",
    [
        "100% a run",
        "%(here)s %d %%",
        "semi ; colon",
        "hash # it",
        "a 'b' \"c\"",
        "目录 ü",
        "[x] = $HOME \\n",
        "%(ENV_HOME)s\t;",
    ],
)
def test_supervisord_reads_every_path_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setattr(options, "UnhosedConfigParser", Literal)
    monkeypatch.setattr(options, "expand", as_it_stands)
    run = RunDir(tmp_path / folder)
    run.prepare()
    conf = run.root / supervise.SUPERVISORD
    conf.write_text(supervise.configuration(config(), run, tmp_path / folder / "s.sock"), encoding="utf-8")
    read = options.ServerOptions()
    read.realize(["-c", str(conf), "--nodaemon"])
    assert (read.logfile, read.pidfile) == (str(run.logs / "supervisord.log"), str(run.root / "supervisord.pid"))
    programs = {program.name: program for group in read.process_group_configs for program in group.process_configs}
    assert set(programs) == {program.name for program in supervise.programs(config())}
    for wanted in supervise.programs(config()):
        assert shlex.split(programs[wanted.name].command) == supervise.command(wanted, run)
        assert programs[wanted.name].stdout_logfile == str(run.logs / f"{wanted.name}.log")


def test_a_path_with_a_lines_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(supervise.MeshError, match="line's end"):
        supervise.configuration(config(), RunDir(tmp_path / "a\n[program:evil]"), tmp_path / "s.sock")


def test_the_socket_lies_in_a_folder_that_only_its_user_may_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    run = RunDir(tmp_path / ("long" * 40))
    path = supervise.socket_path(run)
    assert len(str(path)) - len(str(tmp_path)) < 60
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert supervise.socket_path(run) == path != supervise.socket_path(RunDir(tmp_path))
    path.parent.chmod(0o755)
    with pytest.raises(supervise.MeshError, match="only you can enter"):
        supervise.socket_path(run)


def test_a_log_cannot_clear_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "mine_0.log").write_bytes(b"plain\ttab\n\x1b[31mred\x1b[0m\n\x1b[2J\x07\x00\xff\n\xc2\x9b2J\n")
    red = "\x1b[31mred\x1b[0m"
    assert tail(tmp_path / "mine_0.log", 9) == ["plain\ttab", red, "\\x1b[2J\\x07\\x00\ufffd", "\\x9b2J"]
