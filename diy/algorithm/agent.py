"""The agent. One instance lives in each process that needs it; `agent_type` says in which (see diy/__init__.py)."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tensorboardX import SummaryWriter

from kaimesh.agent import BaseAgent, Batch, Monitor, Spaces, TableSpec, load_arrays

from ..config import Config
from ..feature.definition import ActData, ObsData, SampleData
from .gae import gae

if TYPE_CHECKING:  # for the types alone, see Agent.network
    from ..model.model import Model

NAME = __name__.split(".")[-3]  # this folder's, for TensorBoard


def run_folder() -> Path:
    """The folder of this run, where logs, models and curves lie; `runs/debug` outside the mesh."""
    return Path(os.environ.get("KAIMESH_RUN_DIR", "runs/debug"))


class Writers:
    """This process's TensorBoard writers by name, each made once, whichever thread asks for it first.

    Look at the curves with `tensorboard --logdir runs/latest/tensorboard`.
    """

    def __init__(self) -> None:
        self._made: dict[str, SummaryWriter] = {}
        self._lock = threading.Lock()

    def __call__(self, name: str) -> SummaryWriter:
        """The writer of that name."""
        with self._lock:
            if name not in self._made:
                folder = run_folder() / "tensorboard" / f"{name}_{os.getpid()}"
                self._made[name] = SummaryWriter(str(folder), flush_secs=10)
            return self._made[name]

    def cache_clear(self) -> None:
        """Forgets them; the next call makes a new one, in the folder of that time's run."""
        with self._lock:
            self._made.clear()


init_writer = Writers()


class Agent(BaseAgent):
    """PPO. The mesh calls the constructor and the methods below, as far as they exist; all else is yours."""

    # The buffer keeps each sample until it is learned from, once and in order. An off-policy agent says kind="replay".
    table = TableSpec(kind="queue", rows_per_item=1)

    def __init__(
        self,
        agent_type: str = "player",
        device: str | None = None,
        logger: logging.Logger | None = None,
        monitor: Monitor | None = None,
    ) -> None:
        super().__init__(agent_type, device, logger, monitor)
        self.model: Model | None = None  # until it is known how wide observations are, see `network`
        self.learn_count = 0
        self._rng = np.random.default_rng([Config.seed, os.getpid()])  # actors must not all explore alike

    def setup(self, spaces: Spaces) -> None:
        """Called once, before anything else, with what the environment looks like.

        This agent needs nothing of it. But where this method exists, the actor predicts nothing before its first model.
        """

    def network(self, feature_dim: int, action_dim: int) -> Model:
        """The network, made when it is first needed: the first observation, sample or model file gives its widths."""
        if self.model is None:
            from ..model.model import Model  # here, because aisrv only forwards calls: that process needs no TensorFlow

            self.model = Model(feature_dim, action_dim)
        return self.model

    # ---- in the actor ----------------------------------------------------------------------------------

    def predict(self, list_obs_data: Sequence[ObsData]) -> list[ActData]:
        """One ActData per ObsData, drawn from the policy. The list may hold observations of many environments."""
        return self._act(list_obs_data, explore=True)

    def exploit(self, list_obs_data: Sequence[ObsData]) -> list[ActData]:
        """The same with the likeliest action; what tools/evaluate.sh calls."""
        return self._act(list_obs_data, explore=False)

    def _act(self, list_obs_data: Sequence[ObsData], explore: bool) -> list[ActData]:
        # A Batch reads as the list of ObsData, and also has each field of all of them as one array: fast and short.
        batch = Batch.of(list_obs_data)
        model = self.network(batch.feature.shape[-1], batch.legal_act.shape[-1])
        log_probs, values = model.forward(batch.feature, batch.legal_act)  # [N, A], [N]
        noise = self._rng.gumbel(size=log_probs.shape) if explore else 0.0
        actions = np.argmax(log_probs + noise, axis=-1)  # with Gumbel noise the arg max is a draw from the policy
        return [
            ActData(action=action, log_prob=log_probs[row, action], value=values[row])
            for row, action in enumerate(actions)
        ]

    # ---- in the learner --------------------------------------------------------------------------------

    def learn(self, list_sample_data: Sequence[SampleData]) -> dict[str, float]:
        """Several epochs of PPO on the samples; what it returns becomes metrics of the mesh."""
        batch = Batch.of(list_sample_data)
        model = self.network(batch.feature.shape[-1], batch.legal_act.shape[-1])
        mask = batch.mask  # [B, T]
        advantage, returns = gae(batch.reward, batch.value, mask, Config.GAMMA, Config.LAMBDA)  # [B, T] each
        real = advantage[mask]
        advantage = (advantage - real.mean()) / (real.std() + 1e-8)
        # What follows needs no trajectories: N real steps in any order.
        columns = [batch.feature, batch.legal_act, batch.action, batch.log_prob, advantage, returns]
        steps = [column[mask] for column in columns]  # [N, ...] each
        metrics: list[dict[str, float]] = []
        for _ in range(Config.EPOCHS):
            order = self._rng.permutation(len(real))
            for start in range(0, len(order), Config.MINIBATCH):
                rows = order[start : start + Config.MINIBATCH]
                metrics.append(model.train(*(step[rows] for step in steps)))
        self.learn_count += 1
        means = {name: float(np.mean([metric[name] for metric in metrics])) for name in metrics[0]}
        means["reward_per_step"] = float(batch.reward[mask].mean())
        for name, value in means.items():
            init_writer("learner").add_scalar(f"{NAME}/{name}", value, self.learn_count)
        return means

    # ---- in both ---------------------------------------------------------------------------------------

    def save_model(self, path: str | None = None, id: str | int = "1") -> None:
        """Writes `{path}/model.ckpt-{id}.npz`; in the learner. The mesh chooses path and id, and deletes old models.

        The first model, 0, is saved before the first sample has told the network's widths. So its file is empty; it
        stands for the network that Config.seed gives.
        """
        folder = Path(path) if path else run_folder() / "user_ckpt"
        folder.mkdir(parents=True, exist_ok=True)
        weights = self.model.get_weights() if self.model else []
        np.savez(folder / f"model.ckpt-{id}.npz", *weights, widths=self.model.widths if self.model else (0, 0))

    def load_model(self, path: str | None = None, id: str | int = "1") -> None:
        """Reads what save_model wrote; in the actor for every new model, in the learner for preload_model.

        Raises ValueError: the weights do not fit the widths, or are no finite float32; those of before stay.
        """
        folder = Path(path) if path else run_folder() / "user_ckpt"
        arrays = load_arrays(folder / f"model.ckpt-{id}.npz")  # as np.load, for files of anybody
        feature_dim, action_dim = (int(width) for width in arrays["widths"])
        weights = [arrays[f"arr_{i}"] for i in range(len(arrays) - 1)]
        if not all(weight.dtype == np.float32 and np.isfinite(weight).all() for weight in weights):
            raise ValueError(
                f"model {id} in {folder} has weights that are no finite float32 numbers; nothing was loaded. Load "
                "another one."
            )
        before = self.model
        if before is not None and before.widths != (feature_dim, action_dim):
            self.model = None  # the file is of other observations, or the empty first one
        if weights:
            try:
                self.network(feature_dim, action_dim).set_weights(weights)
            except Exception:
                self.model = before
                raise

    def save_training_state(self, path: str) -> None:
        """Optional: with it, `--resume` goes on exactly, with the optimizer's moments and the counter."""
        variables = [variable.numpy() for variable in self.model.optimizer.variables] if self.model else []
        np.savez(Path(path) / "optimizer.npz", *variables, learn_count=self.learn_count)

    def load_training_state(self, path: str) -> None:
        """Reads what save_training_state wrote; the weights come through load_model.

        Raises ValueError: the numbers do not fit the optimizer, or are not finite; those of before stay.
        """
        variables = self.model.optimizer.variables if self.model else []
        arrays = load_arrays(Path(path) / "optimizer.npz")
        learn_count = int(arrays["learn_count"])
        found = [arrays[f"arr_{i}"] for i in range(len(arrays) - 1)]
        like = [(variable.shape, variable.dtype.as_numpy_dtype) for variable in variables]
        if like != [(array.shape, array.dtype) for array in found] or not all(np.isfinite(one).all() for one in found):
            raise ValueError(
                f"{path} has a training state that does not fit this optimizer or is not finite; nothing was loaded. "
                "Start a new run from the model, with preload_model."
            )
        self.learn_count = learn_count
        for variable, array in zip(variables, found, strict=True):
            variable.assign(array)
