"""The agent folders of tests/code/folders: what each is for, and with which keys it trains within seconds."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.code.copies import Change

_SMALL: Mapping[str, Any] = MappingProxyType(
    {
        "train_batch_size": 8,
        "replay_buffer_capacity": 64,
        "preload_ratio": 1.0,
        "dump_model_freq": 1,
        "model_file_sync_per_minutes": 0,
        "aisrv_connect_to_kaiwu_env_count": 2,
    }
)


class Idiom(NamedTuple):
    """about: what is peculiar to it. generation: as it is to be found. suffix: of the files that its save_model writes.

    settings: keys that make it quick. torch: whether it needs PyTorch. base, changes: of what it is a copy. local:
    whether everything happens in one aisrv.
    """

    about: str
    generation: str
    suffix: str
    settings: Mapping[str, Any] = _SMALL
    torch: bool = False
    local: bool = False
    base: str = ""
    changes: tuple[Change, ...] = ()


_SPIN = (
    Change(
        "diy/train_workflow.py",
        "obs, frames, done = env.reset(USR_CONF), [], False\n        if obs is None:\n            continue\n",
        "obs, frames, done, tries = None, [], False, 0\n"
        "        while obs is None:\n"
        "            # the start is no place for a treasure: the environment refuses that\n"
        "            treasures = [2] if tries < 2 else []\n"
        '            obs = env.reset({"diy": {**USR_CONF["diy"], "treasure_id": treasures}})\n'
        "            tries += 1\n",
    ),
)

IDIOMS: Mapping[str, Idiom] = MappingProxyType(
    {
        "g1_dqn": Idiom("remote, the helpers of feature_process, pickled weights, one epsilon per call", "G1", ".pkl"),
        "g1_ppo_torch": Idiom(
            "remote, rows of 2,683,077 floats, save_model inside learn, a cleaner of its own, SummaryWriters",
            "G1",
            ".pkl",
            {**_SMALL, "train_batch_size": 2, "replay_buffer_capacity": 4, "learner_train_sleep_seconds": 0.0},
            torch=True,
        ),
        "g1_tabular": Idiom(
            "local, a table of 134 MB, learn([None])", "G1", ".npy", {"dump_model_freq": 3}, local=True
        ),
        "g2a_tuple": Idiom(
            "predict returns (list, version); keys of the configuration that stand twice", "G2a", ".npy"
        ),
        "g2b_list": Idiom(
            "workflow(*args, **kwargs), no app and no algo in the configuration, a tools/ of its own",
            "G2b",
            ".npz",
            {**_SMALL, "reverb_rate_limiter": "MinSize"},
        ),
        "g3_local": Idiom(
            "no decorators, agent.learn trains at once", "G3", ".npy", {"dump_model_freq": 50}, local=True
        ),
        "g3_send": Idiom(
            "send_sample_data, whole numbers as widths, init_config, reset(obs), MonitorConfigBuilder", "G3", ".npz"
        ),
        "namespace_exit": Idiom(
            "folders without __init__.py, no super().__init__, exit(1) in load_model", "G1", ".npz"
        ),
        "spin_on_none": Idiom("spins while reset returns None", "G1", ".npz", base="namespace_exit", changes=_SPIN),
    }
)
