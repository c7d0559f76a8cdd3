"""Agent folders with a fault: the user gets the original error in his files, the process, the method, the remedy."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from kaimesh.contract.errors import ConfigError
from kaimesh.operate.cli.start import Wish, configure
from tests.code.copies import copy, digest, train
from tests.code.faults import BASE, BEFORE, DURING
from tests.code.idioms import IDIOMS


@pytest.mark.parametrize("name", BEFORE)
def test_seen_before_anything_starts(name: str, tmp_path: Path) -> None:
    fault = BEFORE[name]
    root = copy(BASE, tmp_path / "code", *fault.changes)
    with pytest.raises(ConfigError) as caught:
        configure(Wish(code=root))
    missing = [words for words in fault.says if words not in str(caught.value)]
    assert not missing, caught.value


@pytest.mark.long
@pytest.mark.parametrize("name", DURING)
def test_seen_while_it_runs(name: str, tmp_path: Path) -> None:
    fault = DURING[name]
    if fault.torch and importlib.util.find_spec("torch") is None:
        pytest.skip("needs PyTorch: ./tools/setup.sh torch")
    root = copy(BASE, tmp_path / "code", *fault.changes)
    before = digest(root)
    done = train(root, tmp_path / "runs", IDIOMS[BASE].settings)
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    missing = [words for words in fault.says if words not in said]
    assert not missing, f"{missing} is missing in:\n{said}"
    if fault.file:
        assert f'File "{root / fault.file}", line ' in said, said
        assert f"Correct it in {root / fault.file}, line " in said, said
    assert f'File "{tmp_path / "runs" / "train_test" / "code"}' not in said, "the overlay's files"
    assert digest(root) == before
