"""The losses of an unroll against sums in NumPy, and where their gradients flow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from kaimesh.algorithms.muzero import learning, losses, mlp, model, support
from kaimesh.algorithms.muzero.architecture import Architecture
from kaimesh.algorithms.muzero.config import Config
from kaimesh.algorithms.muzero.mlp import NUMPY
from kaimesh.algorithms.muzero.tensors import Network
from kaimesh.contract.spaces import Spaces

BOARD = Spaces((2, 2, 3), "|i1", "discrete", 4, players=2)
STEPS, COUNT = 3, 5


def made(**config: Any) -> tuple[Architecture, dict[str, np.ndarray]]:
    """A network whose weights are large enough that every loss depends on all of them."""
    built = Config(hidden_sizes=(8,), latent_size=6, unroll_steps=STEPS, **config)
    net, rng = model.architecture(BOARD, built), np.random.default_rng(3)
    weights = model.initial_weights(net, built)
    return net, {
        name: array + 0.3 * rng.standard_normal(array.shape).astype(np.float32) for name, array in weights.items()
    }


def batch_of(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A batch as `positions.arranged` makes them, with masks at random."""
    steps = {"reward": STEPS, "value": STEPS + 1}
    return {
        "obs": rng.integers(0, 2, (COUNT, 2, 2, 3)).astype(np.int8),
        "action": rng.integers(0, 4, (COUNT, STEPS), np.int32),
        "policy": rng.dirichlet(np.ones(4), (COUNT, STEPS + 1)).astype(np.float32),
        "mover": rng.integers(0, 2, (COUNT, STEPS), np.int32),
        **{name: rng.standard_normal((COUNT, k, 2)).astype(np.float32) for name, k in steps.items()},
        **{f"{name}_mask": rng.random((COUNT, STEPS + 1)) < 0.7 for name in ("policy", "value")},
        **{f"{name}_mask": rng.random((COUNT, STEPS)) < 0.7 for name in ("reward", "mover")},
    }


def tensors(arrays: dict[str, np.ndarray]) -> dict[str, tf.Tensor]:
    return {name: tf.constant(array) for name, array in arrays.items()}


def log_softmax(x: np.ndarray) -> np.ndarray:
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def of_number(size: int, heads: np.ndarray, target: float) -> float:
    y = float(support.transform(target))
    if not size:
        return float((heads[0] - y) ** 2)
    low = int(np.floor(y))
    logs = log_softmax(heads)
    return float(-(1 - y + low) * logs[low + size] - (y - low) * logs[low + 1 + size])


@pytest.mark.parametrize("size", [0, 4])
def test_losses_are_the_sums_of_the_paper(size: int) -> None:
    net, weights = made(scalar_support_size=size)
    batch = batch_of(np.random.default_rng(1))
    unroll = learning.unroll(net, tensors(weights), tf.constant(batch["obs"]), tf.constant(batch["action"]))
    found = learning.loss_parts(net, unroll, tensors(batch))
    wanted = {name: np.zeros(COUNT) for name in found}
    latent = mlp.represent(net, NUMPY, weights, batch["obs"])
    for k in range(STEPS + 1):
        scale = 1 / STEPS if k else 1.0
        if k:
            latent, reward, mover = mlp.step(net, NUMPY, weights, latent, batch["action"][:, k - 1])
        policy, value = mlp.predict(net, NUMPY, weights, latent)
        for b in range(COUNT):
            numbers = [("value", value, k)] + ([("reward", reward, k - 1)] if k else [])
            for name, heads, entry in numbers:
                if batch[f"{name}_mask"][b, entry]:
                    for p in range(2):
                        one = heads[b].reshape(2, -1)[p]
                        wanted[name][b] += scale * of_number(size, one, batch[name][b, entry, p]) / 2
            if batch["policy_mask"][b, k]:
                wanted["policy"][b] -= scale * batch["policy"][b, k] @ log_softmax(policy[b])
            if k and batch["mover_mask"][b, k - 1]:
                wanted["mover"][b] -= scale * log_softmax(mover[b])[batch["mover"][b, k - 1]]
    for name, one in wanted.items():
        np.testing.assert_allclose(found[name], one, rtol=1e-4, atol=1e-5)


def test_half_of_the_gradient_flows_into_each_earlier_step() -> None:
    net, weights = made()
    batch = batch_of(np.random.default_rng(1))
    variables = {name: tf.Variable(array) for name, array in weights.items()}
    with tf.GradientTape(persistent=True) as tape:
        unroll = learning.unroll(net, variables, tf.constant(batch["obs"]), tf.constant(batch["action"]))
        halved = tf.unstack(unroll.reward[..., 0], axis=1)
        network = Network.of(net, variables)
        latent, plain = network.represent(tf.constant(batch["obs"])), []
        for k in range(STEPS):
            latent, reward, _ = network.step(latent, batch["action"][:, k])
            plain.append(reward)
    np.testing.assert_allclose(halved, plain, atol=1e-6)
    first = variables["representation/out/w"]
    for k in range(STEPS):
        whole = tape.gradient(plain[k], first).numpy()
        assert np.abs(whole).max() > 1e-3
        np.testing.assert_allclose(tape.gradient(halved[k], first), whole / 2 ** (k + 1), rtol=1e-4, atol=1e-6)


def test_what_is_masked_changes_no_gradient() -> None:
    net, weights = made()
    batch = batch_of(np.random.default_rng(1))
    other = batch_of(np.random.default_rng(2))
    for name in ("policy", "value", "reward", "mover"):
        mask = batch[f"{name}_mask"]
        mask = mask[..., None] if batch[name].ndim > 2 else mask
        other[name] = np.where(mask, batch[name], other[name])
    other = {**batch, **{name: other[name] for name in ("policy", "value", "reward", "mover")}}
    gradients = []
    for one in (batch, other):
        variables = {name: tf.Variable(array) for name, array in weights.items()}
        with tf.GradientTape() as tape:
            unroll = learning.unroll(net, variables, tf.constant(one["obs"]), tf.constant(one["action"]))
            total = tf.add_n(list(learning.loss_parts(net, unroll, tensors(one)).values()))
        gradients.append(tape.gradient(total, list(variables.values())))
    for one, same in zip(*gradients, strict=True):
        np.testing.assert_array_equal(tf.convert_to_tensor(one), tf.convert_to_tensor(same))


def test_entropy_is_in_nats() -> None:
    policy = tf.constant([[0.25] * 4, [1.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(losses.entropy(policy), [np.log(4), 0], atol=1e-6)
