"""The pool's store: whole models or none, the newest first, through kills and damage."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaimesh.contract.errors import MeshError
from kaimesh.model_pool import transfer
from kaimesh.model_pool.store import MOST_AHEAD, FarAhead, NoSuchModel, OutdatedModel, Store
from kaimesh.model_pool.transfer import BadModel, Incoming
from kaimesh.training import checkpoint
from kaimesh.training.checkpoint import FileInfo, ModelInfo
from tests.forks import LIGHT


def dump(folder: Path, id: int, *contents: bytes) -> ModelInfo:
    def save(path: str, id: int) -> None:
        for number, content in enumerate(contents or (b"weights of %d" % id,)):
            Path(path, f"model.ckpt-{id}.{number}").write_bytes(content)

    return checkpoint.dump(folder, id, save)


@pytest.fixture
def ckpt(tmp_path):
    return tmp_path / "ckpt"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "pool", 3)


def ids(store: Store) -> list[int]:
    return [info.id for info in store.list()]


def test_an_empty_store_says_so(store, tmp_path):
    assert store.latest() is None
    assert store.random() is None
    with pytest.raises(NoSuchModel, match="there are: none yet"):
        store.get("latest", tmp_path)


def test_what_was_put_is_got_back(store, ckpt, tmp_path):
    info = dump(ckpt, 4, b"a" * 3_000_000, b"", b"c")
    store.put(ckpt, info)
    into = tmp_path / "into"
    assert store.get(4, into) == store.get("latest", into) == store.get("random", into) == store.get("4", into) == info
    checkpoint.verify(into, info)
    assert sorted(path.name for path in into.iterdir()) == [file.name for file in info.files]


def test_the_highest_ids_stay_and_latest_is_the_highest(store, ckpt, caplog):
    for id in (1, 5, 2, 4, 3):
        store.put(ckpt, dump(ckpt, id))
    assert ids(store) == [3, 4, 5]
    assert "model 3 comes after model 5, which stays the newest one" in caplog.text
    with pytest.raises(OutdatedModel, match="model 2 is older than all 3 of the pool, 3 to 5, and was not pooled"):
        store.put(ckpt, dump(ckpt, 2))
    assert store.latest().id == 5
    with pytest.raises(NoSuchModel, match="there are: 3, 4, 5"):
        store.find(1)


@pytest.mark.parametrize("id", [MOST_AHEAD + 6, 2**53])
def test_an_id_that_would_stay_the_newest_for_ever_is_refused(store, ckpt, id):
    store.put(ckpt, dump(ckpt, 5))
    with pytest.raises(FarAhead, match=rf"model {id} is {id - 5:,} learns ahead of model 5.* preload_model"):
        store.put(ckpt, dump(ckpt, id))
    store.put(ckpt, dump(ckpt, MOST_AHEAD + 5))
    assert ids(store) == [5, MOST_AHEAD + 5]


def test_a_model_that_stays_the_newest_is_told_until_its_folder_is_deleted(store, ckpt, tmp_path):
    assert store.overtaken() == ""
    store.put(ckpt, dump(ckpt, 2**53))  # the first one may be any
    assert store.overtaken() == ""
    store.put(ckpt, dump(ckpt, 7))
    place = tmp_path / "pool" / str(2**53)
    assert store.overtaken() == (
        f"model {2**53} stays the newest although model 7 came last, so actors predict with {2**53}. If it is of "
        f"another training, delete {place}"
    )
    known = store.latest()
    shutil.rmtree(place)
    store.forget_deleted()
    assert store.overtaken() == ""
    assert store.wait_newer(known, 0).id == store.latest().id == 7
    store.put(ckpt, dump(ckpt, 8))
    shutil.rmtree(tmp_path / "pool" / "8")
    store.put(ckpt, dump(ckpt, 8))  # before anyone has looked
    assert ids(store) == [7, 8]


def test_random_is_uniform(tmp_path, ckpt):
    store = Store(tmp_path / "pool", 4, rng=random.Random(1))
    for id in range(4):
        store.put(ckpt, dump(ckpt, id))
    drawn = [store.random().id for _ in range(4000)]
    assert all(900 < drawn.count(id) < 1100 for id in range(4))


def test_the_same_id_again_replaces_it(store, ckpt, tmp_path):
    store.put(ckpt, dump(ckpt, 1, b"old"))
    info = dump(ckpt, 1, b"new")
    store.put(ckpt, info)
    assert store.list() == [info]
    store.get(1, tmp_path)
    assert (tmp_path / "model.ckpt-1.0").read_bytes() == b"new"


def test_a_new_store_on_the_folder_has_the_same_models(store, ckpt, tmp_path):
    for id in (1, 2):
        store.put(ckpt, dump(ckpt, id))
    assert Store(tmp_path / "pool", 3).list() == store.list()
    assert ids(Store(tmp_path / "pool", 1)) == [2]


def test_leftovers_are_cleaned_and_damage_is_dropped_with_a_log_line(store, ckpt, tmp_path, caplog):
    for id in (1, 2, 3):
        store.put(ckpt, dump(ckpt, id))
    pool = tmp_path / "pool"
    (pool / "2" / "model.ckpt-2.0").write_bytes(b"weights of 9")
    (pool / "3" / "info.json").write_text("{")
    (pool / ".incoming-9-0").mkdir()
    (pool / ".old-1-0").mkdir()
    assert ids(Store(pool, 3)) == [1]
    assert "model 2 of the pool is damaged" in caplog.text
    assert "model 3 of the pool is damaged" in caplog.text
    assert [path.name for path in pool.iterdir()] == ["1"]


ODD: dict[str, object] = {
    "another id": {"id": 9},
    "an id of words": {"id": "two"},
    "no id": {"id": None},
    "an id in words": {"id": "2"},
    "a time in words": {"time": "1.0"},
    "a huge id": {"id": 2**63},
    "infinite": {"time": float("inf")},
    "no files": {"files": []},
    "files of words": {"files": "model.ckpt-2.0"},
    "a file elsewhere": {"files": [{"name": "../1/model.ckpt-1.0", "bytes": 12, "sha256": "0" * 64}]},
    "half a file": {"files": [{"name": "model.ckpt-2.0"}]},
    "huge bytes": {"files": [{"name": "model.ckpt-2.0", "bytes": 2**70, "sha256": "0" * 64}]},
}


@pytest.mark.parametrize("how", ODD)
def test_one_odd_folder_is_dropped_and_the_others_are_served(store, ckpt, tmp_path, caplog, how):
    for id in (1, 2):
        store.put(ckpt, dump(ckpt, id))
    path = tmp_path / "pool" / "2" / "info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **ODD[how]}))
    assert ids(Store(tmp_path / "pool", 3)) == [1]
    assert "model 2 of the pool is damaged and dropped" in caplog.text


def test_what_is_no_folder_of_a_model_stays(store, ckpt, tmp_path):
    pool = tmp_path / "pool"
    store.put(ckpt, dump(ckpt, 1))
    (pool / "2").write_text("a file")
    (pool / "notes").mkdir()
    (pool / "3").mkdir()
    (pool / "3" / "info.json").mkdir()
    assert ids(Store(pool, 3)) == [1]
    assert sorted(path.name for path in pool.iterdir()) == ["1", "2", "notes"]


def test_what_stands_in_the_place_of_a_model_is_set_aside(store, ckpt, tmp_path):
    pool = tmp_path / "pool"
    (pool / "2").write_text("a file")
    (pool / "3").symlink_to("nowhere")
    store = Store(pool, 3)
    for id in (2, 3):
        store.put(ckpt, dump(ckpt, id))
    assert ids(store) == [2, 3]
    assert ids(Store(pool, 3)) == [2, 3]
    aside = sorted(path for path in pool.iterdir() if ".damaged-" in path.name)
    assert aside[0].read_text() == "a file"
    assert aside[1].is_symlink()


def test_a_reader_is_not_disturbed_when_its_model_is_dropped(store, ckpt):
    store.put(ckpt, dump(ckpt, 1, b"still here"))
    _, files = store.open("latest")
    for id in (2, 3, 4):
        store.put(ckpt, dump(ckpt, id))
    assert b"".join(transfer.pieces_of(files)) == b"still here"


def test_putting_a_model_whose_file_is_gone(store, ckpt):
    info = dump(ckpt, 1)
    (ckpt / "model.ckpt-1.0").unlink()
    with pytest.raises(MeshError, match=r"model.ckpt-1.0 is gone"):
        store.put(ckpt, info)
    assert ids(store) == []


def test_a_full_disk_names_the_key_and_keeps_the_others(store, ckpt, monkeypatch, tmp_path):
    store.put(ckpt, dump(ckpt, 1))

    def full(_self: Incoming, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Incoming, "write", full)
    with pytest.raises(MeshError, match=r"no room for model 2.*modelpool_max_save_model_count"):
        store.put(ckpt, dump(ckpt, 2))
    assert [path.name for path in (tmp_path / "pool").iterdir()] == ["1"]


def test_waiting_for_a_newer_model(store, ckpt):
    assert store.wait_newer(None, 0.01) is None
    first = dump(ckpt, 1)
    store.put(ckpt, first)
    assert store.wait_newer(None, 5) == first
    assert store.wait_newer(first, 0.01) is None
    second = dump(ckpt, 2)
    thread = threading.Thread(target=store.put, args=(ckpt, second))
    thread.start()
    assert store.wait_newer(first, 5) == second
    thread.join()


def model(contents: list[bytes], id: int = 3) -> ModelInfo:
    files = (
        FileInfo(f"model.ckpt-{id}.{number}", len(content), hashlib.sha256(content).hexdigest())
        for number, content in enumerate(contents)
    )
    return ModelInfo(id, tuple(files), 0.0)


contents_of = st.lists(st.binary(max_size=40), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(contents=contents_of, step=st.integers(1, 50))
def test_any_division_into_chunks_gives_the_same_files(contents, step):
    data = b"".join(contents)
    with tempfile.TemporaryDirectory() as folder:
        pieces = (data[i : i + step] for i in range(0, len(data), step))
        transfer.take(Path(folder), model(contents), pieces)
        assert [Path(folder, f"model.ckpt-3.{i}").read_bytes() for i in range(len(contents))] == contents


@settings(max_examples=60, deadline=None)
@given(contents=contents_of, cut=st.integers(-30, 30), flip=st.booleans(), where=st.integers(0, 10**6))
def test_other_bytes_than_announced_are_refused_and_leave_nothing(contents, cut, flip, where):
    data = bytearray(b"".join(contents))
    sent = bytearray(data[:cut] if cut < 0 else bytes(data) + bytes(cut))
    if flip and sent:
        sent[where % len(sent)] ^= 1
    if sent == data:
        return
    with tempfile.TemporaryDirectory() as folder:
        with pytest.raises(BadModel):
            transfer.take(Path(folder), model(contents), iter([bytes(sent)]))
        assert not list(Path(folder).iterdir())


SHA = "0" * 64


@pytest.mark.parametrize(
    "info",
    [
        ModelInfo(-1, (FileInfo("model.ckpt--1.x", 1, SHA),), 0),
        ModelInfo(1, (), 0),
        ModelInfo(1, (FileInfo("model.ckpt-2.x", 1, SHA),), 0),
        ModelInfo(1, (FileInfo("model.ckpt-1./../../../etc/passwd", 1, SHA),), 0),
        ModelInfo(1, (FileInfo("../model.ckpt-1.x", 1, SHA),), 0),
        ModelInfo(1, (FileInfo("model.ckpt-1.x", -1, SHA),), 0),
        ModelInfo(1, (FileInfo("model.ckpt-1.x", 1, "abc"),), 0),
        ModelInfo(1, (FileInfo("model.ckpt-1.x", 1, SHA), FileInfo("model.ckpt-1.x", 1, SHA)), 0),
        ModelInfo(1, tuple(FileInfo(f"model.ckpt-1.{i}", 1, SHA) for i in range(1000)), 0),
    ],
)
def test_announcements_that_only_a_stranger_makes(store, info):
    with pytest.raises(BadModel), store.receive(info):
        pass
    assert store.list() == []


KILLED = """
import sys
from pathlib import Path
from kaimesh.training import checkpoint
from kaimesh.model_pool.store import Store
ckpt, pool = Path(sys.argv[1]), Path(sys.argv[2])
store = Store(pool, 2)
first = id = int(sys.argv[3])
while True:
    info = checkpoint.dump(ckpt, id, lambda path, id: Path(path, f"model.ckpt-{id}.x").write_bytes(b"%d" % id * 90_000))
    store.put(ckpt, info)
    if id == first:
        print("one is there", flush=True)
    checkpoint.retain(ckpt, 1, 0)
    id += 1
"""


def test_kill_9_at_any_moment(tmp_path, ckpt, caplog):
    newest = -1
    for attempt in range(6):
        child = LIGHT.popen(["-c", KILLED, str(ckpt), str(tmp_path / "pool"), str(newest + 1)])
        assert child.stdout is not None
        child.stdout.readline()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(0.03 + 0.011 * attempt)
        child.send_signal(signal.SIGKILL)
        child.wait()
        store = Store(tmp_path / "pool", 2)
        assert 1 <= len(ids(store)) <= 2
        assert store.latest().id > newest
        newest = store.latest().id
        for info in store.list():
            assert store.get(info.id, tmp_path / "into") == info
    assert "damaged" not in caplog.text
    assert sorted(path.name for path in (tmp_path / "pool").iterdir()) == sorted(map(str, ids(store)))


def test_info_json_is_the_models(store, ckpt, tmp_path):
    info = dump(ckpt, 1)
    store.put(ckpt, info)
    assert ModelInfo.from_json(json.loads((tmp_path / "pool" / "1" / "info.json").read_text())) == info


def test_chunks_are_bounded_and_files_closed():
    files = [io.BytesIO(b"a" * (transfer.PIECE_BYTES + 5)), io.BytesIO(b"b")]
    assert [len(piece) for piece in transfer.pieces_of(files)] == [transfer.PIECE_BYTES, 5, 1]
    assert all(file.closed for file in files)


def test_the_store_copies_so_the_learners_dump_may_go(tmp_path, ckpt, store):
    store.put(ckpt, dump(ckpt, 1))
    shutil.rmtree(ckpt)
    assert store.get(1, tmp_path / "into").id == 1
    assert os.listdir(tmp_path / "into") == ["model.ckpt-1.0"]
