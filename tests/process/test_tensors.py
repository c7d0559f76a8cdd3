"""Eager tensors must not leave memory behind; each case has a process of its own, for it cannot be mended twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

FIND = "import importlib.util; importlib.util.find_spec('tensorflow.python.framework.ops')"
EARLY = f"set_threads(1); {FIND}; import tensorflow as tf"
LATE = "import tensorflow as tf; early = tf.constant(1.0); set_threads(1); set_threads(1)"
COUNT = """
import gc, sys

def grown(function, times):
    function()
    before = blocks(function, times // 4)
    return (blocks(function, times) - before) / times

def blocks(function, times):
    for _ in range(times):
        function()
    gc.collect()
    return sys.getallocatedblocks()
"""
LOOPS = """
import numpy as np

row, function, variable = np.zeros((3, 4), "f"), tf.function(lambda x: (x + 1, x.shape)), tf.Variable(1.0)

def everything():
    function(tf.constant(row))
    variable.assign(np.float32(2)).numpy()
    with tf.GradientTape() as tape:
        loss = variable * variable
    tape.gradient(loss, variable)
    for chunk in tf.data.Dataset.from_tensors(row).repeat(3):
        chunk.numpy()

print(grown(everything, 200))
"""
ACTORS = {
    "diy": """
from diy.algorithm.agent import Agent
spaces = Spaces((4,), "<f4", "discrete", 2)
rows = Batch({"feature": np.zeros((8, 4), "f"), "legal_act": np.ones((8, 2), bool)})
""",
    "a CNN": """
from kaimesh.algorithms.ppo.agent import Agent
from functools import partial
Agent = partial(Agent, config=Agent.algorithm.config(network="nature"))
spaces = Spaces((1, 36, 36), "|u1", "discrete", 2)
rows = Batch({"obs": np.zeros((8, 1, 36, 36), np.uint8)})
""",
    "a CNN of Q": """
from kaimesh.algorithms.dqn.agent import Agent
from functools import partial
Agent = partial(Agent, config=Agent.algorithm.config(network="nature"))
spaces = Spaces((1, 36, 36), "|u1", "discrete", 2)
rows = Batch({"obs": np.zeros((8, 1, 36, 36), np.uint8)})
""",
}
ACTING = """
import tempfile
folder = tempfile.mkdtemp()
learner, actor = Agent("learner"), Agent("actor")
for agent in (learner, actor):
    agent.setup(spaces)
learner.save_model(folder, 1)

def serve():
    actor.load_model(folder, 1)
    for _ in range(5):
        actor.predict(rows)

print(grown(serve, 200))
"""
EARLIER = """
early.mark = 1
assert early.mark == 1 and copy.deepcopy(early).numpy() == 1
"""
MEANING = """
import copy, gc, weakref
import numpy as np

tensor = tf.constant([1.0, 2.0])
assert not hasattr(tensor, "mark") and vars(tensor) == {}
tensor.mark = [tensor]
assert tensor.mark[0] is tensor and list(vars(tensor)) == ["mark"]
assert (copy.copy(tensor).numpy() == copy.deepcopy(tensor).numpy()).all()
gone = weakref.ref(tf.constant(3.0) + 1)
gc.collect()
assert gone() is None
assert type(tensor).__name__ == "EagerTensor" and isinstance(tensor, tf.Tensor)
"""


@pytest.mark.long
@pytest.mark.parametrize("actor", ACTORS.values(), ids=ACTORS)
def test_an_actor_leaves_nothing_behind(actor: str) -> None:
    program = (
        "set_threads(1)\nimport numpy as np\nfrom kaimesh.agent import Spaces\nfrom kaimesh.contract.arrays import "
        "Batch" + actor
    )
    assert _run(program + COUNT + ACTING) < 3, "blocks of memory for a model and five batches; it was 20 and more"


def test_tensors_leave_nothing_behind_and_are_what_they_were() -> None:
    assert _run(EARLY + MEANING + COUNT + LOOPS) < 3, "blocks of memory for each 20 tensors"


@pytest.mark.long
def test_tensorflow_may_have_been_imported_before() -> None:
    assert _run(LATE + MEANING + EARLIER + COUNT + LOOPS) < 3


def _run(program: str) -> float:
    """The number that the program prints."""
    program = f"from kaimesh.process.life import set_threads\n{program}"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)
