"""Conditions between several keys: contradictions (problems), and values that are slow or surprising (warnings)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable

from kaimesh.config.keys import App
from kaimesh.config.roles import ROLES, Role, clashes

_MOST_COUNTED = 2**53
_MOST_SECONDS = 100_000_000  # three years; also of the keys in minutes


def is_local(address: str) -> bool:
    """Whether "host:port" is this machine, so that a socket can be bound to the host."""
    host = address.rpartition(":")[0]
    try:
        with socket.socket() as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def preload_samples(app: App) -> int:
    """The samples that a replay table must hold before the first learn.

    As in Kaiwu, a preload_ratio of at most 1 is a fraction of the capacity, and a larger one divides it.
    """
    ratio = app.preload_ratio
    wanted = app.replay_buffer_capacity / ratio if ratio > 1 else app.replay_buffer_capacity * ratio
    return max(1, app.train_batch_size, int(min(wanted, app.replay_buffer_capacity)))


def fresh_samples(app: App) -> int:
    """How many samples of a batch are drawn from the buffer; the others are replayed (`replay_share`)."""
    return max(1, round(app.train_batch_size * (1 - app.replay_share)))


def copies_kept(app: App) -> int:
    """The fresh copies that a buffer keeps at most (`reanalyse_capacity`)."""
    return app.reanalyse_capacity or max(app.train_batch_size, app.replay_buffer_capacity // 4)


def copies_in_batch(app: App) -> int:
    """How many samples of a batch are fresh copies once there are some; 0 without reanalyse."""
    if not app.reanalyse_count:
        return 0
    return min(round(app.train_batch_size * app.reanalyse_share), app.train_batch_size - 1)


def active_trigger(app: App) -> str:
    """One sentence that says when the learner learns; logged once at its start."""
    if app.algorithm_on_policy_or_off_policy == "on-policy":
        return (
            f"on-policy: learn on every {app.train_batch_size} samples of the current model, then wait until all use "
            "the new one"
        )
    if app.learner_train_by_while_true:
        pause = f", then pause {app.learner_train_sleep_seconds:g} s" if app.learner_train_sleep_seconds else ""
        return (
            f"off-policy, while true: learn whenever {fresh_samples(app)} samples can be drawn{pause}{_replayed(app)}"
        )
    fresh = fresh_samples(app) / app.production_consume_ratio
    of = "fresh samples" if app.replay_share else "train_batch_size"
    return (
        f"off-policy, by ratio: learn after every {fresh:g} new samples ({of} / "
        f"production_consume_ratio){_replayed(app)}"
    )


def _replayed(app: App) -> str:
    if not app.replay_share:
        return ""
    count = app.train_batch_size - fresh_samples(app)
    return (
        f"; {count} of each batch of {app.train_batch_size} are replayed, after the first two "
        f"(replay_share = {app.replay_share:g})"
    )


def problems(app: App, roles: Iterable[Role] = tuple(ROLES.values())) -> list[str]:
    """Contradictions, each with the values, the consequence and the remedy."""
    found = clashes(roles, app)
    if len(app.buffer_addrs) != len(app.buffer_ingest_addrs):
        found.append(
            f"buffer_addrs has {len(app.buffer_addrs)} servers, buffer_ingest_addrs {len(app.buffer_ingest_addrs)}; "
            "samples would go where nobody reads. Give each server one of both, in the same order."
        )
    if app.replay_buffer_capacity < app.train_batch_size:
        found.append(
            f"replay_buffer_capacity = {app.replay_buffer_capacity} is below train_batch_size = "
            f"{app.train_batch_size}; a batch could never be drawn and training would wait for ever. Raise the first "
            "or lower the second."
        )
    if app.algorithm_on_policy_or_off_policy == "on-policy":
        if app.dump_model_freq != 1:
            found.append(
                f"on-policy with dump_model_freq = {app.dump_model_freq}: aisrv waits for the next model, which comes "
                f"only after {app.dump_model_freq} learns; it would wait for ever. Set dump_model_freq = 1."
            )
        for key in ("model_file_sync_per_minutes", "model_file_load_per_minutes"):
            if getattr(app, key) > 0:
                found.append(
                    f"on-policy with {key} = {getattr(app, key):g}: every learn would wait for that timer. Set {key} = "
                    "0."
                )
    slack = app.reverb_error_buffer
    if app.reverb_rate_limiter == "SampleToInsertRatio" and slack is not None:
        least = max(1.0, app.reverb_samples_per_insert)
        if slack < least:
            found.append(
                f"reverb_error_buffer = {slack:g} is below max(1, reverb_samples_per_insert) = {least:g}; Reverb "
                "refuses such a table. Raise it, or leave it out for a default that cannot deadlock."
            )
    found += _too_large(app)
    found += _two_paces(app)
    found += _share(app) if app.replay_share else []
    found += _ratio(app) if app.replay_ratio else []
    found += _reanalyse(app) if app.reanalyse_count else []
    if app.wrapper_type == "local" and app.aisrv_count != 1:
        found.append(
            f"wrapper_type = local with aisrv_count = {app.aisrv_count}: each would train an agent of its own. Set "
            "aisrv_count = 1."
        )
    if app.preload_model and not app.preload_model_dir:
        found.append(
            "preload_model = true without preload_model_dir; there is nothing to load. Set preload_model_dir and "
            "preload_model_id."
        )
    return found


def _too_large(app: App) -> list[str]:
    """Numbers that no run can mean: times of many years, counts that JSON cannot hold exactly."""
    found = []
    for key in App.model_fields:
        value = getattr(app, key)
        if isinstance(value, bool) or not isinstance(value, int | float) or key == "random_seed":
            continue
        most, why = _MOST_COUNTED, "no count or size is that large, and its digits would be lost in JSON"
        if key.endswith(("_seconds", "_minutes")):
            most, why = _MOST_SECONDS, "nobody would see the end of such a time, and a timer cannot hold it"
        if abs(value) > most:
            found.append(f"{key} = {value!r:.40}: {why}. Set at most {most:,}.")
    return found


def _two_paces(app: App) -> list[str]:
    """Finds a deadlock between the learner's pace (production_consume_ratio) and the rate limiter of the buffer.

    The learner waits for new samples, the limiter takes none until enough were drawn. After n new samples the learner
    has drawn production_consume_ratio x n of them, and the limiter wants reverb_samples_per_insert x n, less its slack.
    So if the first number is smaller, both stop sooner or later, whatever the slack; else they never do.
    """
    wanted, drawn = app.reverb_samples_per_insert, app.production_consume_ratio
    by_ratio = app.algorithm_on_policy_or_off_policy == "off-policy" and not app.learner_train_by_while_true
    if app.reverb_rate_limiter != "SampleToInsertRatio" or not by_ratio or drawn >= wanted:
        return []
    return [
        f"production_consume_ratio = {drawn:g} is below reverb_samples_per_insert = {wanted:g}: the learner would wait "
        f"for new samples (it draws {drawn:g} times each), and the buffer would take none before each was drawn "
        f"{wanted:g} times; all would stop. Set learner_train_by_while_true = true, so that the limiter alone sets the "
        "pace, or raise production_consume_ratio."
    ]


def _share(app: App) -> list[str]:
    share, batch, found = app.replay_share, app.train_batch_size, []
    if app.algorithm_on_policy_or_off_policy == "on-policy":
        found.append(
            f"replay_share = {share:g} with on-policy: samples of the current model alone are used, so none could be "
            "replayed. Set algorithm_on_policy_or_off_policy = off-policy, or replay_share = 0."
        )
    if app.wrapper_type != "remote":
        found.append(
            f"replay_share = {share:g} with wrapper_type = {app.wrapper_type}: only the learner's process keeps "
            "samples, so nothing would be replayed. Set wrapper_type = remote, or replay_share = 0."
        )
    if fresh_samples(app) == batch:
        found.append(
            f"replay_share = {share:g} of train_batch_size = {batch} is less than half a sample; nothing would be "
            "replayed. Raise one of them, or set replay_share = 0."
        )
    if app.replay_share_capacity < 2 * batch:
        found.append(
            f"replay_share_capacity = {app.replay_share_capacity} is below 2 x train_batch_size = {2 * batch}: samples "
            f"would be overwritten before they could be replayed. Set at least {2 * batch}."
        )
    return found


def _reanalyse(app: App) -> list[str]:
    """What `reanalyse_count` does not go with."""
    asked, found = f"reanalyse_count = {app.reanalyse_count}", []
    if app.wrapper_type == "local":
        found.append(
            f"{asked} with wrapper_type = local, where there is no other process than aisrv's: nothing would be "
            "searched again. Set reanalyse_count = 0; the algorithm may have a key of its own, such as "
            "muzero.sync_reanalyse."
        )
    if app.algorithm_on_policy_or_off_policy == "on-policy":
        found.append(
            f"{asked} with on-policy: samples are dropped after each learn, so none could be searched again. Set "
            "algorithm_on_policy_or_off_policy = off-policy, or reanalyse_count = 0."
        )
    if app.reverb_rate_limiter == "SampleToInsertRatio":
        found.append(
            f"{asked} with reverb_rate_limiter = SampleToInsertRatio: Reverb would count what reanalyse draws as "
            f"learned, and the learner draws less than all from that table; reverb_samples_per_insert = "
            f"{app.reverb_samples_per_insert:g} would be held of neither. Set reverb_rate_limiter = MinSize, and "
            "replay_ratio to how many positions are to be learned from for each one played; or reanalyse_count = 0."
        )
    if copies_in_batch(app) == 0:
        found.append(
            f"reanalyse_share = {app.reanalyse_share:g} of train_batch_size = {app.train_batch_size} is no whole "
            "sample: fresh copies would be made and never learned from. Raise one of the two, or set reanalyse_count = "
            "0."
        )
    if copies_kept(app) < app.train_batch_size:
        found.append(
            f"reanalyse_capacity = {app.reanalyse_capacity} is below train_batch_size = {app.train_batch_size}: each "
            "batch would hold the same few fresh copies. Raise it, or set 0."
        )
    return found


def _ratio(app: App) -> list[str]:
    """What sets the pace besides `replay_ratio`: where two do, each may wait for what the other does not allow."""
    others = {
        "algorithm_on_policy_or_off_policy": "on-policy"
        if app.algorithm_on_policy_or_off_policy == "on-policy"
        else "",
        "reverb_rate_limiter": "SampleToInsertRatio" if app.reverb_rate_limiter == "SampleToInsertRatio" else "",
        "learner_train_by_while_true": "" if app.learner_train_by_while_true else "false",
        "replay_share": f"{app.replay_share:g}" if app.replay_share else "",
    }
    remedies = ("off-policy", "MinSize", "true", "0")
    return [
        f"replay_ratio = {app.replay_ratio:g} with {key} = {value}: both say how often a sample is used, and learner "
        f"and environments could wait for each other for ever. Set {key} = {remedy}, or replay_ratio = 0."
        for (key, value), remedy in zip(others.items(), remedies, strict=True)
        if value
    ]


def warnings(app: App) -> list[str]:
    """Settings that work, but in another way than the user may expect."""
    found = []
    cores, shares = os.cpu_count() or 1, share_threads(app)
    computing = shares["actor_threads"] * len(app.actor_addrs) + shares["learner_threads"]
    busy = computing + app.aisrv_count + len(app.buffer_addrs)
    if app.actor_threads + app.learner_threads > cores:
        found.append(
            f"actor_threads = {app.actor_threads} and learner_threads = {app.learner_threads} on {cores} cores "
            f"({busy} busy threads in all): they will take turns and both be slower. Lower them, or set 0 to share out."
        )
    if app.aisrv_count > 2 * cores:
        found.append(
            f"aisrv_count = {app.aisrv_count} on {cores} cores: environments will wait for a core. Lower it to "
            f"{2 * cores}."
        )
    envs = app.aisrv_count * app.aisrv_connect_to_kaiwu_env_count
    if app.predict_max_wait_us and app.predict_batch_size > envs:
        found.append(
            f"predict_batch_size = {app.predict_batch_size} exceeds the {envs} environments of all aisrv: batches only "
            f"leave after predict_max_wait_us = {app.predict_max_wait_us}. Lower it or raise the environments."
        )
    if app.reverb_sampler in ("reverb.selectors.Fifo", "reverb.selectors.Lifo"):
        found.append(
            f"reverb_sampler = {app.reverb_sampler}: a replay table draws the same sample again and again until it is "
            "removed. Use reverb.selectors.Uniform, unless the algorithm's table is a queue."
        )
    if app.reverb_rate_limiter == "SampleToInsertRatio" and app.reverb_error_buffer is not None:
        wide = app.reverb_samples_per_insert * app.train_batch_size
        if app.reverb_error_buffer < wide:
            found.append(
                f"reverb_error_buffer = {app.reverb_error_buffer:g} is below reverb_samples_per_insert x "
                f"train_batch_size = {wide:g}: inserting and learning will take turns. Raise it, or leave it out."
            )
    if app.wrapper_type == "remote" and any(is_local(address) for address in app.buffer_addrs):
        found.append(
            "Reverb (buffer_addrs) has no authentication and listens on all interfaces, whatever bind_host says: close "
            "its port to other machines by a firewall or a private network."
        )
    if app.bind_host not in ("127.0.0.1", "localhost"):
        found.append(
            f"bind_host = {app.bind_host}: the ports are open to other machines; only the token protects them."
        )
    return found


def share_threads(app: App) -> dict[str, int]:
    """Threads by the key that sets them; a learner gets the cores that the other processes leave, at least one."""
    cores = os.cpu_count() or 1
    actor = app.actor_threads or max(1, cores // (4 * len(app.actor_addrs)))
    rest = cores - actor * len(app.actor_addrs) - min(app.aisrv_count, cores // 2)
    return {"actor_threads": actor, "learner_threads": app.learner_threads or max(1, rest)}
