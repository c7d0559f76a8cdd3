"""The network: the same in NumPy and TensorFlow, latent states in 0..1, shapes for any number of players."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from kaimesh.algorithms.muzero import mlp, model
from kaimesh.algorithms.muzero.architecture import Architecture
from kaimesh.algorithms.muzero.config import Config
from kaimesh.algorithms.muzero.mlp import NUMPY
from kaimesh.algorithms.muzero.residual_layers import action_planes, latent_shape
from kaimesh.algorithms.muzero.tensors import TENSORFLOW, Network
from kaimesh.contract.spaces import Spaces

FLAT = Spaces((5,), "<f4", "discrete", 3)
BOARD = Spaces((3, 3, 4), "|i1", "discrete", 9, legal_actions=True, players=2)
IMAGES = Spaces((4, 84, 84), "|u1", "discrete", 6)


def built(spaces: Spaces, **config: Any) -> tuple[Architecture, dict[str, np.ndarray]]:
    made = Config(hidden_sizes=(16, 16), latent_size=8, channels=4, blocks=1, **config)
    net = model.architecture(spaces, made)
    return net, model.initial_weights(net, made)


@pytest.mark.parametrize("spaces", [FLAT, BOARD, FLAT._replace(players=3)])
@pytest.mark.parametrize("support", [0, 5])
def test_numpy_and_tensorflow_compute_the_same(spaces: Spaces, support: int) -> None:
    net, weights = built(spaces, network="mlp", scalar_support_size=support)
    rng = np.random.default_rng(0)
    obs = rng.integers(0, 2, (7, *spaces.obs_shape)).astype(spaces.obs_dtype)
    action = rng.integers(0, spaces.action_size, 7, np.int32)
    network = Network.of(net, {name: tf.constant(array) for name, array in weights.items()})
    latent = mlp.represent(net, NUMPY, weights, obs)
    found = [latent, *mlp.step(net, NUMPY, weights, latent, action), *mlp.predict(net, NUMPY, weights, latent)]
    wanted = [network.represent(tf.constant(obs)), *network.step(latent, action), *network.predict(latent)]
    players, width = spaces.players, 2 * support + 1
    shapes = [8, 8, players * width, players if players > 1 else 0, spaces.action_size, players * width]
    for one, other, shape in zip(found, wanted, shapes, strict=True):
        assert one.shape == (7, shape)
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert net.numbers(found[2]).shape == (7, players)


def test_latent_states_are_within_0_and_1_and_never_nan() -> None:
    x = np.array([[1.0, 3.0, -1.0], [2.0, 2.0, 2.0]], np.float32)
    found = mlp.scaled(NUMPY, x)
    np.testing.assert_allclose(found[0], np.array([2, 4, 0]) / (4 + 1e-5), rtol=1e-6)
    np.testing.assert_array_equal(found[1], 0)


def test_gradients_pass_through_the_scaling() -> None:
    """Against finite differences in float64, the least and the largest number included."""
    x = np.random.default_rng(0).standard_normal((1, 5))
    weight = np.arange(1.0, 6.0)

    def loss(y: np.ndarray) -> float:
        return float((mlp.scaled(NUMPY, y) * weight).sum())

    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(mlp.scaled(TENSORFLOW, variable) * weight)
    steps = np.eye(5) * 1e-6
    wanted = [(loss(x + step) - loss(x - step)) / 2e-6 for step in steps]
    np.testing.assert_allclose(tape.gradient(total, variable)[0], wanted, rtol=1e-6)


@pytest.mark.parametrize(("spaces", "latent"), [(BOARD, (3, 3, 4)), (IMAGES, (6, 6, 4))])
def test_a_residual_network_has_these_shapes(spaces: Spaces, latent: tuple[int, ...]) -> None:
    net, weights = built(spaces, network="residual", scalar_support_size=2)
    assert latent_shape(net) == latent
    network = Network.of(net, {name: tf.constant(array) for name, array in weights.items()})
    state = network.represent(tf.ones((2, *spaces.obs_shape), tf.as_dtype(np.dtype(spaces.obs_dtype))))
    after, reward, mover = network.step(state, tf.constant([0, 2]))
    policy, value = network.predict(after)
    players = spaces.players
    assert tuple(state.shape) == tuple(after.shape) == (2, *latent)
    assert tuple(reward.shape) == tuple(value.shape) == (2, players * 5)
    assert tuple(mover.shape) == (2, players if players > 1 else 0)
    assert tuple(policy.shape) == (2, spaces.action_size)
    for one in (state, after):
        assert float(tf.reduce_min(one)) >= 0 and float(tf.reduce_max(one)) <= 1  # noqa: PT018
    assert np.abs(after[0] - after[1]).max() > 0  # other actions lead elsewhere


def test_actions_as_planes() -> None:
    cells = action_planes(BOARD, 3, 3)
    assert cells.shape == (9, 3, 3, 1)
    assert cells[5, 1, 2, 0] == 1
    assert cells.sum() == 9
    passing = action_planes(BOARD._replace(action_size=10), 3, 3)
    assert passing[9].sum() == 0
    columns = action_planes(Spaces((6, 7, 3), "|i1", "discrete", 7), 6, 7)
    np.testing.assert_array_equal(columns[2, :, :, 0].sum(0), [0, 0, 6, 0, 0, 0, 0])
    others = action_planes(IMAGES, 6, 6)
    assert others.shape == (6, 6, 6, 6)
    np.testing.assert_array_equal(others[4, 3, 3], np.eye(6)[4])


def test_auto_takes_convolutions_for_images_alone() -> None:
    assert [built(spaces)[0].torso.kind for spaces in (FLAT, BOARD, IMAGES)] == ["mlp", "mlp", "residual"]


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match=r"are continuous, which it cannot count. Set algo = 'ppo'"):
        built(Spaces((5,), "<f4", "continuous", 2, (-1.0,) * 2, (1.0,) * 2))
    with pytest.raises(ValueError, match=r"network = 'residual' with observations <f4 \[5\]: .* Set network = 'mlp'"):
        built(FLAT, network="residual")


def test_weights_depend_on_the_seed_alone() -> None:
    one, same, other = (built(BOARD, seed=seed)[1] for seed in (1, 1, 2))
    assert all((one[name] == same[name]).all() for name in one)
    assert (one["dynamics/0/w"] != other["dynamics/0/w"]).any()
