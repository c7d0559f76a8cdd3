"""`tools/replay.sh` end to end: scores, films, pages, and recordings that do not fit."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kaimesh import envs
from kaimesh.arena import replay
from kaimesh.arena.again import Replay
from kaimesh.arena.recording import Recording
from kaimesh.contract.errors import EXIT_CONFIG, EXIT_CRASH, ConfigError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def here(monkeypatch):
    monkeypatch.delenv("KAIMESH_FROM", raising=False)


def record(app: str, *, seed: int = 11, steps: int = 60, limit: int = 0, **env_conf) -> tuple[Recording, list]:
    """An episode of random actions, and the places of its hero, if it has one."""
    env = envs.make_vector(app, 1, env_conf=env_conf, max_episode_steps=limit)
    random = np.random.default_rng(seed)
    env.reset(seed=seed)
    state = getattr(env.unwrapped, "state", None)
    actions, places, score = [], [], 0.0
    while len(actions) < steps:
        spaces = env.spaces
        if spaces.action_kind == "discrete":
            action = random.integers(spaces.action_size)
        else:
            action = random.uniform(-1, 1, spaces.action_size).astype(np.float32)
        if hasattr(state, "x"):
            places.append((float(state.x[0]), float(state.z[0])))
        _, _, terminated, truncated, _ = env.step(np.asarray(action)[None])
        actions.append(action)
        score += float(env.true_rewards[0])
        if terminated[0] or truncated[0]:
            break
    if hasattr(state, "x"):
        places.append((float(state.x[0]), float(state.z[0])))
    env.close()
    return Recording(app, env_conf, limit, seed, np.stack(actions), score, "random <b>actions</b>"), places


@pytest.fixture(scope="module")
def realm() -> tuple[Recording, list]:
    recording, places = record("realm-mini", steps=300, max_step=300, treasure_num=13)
    assert recording.score == 0, "the time was over, so that the last reward takes back what the treasures gave"
    return recording, places


def run(tmp_path, capsys, recording, *arguments) -> tuple[int, dict, str]:
    path = tmp_path / "episode.json"
    recording.save(path)
    code = replay.main([str(path), *map(str, arguments), "--json"])
    out = capsys.readouterr()
    return code, json.loads(out.out) if out.out else {}, out.err


def page_data(path: Path) -> dict:
    return json.loads(re.search(r'<script id="episode" type="application/json">(.*?)</script>', path.read_text())[1])


@pytest.mark.parametrize(
    ("app", "conf"),
    [
        ("realm-mini", {"max_step": 40}),
        ("realm", {"treasure_num": [3, 9], "observation": "bytes", "max_step": 500}),
        ("catch", {}),
        ("gym:CartPole-v1", {}),
        ("gym:Pendulum-v1", {}),
        ("gym:kaimesh/RealmMini-v0", {}),
    ],
)
def test_an_episode_comes_out_as_recorded(tmp_path, capsys, app, conf):
    recording, _ = record(app, **conf)
    code, result, err = run(tmp_path, capsys, recording)
    assert (code, err) == (0, "")
    assert result["score"] == pytest.approx(recording.score, abs=1e-9)
    assert result["steps"] == len(recording.actions)
    assert "out" not in result


def test_the_recording_of_the_documentation_is_still_right():
    """If the rules change on purpose, it has to be recorded again, and its GIF made again."""
    recording = Recording.load(ROOT / "docs/results/realm-mini-follower.json")
    again = Replay(recording)
    for _ in again:
        pass
    assert again.over
    assert again.difference() == ""


def test_a_score_in_between_comes_out_too(tmp_path, capsys, realm):
    """The reward of a treasure is in the middle of the episode, not only at its end."""
    recording, _ = realm
    again = Replay(recording)
    scores = [again.score for _ in again]
    assert max(scores) >= 100
    stop = int(np.argmax(scores))
    shorter = recording._replace(actions=recording.actions[:stop], score=max(scores))
    code, result, _ = run(tmp_path, capsys, shorter)
    assert code == 0
    assert (result["score"], result["over"]) == (max(scores), False)


@pytest.mark.parametrize("change", ["score", "actions", "map", "longer"])
def test_an_episode_that_comes_out_otherwise_is_told(tmp_path, capsys, realm, change):
    again = Replay(realm[0])
    scores = [again.score for _ in again]
    stop = int(np.argmax(scores))
    good = realm[0]._replace(actions=realm[0].actions[:stop], score=max(scores))
    assert run(tmp_path, capsys, good)[0] == 0
    changed = {
        "score": good._replace(score=good.score + 0.2),
        "actions": good._replace(actions=np.zeros_like(good.actions)),
        "map": good._replace(env_conf={**good.env_conf, "map_seed": 5}),
        "longer": realm[0]._replace(actions=np.append(realm[0].actions, [0, 0])),
    }[change]
    code, result, err = run(tmp_path, capsys, changed)
    assert code == EXIT_CRASH
    assert result["difference"]
    assert result["difference"] in err
    assert "another version" in err
    told = "300 of 302 actions" if change == "longer" else f"{changed.score:.6g} was recorded"
    assert told in err


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("version", 99, "version = 99"),
        ("actions", [0, "up"], "actions[1] = 'up'"),
        ("actions", [0, 16], "actions[1] = 16"),
        ("actions", [[0.5]], "float32 (1, 1)"),
        ("app", "relm", "app = 'relm'"),
        ("env_conf", {"treasures": 3}, "treasures"),
    ],
)
def test_a_tampered_file_is_refused_by_name(tmp_path, capsys, realm, field, value, named):
    path = tmp_path / "episode.json"
    realm[0].save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    assert replay.main([str(path), "-o", str(tmp_path / "out.gif")]) == EXIT_CONFIG
    out = capsys.readouterr()
    assert named in out.err
    assert not out.out
    assert not (tmp_path / "out.gif").exists()


def test_a_gif_of_the_realm(tmp_path, capsys, realm):
    out = tmp_path / "out.gif"
    code, result, _ = run(tmp_path, capsys, realm[0], "-o", out, "--every", 25, "--fps", 5)
    assert code == 0
    assert result["frames"] == 300 // 25 + 1
    with Image.open(out) as image:
        assert image.n_frames == result["frames"]
        assert image.info["duration"] == 200
        again = Replay(realm[0], draws=True)
        expected = [again.picture() for step in again if step % 25 == 0]
        again.close()
        for k in (0, 6, image.n_frames - 1):
            image.seek(k)
            far = np.abs(np.asarray(image.convert("RGB"), int) - expected[k]).max(-1)
            assert np.mean(far > 40) < 1e-3, "255 colours are enough"


def test_long_episodes_are_thinned_out(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(replay.MOST_FRAMES, ".gif", 10)
    recording, _ = record("catch", rows=26)
    code, result, _ = run(tmp_path, capsys, recording, "-o", tmp_path / "out.gif")
    assert (code, result["every"], result["frames"]) == (0, 3, 10)  # 0, 3, ... 24, and the last one
    assert result["steps"] == 25


def test_a_film_of_another_environment(tmp_path, capsys):
    recording, _ = record("gym:CartPole-v1")
    code, result, _ = run(tmp_path, capsys, recording, "-o", tmp_path / "folder" / "out.mp4")
    assert code == 0
    assert result["frames"] == len(recording.actions) + 1
    assert result["bytes"] > 1000


def test_a_page_of_the_realm_has_every_place(tmp_path, capsys, realm):
    recording, places = realm
    out = tmp_path / "out.html"
    code, result, _ = run(tmp_path, capsys, recording, "-o", out)
    assert code == 0
    assert result["bytes"] < 1_000_000
    episode = page_data(out)
    np.testing.assert_allclose(np.transpose([episode["data"]["x"], episode["data"]["z"]]), places, atol=0.051)
    columns = {column["name"]: column["values"] for column in episode["columns"]}
    assert {name: len(values) for name, values in columns.items()} == dict.fromkeys(columns, 301)
    assert columns["step"][7] == "7 / 300"
    assert columns["score"][-1] == "0.0"
    assert max(map(float, columns["score"])) == 100 * len(episode["data"]["taken"])
    directions = ["East", "North-East", "North", "North-West", "West", "South-West", "South", "South-East"]
    for k, action in enumerate(recording.actions, 1):
        assert columns["action"][k].removeprefix("flash ") == directions[action % 8]
        assert (k in episode["data"]["jumps"]) == columns["action"][k].startswith("flash")
    assert "".join(episode["data"]["rows"]).count(".") > 100
    assert [text for k, text in episode["events"] if k == 300] == ["300: time over, score 0.0"]


def test_a_page_of_another_environment_has_every_picture(tmp_path, capsys):
    recording, _ = record("gym:CartPole-v1")
    out = tmp_path / "out.html"
    assert run(tmp_path, capsys, recording, "-o", out)[0] == 0
    episode = page_data(out)
    assert len(episode["data"]["frames"]) == len(recording.actions) + 1
    assert all(frame.startswith("data:image/") for frame in episode["data"]["frames"])
    assert episode["columns"][2]["values"] == ["", *map(str, recording.actions)]


def test_a_page_needs_nothing_and_runs_nothing_from_outside(tmp_path, capsys, realm):
    out = tmp_path / "out.html"
    run(tmp_path, capsys, realm[0], "-o", out)
    text = out.read_text()
    assert not re.findall(r"https?://|<link|\bsrc\s*=\s*[\"']|@import|fetch\(", text)
    assert "default-src 'none'" in text
    assert "<b>" not in text, "a model's name is text"
    assert not re.findall(r"<!--[A-Z]+-->|/\*[A-Z]+\*/", text), "every mark was replaced"


STUB = """
const made = [];
function node(tag) {
  const pen = new Proxy({}, { get: (held, name) =>
                                name in held ? held[name] : (...given) => { pens.push([name, ...given]); },
                              set: (held, name, value) => { held[name] = value; return true; } });
  const it = { tag, style: {}, children: [], listeners: {}, textContent: "", clientWidth: 640, getContext: () => pen,
    appendChild(child) { it.children.push(child); }, addEventListener(name, f) { it.listeners[name] = f; }, blur() {} };
  made.push(it);
  return it;
}
const pens = [], ids = {}, keys = {};
const document = { createElement: node, querySelectorAll: () => [], getElementById: (id) => ids[id] ??= node(id),
  addEventListener: (name, f) => { keys[name] = f; } };
const window = { devicePixelRatio: 2, addEventListener() {} };
const performance = { now: () => 0 };
let frame = null;
const requestAnimationFrame = (f) => { frame = f; };
class Image { addEventListener() {} get complete() { return true; } }
"""
CHECKS = """
const told = () => ids.now.children.filter((one) => one.tag === "dd").map((one) => one.textContent);
const press = (key, more = {}) => keys.keydown({ key, preventDefault() {}, ...more });
const report = [told()];
press("ArrowRight"); press("ArrowRight"); report.push(told());
press("ArrowRight", { shiftKey: true }); press("ArrowLeft"); report.push(told());
press("End"); report.push(told());
press(" "); frame(0); frame(1000); report.push(told());
press("ArrowUp"); press("ArrowUp"); report.push(ids.speed.value);
ids.slider.value = "5"; ids.slider.listeners.input(); report.push(told());
const wrong = pens.flat().filter((x) => Number.isNaN(x)).length;
console.log(JSON.stringify({ report, drawn: pens.map((one) => one[0]), wrong }));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="runs the page's script, which takes node")
@pytest.mark.parametrize("app", ["realm-mini", "gym:CartPole-v1"])
def test_the_page_plays(tmp_path, capsys, realm, app):
    """Its keys and its slider, on a document that only remembers what it is told."""
    recording = realm[0] if app == "realm-mini" else record(app, seed=5)[0]
    out = tmp_path / "out.html"
    run(tmp_path, capsys, recording, "-o", out, "--fps", 8)
    text = out.read_text()
    script = re.search(r'<script>\n"use strict";(.*)</script>', text, re.S)[1]
    data = f'document.getElementById("episode").textContent = {json.dumps(json.dumps(page_data(out)))};'
    with tempfile.NamedTemporaryFile("w", suffix=".js", dir=tmp_path) as file:
        file.write("\n".join(['"use strict";', STUB, data, script, CHECKS]))
        file.flush()
        done = subprocess.run(["node", file.name], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    episode = page_data(out)
    last = len(recording.actions)

    def at(k: int) -> list[str]:
        return [str(column["values"][k]) for column in episode["columns"]]

    assert seen["report"] == [at(0), at(2), at(min(12, last) - 1), at(last), at(8), 4, at(5)]
    assert "drawImage" in seen["drawn"]
    assert seen["wrong"] == 0
    if app == "realm-mini":
        assert {"arc", "lineTo", "setLineDash"} <= set(seen["drawn"])


def test_another_format_and_no_pictures_are_refused(tmp_path, capsys, realm):
    for name in ("out.avi", "out"):
        code, _, err = run(tmp_path, capsys, realm[0], "-o", tmp_path / name)
        assert code == EXIT_CONFIG
        assert ".gif, .mp4, .html" in err
    (tmp_path / "folder.html").mkdir()
    code, _, err = run(tmp_path, capsys, realm[0], "-o", tmp_path / "folder.html")
    assert code == EXIT_CONFIG
    assert "cannot be written" in err


def test_an_environment_without_pictures_is_told():
    again = Replay(record("catch")[0])  # made without pictures
    with pytest.raises(ConfigError, match="draws no pictures"):
        again.picture()


def test_the_command_takes_paths_and_modules_from_where_it_was_typed(tmp_path):
    """The environment is in `envs.py`, which has the name of a room of ours."""
    (tmp_path / "envs.py").write_text("from gymnasium.envs.classic_control import CartPoleEnv as Mine\n")
    record("gym:CartPole-v1")[0]._replace(app="envs:Mine").save(tmp_path / "episode.json")
    done = subprocess.run(
        [ROOT / "tools" / "replay.sh", "episode.json", "-o", "out.html", "--trust"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "as recorded" in done.stdout
    assert (tmp_path / "out.html").is_file()
