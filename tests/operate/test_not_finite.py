"""Numbers that are NaN or infinite: every file and every output for programs is JSON, and no name meets one of ours."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import Any

import pytest

from kaimesh.contract.monitor import Monitor
from kaimesh.operate.cluster.status import received, report_of
from kaimesh.operate.view import cluster
from kaimesh.operate.view.ledger import Ledger
from kaimesh.operate.view.record import Record, write_result
from kaimesh.operate.view.totals import Totals, shown, totals
from kaimesh.process.documents import STATUS, read_json
from kaimesh.process.meter import Meter
from kaimesh.process.run_dir import RunDir
from kaimesh.wire.frame import from_json, to_json
from tests.forks import LIGHT

ODD = [math.nan, math.inf, -math.inf]
OURS = ["size", "capacity", "policy_lag", "version", "env_steps", "learner_steps", "learn/loss", "mesh/env_steps"]


def strict(text: str) -> Any:
    """JSON as every other reader than Python's takes it."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run that has ended, whose aisrv had returns of all kinds and whose workflow reported odd metrics."""
    found = RunDir(tmp_path / "run")
    found.prepare()
    rest = {"started": 1.0, "limits": {"max_env_steps": 0, "max_seconds": 0}, "supervisor": {"socket": "/nowhere"}}
    found.mesh.write_text(json.dumps({"state": "ended", "reason": "stopped", "processes": {}, **rest}))
    meter = Meter("aisrv_0", found.status / "aisrv_0.json")
    Monitor(meter.gauge).put_data({1: dict(zip(OURS, [*ODD, 1e6] * 2, strict=True))})
    for earned in (*ODD, 3.0):
        meter.episode(earned, 10)
    meter.publish()
    old = {"name": "aisrv_1", "gauges": {"x": math.nan}, "recent_episodes": [[1.0, math.nan, 3]], "state": "done"}
    (found.status / "aisrv_1.json").write_text(json.dumps(old))  # as an earlier version wrote it
    return found


def test_every_output_for_programs_is_json_and_says_what_was_left_out(run: RunDir) -> None:
    done = LIGHT.run(["-m", "kaimesh.operate.cli", "status", "--json", "--run", str(run.root)], timeout_s=60)
    assert done.returncode == 0, done.stderr
    said = strict(done.stdout)
    assert (said["return_mean_100"], said["returns_not_finite"]) == (3.0, 4)
    strict((run.status / "aisrv_0.json").read_text())
    plain = LIGHT.run(["-m", "kaimesh.operate.cli", "status", "--run", str(run.root)], timeout_s=60)
    assert "mean return 3.00 (4 of the last 100 are not finite)" in plain.stdout


@pytest.mark.parametrize("value", ODD)
def test_history_and_result_are_json_whatever_is_in_them(run: RunDir, value: float) -> None:
    final = Totals(return_mean_100=value, env_steps_per_s=value)
    record = Record(run)
    record.write(1.0, final, {"env_steps_per_s": value}, {"learn/loss": value, "learn/fine": 1.0})
    record.close()
    line = strict(record.history.read_text())
    assert (line["learn/loss"], line["learn/fine"], line["return_mean_100"]) == (None, 1.0, None)
    assert set(line["not_finite"]) == {"learn/loss", "return_mean_100", "env_steps_per_s"}
    write_result(run, {"started": 0.0, "reason": "stopped"}, final, 5.0)
    result = strict(run.result.read_text())
    assert (result["return_mean_100"], result["wall_s"]) == (None, 5.0)
    assert list(result["not_finite"]) == ["return_mean_100"]


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("value", [1e6, *ODD])
def test_no_metric_of_a_user_changes_a_figure_of_the_mesh(tmp_path: Path, name: str, value: float) -> None:
    """In the status file, and as a monitor gets it."""
    path = tmp_path / "learner_0.json"
    meter = Meter("learner_0", path)
    meter.state("working")
    before = totals({"learner_0": meter.snapshot()}, 0.0)
    Monitor(meter.gauge).put_data({1: {name: value}})
    meter.publish()
    sent = from_json(to_json({**meter.snapshot(), "life": "a"}))
    kept = Ledger({}).take(received(report_of(sent), 1e9))
    page = cluster.as_json(cluster.look("run", {"learner_0": kept}, 1e9))
    assert totals({"learner_0": read_json(path, STATUS)}, 0.0) == before
    assert {key: page[key] for key in Totals._fields} == before._asdict()
    assert name not in kept["gauges"]


def test_a_gauge_of_a_users_own_role_changes_no_figure_of_the_mesh() -> None:
    judge = Meter("judge_0")
    for name in OURS:
        judge.gauge(name, 1e6)
    assert totals({"judge_0": judge.snapshot()}, 1e9) == Totals()


def test_a_return_that_is_no_number_is_counted_on_the_page_too() -> None:
    meter = Meter("aisrv_0")
    meter.state("working")
    for earned in (*ODD, 5.0):
        meter.episode(earned, 10)
    sent = from_json(to_json({**meter.snapshot(), "life": "a"}))
    total = totals({"aisrv_0": received(report_of(sent), 1e9)}, 1e9)
    assert (total.return_mean_100, total.returns_not_finite) == (5.0, 3)
    assert dict(shown(total))["mean return"] == "5.00 (3 of the last 100 are not finite)"


@pytest.mark.parametrize("ahead_s", [-1e6, 0.0, 1e6])
def test_another_machines_clock_changes_no_age_and_no_order(ahead_s: float) -> None:
    """Of two machines, one whose clock is wrong: the episodes of both that ended last are those that ended last."""
    statuses = {}
    for number, (ahead, earned) in enumerate([(ahead_s, 1.0), (0.0, 2.0)]):
        tick = functools.partial(next, iter(range(1_000_000)))
        wall = 1e9 + ahead
        meter = Meter(f"aisrv_{number}", clock=lambda tick=tick: float(tick()), wall=lambda wall=wall: wall)
        meter.state("waiting", "actor")
        for _ in range(80):
            meter.episode(earned, 1)
        sent = from_json(to_json({**meter.snapshot(), "life": "a"}))
        statuses[meter.name] = received(report_of(sent), 1e9)
    view = cluster.look("run", statuses, 1e9)
    assert view.totals.return_mean_100 == pytest.approx(1.5, abs=0.05)
    assert {row.health for row in view.rows} == {"ok"}
    assert all(0 <= 1e9 - (row.since or 0) < 200 for row in view.rows)
