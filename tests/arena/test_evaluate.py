"""`tools/evaluate.sh` end to end: configuration, model, environment, statistics, pictures, errors."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from kaimesh.arena import evaluate, replay
from kaimesh.arena.again import Replay
from kaimesh.arena.arguments import MOST_STEPS
from kaimesh.arena.progress import Progress
from kaimesh.arena.recording import Recording
from kaimesh.contract.seeds import EVALUATION_END
from tests.arena import fake


def test_a_native_agent_on_catch(make_run, result):
    run = make_run("catch", ids=(1, 2, 11))
    good = result("--run", str(run.root), "--episodes", "50", "--model", "1")
    assert good["return"] == dict.fromkeys(good["return"], 1.0) | {"std": 0.0}
    assert good["length"]["mean"] == 9
    assert (good["success"], good["success_return"], good["episodes"], good["model"]) == (1.0, 1.0, 50, 1)
    bad = result("--run", str(run.root), "--episodes", "50", "--model", "2")
    assert bad["return"]["mean"] < 0
    assert bad["success"] == 0.0
    assert result("--run", str(run.root), "--episodes", "1")["model"] == 11, "latest is the highest number"


@pytest.mark.parametrize("algo", ["kaiwu", "kaiwu2"])
def test_a_kaiwu_agent_on_cartpole(make_run, result, algo):
    run = make_run("gym:CartPole-v1", algo)
    figures = result("--run", str(run.root), "--episodes", "5")
    assert figures["return"]["mean"] > 100
    assert figures["return"] == figures["length"]
    assert figures["success_return"] == 475
    again = result("--run", str(run.root), "--episodes", "5")
    assert again["return"] == figures["return"], "the seed is fixed"
    other = result("--run", str(run.root), "--episodes", "5", "--seed", "3")
    assert other["return"] != figures["return"]


def test_the_runs_settings_and_another_app(make_run, result):
    run = make_run("gym:CartPole-v1", extra="max_episode_steps = 4\n")
    assert result("--run", str(run.root), "--episodes", "3")["length"]["max"] == 4
    pendulum = result("--run", str(run.root), "--episodes", "3", "--app", "gym:Pendulum-v1")
    assert (pendulum["app"], pendulum["length"]["mean"], pendulum["success"]) == ("gym:Pendulum-v1", 4, None)


@pytest.mark.parametrize(("algo", "score"), [("unit", 20.0), ("vectorised", 0.0)])
def test_actions_are_scaled_for_an_agent_that_asks_and_a_recording_knows(make_run, result, tmp_path, algo, score):
    """0.4 of [-1, 1] is 700 of [0, 1000], which is the best; 0 of [0, 1000] is the worst that is worth 0."""
    run = make_run("tests.envs.own:Boxed", algo)
    figures = result("--run", str(run.root), "--episodes", "2", "--record", str(tmp_path), "--trust")
    assert figures["return"]["mean"] == pytest.approx(score, abs=1e-4)
    for one in figures["each"]:
        recording = Recording.load(tmp_path / one["file"])
        assert recording.unit_actions == (algo == "unit")
        again = Replay(recording)
        for _ in again:
            pass
        assert (again.score, again.difference()) == (one["return"], "")


def test_any_seed_is_taken_and_none_is_trainings(make_run, result):
    run = make_run("ale:pong", extra="max_episode_steps = 2\n")
    for seed in (2**31, 2**63 - 9):
        figures = result("--run", str(run.root), "--episodes", "1", "--seed", str(seed))
        assert 0 <= figures["each"][0]["seed"] < EVALUATION_END
        assert figures["seed"] == seed


def test_models_by_folder_and_by_file(make_run, result, tmp_path):
    run = make_run("gym:CartPole-v1")
    elsewhere = tmp_path / "best"
    elsewhere.mkdir()
    for id in (0, 1):
        (elsewhere / f"model.ckpt-{id}.txt").write_text(str(id))
    common = ("--run", str(run.root), "--episodes", "1")
    assert result(*common, "--model", str(elsewhere))["model"] == 1
    assert result(*common, "--model", str(elsewhere / "model.ckpt-0.txt"))["model"] == 0
    (run.user_ckpt / "model.ckpt-0.txt").write_text("0")
    assert result(*common, "--model", "0")["model"] == 0, "saves of the workflow's own are found by id"


@pytest.mark.parametrize(
    ("app", "algo"), [("catch", "vectorised"), ("gym:CartPole-v1", "vectorised"), ("gym:CartPole-v1", "kaiwu")]
)
def test_a_picture_of_the_first_episode(make_run, result, tmp_path, app, algo):
    run = make_run(app, algo)
    out = tmp_path / "deep" / "out.gif"
    figures = result("--run", str(run.root), "--episodes", "2", "--render", str(out))
    with Image.open(out) as picture:
        assert picture.format == "GIF"
        assert 1 < picture.n_frames <= figures["render_length"] + 1  # equal frames in a row are stored once
        first = np.array(picture.convert("RGB"))
        picture.seek(picture.n_frames - 1)
        assert not np.array_equal(first, np.array(picture.convert("RGB")))


def test_a_page_instead_of_a_film(tmp_path, make_run, result):
    run = make_run("catch")
    out = tmp_path / "out.html"
    figures = result("--run", str(run.root), "--episodes", "3", "--render", str(out))
    assert (figures["render_length"], figures["failed"]) == (9, [])
    assert out.read_text().lstrip().lower().startswith("<!doctype html>")


def test_a_film_of_an_environment_that_does_not_repeat_itself_says_so(tmp_path, make_run, result):
    run = make_run("tests.arena.fake:Fickle")
    figures = result("--trust", "--run", str(run.root), "--episodes", "3", "--render", str(tmp_path / "out.gif"))
    assert "does not repeat itself" in figures["notes"][-1]


def test_words_for_people(make_run, capsys):
    run = make_run("catch")
    assert evaluate.main(["--run", str(run.root), "--episodes", "4"]) == 0
    out = capsys.readouterr().out
    assert "catch, vectorised, model 1: 4 episodes of greedy actions in" in out
    out = "\n".join(line for line in out.splitlines() if not line.startswith("greedy and sampled actions differ"))
    assert out.splitlines()[1].split() == ["mean", "std", "min", "p10", "p25", "median", "p75", "p90", "max"]
    assert out.splitlines()[2].split() == ["return", "1", "0", *["1"] * 7]
    assert "worst return 1, seed 1000003" in out
    assert "success 100% of returns >= 1" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "7"], "has no such model, so none was loaded; it has 1, 13"),
        (["--model", "best"], "neither 'latest', nor an id, nor a folder"),
        (["--model", "model.ckpt-3.txt"], "there is no such file"),
        (["--app", "gym:CartPol-v1"], "did you mean gym:CartPole-v1"),
        (["--conf", "/nowhere.toml"], "/nowhere.toml cannot be read"),
        (["--run", "/nowhere"], "/nowhere is no run directory"),
        (["--plot", "a.xyz"], "--plot a.xyz must end in .png, .svg, .pdf"),
        (["--render", "a.png"], "--render a.png must end in .gif, .mp4, .html"),
        (["--model", "1", "--record", "/proc/nowhere"], "cannot be written"),
        (["--model", "1", "--plot", "/proc/nowhere.png"], "cannot be written"),
    ],
)
def test_a_wrong_wish_is_answered_in_words(make_run, capsys, arguments, words):
    run = make_run("catch", ids=(1, 13))
    assert evaluate.main(["--run", str(run.root), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_run_without_models(make_run, capsys):
    run = make_run("catch", ids=())
    assert evaluate.main(["--run", str(run.root)]) == 2
    assert "has no model yet" in capsys.readouterr().err


def test_the_agents_own_traceback_is_shown(make_run, capsys):
    run = make_run("catch", ids=(13,))
    assert evaluate.main(["--run", str(run.root)]) == 3
    err = capsys.readouterr().err
    assert 'raise ZeroDivisionError("thirteen")' in err
    assert "evaluate: VectorisedAgent.exploit raised ZeroDivisionError: thirteen" in err


@pytest.mark.parametrize("algo", ["vectorised", "kaiwu"])
def test_an_episode_that_never_ends_is_cut_and_named(make_run, result, capsys, monkeypatch, tmp_path, algo):
    monkeypatch.setattr(fake.Kaiwu, "exploit", lambda self, rows: [fake.ActData(action=0) for _ in rows])
    run = make_run("tests.arena.fake:Endless", algo)
    wish = ["--trust", "--run", str(run.root), "--episodes", "3", "--max-steps", "40"]
    figures = result(*wish, "--record", str(tmp_path / "episodes"))
    assert figures["cut"] == [1000003, 1000004, 1000005]
    assert [(one["length"], one["cut"]) for one in figures["each"]] == [(40, True)] * 3
    assert figures["return"]["mean"] == 20
    assert evaluate.main(wish) == 0
    out = capsys.readouterr().out
    assert "3 of 3 episodes had not ended after 40 steps and were cut (seeds 1000003, 1000004, 1000005)" in out
    assert "best return 20 (cut), seed 1000003" in out
    assert replay.main([figures["each"][0]["file"], "--trust"]) == 0
    assert "stops before the episode is over" in capsys.readouterr().out


def test_an_episode_that_ends_at_the_bound_is_not_cut(make_run, result):
    run = make_run("catch")
    figures = result("--run", str(run.root), "--episodes", "3", "--max-steps", "9")
    assert (figures["cut"], figures["max_steps"]) == ([], 9)
    assert result("--run", str(run.root), "--episodes", "3", "--max-steps", "8")["cut"] == [1000003, 1000004, 1000005]
    assert result("--run", str(run.root), "--episodes", "1")["max_steps"] == MOST_STEPS


def test_progress_is_told_from_time_to_time_while_no_episode_ends():
    now, said = [0.0], []
    progress = Progress(4, 1000, said.append, clock=lambda: now[0])
    for turn in range(1, 481):
        now[0] += 0.125
        progress.watch([turn] * 4)
    assert len(said) == 6
    assert (
        said[-1]
        == "0 of 4 episodes are over, 4 under way, the longest at 480 steps (cut at 1,000); 1,920 steps in 60 s"
    )


class Leaving(fake.Fickle):
    """Calls exit where it is told to."""

    def __init__(self, where="step", render_mode=None):
        super().__init__(render_mode)
        self.where = where
        self.leave("__init__")

    def leave(self, where):
        if where == self.where:
            sys.exit(0)

    def reset(self, **named):
        self.leave("reset")
        return super().reset(**named)

    def step(self, action):
        self.leave("step")
        return super().step(action)


@pytest.mark.parametrize("where", ["__init__", "reset", "step"])
def test_an_environment_that_calls_exit_is_no_success(make_run, capsys, where):
    run = make_run("tests.arena.test_evaluate:Leaving")
    assert evaluate.main(["--trust", "--run", str(run.root), "--env-conf", f"where={where}"]) == 3
    assert "called exit (0, SystemExit)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("algo", "where", "told"),
    [
        ("vectorised", "step", "step"),
        ("vectorised", "constructor", "its constr"),
        ("kaiwu", "constructor", "its constr"),
    ],
)
def test_an_environment_that_raises_is_told_as_the_environments(make_run, capsys, algo, where, told):
    run = make_run("tests.arena.board:Broken", algo)
    assert evaluate.main(["--trust", "--run", str(run.root), "--env-conf", f"where={where}", "--compare", "0"]) == 1
    assert f"evaluate: the environment raised RuntimeError in {told}" in capsys.readouterr().err


@pytest.mark.parametrize("algo", ["vectorised", "kaiwu"])
def test_sampled_actions_are_those_of_predict(make_run, result, algo):
    run = make_run("gym:CartPole-v1", algo)
    wish = ("--run", run.root, "--episodes", 6, "--max-steps", 200)
    greedy, sampled = result(*wish, "--compare", 0), result(*wish, "--compare", 0, "--sample")
    assert (greedy["actions"], sampled["actions"], greedy["compared"]) == ("greedy", "sampled", None)
    assert greedy["notes"] == sampled["notes"] == []
    compared = result(*wish)["compared"]
    assert compared == {
        "episodes": 6,
        "greedy": greedy["return"]["mean"],
        "sampled": sampled["return"]["mean"],
        "cut": 0,
        "differ": algo == "kaiwu",  # the other always leans to one side
    }
    assert result(*wish, "--sample")["compared"] | {"cut": 0} == compared


@pytest.mark.parametrize(("flags", "told"), [([], "With --sample it is"), (["--sample"], "Without --sample it is")])
def test_modes_that_differ_much_are_told(make_run, capsys, flags, told):
    run = make_run("catch")
    assert evaluate.main(["--run", str(run.root), *flags]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.startswith("greedy and sampled actions differ much: in the first 8 episodes the mean return is 1 with")
    assert told.lower() in line


def test_modes_that_do_not_differ_are_not_told(make_run, result):
    run = make_run("gym:Pendulum-v1", extra="max_episode_steps = 5\n")
    figures = result("--run", run.root, "--episodes", 6)
    assert figures["notes"] == []
    assert figures["compared"]["differ"] is False


def test_a_predict_that_fails_here_does_not_cost_the_result(make_run, result, capsys):
    run = make_run("gym:CartPole-v1", ids=(14,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fake.VectorisedAgent, "exploit", lambda self, rows: {"action": np.zeros(len(rows), np.int64)})
        figures = result("--run", run.root, "--episodes", 6)
    assert figures["episodes"] == 6
    (note,) = figures["notes"]
    assert note.startswith(
        "not compared with sampled actions: VectorisedAgent.predict raised ZeroDivisionError: fourteen."
    )
    assert note.endswith("tests/arena/fake.py, line 38, in predict.")
    assert evaluate.main(["--run", str(run.root), "--sample"]) == 3
    assert "VectorisedAgent.predict raised ZeroDivisionError: fourteen" in capsys.readouterr().err


@pytest.mark.parametrize("app", ["tests.arena.fake:Strict", "gym:Pendulum-v1"])
def test_chance_plays_whatever_is_legal(result, tmp_path, monkeypatch, app, capsys):
    monkeypatch.setenv("runs_dir", str(tmp_path / "none"))
    monkeypatch.delenv("algo_conf")
    wish = ("--app", app, "--model", "random", "--episodes", 3, "--max-steps", 30)
    figures = result(*wish, "--record", tmp_path / "episodes")
    assert (figures["algo"], figures["model"], figures["actions"]) == ("random", "random", "random")
    assert figures["compared"] is None
    again = result(*wish)
    assert [one["return"] for one in again["each"]] == [one["return"] for one in figures["each"]], "seeds decide"
    assert replay.main([figures["each"][0]["file"], "--trust"]) == 0
    with pytest.raises(SystemExit):
        evaluate.main(["--model", "random", "--sample"])
    assert "--sample says how a model acts" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("app", "told"),
    [
        ("Blind", "render raised RuntimeError: no display"),
        ("Blind how=nothing", "render returned nothing"),
        ("Blind how=text", "render returned text"),
        ("Blind how=shares", "render returned float64 from 0.5 to 0.5"),
        ("Blind how=constructor", "OSError: no display"),
        ("Unrendered", "it takes no argument render_mode"),
    ],
)
def test_what_cannot_be_drawn_is_told_before_anything_is_played(make_run, capsys, monkeypatch, tmp_path, app, told):
    name, _, conf = app.partition(" ")
    run = make_run(f"tests.arena.fake:{name}")
    monkeypatch.setattr("kaimesh.arena.evaluate.play", None)  # nothing is played
    words = ["--trust", "--run", str(run.root), *(["--env-conf", conf] if conf else [])]
    assert evaluate.main([*words, "--render", str(tmp_path / "out.gif")]) == 2
    err = capsys.readouterr().err
    assert f"tests.arena.fake:{name} draws no pictures here ({told})" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("app", "told"),
    [
        ("Blind how=grows", "draws pictures of different sizes, [1, 2, 3] and after 1 steps [2, 2, 3]"),
        ("Blind how=late", "render raised ValueError: the window was closed"),
        ("Breaks", "raised ConnectionError in step, after 0 steps: the game server closed the connection; so the"),
    ],
)
def test_an_environment_that_fails_when_it_is_drawn_does_not_cost_the_result(make_run, capsys, tmp_path, app, told):
    name, _, conf = app.partition(" ")
    run = make_run(f"tests.arena.fake:{name}")
    words = ["--trust", "--run", str(run.root), *(["--env-conf", conf] if conf else [])]
    assert evaluate.main([*words, "--episodes", "2", "--render", str(tmp_path / "out.gif")]) == 2
    out, err = capsys.readouterr()
    assert "vectorised, model 1: 2 episodes" in out
    assert told in err
    assert "Traceback" not in err


def test_a_file_that_cannot_be_written_does_not_cost_the_result(make_run, capsys):
    run = make_run("catch")
    assert evaluate.main(["--run", str(run.root), "--episodes", "2", "--record", "/proc/nowhere"]) == 2
    out, err = capsys.readouterr()
    assert "catch, vectorised, model 1: 2 episodes" in out
    assert "evaluate: /proc/nowhere cannot be written" in err
