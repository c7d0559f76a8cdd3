"""Absolute paths of users' code: led to the overlay and to folders of the run; what links lead to is never written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kaimesh import ROOT
from kaimesh.config.code import overlay, paths
from kaimesh.config.code.paths import Paths
from tests.code.sample import write

NOWHERE = "/data"  # on this machine, or the test says nothing
SCRIPT = """
import os, shutil
from pathlib import Path
import numpy as np
from kaimesh.config.code.paths import Paths
os.chdir({place!r})
root, run = Path({root!r}), Path({run!r})
Paths(root, Path({place!r}), {{"/data/ckpt": run / "restore"}}, run / "outside").install()
with open(root / "log/old.log", "a") as file:
    file.write("more")
with open("log/old.log", "a") as file:
    file.write(" and more")
with open("log/new.log", "w") as file:
    file.write("over")
Path(root, "sub").mkdir()
Path("big.bin").write_bytes(b"small")
os.chmod("ckpt/a.pkl", 0o600)
os.rename("ckpt/b.pkl", "ckpt/c.pkl")
os.remove("ckpt/d.pkl")
os.makedirs("/data/projects/game/debug/x", exist_ok=True)
np.save("/data/projects/game/debug/x/a.npy", np.zeros(3))
os.makedirs("/data/ckpt/game_ppo", exist_ok=True)
Path("/data/ckpt/game_ppo/z").write_text("z")
Path("/workspace/train").mkdir(parents=True)
assert os.path.exists("/workspace/train") and sorted(os.listdir("/data/ckpt/game_ppo")) == ["z"]
assert np.load("debug/x/a.npy").shape == (3,)
shutil.rmtree("sub")
shutil.copyfile("log/new.log", "ckpt/e.pkl")
from kaimesh.config.code import overlay
print(overlay.digest(root))
"""


@pytest.mark.skipif(os.path.lexists(NOWHERE) or os.path.lexists("/workspace"), reason="they exist here")
def test_nothing_of_the_users_is_written(tmp_path: Path) -> None:
    names = ("log/old.log", "log/new.log", "ckpt/a.pkl", "ckpt/b.pkl", "ckpt/d.pkl", "ckpt/e.pkl", "diy/a.py")
    root, run = write(tmp_path / "root", dict.fromkeys(names, "old ")), tmp_path / "run"
    (root / "big.bin").write_bytes(bytes(2 << 20))
    modes = [(root / name).stat().st_mode for name in names]
    before, place = overlay.digest(root), run / "code"
    overlay.make(root, place)
    script = SCRIPT.format(root=str(root), run=str(run), place=str(place))
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert overlay.digest(root) == before == done.stdout.strip()
    assert modes == [(root / name).stat().st_mode for name in names]
    assert (place / "log/old.log").read_text() == "old more and more"
    assert (place / "log/new.log").read_text() == "over"
    assert (place / "big.bin").read_bytes() == b"small"
    assert (place / "ckpt/c.pkl").is_symlink()
    assert not (place / "ckpt/d.pkl").exists()
    assert (place / "debug/x/a.npy").is_file()
    assert (run / "restore/game_ppo/z").is_file()
    assert (run / "outside/workspace/train").is_dir()
    assert not os.path.lexists(NOWHERE)


def test_where_paths_lead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "FOREIGN", ("/data", "/workspace"))
    monkeypatch.setattr(os.path, "lexists", lambda path: path == "/workspace")
    root, run = tmp_path, tmp_path / "runs/one"  # a run below the user's folder itself
    lead = Paths(root, run / "code", {"/data/ckpt": run / "restore"}, run / "outside").lead
    assert lead(f"{root}/a/../b.py") == f"{run}/code/b.py"
    assert lead(Path(root, "a")) == f"{run}/code/a"
    assert lead(str(root)) == f"{run}/code"
    assert lead(f"{root}x/a") == f"{root}x/a"
    assert lead(f"{run}/code/a") == f"{run}/code/a"
    assert lead("/data/projects/game/ckpt/x") == f"{run}/code/ckpt/x"
    assert lead("/data/ckpt/game_ppo") == f"{run}/restore/game_ppo"
    assert lead("/data/other") == f"{run}/outside/data/other"
    assert lead("/database") == "/database"
    assert lead("/workspace/train") == "/workspace/train"
    assert lead("relative/a") == "relative/a"
    assert lead(3) == 3
    assert lead(b"/data/x") == b"/data/x"
