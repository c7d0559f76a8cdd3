"""The transform of values and rewards, and their support: against rlax, and there and back."""

from __future__ import annotations

import numpy as np
import pytest
import rlax
import tensorflow as tf

from kaimesh.algorithms.muzero import losses, support
from kaimesh.algorithms.muzero.config import Config
from kaimesh.algorithms.muzero.model import architecture
from kaimesh.contract.spaces import Spaces

VALUES = np.concatenate([[0.0], np.geomspace(1e-4, 1e5, 200), -np.geomspace(1e-4, 1e5, 200)])


def test_transform_is_rlax_signed_hyperbolic() -> None:
    np.testing.assert_allclose(support.transform(VALUES), rlax.signed_hyperbolic(VALUES), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(support.transform(-100.0), -9.149876, rtol=1e-6)  # the epsilon's sign follows x's


@pytest.mark.parametrize("m", [np, tf.math])
def test_inverse_leads_back(m: object) -> None:
    exact = support.inverse(support.transform(VALUES, m), m)
    np.testing.assert_allclose(exact, VALUES, rtol=1e-9, atol=1e-12)
    small = VALUES[np.abs(VALUES) < 300].astype(np.float32)
    found = np.asarray(support.inverse(support.transform(small, m), m))
    assert found.dtype == np.float32
    assert np.abs(found - small)[np.abs(small) < 1].max() < 2e-6
    assert np.abs(found - small).max() < 3e-4


def test_two_hot_is_rlax_and_ends_at_the_support() -> None:
    y = np.array([0.0, 0.25, -1.5, 2.0, -2.0, 2.9, -7.0, 1.999], np.float32)
    found = losses.two_hot(tf.constant(y), 2).numpy()
    np.testing.assert_allclose(found, rlax.transform_to_2hot(y, -2, 2, 5), atol=1e-4)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    assert (found[5] == found[3]).all()


@pytest.mark.parametrize("size", [0, 20])
@pytest.mark.parametrize("transformed", [False, True])
def test_a_network_that_gives_the_target_is_decoded_to_it(size: int, transformed: bool) -> None:
    net = architecture(
        Spaces((4,), "<f4", "discrete", 2), Config(scalar_support_size=size, scalar_transform=transformed)
    )
    x = np.array([0.0, 1.0, -3.7, 15.3, -19.0], np.float32)
    y = tf.constant(support.transform(x) if transformed else x)
    heads = tf.math.log(losses.two_hot(y, size) + 1e-12) if size else y[:, None]
    np.testing.assert_allclose(losses.decoded(net, heads), x, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(support.decode(heads.numpy(), size, transformed), x, rtol=1e-3, atol=1e-4)
    least = losses.of_number(net, heads, tf.constant(x))
    others = heads + tf.random.stateless_normal(heads.shape, [1, 2])
    more = losses.of_number(net, others, tf.constant(x)) - least
    assert float(tf.reduce_min(more)) > -1e-6
    assert float(tf.reduce_max(more)) > 1e-3
