"""An agent whose network is for another width than the observations, as after a change of the features in one place of two."""

from __future__ import annotations

from typing import Any

from kaimesh.contract.arrays import Batch
from tests.mesh.agents.toy import ActData, Toy

FITS = 50  # of catch's observations


class Wide(Toy):
    """Its first prediction fits. In all later ones, of every slot, an argument does not: TensorFlow 2.15 then keeps its lock."""

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
