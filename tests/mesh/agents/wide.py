"""An agent whose network has another width than the observations, as after half of a change of the features."""

from __future__ import annotations

from typing import Any

from kaimesh.contract.arrays import Batch
from tests.mesh.agents.toy import ActData, Toy

FITS = 50  # of catch's observations


class Wide(Toy):
    """Its first prediction fits; in all later ones an argument does not, after which TensorFlow 2.15 keeps its lock."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        import tensorflow as tf

        super().__init__(*arguments, **named)
        signature = [tf.TensorSpec([None, FITS], tf.float32)]
        self._forward = tf.function(lambda feature: tf.argmax(feature[:, :3], -1), input_signature=signature)
        self._calls = 0

    def predict(self, list_obs_data: Batch) -> list[Any]:
        self._calls += 1
        width = FITS if self._calls == 1 else FITS - 1
        return [ActData(action=int(action)) for action in self._forward(list_obs_data.feature[:, :width])]
