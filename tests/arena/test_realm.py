"""The realm as the contest evaluates it, by both kinds of agents: figures, held-out treasures, recordings."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from kaimesh import envs
from kaimesh.arena import evaluate
from kaimesh.arena.arguments import SEED
from kaimesh.arena.recording import Recording
from kaimesh.envs.realm.atlas import find
from kaimesh.envs.realm.map import RealmMap
from kaimesh.envs.realm.oracle import optimum
from kaimesh.envs.realm.task import TEST, is_in
from tests.arena import walkers

PROTOCOL = walkers


@pytest.fixture
def meadow(tmp_path):
    """A run on a map without inner walls, where walking straight is right."""
    free = np.zeros((32, 32), bool)
    free[1:-1, 1:-1] = True
    path = tmp_path / "meadow.json"
    RealmMap(free, find("realm-mini").points, "meadow").save(path)
    return f'env_conf = {{map_file = "{path}"}}\nmax_episode_steps = 400\n'


@pytest.fixture(params=["walker", "kaiwu_walker"])
def run(request, make_run, meadow):
    return make_run("realm-mini", request.param, (0, 5), meadow)


def replayed(one):
    """The recorded episode, played again; its environment."""
    recording = Recording.load(one["file"])
    env = envs.make_vector(recording.app, 1, env_conf=recording.env_conf, max_episode_steps=recording.max_episode_steps)
    env.reset(seed=recording.seed)
    total = 0.0
    for t, action in enumerate(recording.actions):
        _, _, terminated, truncated, _ = env.step(action[None])
        total += env.true_rewards[0]
        assert (terminated[0] or truncated[0]) == (t == len(recording.actions) - 1)
    assert total == pytest.approx(recording.score, abs=1e-3)
    return recording, env


def test_the_figures_are_those_of_the_episodes(run, result, tmp_path):
    figures = result("--trust", "--run", run.root, "--episodes", 12, "--model", 0, "--record", tmp_path / "rec")
    assert figures["report"]["arrived"]["mean"] == 1
    assert figures["report"]["treasures_missed"]["mean"] < 1
    assert 0.8 < figures["report"]["share_of_optimum"]["mean"] <= 1
    assert [one["seed"] for one in figures["each"]] == list(range(SEED, SEED + 12))
    for one in figures["each"]:
        recording, env = replayed(one)
        assert (recording.score, len(recording.actions)) == (one["return"], one["length"])
        realm = env.unwrapped
        asked = np.flatnonzero(realm.state.asked[0]).tolist()
        best = optimum(realm.map, start=2, end=1, treasures=asked, max_step=400)
        assert one["report"] == {
            "share_of_optimum": pytest.approx(one["return"] / best.score),
            "arrived": True,
            "treasures_missed": 5 - realm.state.treasures[0],
            "treasures": realm.state.treasures[0],
            "bumps": realm.state.bumps[0],
            "flashes": realm.state.flashes[0],
            "buffs": realm.state.buffs[0],
            "optimum": best.score,
            "optimum_steps": best.steps,
        }
        assert one["length"] >= best.steps or one["report"]["treasures_missed"]
    assert {Recording.load(one["file"]).model for one in figures["each"]} == {f"{figures['algo']}, model 0"}


def test_both_kinds_of_agents_play_the_same(make_run, meadow, result):
    def played(algo):
        run = make_run("realm-mini", algo, (0,), meadow)
        episodes = result("--trust", "--run", run.root, "--episodes", 40)["each"]
        return [one | {"return": round(one["return"], 3)} for one in episodes]  # the vectorised one adds up float32

    vectorised, kaiwu = played("walker"), played("kaiwu_walker")
    assert vectorised == kaiwu


def test_two_models_meet_the_same_episodes(run, result):
    more = result("--trust", "--run", run.root, "--episodes", 40, "--model", 0)["each"]
    assert result("--trust", "--run", run.root, "--episodes", 3, "--model", 0)["each"] == more[:3]
    other = result("--trust", "--run", run.root, "--episodes", 40, "--model", 5)["each"]
    assert [one["report"]["optimum"] for one in other] == [one["report"]["optimum"] for one in more]
    assert [one["return"] for one in other] != [one["return"] for one in more], (
        "it does not see the treasure at point 5"
    )


def test_the_contests_settings(run, result, capsys):
    common = ("--trust", "--run", run.root, "--episodes", 20, "--model", 0)
    some = result(*common, "--treasures", "3-6")["each"]
    wanted = [one["report"]["treasures"] + one["report"]["treasures_missed"] for one in some]
    assert set(wanted) == {3, 4, 5, 6}
    assert result(*common, "--treasures", "13")["report"]["treasures"]["max"] > 9
    short = result(*common, "--env-conf", "max_step=12", "--env-conf", "treasure_id=[3, 4]")
    assert short["length"]["max"] <= 12
    assert short["report"]["optimum"]["std"] < 1e-9, "always the same treasures"
    assert short["env_conf"]["treasure_id"] == [3, 4]
    for wrong, words in (
        (["--treasures", "many"], "write a number, such as 9"),
        (["--treasures", "14"], "treasure_num = 14 must be"),
        (["--treasury", "9"], "unrecognized arguments: --treasury 9, so nothing was played"),
        (["--env-conf", "max_step"], "is not key=value"),
        (["--env-conf", "max_stepp=3"], "did you mean 'max_step'"),
    ):
        assert evaluate.main([*map(str, common), *wrong]) == 2
        assert words in capsys.readouterr().err


def test_what_training_left_out_is_what_is_played(run, result, tmp_path):
    run.conf.write_text(run.conf.read_text().replace("env_conf = {", 'env_conf = {treasure_sets = "train", '))
    common = ("--trust", "--run", run.root, "--episodes", 30, "--record", tmp_path / "rec")

    def share_held_out(figures):
        sets = [
            sum(1 << int(n) for n in np.flatnonzero(replayed(one)[1].unwrapped.state.asked[0]))
            for one in figures["each"]
        ]
        return np.mean([is_in(TEST, treasures) for treasures in sets])

    held_out = result(*common)
    assert held_out["notes"] == ["played with treasure_sets = 'test'; training had 'train'"]
    assert share_held_out(held_out) == 1
    for choice, share in (("train", 0.0), ("all", 0.2)):
        named = result(*common, "--env-conf", f"treasure_sets={choice}")
        assert named["notes"] == []
        assert share_held_out(named) == pytest.approx(share, abs=0.0 if choice == "train" else 0.3)


def test_words_picture_and_recordings(run, capsys, tmp_path):
    out, folder = tmp_path / "plot.png", tmp_path / "rec"
    arguments = ["--trust", "--run", run.root, "--episodes", 10, "--model", 5, "--plot", out, "--record", folder]
    assert evaluate.main(list(map(str, arguments))) == 0
    text = capsys.readouterr().out
    assert "share of the optimum " in text
    assert "arrived 100%" in text
    shares = {}
    for path in folder.iterdir():
        recording = Recording.load(path)
        env = replayed({"file": path})[1]
        shares[path.name] = envs.episode_report(env)["share_of_optimum"]
        assert f"seed-{recording.seed}" in path.name
    assert len(shares) == 10
    lines = text.splitlines()
    assert next(line for line in lines if line.startswith("worst")).endswith(min(shares, key=shares.get))
    assert next(line for line in lines if line.startswith("best")).endswith(max(shares, key=shares.get))
    with Image.open(out) as picture:
        assert picture.format == "PNG"


def test_a_timeout_is_worth_nothing(run, result):
    figures = result("--trust", "--run", run.root, "--episodes", 4, "--env-conf", "max_step=3")
    assert figures["return"]["max"] == figures["report"]["arrived"]["mean"] == 0
    assert figures["length"]["min"] == figures["length"]["max"] == 3
