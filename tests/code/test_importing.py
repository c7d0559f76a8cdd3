"""Which module wins, for every name of the user's and both kinds of packages; code has the path of the user's file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kaimesh import ROOT
from kaimesh.config.code import overlay
from tests.code.sample import write

NAMES = ("diy", "dqn", "ppo", "agent_ppo", "conf", "envs", "buffer", "utils", "tests", "docs", "requirements")


def run(root: Path, work: Path, *lines: str) -> object:
    """What `lines` leave in `out`, in a fresh process that has entered the folder's overlay."""
    place = work / "run" / "code"
    overlay.make(root, place)
    code = [
        "import json, sys",
        "from pathlib import Path",
        "from kaimesh.config.code import importing",
        f"importing.enter(Path({str(place)!r}), Path({str(root)!r}))",
        *lines,
        "print(json.dumps(out))",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(code)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["regular", "namespace"])
def test_the_users_package_wins_over_every_other(tmp_path: Path, kind: str) -> None:
    files = {f"{name}/inside/mine.py": "NAME = __name__\n" for name in NAMES}
    if kind == "regular":
        files |= {f"{name}/__init__.py": "" for name in NAMES} | {f"{name}/inside/__init__.py": "" for name in NAMES}
    root = write(tmp_path / "root", files)
    found = run(
        root,
        tmp_path,
        "import importlib",
        f"names = [f'{{name}}.inside.mine' for name in {NAMES!r}]",
        "out = [importlib.import_module(name).NAME for name in names]",
    )
    assert found == [f"{name}.inside.mine" for name in NAMES]


OURS = {
    "tools": "metrics_utils",
    "kaiwu_agent": "utils.common_func",
    "kaiwudrl": "interface.agent",
    "common_python": "utils.common_func",
    "arena_proto": "back_to_the_realm.custom_pb2",
}


@pytest.mark.parametrize("kind", ["regular", "namespace", "none"])
def test_packages_with_our_names_are_merged_theirs_first(tmp_path: Path, kind: str) -> None:
    files = {} if kind == "none" else {f"{name}/mine.py": "HERE = True\n" for name in OURS}
    files |= {f"{name}/__init__.py": "OWN = 1\n" for name in OURS} if kind == "regular" else {}
    root = write(tmp_path / "root", {"a.txt": "", **files})
    found = run(
        root,
        tmp_path,
        "import importlib",
        f"for name, ours in {OURS!r}.items(): importlib.import_module(f'{{name}}.{{ours}}')",
        f"own = [getattr(sys.modules[name], 'OWN', 0) for name in {list(OURS)}]",
        f"there = [{kind != 'none'} and importlib.import_module(f'{{name}}.mine').HERE for name in {list(OURS)}]",
        "out = [own, there]",
    )
    assert found == [[int(kind == "regular")] * len(OURS), [kind != "none"] * len(OURS)]


def test_a_module_of_theirs_stands_in_place_of_ours(tmp_path: Path) -> None:
    root = write(tmp_path / "root", {"tools/metrics_utils.py": "MINE = 1\n", "tools/run.sh": ""})
    lines = ("from tools import metrics_utils, map_data_utils", "out = [metrics_utils.MINE, map_data_utils.__name__]")
    assert run(root, tmp_path, *lines) == [1, "tools.map_data_utils"]


def test_a_folder_without_sources_or_with_a_name_of_pythons_own_hides_nothing(tmp_path: Path) -> None:
    root = write(tmp_path / "root", {"yaml/data.txt": "", "json/mine.py": "", "tools/train.sh": ""})
    lines = ("import yaml, tools.metrics_utils", "out = [hasattr(yaml, 'safe_load'), hasattr(json, 'dumps')]")
    assert run(root, tmp_path, *lines) == [True, True]


def test_code_has_the_path_of_the_users_file_and_nothing_is_written_there(tmp_path: Path) -> None:
    root = write(
        tmp_path / "root",
        {
            "diy/agent.py": "from pathlib import Path\nHERE = Path(__file__)\n\ndef fail():\n    raise ValueError\n",
            "ckpt/model.ckpt-1.pkl": "x",
        },
    )
    before = overlay.digest(root)
    found = run(
        root,
        tmp_path,
        "import traceback, os, diy.agent",
        "try:",
        "    diy.agent.fail()",
        "except ValueError as error:",
        "    frame = traceback.extract_tb(error.__traceback__)[-1]",
        "Path('made.txt').write_text('by the agent')",
        "(diy.agent.HERE.parent / 'beside.txt').write_text('by the agent')",
        "out = [frame.filename, frame.line, os.getcwd(), str(diy.agent.HERE), os.path.islink('ckpt/model.ckpt-1.pkl')]",
    )
    place = tmp_path / "run" / "code"
    assert found == [str(root / "diy/agent.py"), "raise ValueError", str(place), str(place / "diy/agent.py"), True]
    assert overlay.digest(root) == before
    assert (place / "made.txt").is_file()
    assert (place / "diy/beside.txt").is_file()


def test_the_overlay_follows_the_folder_and_keeps_what_agents_made(tmp_path: Path) -> None:
    root = write(tmp_path / "root", {"a.py": "1", "b/c.py": "2", ".git/x": "", "log/old.log": "y"})
    (root / "big.bin").write_bytes(bytes(2 << 20))
    place = tmp_path / "overlay"
    overlay.make(root, place)
    assert (place / "big.bin").is_symlink()
    assert (place / "log/old.log").is_symlink()
    assert not (place / "a.py").is_symlink()
    assert not (place / ".git").exists()
    (place / "made.txt").write_text("mine")
    (root / "a.py").write_text("3")
    overlay.make(root, place)
    assert (place / "a.py").read_text() == "3"
    assert (place / "made.txt").read_text() == "mine"


def test_the_digest_tells_a_changed_file_and_a_new_one(tmp_path: Path) -> None:
    root = write(tmp_path / "root", {"a.py": "1"})
    first = overlay.digest(root)
    (root / "a.py").write_text("2")
    second = overlay.digest(root)
    (root / "empty").mkdir()
    assert len({first, second, overlay.digest(root)}) == 3
