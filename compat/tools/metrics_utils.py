"""Numbers of the training, for workflows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kaimesh.agent import host


def get_training_metrics() -> Mapping[str, Any] | None:
    """`{"basic": {...}, "algorithm": {...}, "env": {...}, "diy": {...}}`; None: there are no numbers yet.

    basic: train_global_step, predict_succ_cnt, load_model_succ_cnt, sample_receive_cnt, episode_cnt,
    sample_production_and_consumption_ratio, sums of all processes. algorithm: what `learn` returned last. env and diy:
    what workflows gave to monitor.put_data, their mean over the processes; diy: those called diy_1 .. diy_5. They are
    read from the processes' status files at most once a second.
    """
    return host().metrics()
