"""Torsos: NumPy against TensorFlow, convolutions against Keras' layers, observations in parts."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from kaimesh.algorithms.networks import differentiable, layers, numpy_mlp
from kaimesh.algorithms.networks import torso as torso_module
from kaimesh.algorithms.networks.torso import Torso, torso_of
from kaimesh.contract.spaces import Part, Spaces

VECTOR, PACKED = Part("vector", "<f4", (5,)), Part("maps", "|u1", (40, 38), bits=3)


def spaces(shape: tuple[int, ...], dtype: str, parts: tuple[Part, ...] = ()) -> Spaces:
    return Spaces(shape, dtype, "discrete", 4, parts=parts)


IN_PARTS = spaces((VECTOR.nbytes + PACKED.nbytes,), "|u1", (VECTOR, PACKED))


def torso(wanted: Spaces, network: str = "mlp", **config: Any) -> Torso:
    values = {"hidden_sizes": (16, 8), "activation": "tanh", "normalize_observations": False, **config}
    return torso_of(wanted, SimpleNamespace(network=network, **values))


def weights_of(description: Torso) -> layers.Weights:
    return torso_module.initial_weights(np.random.default_rng(0), "torso", description)


def packed_observations(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observations uint8 [N, L], and what is in them: vector float32 [N, 5], planes uint8 [N, 40, 38, 3]."""
    vector = rng.standard_normal((count, 5)).astype(np.float32)
    planes = rng.integers(0, 2, (count, 40, 38, 3), np.uint8)
    cells = planes[..., 0] + 2 * planes[..., 1] + 4 * planes[..., 2]
    return np.concatenate([vector.view(np.uint8), cells.reshape(count, -1)], 1), vector, planes


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize(("shape", "dtype"), [((5,), "<f4"), ((5,), "<f8"), ((3, 4), "|u1"), ((), "<i8")])
def test_numpy_mlp_equals_tensorflow(activation: str, standardise: bool, shape: tuple[int, ...], dtype: str) -> None:
    rng = np.random.default_rng(0)
    description = torso(spaces(shape, dtype), activation=activation)._replace(standardise=standardise)
    weights = weights_of(description)
    width = math.prod(shape)
    weights |= {"obs/mean": np.full(width, 0.5, np.float32), "obs/scale": np.full(width, 3, np.float32)}
    obs = (rng.standard_normal((7, *shape)) * 10).astype(dtype)
    expected = differentiable.features(description, weights, "torso", tf.constant(obs)).numpy()
    x = obs.reshape(7, -1).astype(np.float32)
    if standardise:
        x = np.clip((x - 0.5) * 3, -10, 10)
    for layer in ("0", "1"):
        x = x @ weights[f"torso/{layer}/w"] + weights[f"torso/{layer}/b"]
        x = np.tanh(x) if activation == "tanh" else np.maximum(x, 0)
    np.testing.assert_allclose(expected, x, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(numpy_mlp.forward(description, weights, "torso", obs), x, rtol=1e-5, atol=1e-5)


def test_an_mlp_reads_every_number_of_every_part() -> None:
    obs, vector, planes = packed_observations(np.random.default_rng(1), 3)
    description = torso(IN_PARTS)
    assert description.width == 5 + 40 * 38 * 3
    np.testing.assert_array_equal(
        numpy_mlp.flat(description, obs), np.concatenate([vector, planes.reshape(3, -1)], 1).astype(np.float32)
    )
    weights = weights_of(description)
    np.testing.assert_allclose(
        numpy_mlp.forward(description, weights, "torso", obs),
        differentiable.features(description, weights, "torso", tf.constant(obs)),
        rtol=1e-5,
        atol=1e-5,
    )


def keras_layer(weights: layers.Weights, name: str, stride: int, padding: str, x: Any, activation: str | None) -> Any:
    w, b = weights[f"{name}/w"], weights[f"{name}/b"]
    layer = tf.keras.layers.Conv2D(w.shape[-1], w.shape[0], stride, padding, activation=activation)
    layer.build(x.shape)
    layer.set_weights([w, b])
    return layer(x)


def keras_features(description: Torso, weights: layers.Weights, image: np.ndarray, vector: np.ndarray | None) -> Any:
    """The papers' networks, in Keras."""
    x: Any = image
    if description.kind == "resnet":
        for i in range(3):
            x = keras_layer(weights, f"torso/{i}", 1, "same", x, None)
            x = tf.keras.layers.MaxPool2D(3, 2, "same")(x)
            for block in range(2):
                inner = keras_layer(weights, f"torso/{i}/{block}a", 1, "same", tf.keras.activations.relu(x), "relu")
                x = tf.keras.layers.add([x, keras_layer(weights, f"torso/{i}/{block}b", 1, "same", inner, None)])
        x = tf.keras.activations.relu(x)
    else:
        for i, (_, _, stride) in enumerate(layers.STRIDED[description.kind]):
            x = keras_layer(weights, f"torso/{i}", stride, "valid", x, "relu")
    x = tf.keras.layers.Flatten()(x)
    if vector is not None:
        x = tf.concat([x, vector], 1)
    last = "torso/2" if description.kind == "impala" else "torso/3"
    return tf.keras.activations.relu(x @ weights[f"{last}/w"] + weights[f"{last}/b"])


@pytest.mark.parametrize("network", ["nature", "impala", "resnet"])
@pytest.mark.parametrize("shape", [(4, 44, 48), (44, 48, 3)], ids=["channel first", "channel last"])
def test_cnns_are_the_papers(network: str, shape: tuple[int, ...]) -> None:
    description = torso(spaces(shape, "|u1"), network)
    weights = weights_of(description)
    images = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    last = images.transpose(0, 2, 3, 1) if shape[0] == 4 else images
    expected = keras_features(description, weights, last.astype(np.float32) / 255, None)
    found = differentiable.features(description, weights, "torso", tf.constant(images))
    assert found.shape == (2, description.features)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("network", ["nature", "impala", "resnet"])
def test_cnns_read_planes_of_bits_and_the_vector_beside_them(network: str) -> None:
    obs, vector, planes = packed_observations(np.random.default_rng(2), 3)
    description = torso(IN_PARTS, network)
    weights = weights_of(description)
    expected = keras_features(description, weights, planes.astype(np.float32), vector)
    np.testing.assert_allclose(
        differentiable.features(description, weights, "torso", tf.constant(obs)), expected, rtol=1e-4, atol=1e-4
    )


def test_nature_has_the_papers_shapes() -> None:
    weights = weights_of(torso(spaces((84, 84, 4), "|u1"), "nature"))
    assert {name: w.shape for name, w in weights.items() if name.endswith("w")} == {
        "torso/0/w": (8, 8, 4, 32),
        "torso/1/w": (4, 4, 32, 64),
        "torso/2/w": (3, 3, 64, 64),
        "torso/3/w": (3136, 512),
    }


@pytest.mark.parametrize(
    ("wanted", "kind"),
    [
        (spaces((5,), "<f4"), "mlp"),
        (spaces((84, 84, 4), "|u1"), "nature"),
        (spaces((4, 84, 84), "|u1"), "nature"),
        (spaces((7, 7, 3), "|u1"), "mlp"),
        (spaces((128,), "|u1"), "mlp"),
        (IN_PARTS, "nature"),
    ],
)
def test_auto_takes_a_cnn_for_images_that_are_large_enough(wanted: Spaces, kind: str) -> None:
    assert torso(wanted, "auto").kind == kind


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"network = 'impala' with observations <f4 \[5\]; it takes uint8 images"):
        torso(spaces((5,), "<f4"), "impala")
    with pytest.raises(ValueError, match=r"images \[7, 7, 3\]: its strides need 36 pixels a side"):
        torso(spaces((7, 7, 3), "|u1"), "nature")
    assert torso(spaces((7, 7, 3), "|u1"), "resnet").kind == "resnet"


def test_spaces_with_parts_travel_as_json() -> None:
    import json

    assert Spaces.from_json(json.loads(json.dumps(IN_PARTS._asdict()))) == IN_PARTS
