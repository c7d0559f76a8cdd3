"""One update of the weights from a batch of trajectories, as one TensorFlow function that is traced once.

Shape legend: T steps of a trajectory, B trajectories, N valid steps of the batch, U gradient steps (epochs x minibatches),
M steps of a minibatch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from algorithms.adam import Adam
from algorithms.networks import heads, torsos
from algorithms.networks.layers import Weights
from algorithms.networks.moments import RunningMoments
from algorithms.networks.torso import BYTE
from algorithms.ppo.config import Config
from algorithms.ppo.losses import PPOLoss, normalize, ppo_loss
from algorithms.ppo.model import Architecture, forward
from algorithms.targets.gae import gae
from kaimesh.errors import SampleError

# Columns with T + 1 entries; the last entry of `value` bootstraps, those of the others are not used.
_LONGER = ("obs", "legal_act", "action", "log_prob", "value")


class Learner:
    """The weights, the optimizer and the update. `updates` counts the calls of `update`."""

    def __init__(self, net: Architecture, weights: Weights, config: type[Config]) -> None:
        self._net, self._config = net, config
        self._variables = {name: tf.Variable(value) for name, value in weights.items()}
        self._trained = {name: v for name, v in self._variables.items() if not name.startswith("obs/")}
        self._adam = Adam(self._trained, epsilon=config.adam_epsilon)
        self._rng = np.random.default_rng([config.seed, 1])
        follows = net.torso.standardise and config.normalize_observations and net.spaces.obs_dtype != BYTE
        self._moments = RunningMoments(len(weights["obs/mean"])) if follows else None
        self.updates = 0
        self._columns = _column_specs(net)
        signature = [self._columns, tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([], tf.float32)]
        self._function = tf.function(self._update, autograph=False, input_signature=signature)

    def weights(self) -> Weights:
        """A copy of all weights, by name."""
        return {name: variable.numpy() for name, variable in self._variables.items()}

    def assign(self, weights: Mapping[str, np.ndarray]) -> None:
        """Replaces all weights."""
        for name, variable in self._variables.items():
            variable.assign(weights[name])

    @property
    def traces(self) -> int:
        """How often TensorFlow has traced the update; more than once means a signature that changes between calls."""
        return int(self._function.experimental_get_tracing_count())

    def learning_rate(self) -> float:
        """Of the next update."""
        config = self._config
        if config.learning_rate_schedule == "linear":
            return config.learning_rate * max(0.0, 1 - self.updates / config.total_learner_steps)
        return config.learning_rate

    def update(self, columns: Mapping[str, np.ndarray]) -> dict[str, float]:
        """`epochs` x `minibatches` gradient steps on one batch of samples, columns `[B, T(+1), ...]`; returns metrics.

        Raises SampleError: a column is missing or has another shape or dtype. FloatingPointError: a column, the loss or the gradient is not finite. The weights are those before the step
        that failed.
        """
        self._check(columns)
        batch = {name: np.swapaxes(columns[name], 0, 1) for name in self._columns}  # [T(+1), B, ...]
        rate = self.learning_rate()
        metrics = self._function(batch, self._shuffled(batch["mask"]), np.float32(rate))
        result = {name: float(value) for name, value in metrics.items()}
        for name in ("total_loss", "grad_norm"):
            if not np.isfinite(result[name]):
                losses = ", ".join(f"{key} = {result[key]}" for key in ("policy_loss", "value_loss", "entropy"))
                raise FloatingPointError(
                    f"{name} = {result[name]} in learn {self.updates} ({losses}); that gradient step was not applied. "
                    "Lower [ppo] learning_rate or reward_scale, or look at the rewards and observations."
                )
        self.updates += 1
        if self._moments is not None:  # after the gradient steps, which so see what the actors saw
            self._moments.add(batch["obs"].reshape(-1, int(np.prod(self._net.spaces.obs_shape))))
            for name, value in self._moments.weights().items():
                self._variables[name].assign(value)
        return {**result, "learning_rate": rate}

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Plain data and arrays: everything but the weights that `restore` needs to go on exactly."""
        arrays = {f"adam/{name}": value for name, value in self._adam.state().items()}
        if self._moments is not None:
            arrays |= {f"moments/{name}": value for name, value in self._moments.state().items()}
        return {"updates": self.updates, "rng": self._rng.bit_generator.state}, arrays

    def restore(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Continues from what `state` returned."""
        self._adam.restore({name.removeprefix("adam/"): a for name, a in arrays.items() if name.startswith("adam/")})
        if self._moments is not None:
            self._moments.restore(
                {name.removeprefix("moments/"): a for name, a in arrays.items() if name.startswith("moments/")}
            )
        self.updates = int(header["updates"])
        self._rng.bit_generator.state = header["rng"]

    def _shuffled(self, mask: np.ndarray) -> np.ndarray:
        """Which steps each gradient step sees: int32 `[U, M]`, indices into `[T * B]`, of valid steps only.

        So a masked step enters no loss and no mean. What is left over after N / minibatches sits the epoch out.
        """
        valid = np.flatnonzero(mask).astype(np.int32)  # [N]
        if not len(valid):
            raise ValueError("all steps of the batch are masked; there is nothing to learn from")
        minibatches = min(self._config.minibatches, len(valid))
        size = len(valid) // minibatches
        epochs = [self._rng.permutation(valid)[: minibatches * size] for _ in range(self._config.epochs)]
        rows: np.ndarray = np.stack(epochs).reshape(-1, size)
        return rows

    def _check(self, columns: Mapping[str, np.ndarray]) -> None:
        steps = columns["reward"].shape[1] if "reward" in columns else 0  # T
        for name, spec in self._columns.items():
            length = steps + (name in _LONGER)
            wanted = f"{spec.dtype.name} {['B', length, *spec.shape[2:]]}"
            if name not in columns:
                raise SampleError(f"samples have no column {name!r} ({wanted}); they have {', '.join(columns)}")
            column = columns[name]
            if column.dtype != spec.dtype.as_numpy_dtype or column.shape[1:] != (length, *spec.shape[2:]):
                raise SampleError(f"column {name!r} is {column.dtype} {['B', *column.shape[1:]]}; PPO needs {wanted}")
            _require_finite(name, column, columns["mask"])

    def _update(
        self, batch: dict[str, tf.Tensor], minibatches: tf.Tensor, learning_rate: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The whole update: `batch` time-major `[T(+1), B, ...]`, `minibatches` int32 `[U, M]`."""
        config = self._config
        targets = gae(
            batch["value"],
            batch["reward"] * config.reward_scale,
            batch["terminated"],
            batch["truncated"],
            batch["mask"],
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
        )
        steps = {name: _flat(batch[name][:-1]) for name in _LONGER if name in batch}  # [T * B, ...]
        steps |= {"advantage": _flat(targets.advantage), "value_target": _flat(targets.value_target)}

        def gradient_step(i: tf.Tensor, _: tf.Tensor, sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            rows = minibatches[i]  # [M]
            with tf.GradientTape() as tape:
                loss = self._loss({name: tf.gather(column, rows) for name, column in steps.items()})
            gradients, norm = self._gradients(tape, loss.total_loss)
            go_on = tf.math.is_finite(loss.total_loss + norm)
            if config.target_kl > 0:
                go_on &= loss.approx_kl <= 1.5 * config.target_kl
            tf.cond(go_on, lambda: self._adam.apply(gradients, learning_rate), lambda: None)
            return i + 1, go_on, sums + tf.stack([*loss, norm, tf.cast(go_on, tf.float32)])

        names = (*PPOLoss._fields, "grad_norm", "gradient_steps")
        count, _, sums = tf.while_loop(
            lambda i, go_on, _: go_on & (i < tf.shape(minibatches)[0]),
            gradient_step,
            (tf.constant(0), tf.constant(True), tf.zeros(len(names))),
            parallel_iterations=1,
        )
        means = dict(zip(names, tf.unstack(sums / tf.cast(count, tf.float32)), strict=True))
        means["gradient_steps"] = sums[-1]
        valid = tf.reshape(batch["mask"], [-1])
        return means | {"explained_variance": _explained_variance(steps, valid)}

    def _loss(self, step: dict[str, tf.Tensor]) -> PPOLoss:
        config = self._config
        head, value = forward(self._net, torsos.forward, self._variables, step["obs"])
        if self._net.spaces.action_kind == "discrete":
            now = heads.categorical(head, step["action"], step.get("legal_act"))
        else:
            now = heads.gaussian(head, self._variables["policy/log_std"], step["action"])
        return ppo_loss(
            log_prob=now.log_prob,
            behaviour_log_prob=step["log_prob"],
            entropy=now.entropy,
            advantage=normalize(step["advantage"]) if config.normalize_advantages else step["advantage"],
            value=value,
            behaviour_value=step["value"],
            value_target=step["value_target"],
            clip=config.clip,
            value_clip=config.value_clip,
            value_cost=config.value_cost,
            entropy_cost=config.entropy_cost,
        )

    def _gradients(self, tape: tf.GradientTape, loss: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Gradients by name, clipped, and their global norm before that."""
        gradients = tape.gradient(loss, list(self._trained.values()))
        norm = tf.linalg.global_norm(gradients)
        if self._config.max_grad_norm > 0:
            gradients, _ = tf.clip_by_global_norm(gradients, self._config.max_grad_norm, norm)
        return dict(zip(self._trained, gradients, strict=True)), norm


def _column_specs(net: Architecture) -> dict[str, tf.TensorSpec]:
    """The columns of a batch that are learned from, time-major: the time axis is `[T + 1]` for those in _LONGER."""
    spaces = net.spaces
    discrete = spaces.action_kind == "discrete"
    obs_dtype = tf.as_dtype(np.dtype(spaces.obs_dtype))
    specs = {"obs": tf.TensorSpec([None, None, *spaces.obs_shape], obs_dtype)}
    if spaces.legal_actions:
        specs["legal_act"] = tf.TensorSpec([None, None, spaces.action_size], tf.bool)
    action_shape = [None, None] if discrete else [None, None, spaces.action_size]
    specs["action"] = tf.TensorSpec(action_shape, tf.int32 if discrete else tf.float32)
    specs |= {name: tf.TensorSpec([None, None], tf.float32) for name in ("log_prob", "value", "reward")}
    return specs | {name: tf.TensorSpec([None, None], tf.bool) for name in ("terminated", "truncated", "mask")}


def _flat(column: tf.Tensor) -> tf.Tensor:
    """`[T, B, ...]` to `[T * B, ...]`."""
    return tf.reshape(column, [-1, *column.shape[2:]])


def _explained_variance(steps: Mapping[str, tf.Tensor], valid: tf.Tensor) -> tf.Tensor:
    """`1 - Var(target - value) / Var(target)` over valid steps: 1 where the recorded values were right, <= 0 where useless."""
    target = tf.boolean_mask(steps["value_target"], valid)
    error = tf.math.reduce_variance(target - tf.boolean_mask(steps["value"], valid))
    return 1 - error / (tf.math.reduce_variance(target) + 1e-8)


def _require_finite(name: str, column: np.ndarray, mask: np.ndarray) -> None:
    if column.dtype.kind != "f" or np.isfinite(column).all():
        return
    b, t = np.argwhere(~np.isfinite(column))[0][:2]
    if name == "reward" and np.isfinite(column[mask]).all():
        return
    raise FloatingPointError(
        f"column {name!r} is not finite in trajectory {b} of the batch at step {t}; nothing was learned from this batch. "
        "Look at what the environment returned there"
        + (", or load an earlier model." if name in ("log_prob", "value") else ".")
    )
