"""Dumps are whole or absent, whatever happens in between."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kaimesh.contract.errors import AgentError, MeshError
from kaimesh.training import checkpoint
from tests.forks import LIGHT


def save_as(content: bytes = b"weights", *extensions: str):
    """A user's save_model that writes one file per extension."""

    def save(path: str, id: int) -> None:
        for extension in extensions or ("npz",):
            Path(path, f"model.ckpt-{id}.{extension}").write_bytes(content + str(id).encode())

    return save


def ids(folder: Path) -> list[int]:
    return [info.id for info in checkpoint.models(folder)]


def test_a_dump_is_listed_and_verifies(tmp_path):
    info = checkpoint.dump(tmp_path, 7, save_as(b"w", "npz", "json"))
    assert [file.name for file in info.files] == ["model.ckpt-7.json", "model.ckpt-7.npz"]
    assert checkpoint.models(tmp_path) == [info]
    checkpoint.verify(tmp_path, info)
    assert (tmp_path / "model.ckpt-7.npz").read_bytes() == b"w7"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".manifest.durable.json",
        "id_list",
        "manifest.json",
        "model.ckpt-7.json",
        "model.ckpt-7.npz",
    ]


def test_id_list_is_kaiwus(tmp_path):
    for id in (0, 100, 20):
        checkpoint.dump(tmp_path, id, save_as())
    assert (tmp_path / "id_list").read_text() == "all id list\nmodel.ckpt-0\nmodel.ckpt-20\nmodel.ckpt-100\n"
    assert ids(tmp_path) == [0, 20, 100]


def test_nothing_under_way_has_the_prefix_that_users_cleaners_look_for(tmp_path):
    seen = []

    def save(path: str, id: int) -> None:
        save_as()(path, id)
        seen.extend(entry.name for entry in tmp_path.iterdir())

    checkpoint.dump(tmp_path, 1, save)
    assert seen
    assert not [name for name in seen if name.startswith("model.ckpt-")]


def test_dumping_an_id_again_replaces_it(tmp_path):
    checkpoint.dump(tmp_path, 1, save_as(b"old", "npz", "json"))
    info = checkpoint.dump(tmp_path, 1, save_as(b"new"))
    assert checkpoint.models(tmp_path) == [info]
    checkpoint.verify(tmp_path, info)


def test_a_save_that_raises_leaves_what_was_there(tmp_path):
    good = checkpoint.dump(tmp_path, 1, save_as())

    def save(path: str, id: int) -> None:
        save_as()(path, id)
        raise ValueError("halfway")

    with pytest.raises(ValueError, match="halfway"):
        checkpoint.dump(tmp_path, 2, save)
    assert checkpoint.models(tmp_path) == [good]
    assert not list(tmp_path.glob("*ckpt-2*"))
    assert not list(tmp_path.glob(".dump*"))


def test_a_save_under_another_name_is_the_agents_error(tmp_path):
    with pytest.raises(AgentError, match=r"wrote \['weights.npz'\].*model.ckpt-3.<ext>"):
        checkpoint.dump(tmp_path, 3, lambda path, id: Path(path, "weights.npz").write_bytes(b"x"))
    assert ids(tmp_path) == []


def test_a_vanished_file_takes_its_model_off_the_list(tmp_path):
    for id in (1, 2, 3):
        checkpoint.dump(tmp_path, id, save_as())
    (tmp_path / "model.ckpt-2.npz").unlink()
    assert ids(tmp_path) == [1, 3]
    checkpoint.dump(tmp_path, 4, save_as())
    assert [info.id for info in checkpoint.listed(tmp_path)] == [1, 3, 4]


@pytest.mark.parametrize("content", [b"weights9", b"short", b""])
def test_verify_names_the_damaged_file_and_the_remedy(tmp_path, content):
    info = checkpoint.dump(tmp_path, 1, save_as())
    (tmp_path / "model.ckpt-1.npz").write_bytes(content)
    with pytest.raises(MeshError, match=r"model.ckpt-1.npz is damaged.*Delete the file, or load another id"):
        checkpoint.verify(tmp_path, info)


def test_verify_says_that_a_file_is_gone(tmp_path):
    info = checkpoint.dump(tmp_path, 1, save_as())
    (tmp_path / "model.ckpt-1.npz").unlink()
    with pytest.raises(MeshError, match=r"model.ckpt-1.npz is gone"):
        checkpoint.verify(tmp_path, info)


DAMAGED = ["", "{", "[]", '{"models": [{"id": 1}]}']


@pytest.mark.parametrize("text", DAMAGED)
def test_a_manifest_that_a_power_cut_emptied_gives_way_to_the_durable_one(tmp_path, text, caplog):
    checkpoint.dump(tmp_path, 1, save_as())
    checkpoint.dump(tmp_path, 2, save_as(), durable=False)
    assert ids(tmp_path) == [1, 2]
    (tmp_path / "manifest.json").write_text(text)
    assert ids(tmp_path) == [1]
    assert "manifest.json is damaged" in caplog.text
    checkpoint.dump(tmp_path, 3, save_as())
    assert ids(tmp_path) == [1, 3]


@pytest.mark.parametrize("text", DAMAGED)
def test_two_damaged_manifests_are_an_error_not_an_empty_folder(tmp_path, text):
    checkpoint.dump(tmp_path, 1, save_as())
    (tmp_path / "manifest.json").write_text(text)
    (tmp_path / ".manifest.durable.json").write_text(text)
    with pytest.raises(MeshError, match=r"manifest.json is damaged.*Delete it"):
        checkpoint.models(tmp_path)
    (tmp_path / "manifest.json").unlink()
    assert ids(tmp_path) == []


_ENTRY = {"id": 2, "time": 1.0, "files": [{"name": "model.ckpt-2.npz", "bytes": 8, "sha256": "0" * 64}]}
ODD: dict[str, list[object]] = {
    "an id in words": [{**_ENTRY, "id": "2"}],
    "an id below 0": [{**_ENTRY, "id": -2}],
    "an id that no number of learns reaches": [{**_ENTRY, "id": 2**63 - 1}],
    "an id beyond every float": [{**_ENTRY, "id": 10**400}],
    "half an id": [{**_ENTRY, "id": 2.5}],
    "a truth": [{**_ENTRY, "id": True}],
    "no time": [{**_ENTRY, "time": float("nan")}],
    "no files": [{**_ENTRY, "files": []}],
    "a file elsewhere": [{**_ENTRY, "files": [{**_ENTRY["files"][0], "name": "../../model.ckpt-2.npz"}]}],
    "a name that no folder takes": [{**_ENTRY, "files": [{**_ENTRY["files"][0], "name": "model.ckpt-2." + "x" * 999}]}],
    "a name that forges a log line": [{**_ENTRY, "files": [{**_ENTRY["files"][0], "name": "model.ckpt-2.\n12:00 x"}]}],
    "bytes in words": [{**_ENTRY, "files": [{**_ENTRY["files"][0], "bytes": "8"}]}],
    "bytes below 0": [{**_ENTRY, "files": [{**_ENTRY["files"][0], "bytes": -8}]}],
    "a digest of another kind": [{**_ENTRY, "files": [{**_ENTRY["files"][0], "sha256": "none"}]}],
    "one id twice": [_ENTRY, {**_ENTRY, "time": 2.0}],
}


@pytest.mark.parametrize("how", ODD)
def test_a_manifest_with_an_impossible_entry_is_damaged(tmp_path, how, caplog):
    info = checkpoint.dump(tmp_path, 2, save_as())
    (tmp_path / "manifest.json").write_text(json.dumps({"models": ODD[how]}))
    assert checkpoint.models(tmp_path) == [info], "the list of the last durable dump"
    assert "manifest.json is damaged" in caplog.text
    shutil.copy(tmp_path / "manifest.json", tmp_path / ".manifest.durable.json")
    with pytest.raises(MeshError, match="so none is loaded") as error:
        checkpoint.models(tmp_path)
    assert "\n" not in str(error.value)


def test_a_file_that_no_manifest_can_list_is_the_agents_error_and_earlier_models_stay(tmp_path):
    info = checkpoint.dump(tmp_path, 1, save_as())
    with pytest.raises(AgentError, match=r"is no file of model 2, which was not taken; .* rename it"):
        checkpoint.dump(tmp_path, 2, save_as(b"w", "npz", "a\nb"))
    with pytest.raises(AgentError, match=r"a model has an id of 0 to 2\^53"):
        checkpoint.dump(tmp_path, 2**53 + 1, save_as())
    assert checkpoint.models(tmp_path) == [info]
    assert not list(tmp_path.glob("model.ckpt-2*"))


@pytest.mark.parametrize("durable", [True, False])
def test_only_durable_dumps_wait_for_the_disk(tmp_path, durable, monkeypatch):
    synced = []
    monkeypatch.setattr(checkpoint, "sync", synced.append)
    checkpoint.dump(tmp_path, 1, save_as(b"w", "a", "b"), durable=durable)
    names = [path.name for path in synced]
    expected = ["model.ckpt-1.a", "model.ckpt-1.b", tmp_path.name, ".manifest.json.tmp", ".manifest.durable.json.tmp"]
    assert names == (expected if durable else [])


def test_retention_by_count(tmp_path):
    for id in range(5):
        checkpoint.dump(tmp_path, id, save_as())
    checkpoint.retain(tmp_path, 2, 0)
    assert ids(tmp_path) == [3, 4]
    assert sorted(path.name for path in tmp_path.glob("model*")) == ["model.ckpt-3.npz", "model.ckpt-4.npz"]
    assert "model.ckpt-2" not in (tmp_path / "id_list").read_text()


def test_retention_by_bytes_keeps_the_newest_even_if_it_alone_is_too_big(tmp_path):
    for id in range(3):
        checkpoint.dump(tmp_path, id, save_as(b"x" * 999))
    checkpoint.retain(tmp_path, 10, 2000)
    assert ids(tmp_path) == [1, 2]
    checkpoint.retain(tmp_path, 10, 1)
    assert ids(tmp_path) == [2]


def test_retention_copes_with_a_users_cleaner_and_takes_unlisted_leftovers_along(tmp_path):
    for id in range(4):
        checkpoint.dump(tmp_path, id, save_as())
    (tmp_path / "model.ckpt-0.npz").unlink()
    (tmp_path / "model.ckpt-1.orphan").write_bytes(b"of a dump that was killed before it was listed")
    (tmp_path / "notes.txt").write_text("not ours")
    checkpoint.retain(tmp_path, 2, 0)
    assert ids(tmp_path) == [2, 3]
    assert not list(tmp_path.glob("model.ckpt-1*"))
    assert (tmp_path / "notes.txt").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_recognised_inside_what_a_library_raises(tmp_path, number):
    checkpoint.dump(tmp_path, 1, save_as())

    def save(path: str, id: int) -> None:
        save_as()(path, id)
        try:
            raise OSError(number, os.strerror(number))
        except OSError as error:
            raise RuntimeError("could not write the archive") from error

    with pytest.raises(
        MeshError, match=r"last good model stays: 1.*max_save_model_file_count or max_save_model_bytes"
    ) as caught:
        checkpoint.dump(tmp_path, 2, save)
    assert not isinstance(caught.value, AgentError)
    assert ids(tmp_path) == [1]


def test_a_file_size_limit_of_the_system(tmp_path):
    checkpoint.dump(tmp_path, 1, save_as())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(MeshError, match="last good model stays: 1"):
            checkpoint.dump(tmp_path, 2, save_as(b"x" * 20_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert ids(tmp_path) == [1]
    checkpoint.dump(tmp_path, 2, save_as(b"x" * 20_000))
    assert ids(tmp_path) == [1, 2]


FULL_DISK = """
import sys
from pathlib import Path
from kaimesh.training import checkpoint
from kaimesh.contract.errors import MeshError
folder = Path(sys.argv[1])
save = lambda path, id: Path(path, f"model.ckpt-{id}.npz").write_bytes(bytes(100_000))
try:
    for id in range(20):
        checkpoint.dump(folder, id, save)
except MeshError as error:
    models = checkpoint.models(folder)
    for info in models:
        checkpoint.verify(folder, info)
    print(id, models[-1].id, error)
"""


def test_a_really_full_file_system(tmp_path):
    """A tmpfs of 512 kB, in a mount namespace of its own that ends with the process."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("no mount namespaces here")
    mount = f"mount -t tmpfs -o size=512k tmpfs {tmp_path} && exec {sys.executable} -c '{FULL_DISK}' {tmp_path}"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    failed, last, words = done.stdout.split(" ", 2)
    assert int(failed) == int(last) + 1 > 1
    assert f"last good model stays: {last}" in words


KILLED = """
import os, sys
from pathlib import Path
from kaimesh.training import checkpoint
folder = Path(sys.argv[1])
known = checkpoint.listed(folder)
id = known[-1].id + 1 if known else 0
def save(path, id):
    for extension in ("a", "b"):
        Path(path, f"model.ckpt-{id}.{extension}").write_bytes(os.urandom(50_000))
while True:
    checkpoint.dump(folder, id, save, durable=id % 2 == 0)
    checkpoint.retain(folder, 3, 0)
    id += 1
    print(id, flush=True)
"""


def test_keep_spares_what_it_is_told_to(tmp_path):
    for id in range(6):
        checkpoint.dump(tmp_path, id, save_as(), keep=checkpoint.Keep(2, spare=(1, 9)))
    assert ids(tmp_path) == [1, 4, 5]
    assert len(list(tmp_path.glob("model.ckpt-*"))) == 3


def test_kill_9_in_the_middle_of_dumps_never_leaves_a_damaged_model(tmp_path):
    newest = -1
    for attempt in range(8):
        child = LIGHT.popen(["-c", KILLED, str(tmp_path)])
        assert child.stdout is not None
        child.stdout.readline()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(0.02 + 0.013 * attempt)  # the moment differs from one round to the next
        child.send_signal(signal.SIGKILL)
        child.wait()
        listed = checkpoint.listed(tmp_path)
        for info in listed:
            checkpoint.verify(tmp_path, info)
        assert listed
        assert len(listed) <= 4  # the killed one may have dumped and not yet removed
        assert listed[-1].id > newest
        newest = listed[-1].id
    checkpoint.dump(tmp_path, newest + 2, save_as(b"x", "a", "b"))
    checkpoint.retain(tmp_path, 3, 0)
    assert not list(tmp_path.glob(".dump*"))
    assert len(list(tmp_path.glob("model.ckpt-*"))) <= 2 * 4  # at most one unlisted newer leftover


def test_model_info_survives_json(tmp_path):
    info = checkpoint.dump(tmp_path, 5, save_as())
    assert checkpoint.ModelInfo.from_json(json.loads(json.dumps(info.to_json()))) == info
