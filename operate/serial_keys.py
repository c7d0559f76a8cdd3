"""Which keys of the configuration train_test.py sets, and which mean nothing in one process without sockets."""

from __future__ import annotations

from collections.abc import Callable, Mapping

# Small, so that the first learn comes at once. On-policy, so that the order of all steps is fixed. What the user types
# is stronger.
SETTINGS = {
    "wrapper_type": "remote",
    "algorithm_on_policy_or_off_policy": "on-policy",
    "aisrv_connect_to_kaiwu_env_count": "4",
    "train_batch_size": "4",
    "replay_buffer_capacity": "64",
    "dump_model_freq": "1",
}
# As Kaiwu's own train_test.py sets them, for a folder of agents.
SETTINGS_OF_CODE = {
    "aisrv_connect_to_kaiwu_env_count": "1",
    "train_batch_size": "2",
    "replay_buffer_capacity": "10",
    "dump_model_freq": "1",
}
EPISODE_STEPS = "100"  # what the environment variable max_step_no says, after which such workflows end an episode
# Samples of a replay table, or of a replay share, are drawn again, whichever model made them.
OFF_POLICY = {"algorithm_on_policy_or_off_policy": "off-policy"}

LIMITER = "reverb_rate_limiter"
_NO_PORT = "no port is opened"
_NO_LIMITER = "one thread both inserts and draws, so neither can wait for the other"
_PACE = "the learner learns as soon as there is a batch"
# By key: why it means nothing, and the value with which it does nothing; "": whatever it is, nothing reads it.
UNUSED: Mapping[str, tuple[str, str]] = {
    "run_mode": ("it always trains", "train"),
    "aisrv_count": ("there is one aisrv", "1"),
    "aisrv_may_pin": ("the actor here has only the newest model", ""),
    "reanalyse_count": ("nothing is searched again", "0"),
    "reanalyse_share": ("nothing is searched again", ""),
    "reanalyse_actor_share": ("nothing is searched again", ""),
    "reanalyse_capacity": ("nothing is searched again", ""),
    "sample_window": ("no sample is on its way", ""),
    "actor_addrs": (_NO_PORT, ""),
    "predict_max_wait_us": ("no request is waited for", ""),
    "model_file_load_per_minutes": ("the actor gets each model at once", "0"),
    "predict_timeout_seconds": ("no answer is waited for", ""),
    "buffer_addrs": (_NO_PORT, ""),
    "buffer_ingest_addrs": (_NO_PORT, ""),
    "preload_ratio": (_PACE, "1e-9"),
    LIMITER: (_NO_LIMITER, "MinSize"),
    "reverb_samples_per_insert": (_NO_LIMITER, ""),
    "reverb_error_buffer": (_NO_LIMITER, ""),
    "replay_ratio": (_NO_LIMITER, "0"),
    "buffer_checkpoint_seconds": ("the buffer is not saved", "0"),
    "learner_addr": (_NO_PORT, ""),
    "learner_train_by_while_true": (_PACE, "true"),
    "learner_train_sleep_seconds": (_PACE, "0"),
    "production_consume_ratio": (_PACE, ""),
    "model_pool_addr": (_NO_PORT, ""),
    "model_file_sync_per_minutes": ("the pool gets each model at once", "0"),
    "eval_model_dir": ("it always trains", ""),
    "eval_model_id": ("it always trains", ""),
    "sample_dim": ("the first sample says how wide samples are", ""),
    "bind_host": (_NO_PORT, ""),
    "monitor_addr": ("no monitor is told", ""),
    "monitor_page_port": (_NO_PORT, ""),
    "actor_threads": ("all compute with one thread", ""),
    "learner_threads": ("all compute with one thread", ""),
    "env_build_seconds": ("five times watchdog_seconds holds while environments are built", ""),
    "max_restarts": ("nothing is restarted", ""),
    "log_max_bytes": ("the log is standard output", ""),
    "log_backups": ("the log is standard output", ""),
}


def neutral(typed: Mapping[str, str], say: Callable[[str], None]) -> dict[str, str]:
    """The values with which keys that mean nothing here do nothing. say: is told which of `typed` are such keys."""
    for key in typed:
        if key in UNUSED:
            say(f"{key} has no effect in train_test.py: {UNUSED[key][0]}")
    return {key: value for key, (_why, value) in UNUSED.items() if value}
