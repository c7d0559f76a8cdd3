"""The network, in TensorFlow: what the actor and the learner share.

Any library will do: arrays in and out are numpy. In PyTorch this file would hold an `nn.Module` and an optimizer,
`forward` would run under `torch.no_grad()` and end in `.numpy()`, and save_model would `torch.save` its state_dict.
Only actor and learner import this file, so aisrv starts without either library.

Shape legend: N steps; F features; A actions.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from ..config import Config

_FORBIDDEN = -1e9  # the logit of an action that is not allowed


class Model:
    """A policy and a critic, two layers each, and the optimizer. widths: F and A."""

    def __init__(self, feature_dim: int, action_dim: int) -> None:
        def tower(outputs: int, scale: float, seed: int) -> tf.Tensor:
            hidden = feature
            for layer in range(2):
                start = tf.keras.initializers.Orthogonal(np.sqrt(2), seed=seed + layer)
                hidden = tf.keras.layers.Dense(Config.HIDDEN, "tanh", kernel_initializer=start)(hidden)
            start = tf.keras.initializers.Orthogonal(scale, seed=seed + 2)
            return tf.keras.layers.Dense(outputs, kernel_initializer=start)(hidden)

        self.widths = (feature_dim, action_dim)
        feature = tf.keras.Input([feature_dim])
        logits, value = tower(action_dim, 0.01, Config.seed), tower(1, 1.0, Config.seed + 10)
        self.network = tf.keras.Model(feature, [logits, value])
        self.optimizer = tf.keras.optimizers.Adam(
            Config.LEARNING_RATE, epsilon=1e-5, global_clipnorm=Config.MAX_GRADIENT_NORM
        )
        self.optimizer.build(self.network.trainable_variables)
        # Compiled once, for any number of rows: without the signature every new batch size would compile again.
        rows, legal = tf.TensorSpec([None, feature_dim], tf.float32), tf.TensorSpec([None, action_dim], tf.bool)
        numbers, actions = tf.TensorSpec([None], tf.float32), tf.TensorSpec([None], tf.int64)
        self._compiled_forward = tf.function(self._forward, input_signature=[rows, legal])
        self._compiled_train = tf.function(
            self._train, input_signature=[rows, legal, actions, numbers, numbers, numbers]
        )

    def forward(self, feature: np.ndarray, legal_act: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log-probabilities of all actions `[N, A]` and values `[N]`, float32. Raises ValueError: other widths."""
        self._check(feature, legal_act)
        log_probs, value = self._compiled_forward(feature, legal_act)
        return log_probs.numpy(), value.numpy()

    def train(
        self, feature: np.ndarray, legal_act: np.ndarray, action: np.ndarray, log_prob: np.ndarray,
        advantage: np.ndarray, returns: np.ndarray,
    ) -> dict[str, float]:  # fmt: skip
        """One gradient step on N steps; returns the losses. log_prob: of the network that acted.

        Raises ValueError: other widths.
        """
        self._check(feature, legal_act)
        numbers = self._compiled_train(feature, legal_act, action, log_prob, advantage, returns)
        return {name: float(number) for name, number in numbers.items()}

    def get_weights(self) -> list[np.ndarray]:
        """All weights, in a fixed order."""
        weights: list[np.ndarray] = self.network.get_weights()
        return weights

    def set_weights(self, weights: list[np.ndarray]) -> None:
        """The inverse of `get_weights`. Raises ValueError: other shapes."""
        self.network.set_weights(weights)

    def _check(self, feature: np.ndarray, legal_act: np.ndarray) -> None:
        """Before TensorFlow sees them: once it got an argument that does not fit, every other thread waits for ever."""
        widths = (feature.shape[-1], legal_act.shape[-1])
        if widths != self.widths:
            raise ValueError(
                f"{widths[0]} features and {widths[1]} actions came to a network for {self.widths[0]} and "
                f"{self.widths[1]}. The first observation, or the model that was loaded, set these numbers: every "
                "observation must have as many. After a change of the features, start a new run."
            )

    def _forward(self, feature: tf.Tensor, legal_act: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits, value = self.network(feature)
        return tf.nn.log_softmax(tf.where(legal_act, logits, _FORBIDDEN)), value[:, 0]

    def _train(
        self,
        feature: tf.Tensor,
        legal_act: tf.Tensor,
        action: tf.Tensor,
        log_prob: tf.Tensor,
        advantage: tf.Tensor,
        returns: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            log_probs, value = self._forward(feature, legal_act)  # [N, A], [N]
            chosen = tf.gather(log_probs, action, batch_dims=1)  # [N]
            ratio = tf.exp(chosen - log_prob)
            clipped = tf.clip_by_value(ratio, 1 - Config.CLIP, 1 + Config.CLIP)
            policy_loss = -tf.reduce_mean(tf.minimum(ratio * advantage, clipped * advantage))
            value_loss = 0.5 * tf.reduce_mean(tf.square(returns - value))
            entropy = -tf.reduce_mean(tf.reduce_sum(tf.exp(log_probs) * log_probs, -1))
            loss = policy_loss + Config.VALUE_COEFFICIENT * value_loss - Config.ENTROPY_COEFFICIENT * entropy
        gradients = tape.gradient(loss, self.network.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.network.trainable_variables, strict=True))
        return {
            "total_loss": loss,
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": entropy,
            "approx_kl": tf.reduce_mean(log_prob - chosen),
        }
