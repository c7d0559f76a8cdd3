"""Keys that were set and do nothing, because of what other keys say: each is told at the start, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from kaimesh.config.keys import App


class _Rule(NamedTuple):
    """`keys` do nothing in a configuration of which `holds` is true; `why` says which, as the end of a sentence."""

    keys: tuple[str, ...]
    holds: Callable[[App], bool]
    why: str


_OF_OTHER_PROCESSES = (
    "actor_addrs", "predict_batch_size", "predict_max_wait_us", "predict_timeout_seconds", "actor_threads",
    "model_file_load_per_minutes", "buffer_addrs", "buffer_ingest_addrs", "replay_buffer_capacity", "preload_ratio",
    "reverb_remover", "reverb_sampler", "reverb_priority_exponent", "reverb_rate_limiter", "sample_window",
    "reverb_samples_per_insert", "reverb_error_buffer", "buffer_checkpoint_seconds", "learner_addr", "model_pool_addr",
    "send_sample_size", "train_batch_size", "learner_train_by_while_true", "learner_train_sleep_seconds",
    "production_consume_ratio", "aisrv_may_pin", "learner_threads", "model_file_sync_per_minutes",
    "modelpool_max_save_model_count", "replay_ratio",
)  # fmt: skip
_RULES = (
    _Rule(
        _OF_OTHER_PROCESSES, lambda app: app.wrapper_type == "local", "with wrapper_type = local one process does all"
    ),
    _Rule(
        ("reverb_samples_per_insert", "reverb_error_buffer"),
        lambda app: app.reverb_rate_limiter != "SampleToInsertRatio",
        "reverb_rate_limiter is not SampleToInsertRatio",
    ),
    _Rule(
        ("reverb_priority_exponent",),
        lambda app: app.reverb_sampler != "reverb.selectors.Prioritized",
        "reverb_sampler is not reverb.selectors.Prioritized",
    ),
    _Rule(
        ("learner_train_by_while_true", "production_consume_ratio", "preload_ratio", "aisrv_env_groups"),
        lambda app: app.algorithm_on_policy_or_off_policy == "on-policy",
        "on-policy learns from each batch of the current model once, and aisrv waits for the next one",
    ),
    _Rule(
        ("production_consume_ratio",),
        lambda app: app.learner_train_by_while_true,
        "with learner_train_by_while_true = true the learner learns whenever it can",
    ),
    _Rule(("replay_share_capacity", "replay_share_exponent"), lambda app: not app.replay_share, "replay_share is 0"),
    _Rule(
        ("reanalyse_share", "reanalyse_actor_share", "reanalyse_capacity"),
        lambda app: not app.reanalyse_count,
        "reanalyse_count is 0",
    ),
    _Rule(("sample_dim",), lambda app: True, "the first sample says how wide samples are"),
    _Rule(
        ("eval_model_dir", "eval_model_id"),
        lambda app: app.run_mode == "train",
        "run_mode is train, and no model is evaluated",
    ),
    _Rule(("preload_model_dir", "preload_model_id"), lambda app: not app.preload_model, "preload_model is false"),
    _Rule(
        ("eval_games", "eval_opponent"),
        lambda app: app.wrapper_type != "local",
        "only with wrapper_type = local are models evaluated as they are dumped; tools/evaluate.sh does it here",
    ),
    _Rule(("eval_opponent",), lambda app: not app.eval_games, "eval_games is 0"),
    _Rule(("monitor_page_port",), lambda app: not app.monitor_addr, "there is no monitor without monitor_addr"),
)


_OF_A_FOLDER = _Rule(("code_generation",), lambda app: True, "there is no --code")


def idle(app: App, given: Iterable[str], folder: bool = False) -> list[str]:
    """A sentence for each reason for which some of the keys in `given` do nothing.

    A key that has its default is left out: whoever writes it down expects nothing of it. folder: whether a folder of
    agents runs (`--code`).
    """
    told: set[str] = set()
    notes = []
    changed = [key for key in given if key in App.model_fields and getattr(app, key) != _default(key)]
    for rule in _RULES if folder else (*_RULES, _OF_A_FOLDER):
        keys = [key for key in changed if key in rule.keys and key not in told]
        if keys and rule.holds(app):
            told |= set(keys)
            notes.append(f"{', '.join(keys)} {'has' if len(keys) == 1 else 'have'} no effect: {rule.why}.")
    return notes


def _default(key: str) -> object:
    value: object = App.model_fields[key].get_default(call_default_factory=True)
    return value
