"""A newer image under a running mesh: its services are replaced one at a time while training goes on.

And the tool, as one types it.
"""

from __future__ import annotations

import json
import subprocess
import sys

from tests.docker.cluster import Cluster
from tests.docker.test_faults import Watch

CHANGED = "operate/cluster/__init__.py"
UPGRADE_S = 600.0
REPLACED = {"buffer", "model_pool", "learner", "actor", "aisrv", "monitor", "tensorboard"}


def tool(cluster: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    """tools/cluster.sh of the checkout."""
    return cluster.run(sys.executable, "-m", "kaimesh.operate.cluster.tool", *words, timeout_s=UPGRADE_S)


def test_the_tool_says_what_each_container_does(cluster: Cluster) -> None:
    cluster.wait(lambda r: r["env_steps_per_s"] > 0, 60, "it trains")
    said = json.loads(tool(cluster, "status", "--json").stdout)
    assert {piece["service"] for piece in said["containers"]} == REPLACED
    assert all(piece["health"] == "healthy" for piece in said["containers"])
    assert said["learner_steps"] > 0
    table = tool(cluster, "status").stdout
    for name in ("learner_0", "actor_0", "aisrv_0", "steps/s"):
        assert name in table
    lines = tool(cluster, "logs", "learner", "-n", "5").stdout.splitlines()
    assert lines
    assert all("learner" in line and '{"time"' not in line for line in lines)


def test_an_upgrade_replaces_all_of_them_while_training_goes_on(cluster: Cluster) -> None:
    before = cluster.wait(lambda r: r["learner_steps"] > 0, 60, "it trains")
    old = {c.id for c in cluster.engine.containers(running=True)}
    images = {c.attrs["Image"] for c in cluster.engine.containers(running=True)}
    source = cluster.checkout / CHANGED
    text = source.read_text()
    watch = Watch(cluster)
    try:
        source.write_text(text + "\n# a change\n")
        said = tool(cluster, "upgrade").stdout
    finally:
        source.write_text(text)
        watch.close()

    assert f"replaced {len(old)} in" in said
    now = cluster.engine.containers(running=True)
    assert not old & {c.id for c in now}, "all are new"
    assert {cluster.engine.service_of(c) for c in now} == REPLACED
    assert len({c.attrs["Image"] for c in now}) == 1
    assert images.isdisjoint(c.attrs["Image"] for c in now)
    assert not watch.falls
    after = cluster.wait(
        lambda r: r["learner_steps"] > before["learner_steps"] + 20 and r["env_steps_per_s"] > 0, 120, "it goes on"
    )
    assert after["model_version"] > before["model_version"]
    assert after["env_steps"] > before["env_steps"]
    assert tool(cluster, "upgrade", "--no-build").stdout.strip().endswith("everything runs that image already")
