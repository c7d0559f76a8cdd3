"""From what an algorithm wants (TableSpec) and the config keys to a Reverb table, in two steps: `plan` decides, `build` obeys.

Rows are what users count; Reverb counts items, each of `rows_per_item` rows, because its cost is per item and not per byte.
Everything that has to fit together is decided here, on both sides of the table: what the reader may hold in flight bounds the
rate limiter's slack.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import reverb
import tensorflow as tf
from pydantic import TypeAdapter

from kaimesh.buffer.items import item_bytes
from kaimesh.config.check import preload_samples
from kaimesh.config.keys import App
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Specs
from kaimesh.contract.errors import ConfigError, MeshError
from kaimesh.contract.untrusted import parsed

LARGE_ROW_BYTES = 8192  # from here on a row is an item of its own
ROWS_PER_DRAW = 4  # rows used of each item drawn from a replay table; more is faster, fewer correlates less
POOL_BATCHES = 64  # rows of so many batches are mixed, see buffer/drawing/assemble
POOL_BYTES = 1 << 26
CHUNK_BYTES = 1 << 20  # items handed from Reverb to Python at once
STEP_BYTES = 1 << 20  # larger pieces leave the processor's cache between the copies that Reverb makes
_ITEM_LIMITS = {"queue": (64, 1 << 16), "replay": (16, 1 << 15)}  # most rows, most bytes
_SELECTORS = {
    "reverb.selectors.Fifo": reverb.selectors.Fifo,
    "reverb.selectors.Lifo": reverb.selectors.Lifo,
    "reverb.selectors.Uniform": reverb.selectors.Uniform,
}


class TablePlan(NamedTuple):
    """One table in plain words. Sizes are in items unless the name says rows; ratios are per item.

    rows_per_draw: how many rows of an item the reader uses each time it draws one (all of them from a queue).
    steps, step_bytes: an item is stored as so many pieces of so many bytes, zeros at the end of the last.
    pool_rows: how many drawn rows the reader mixes before it makes batches of them; 0: no mixing.
    chunk_items, in_flight_items: what the reader takes at once, and asks for ahead.
    prioritised: as in TableSpec. priority_exponent: of a Prioritized sampler or remover.
    """

    name: str
    kind: str
    rows_per_item: int
    item_bytes: int
    steps: int
    step_bytes: int
    capacity_items: int
    min_items: int
    sampler: str
    remover: str
    limiter: str
    samples_per_insert: float
    error_buffer: float
    rows_per_draw: int
    pool_rows: int
    chunk_items: int
    in_flight_items: int
    prioritised: bool
    priority_exponent: float
    warnings: tuple[str, ...] = ()


_PLAN = TypeAdapter(TablePlan)


def plan_of(data: Any) -> TablePlan:
    """The plan that a buffer told, as JSON. Raises MeshError: it is none, or another version's."""
    return parsed(_PLAN, data, "the buffer describes its table otherwise than this version does", MeshError)


def plan(table: TableSpec, specs: Specs, app: App) -> TablePlan:
    """The table for rows of `specs`; `Specs({})` before they are known, to have the configuration checked.

    Raises ConfigError: a table that could never deliver a batch.
    """
    if table.kind not in _ITEM_LIMITS:
        raise ConfigError(
            f"TableSpec.kind = {table.kind!r}; a table is a 'queue' or a 'replay'. Correct the agent's `table`."
        )
    if app.replay_buffer_capacity < app.train_batch_size:
        raise ConfigError(
            f"replay_buffer_capacity = {app.replay_buffer_capacity} is below train_batch_size = {app.train_batch_size}; a "
            "batch could never be drawn and training would wait for ever. Raise the first or lower the second."
        )
    rows = rows_per_item(table, specs, app)
    size = item_bytes(specs, rows)
    capacity = math.ceil(app.replay_buffer_capacity / rows)
    if table.prioritised and rows != 1:
        raise ConfigError(
            f"TableSpec.prioritised with rows_per_item = {rows}: a priority belongs to an item, so each sample must be one. Set "
            "rows_per_item = 1 in the agent's `table`."
        )
    if table.kind != "queue" and app.replay_share:
        raise ConfigError(
            f"replay_share = {app.replay_share:g} with algo = {app.algo}, whose samples lie in a replay table: all of each batch is "
            "replayed already, and its samples would be kept twice. Set replay_share = 0, or an algorithm with a queue, such as impala."
        )
    if table.kind == "queue":
        return _plan_queue(table, rows, size, capacity, app)
    return _plan_replay(table, rows, size, capacity, app)


def rows_per_item(table: TableSpec, specs: Specs, app: App) -> int:
    """What the algorithm asks for, else as many as keep Reverb's cost per row small and the table finely divided."""
    if table.rows_per_item > 0:
        return min(table.rows_per_item, app.replay_buffer_capacity)
    if specs.row_bytes >= LARGE_ROW_BYTES:
        return 1
    most_rows, most_bytes = _ITEM_LIMITS[table.kind]
    return max(
        1, min(most_rows, most_bytes // max(specs.row_bytes, 1), app.replay_buffer_capacity // 8, app.train_batch_size)
    )


def _plan_queue(table: TableSpec, rows: int, size: int, capacity: int, app: App) -> TablePlan:
    warnings = [
        f"{key} = {getattr(app, key)} has no effect: {table.name!r} is a queue, first in first out, each sample used once"
        for key in ("reverb_sampler", "reverb_remover", "reverb_rate_limiter")
        if getattr(app, key) not in (None, "reverb.selectors.Fifo")
    ]
    # A quarter of a batch at once: what waits in the reader grows stale.
    chunk = max(1, min(64, app.train_batch_size // (4 * rows), CHUNK_BYTES // max(size, 1)))
    return TablePlan(
        name=table.name, kind="queue", rows_per_item=rows, **_steps(size), capacity_items=capacity, min_items=1,
        sampler="reverb.selectors.Fifo", remover="reverb.selectors.Fifo", limiter="Queue", samples_per_insert=1.0,
        error_buffer=0.0, rows_per_draw=rows, pool_rows=0, chunk_items=chunk, in_flight_items=chunk + 1,
        prioritised=False, priority_exponent=0.0, warnings=tuple(warnings),
    )  # fmt: skip


def _steps(size: int) -> dict[str, int]:
    steps = max(1, math.ceil(size / STEP_BYTES))
    return {"item_bytes": size, "steps": steps, "step_bytes": math.ceil(size / steps)}


def _plan_replay(table: TableSpec, rows: int, size: int, capacity: int, app: App) -> TablePlan:
    batch, warnings = app.train_batch_size, []
    draw = min(rows, ROWS_PER_DRAW)
    pool = 0
    if rows > 1:
        pool = max(batch, min(POOL_BATCHES * batch, app.replay_buffer_capacity, POOL_BYTES * rows // max(size, 1)))
    chunk = max(1, min(64, CHUNK_BYTES // max(size, 1)))
    in_flight = max(2, min(64, 32 * CHUNK_BYTES // max(size, 1)))
    min_items = max(1, math.ceil(preload_samples(app) / (len(app.buffer_addrs) * rows)))
    sampler = app.reverb_sampler or "reverb.selectors.Uniform"
    if sampler.endswith("Fifo"):
        warnings.append(
            f"reverb_sampler = {sampler} on a table that keeps its samples draws the oldest one again and again: every batch "
            "repeats it. Use reverb.selectors.Uniform, or an algorithm whose table is a queue."
        )
    ratio = app.reverb_samples_per_insert * rows / draw
    slack = 0.0
    limiter = app.reverb_rate_limiter or "MinSize"
    if limiter == "SampleToInsertRatio" and app.algorithm_on_policy_or_off_policy == "on-policy":
        raise ConfigError(
            f"on-policy with reverb_rate_limiter = SampleToInsertRatio and reverb_samples_per_insert = {app.reverb_samples_per_insert:g}: "
            f"of each model's samples one batch of {batch} is drawn and the rest dropped, so the ratio is never reached and the buffer "
            "would take no more. Set reverb_rate_limiter = MinSize, or off-policy."
        )
    if limiter == "SampleToInsertRatio":
        # Enough for a batch of one-row items on one side, and for all that the reader may hold on the other.
        needed = max(ratio * (batch + in_flight), 2 * pool / draw, 2.0)
        slack = needed if app.reverb_error_buffer is None else app.reverb_error_buffer / draw
        if slack < needed:
            warnings.append(
                f"reverb_error_buffer = {app.reverb_error_buffer:g} samples is less than inserting and drawing may differ by "
                f"with train_batch_size = {batch}, reverb_samples_per_insert = {app.reverb_samples_per_insert:g} and what the "
                f"learner prefetches: each would wait for the other. {math.ceil(needed * draw)} is used instead."
            )
            slack = needed
    return TablePlan(
        name=table.name, kind="replay", rows_per_item=rows, **_steps(size), capacity_items=capacity,
        min_items=min(min_items, capacity), sampler=sampler, remover=app.reverb_remover or "reverb.selectors.Fifo",
        limiter=limiter, samples_per_insert=ratio, error_buffer=float(slack), rows_per_draw=draw, pool_rows=pool,
        chunk_items=chunk, in_flight_items=in_flight, prioritised=table.prioritised,
        priority_exponent=app.reverb_priority_exponent, warnings=tuple(warnings),
    )  # fmt: skip


def build(plan: TablePlan) -> reverb.Table:
    """The Reverb table. Its signature is of bytes and fixed, so Reverb itself refuses items of another size."""
    signature = tf.TensorSpec([plan.steps, plan.step_bytes], tf.uint8)
    if plan.kind == "queue":
        return reverb.Table.queue(plan.name, plan.capacity_items, signature=signature)
    if plan.min_items > plan.capacity_items:
        raise ConfigError(
            f"table {plan.name!r} would wait for {plan.min_items} items and holds at most {plan.capacity_items}; nothing could "
            "ever be drawn. Raise replay_buffer_capacity or lower preload_ratio."
        )
    if plan.limiter == "MinSize":
        limiter = reverb.rate_limiters.MinSize(plan.min_items)
    else:
        limiter = reverb.rate_limiters.SampleToInsertRatio(plan.samples_per_insert, plan.min_items, plan.error_buffer)
    return reverb.Table(
        plan.name,
        sampler=_selector(plan.sampler, plan.priority_exponent),
        remover=_selector(plan.remover, plan.priority_exponent),
        max_size=plan.capacity_items,
        rate_limiter=limiter,
        signature=signature,
    )


def _selector(name: str, priority_exponent: float) -> Any:
    if name == "reverb.selectors.Prioritized":
        return reverb.selectors.Prioritized(priority_exponent)
    return _SELECTORS[name]()


def configuration(info: Any) -> dict[str, str]:
    """What of a table's `TableInfo` is configuration, by name; a restored table keeps the one it was saved with."""
    limiter = info.rate_limiter_info
    return {
        "sampler": str(info.sampler_options).strip(),
        "remover": str(info.remover_options).strip(),
        "max_size": str(info.max_size),
        "max_times_sampled": str(info.max_times_sampled),
        "samples_per_insert": f"{limiter.samples_per_insert:g}",
        "min_diff": f"{limiter.min_diff:g}",
        "max_diff": f"{limiter.max_diff:g}",
        "min_size_to_sample": str(limiter.min_size_to_sample),
        "signature": str(info.signature),
    }
