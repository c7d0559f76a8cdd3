"""What all updates have in common: a batch's columns, weights, optimizer, learning rate, moments of the observations.

TensorFlow traces an update once. A process that restores what `state` returned goes on exactly.

Shape legend: T steps of a trajectory, B trajectories; S numbers of an LSTM's state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from kaimesh.algorithms.networks.layers import Weights
from kaimesh.algorithms.networks.lstm import STATE
from kaimesh.algorithms.networks.moments import RunningMoments
from kaimesh.algorithms.networks.torso import BYTE, Network
from kaimesh.contract.columns import PRIORITY
from kaimesh.contract.errors import SampleError
from kaimesh.contract.seeds import generator_from

# Columns with T + 1 entries; the last observation, or the last `value`, bootstraps.
LONGER = ("obs", "legal_act", "action", "log_prob", "value")

Columns = Mapping[str, np.ndarray]
Tensors = Mapping[str, tf.Tensor]


class Optimizer(Protocol):
    """kaimesh.algorithms.optimizers.adam or kaimesh.algorithms.optimizers.rmsprop."""

    def apply(self, gradients: Tensors, learning_rate: tf.Tensor) -> None:
        """One step on every variable."""

    def state(self) -> dict[str, np.ndarray]:
        """Everything that `restore` needs, by name."""

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continues from what `state` returned."""


class Variables(NamedTuple):
    """The weights of a network that learns, by name.

    online: all weights. trained: those of them that gradients change: all but `obs/...`. target: the weights of the
    target network; {} without one. average: the moving averages of the trained ones; {} without these.
    """

    online: dict[str, tf.Variable]
    trained: dict[str, tf.Variable]
    target: dict[str, tf.Variable]
    average: dict[str, tf.Variable]


class LearnerConfig(Protocol):
    """The hyper-parameters that Learner reads."""

    @property
    def learning_rate(self) -> float: ...
    @property
    def learning_rate_schedule(self) -> str: ...
    @property
    def total_learner_steps(self) -> int: ...
    @property
    def normalize_observations(self) -> bool: ...


class Update(Protocol):
    """The algorithm's part of an update: changes the variables by a batch `[T(+1), B, ...]`. It runs in a tf.function.

    inputs: what Learner's argument `inputs` returned. Returns metrics, which are scalars, with `total_loss` and
    `grad_norm` among them, and the tensors that `priorities` reads. If the loss or the norm is not finite, it must
    change nothing.
    """

    def __call__(
        self, variables: Variables, optimizer: Optimizer, batch: Tensors, learning_rate: tf.Tensor, *inputs: Any
    ) -> dict[str, tf.Tensor]: ...


class Learner:
    """The weights, the optimizer and `update`. `updates` counts the calls of `update`.

    acted: the columns of predictions, besides `action`, that `update` reads.
    arrange, specs: what replaces the above for samples that are no trajectories: columns to the batch, in NumPy, and
    TensorFlow's specs of it. The batch has `obs` `[..., *obs_shape]`.
    optimizer: makes one for the trained variables. optimizer_name: the first part of its arrays' names in files.
    update: see Update. inputs: (batch `[T(+1), B, ...]`, columns `[B, T(+1), ...]`, updates so far) to the further
    arguments of `update`, in NumPy. signature: TensorFlow's specs of these.
    priorities: (what `update` returned, batch, columns) to the samples' new PRIORITY, float32 `[B]`, or None.
    rng: the generator that `inputs` uses. target: whether there is a target network, at first equal to the online one.
    average: the decay per update of a moving average of the weights (Polyak and Juditsky 1992), which `weights` then
    returns; 0: there is none.
    """

    def __init__(
        self,
        net: Network,
        weights: Weights,
        config: LearnerConfig,
        *,
        optimizer: Callable[[Mapping[str, tf.Variable]], Optimizer],
        update: Update,
        acted: Sequence[str] = (),
        arrange: Callable[[Columns], dict[str, np.ndarray]] | None = None,
        specs: Mapping[str, tf.TensorSpec] | None = None,
        inputs: Callable[[Columns, Columns, int], tuple[Any, ...]] = lambda _batch, _columns, _updates: (),
        signature: Sequence[Any] = (),
        priorities: Callable[[Columns, Columns, Columns], np.ndarray | None] = lambda _found, _batch, _columns: None,
        rng: np.random.Generator | None = None,
        target: bool = False,
        average: float = 0.0,
        optimizer_name: str = "optimizer",
    ) -> None:
        self._net, self._config = net, config
        self._inputs, self._priorities, self._rng = inputs, priorities, rng
        online = {name: tf.Variable(value) for name, value in weights.items()}
        goal = {name: tf.Variable(value, trainable=False) for name, value in weights.items()} if target else {}
        trained = {name: variable for name, variable in online.items() if not name.startswith("obs/")}
        mean = {name: tf.Variable(weights[name], trainable=False) for name in trained} if average else {}
        self.variables, self._average = Variables(online, trained, goal, mean), average
        self._optimizer, self._optimizer_name = optimizer(trained), optimizer_name
        follows = net.torso.standardise and config.normalize_observations and net.spaces.obs_dtype != BYTE
        self._moments = RunningMoments(len(weights["obs/mean"])) if follows else None
        self.updates = 0
        self._columns = column_specs(net, *acted) if specs is None else dict(specs)
        self._arrange = arrange or partial(time_major, specs=self._columns)
        number = tf.TensorSpec([], tf.float32)

        def step(batch: Tensors, rate: tf.Tensor, *more: tf.Tensor) -> dict[str, tf.Tensor]:
            found = update(self.variables, self._optimizer, batch, rate, *more[: len(signature)])
            if average:
                move_average(self.variables, found, more[-1])
            return found

        wanted = [self._columns, number, *signature, *([number] if average else [])]
        self._function = tf.function(step, autograph=False, input_signature=wanted)

    def weights(self) -> Weights:
        """A copy of all weights with which to act, by name."""
        return {name: variable.numpy() for name, variable in (self.variables.online | self.variables.average).items()}

    def assign(self, weights: Mapping[str, np.ndarray]) -> None:
        """Replaces all weights, those of a target network and the averages too."""
        for variables in (self.variables.online, self.variables.target, self.variables.average):
            for name, variable in variables.items():
                variable.assign(weights[name])

    @property
    def traces(self) -> int:
        """How often TensorFlow has traced the update. More than once is a bug: the signature changes between calls."""
        return int(self._function.experimental_get_tracing_count())

    def learning_rate(self) -> float:
        """The learning rate of the next update."""
        config = self._config
        if config.learning_rate_schedule == "linear":
            return float(config.learning_rate * max(0.0, 1 - self.updates / config.total_learner_steps))
        return float(config.learning_rate)

    def update(self, columns: Columns) -> dict[str, Any]:
        """Learns from one batch of samples, columns `[B, T(+1), ...]`; returns metrics, and new PRIORITY, if any.

        Raises SampleError: a column is missing or has another shape or dtype. FloatingPointError: a column, the loss or
        the gradient is not finite. The weights are those before the step that failed.
        """
        batch = self._arrange(columns)  # [T(+1), B, ...]
        rate = self.learning_rate()
        inputs = self._inputs(batch, columns, self.updates)
        if self._average:  # the first ones count more, or the initial weights would stay in it
            inputs = (*inputs, np.float32(max(1 - self._average, 2 / (self.updates + 2))))
        tensors = self._function(batch, np.float32(rate), *inputs)
        found = {name: tensor.numpy() for name, tensor in tensors.items()}
        metrics: dict[str, Any] = {name: float(value) for name, value in found.items() if not value.ndim}
        _require_finite_update(metrics, self.updates)
        self.updates += 1
        self._follow(batch["obs"])
        metrics["learning_rate"] = rate
        priority = self._priorities(found, batch, columns)
        return metrics if priority is None else {**metrics, PRIORITY: priority}

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Plain data and arrays: everything but the weights that `restore` needs to go on exactly."""
        parts = {self._optimizer_name: self._optimizer.state()}
        parts["target"] = {name: variable.numpy() for name, variable in self.variables.target.items()}
        parts["online"] = {name: self.variables.online[name].numpy() for name in self.variables.average}
        parts["moments"] = self._moments.state() if self._moments is not None else {}
        arrays = {f"{part}/{name}": array for part, named in parts.items() for name, array in named.items()}
        drawn = {} if self._rng is None else {"rng": self._rng.bit_generator.state}
        return {"updates": self.updates, **drawn}, arrays

    def restore(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Continues from what `state` returned; `arrays` are like those of `state`.

        Raises ValueError: `header` is damaged; nothing was changed.
        """
        updates = header.get("updates")
        if type(updates) is not int or updates < 0:
            raise ValueError(f"updates = {updates!r:.80} is no count")
        drawing = None if self._rng is None else generator_from(header.get("rng"))
        self._optimizer.restore(_under(f"{self._optimizer_name}/", arrays))
        for name, variable in self.variables.target.items():
            variable.assign(arrays[f"target/{name}"])
        for name in self.variables.average:
            self.variables.online[name].assign(arrays[f"online/{name}"])
        if self._moments is not None:
            self._moments.restore(_under("moments/", arrays))
        if self._rng is not None and drawing is not None:
            self._rng.bit_generator.state = drawing.bit_generator.state
        self.updates = updates

    def _follow(self, obs: np.ndarray) -> None:
        """Updates the moments; called after the gradient steps, which must standardise as the actors did."""
        if self._moments is None:
            return
        self._moments.add(obs.reshape(-1, int(np.prod(self._net.spaces.obs_shape))))
        for name, value in self._moments.weights().items():
            self.variables.online[name].assign(value)


def gradients(
    tape: tf.GradientTape, loss: tf.Tensor, variables: Variables, max_norm: float
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Gradients of the trained variables by name, clipped to the global norm `max_norm` (0: not clipped).

    Returns the norm before clipping, too.
    """
    found = tape.gradient(loss, list(variables.trained.values()))
    norm = tf.linalg.global_norm(found)
    if max_norm > 0:
        found, _ = tf.clip_by_global_norm(found, max_norm, norm)
    return dict(zip(variables.trained, found, strict=True)), norm


def move_target(variables: Variables, rate: tf.Tensor) -> None:
    """Moves the target network towards the online one: 0 is not at all, 1 is all the way."""
    for name, variable in variables.target.items():
        variable.assign(rate * variables.online[name] + (1 - rate) * variable)


def move_average(variables: Variables, found: Tensors, rate: tf.Tensor) -> None:
    """Moves the averages of the weights towards the online ones by `rate`, 0 to 1; not after a step that was not taken.

    found: what the update returned.
    """
    taken = tf.math.is_finite(found["total_loss"] + found["grad_norm"])
    for name, variable in variables.average.items():
        variable.assign_add(tf.where(taken, rate, 0.0) * (variables.online[name] - variable))


def explained_variance(target: tf.Tensor, value: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """`1 - Var(target - value) / Var(target)` over valid steps, `[T, B]` each. 1: the values were exact."""
    target, value = tf.boolean_mask(target, mask), tf.boolean_mask(value, mask)
    return 1 - tf.math.reduce_variance(target - value) / (tf.math.reduce_variance(target) + 1e-8)


def column_specs(net: Network, *acted: str) -> dict[str, tf.TensorSpec]:
    """TensorFlow's specs of a batch's columns, time-major. LONGER have `[T + 1, B, ...]`, STATE has `[B, S]`.

    acted: float32 columns of predictions, besides `action`.
    """
    spaces = net.spaces
    discrete = spaces.action_kind == "discrete"
    obs_dtype = tf.as_dtype(np.dtype(spaces.obs_dtype))
    specs = {"obs": tf.TensorSpec([None, None, *spaces.obs_shape], obs_dtype)}
    if spaces.legal_actions:
        specs["legal_act"] = tf.TensorSpec([None, None, spaces.action_size], tf.bool)
    action_shape = [None, None] if discrete else [None, None, spaces.action_size]
    specs["action"] = tf.TensorSpec(action_shape, tf.int32 if discrete else tf.float32)
    specs |= {name: tf.TensorSpec([None, None], tf.float32) for name in (*acted, "reward")}
    specs |= {name: tf.TensorSpec([None, None], tf.bool) for name in ("terminated", "truncated", "mask")}
    if net.lstm_size:
        specs[STATE] = tf.TensorSpec([None, 2 * net.lstm_size], tf.float32)
    return specs


def time_major(columns: Columns, specs: Mapping[str, tf.TensorSpec]) -> dict[str, np.ndarray]:
    """The columns of `specs`, out of `[B, T(+1), ...]`, as `[T(+1), B, ...]`.

    Raises SampleError: one is missing or has another shape or dtype. FloatingPointError: one has a number that is not
    finite.
    """
    steps = columns["reward"].shape[1] if "reward" in columns else 0  # T
    for name, spec in specs.items():
        inner = list(spec.shape[1:]) if name == STATE else [steps + (name in LONGER), *spec.shape[2:]]
        wanted = f"{spec.dtype.name} {['B', *inner]}"
        if name not in columns:
            raise SampleError(
                f"samples have no column {name!r} ({wanted}); they have {', '.join(columns)}. "
                f"Nothing was learned from them; {_OTHER}"
            )
        column = columns[name]
        if column.dtype != spec.dtype.as_numpy_dtype or list(column.shape[1:]) != inner:
            raise SampleError(
                f"column {name!r} is {column.dtype} {['B', *column.shape[1:]]}, but learning needs {wanted}. "
                f"Nothing was learned from them; {_OTHER}"
            )
        _require_finite(name, column, columns["mask"])
    return {name: columns[name] if name == STATE else np.swapaxes(columns[name], 0, 1) for name in specs}


_OTHER = "another agent or other settings made them. Begin a new run, whose buffer is empty."


def _require_finite(name: str, column: np.ndarray, mask: np.ndarray) -> None:
    if column.dtype.kind != "f" or np.isfinite(column).all():
        return
    b, t = np.argwhere(~np.isfinite(column))[0][:2]
    if name == "reward" and np.isfinite(column[mask]).all():
        return
    where = "before its first step" if name == STATE else f"at step {t}"
    raise FloatingPointError(
        f"column {name!r} is not finite in trajectory {b} of the batch {where}; nothing was learned from this batch. "
        "Look at what the environment returned there"
        + (", or load an earlier model." if name in ("log_prob", "value", STATE) else ".")
    )


def _require_finite_update(metrics: Mapping[str, float], updates: int) -> None:
    for name in ("total_loss", "grad_norm"):
        if not np.isfinite(metrics[name]):
            others = ", ".join(f"{key} = {value}" for key, value in metrics.items() if key != name)
            raise FloatingPointError(
                f"{name} = {metrics[name]} in learn {updates} ({others}); that gradient step was not applied. "
                "Lower the algorithm's learning_rate or reward_scale, or look at the rewards and observations."
            )


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
