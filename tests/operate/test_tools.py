"""tools/*.sh, in a checkout of their own: the real .venv is never touched by a test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE = ".venv/lib/python3.11/site-packages"
LOCKS = {
    "run": "a==1\ntensorflow-cpu==2\n",
    "gpu": "a==1\nnvidia-a==3\ntensorflow==2\n",
    "test": "c==1\n",
    "torch": "d==1\n",
}
# A `uv` that makes a .venv around this Python and writes down what it was asked.
FAKE_UV = """#!/bin/bash
echo "$*" >>uv.calls
[ "$1" = venv ] || exit 0
mkdir -p .venv/bin
printf '#!/bin/bash\\nexec {python} "$@"\\n' >.venv/bin/python
chmod +x .venv/bin/python
"""
COMMANDS = (
    "bash",
    "cat",
    "comm",
    "cut",
    "dirname",
    "env",
    "flock",
    "grep",
    "mkdir",
    "chmod",
    "mv",
    "readlink",
    "rm",
    "sed",
    "sha256sum",
    "sleep",
    "sort",
)


class Checkout:
    """The scripts with a `bin` that holds the few commands of a bare machine; a test may add uv or python to it."""

    def __init__(self, root: Path) -> None:
        self.root, self.bin = root, root / "bin"
        shutil.copytree(ROOT / "tools", root / "tools")
        for name in ("kaimesh", "conf", "algorithms"):
            (root / name).symlink_to(ROOT / name)
        (root / "requirements").mkdir()
        for name, text in LOCKS.items():
            self.lock(name).write_text(text)
        self.bin.mkdir()
        for name in COMMANDS:
            (self.bin / name).symlink_to(str(shutil.which(name)))

    def lock(self, name: str) -> Path:
        return self.root / "requirements" / f"{name}.lock"

    def add(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def add_uv(self) -> None:
        self.add("uv", FAKE_UV.format(python=sys.executable))

    def popen(self, script: str, *words: str, cwd: Path | None = None, gpu: str = "") -> subprocess.Popen[str]:
        environ = {**os.environ, "PATH": str(self.bin), "runs_dir": str(self.root / "runs"), "COLUMNS": "200"}
        return subprocess.Popen(
            [self.root / "tools" / script, *words],
            cwd=cwd or self.root,
            env={**environ, "KAIMESH_GPU": gpu},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def call(self, script: str, *words: str, cwd: Path | None = None, gpu: str = "") -> tuple[int, str]:
        process = self.popen(script, *words, cwd=cwd, gpu=gpu)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    def calls(self) -> list[str]:
        path = self.root / "uv.calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    (tmp_path / "checkout").mkdir()
    return Checkout(tmp_path / "checkout")


def install(*names: str) -> str:
    """What uv is asked for these sets."""
    files = " ".join(f"-r requirements/{name}.lock" for name in names)
    return f"pip install --quiet --python .venv/bin/python --no-deps --require-hashes {files}"


def test_set_up_installs_once_and_again_when_the_lock_changed(checkout: Checkout) -> None:
    checkout.add_uv()
    code, output = checkout.call("setup.sh")
    assert code == 0, output
    assert "installing 2 packages of run.lock into .venv with uv" in output
    assert "done in" in output
    assert checkout.calls() == ["venv --quiet --python 3.11 .venv", install("run")]
    assert checkout.call("setup.sh") == (0, "")
    checkout.lock("run").write_text("a==2\n")
    assert checkout.call("setup.sh")[0] == 0
    assert checkout.calls()[2:] == [install("run")]


def test_further_sets_are_added_and_stay(checkout: Checkout) -> None:
    checkout.add_uv()
    for words, asked in ((("test",), ("run", "test")), ((), None), (("torch",), ("run", "torch")), (("test",), None)):
        before = len(checkout.calls())
        assert checkout.call("setup.sh", *words)[0] == 0
        assert [call for call in checkout.calls()[before:] if "install" in call] == ([install(*asked)] if asked else [])
    checkout.lock("test").write_text("c==2\n")
    assert checkout.call("setup.sh") == (0, "")
    assert checkout.call("setup.sh", "test", "torch")[0] == 0
    assert checkout.calls()[-1] == install("run", "test", "torch")


def test_a_gpu_is_asked_for_once_and_given_back(checkout: Checkout) -> None:
    checkout.add_uv()
    assert checkout.call("setup.sh")[0] == 0
    leave = "pip uninstall --quiet --python .venv/bin/python"
    assert checkout.call("setup.sh", gpu="1")[0] == 0
    assert checkout.calls()[2:] == [f"{leave} tensorflow-cpu", install("gpu")]
    assert checkout.call("setup.sh") == (0, "")
    assert checkout.call("setup.sh", "test")[0] == 0
    assert checkout.calls()[4:] == [install("gpu", "test")]
    assert checkout.call("setup.sh", gpu="0")[0] == 0
    assert checkout.calls()[5:] == [f"{leave} nvidia-a tensorflow", install("run")]
    assert checkout.call("setup.sh", "test") == (0, "")


def test_tensorflow_and_pytorch_with_cuda_share_no_venv(checkout: Checkout) -> None:
    checkout.add_uv()
    for before, (words, gpu) in ((("torch",), ((), "1")), ((), (("torch",), "1"))):
        assert checkout.call("setup.sh", *before)[0] == 0
        calls = checkout.calls()
        code, output = checkout.call("setup.sh", *words, gpu=gpu)
        assert code == 1
        assert "cannot share a .venv" in output
        assert checkout.calls() == calls


@pytest.mark.parametrize(("words", "gpu", "said"), [(("jax",), "", "no set jax"), ((), "yes", "KAIMESH_GPU=yes")])
def test_what_no_set_is_called_is_told(checkout: Checkout, words: tuple[str, ...], gpu: str, said: str) -> None:
    checkout.add_uv()
    code, output = checkout.call("setup.sh", *words, gpu=gpu)
    assert code == 1
    assert said in output
    assert checkout.calls() == []


def test_two_first_starts_take_turns(checkout: Checkout) -> None:
    checkout.add_uv()
    both = [checkout.popen("setup.sh"), checkout.popen("setup.sh")]
    assert [process.communicate(timeout=60) and process.returncode for process in both] == [0, 0]
    assert len(checkout.calls()) == 2


def test_an_interrupted_set_up_goes_on_without_the_half_of_a_package(checkout: Checkout) -> None:
    checkout.add("uv", FAKE_UV.format(python=sys.executable).replace("|| exit 0", "|| exit 7"))
    assert checkout.call("setup.sh", "test")[0] == 7
    whole, half = (checkout.root / SITE / f"{name}-1.dist-info" for name in "ab")
    for folder, last in ((whole, "INSTALLER"), (half, "METADATA")):
        folder.mkdir(parents=True)
        (folder / last).touch()
    checkout.add_uv()
    assert checkout.call("setup.sh")[0] == 0
    assert whole.exists()
    assert not half.exists()
    assert checkout.call("setup.sh", "test")[0] == 0
    assert checkout.calls()[-2:] == [install("run"), install("run", "test")]
    half.mkdir()
    checkout.lock("run").write_text("a==2\n")
    assert checkout.call("setup.sh", "test")[0] == 0
    assert half.exists()  # nothing was interrupted


def test_an_interrupted_way_back_from_a_gpu_goes_on(checkout: Checkout) -> None:
    checkout.add_uv()
    assert checkout.call("setup.sh", gpu="1")[0] == 0
    checkout.add("uv", FAKE_UV.format(python=sys.executable).replace("|| exit 0", "|| exit 7"))
    assert checkout.call("setup.sh", gpu="0")[0] == 7
    checkout.add_uv()
    assert checkout.call("setup.sh")[0] == 0
    leave = "pip uninstall --quiet --python .venv/bin/python nvidia-a tensorflow"
    assert checkout.calls()[-2:] == [leave, install("run")]


@pytest.mark.parametrize("python", ["", "#!/bin/bash\nexit 1\n"])
def test_a_missing_python_is_told(checkout: Checkout, python: str) -> None:
    if python:
        checkout.add("python3", python)
    code, output = checkout.call("setup.sh")
    assert code == 1
    assert "Python 3.11 is needed" in output
    assert not (checkout.root / ".venv").exists()


@pytest.mark.parametrize("with_uv", [True, False])
def test_a_venv_that_runs_is_never_removed(checkout: Checkout, with_uv: bool) -> None:
    (checkout.root / ".venv/bin").mkdir(parents=True)
    # No pip in it, as in a .venv that uv made: everything but a plain program fails.
    python = f'#!/bin/bash\ncase "$*" in *pip*) exit 1;; esac\nexec {sys.executable} "$@"\n'
    (checkout.root / ".venv/bin/python").write_text(python)
    (checkout.root / ".venv/bin/python").chmod(0o755)
    (checkout.root / ".venv/mine").write_text("kept")
    if with_uv:
        checkout.add_uv()
    assert (checkout.call("setup.sh")[0] == 0) == with_uv
    assert (checkout.root / ".venv/mine").read_text() == "kept"
    assert (checkout.root / ".venv/bin/python").read_text() == python


def test_a_venv_of_another_python_is_told_and_kept(checkout: Checkout) -> None:
    (checkout.root / ".venv/bin").mkdir(parents=True)
    (checkout.root / ".venv/bin/python").write_text('#!/bin/bash\n[ "$2" = "" ]\n')
    (checkout.root / ".venv/bin/python").chmod(0o755)
    code, output = checkout.call("setup.sh")
    assert code == 1
    assert "another Python than 3.11" in output
    assert (checkout.root / ".venv/bin/python").exists()


@pytest.mark.parametrize("word", ["--help", "-h"])
@pytest.mark.parametrize("script", ["lock.sh", "protos.sh", "setup.sh", "test.sh"])
def test_help_tells_and_does_nothing(checkout: Checkout, tmp_path: Path, script: str, word: str) -> None:
    checkout.add_uv()
    before = sorted(checkout.root.rglob("*"))
    code, output = checkout.call(script, word, cwd=tmp_path)
    assert code == 0, output
    assert f"tools/{script}" in output
    assert max(map(len, output.splitlines())) <= 80
    assert sorted(checkout.root.rglob("*")) == before
    assert checkout.calls() == []


def test_the_help_of_train_test_fits_80_columns() -> None:
    words = [sys.executable, "train_test.py", "--help"]
    environ = {**os.environ, "COLUMNS": "80"}
    shown = subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)
    assert "--learns" in shown.stdout, shown.stderr
    assert max(map(len, shown.stdout.splitlines())) <= 80


def test_the_scripts_work_from_any_directory(checkout: Checkout, tmp_path: Path) -> None:
    checkout.add_uv()
    for script, word in (
        ("start.sh", "--max-env-steps"),
        ("stop.sh", "model_pool"),
        ("status.sh", "--json"),
        ("logs.sh", "--follow"),
        ("restart.sh", "model_pool"),
    ):
        code, output = checkout.call(script, "--help", cwd=tmp_path)
        assert code == 0, output
        assert word in output
    (tmp_path / "own.toml").write_text("[app]\nwrong = 1\n")
    code, output = checkout.call("start.sh", "--conf", "own.toml", cwd=tmp_path)
    assert code == 2
    assert "own.toml, line 2: unknown key 'wrong'" in output
