"""From a clean checkout: one command, CartPole learned in containers, a clean end, a checkpoint for others to use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaimesh.training import checkpoint
from tests.docker.cluster import Cluster
from tests.harness import Mesh

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def fresh(checkout: Path) -> Iterator[Cluster]:
    instance = Cluster(checkout, "kaimesh-fresh")
    instance.remove()
    yield instance
    instance.remove()


def test_cartpole_in_containers_from_a_clean_checkout(fresh: Cluster, tmp_path: Path, mesh: Mesh) -> None:
    took_s = fresh.up()
    report = fresh.wait_for_return(400)
    print(f"up in {took_s:.0f} s; {report['return_mean_100']:.0f} at {report['env_steps']:,} env steps")

    fresh.compose("stop")
    ends = {c.name: c.attrs["State"]["ExitCode"] for c in fresh.engine.containers()}
    assert len(ends) == 9
    assert not any(ends.values()), ends
    fresh.compose("down")
    assert not fresh.engine.containers()
    assert not [network for network in fresh.client.networks.list() if network.name.startswith(fresh.name)]

    folder = fresh.fetch("checkpoints", tmp_path) / "gym-CartPole-v1_ppo" / "ckpt"
    models = checkpoint.models(folder)
    assert models
    for model in models:
        checkpoint.verify(folder, model)
    mesh.start(
        "--wait", "--max-seconds", "10",
        wrapper_type="local", aisrv_count=1,
        preload_model="true", preload_model_dir=folder, preload_model_id=models[-1].id,
    )  # fmt: skip
    result = json.loads(mesh.run.result.read_text())
    assert result["return_mean_100"] > 200, "a fresh agent has some 20"
    assert result["model_version"] > models[-1].id


def test_a_wrong_configuration_starts_nothing(fresh: Cluster, tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    conf.mkdir()
    for file in (fresh.checkout / "conf").iterdir():
        (conf / file.name).write_text(file.read_text())
    (conf / "configure_app.toml").write_text('[app]\napp = "catch"\ntrain_batch_sise = 3\n')
    fresh.environ["KAIMESH_CONF"] = str(conf)
    done = fresh.compose("up", "-d", "--wait", check=False)
    assert done.returncode
    assert "did you mean 'train_batch_size'" in fresh.compose("logs", "setup").stdout
    assert [c.name for c in fresh.engine.containers(running=True)] == []
