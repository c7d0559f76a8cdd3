"""Makes a Reverb table from what an algorithm wants (TableSpec) and the config keys: `plan` decides, `build` creates.

Users count rows, Reverb counts items of `rows_per_item` rows, because it costs time per item and not per byte. All
sizes that depend on each other are decided here, those of the reader too: the rate limiter's slack depends on how many
items the reader requests ahead.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import reverb
import tensorflow as tf
from pydantic import TypeAdapter

from kaimesh.buffer.items import item_bytes
from kaimesh.config.check import copies_kept, preload_samples
from kaimesh.config.keys import App
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Specs
from kaimesh.contract.errors import ConfigError, MeshError
from kaimesh.contract.untrusted import parsed

LARGE_ROW_BYTES = 8192  # from this size on a row is an item of its own
ROWS_PER_DRAW = 4  # rows used of each item drawn from a replay table; more: faster; fewer: less correlated
POOL_BATCHES = 64  # rows of this many batches are mixed, see buffer/drawing/assemble
POOL_BYTES = 1 << 26
CHUNK_BYTES = 1 << 20  # of the items that the reader takes from Reverb at once
PIECE_BYTES = 1 << 20  # of an item; larger ones leave the processor's cache between the copies that Reverb makes
FIRST_COPIES = 64  # of all buffers, before any is drawn: a few would fill each batch with the same ones
_ITEM_LIMITS = {"queue": (64, 1 << 16), "replay": (16, 1 << 15)}  # most rows, most bytes
_SELECTORS = {
    "reverb.selectors.Fifo": reverb.selectors.Fifo,
    "reverb.selectors.Lifo": reverb.selectors.Lifo,
    "reverb.selectors.Uniform": reverb.selectors.Uniform,
}


class TablePlan(NamedTuple):
    """All that defines one table. Sizes are in items unless the name says rows; ratios are per item.

    rows_per_draw: rows of an item that the reader uses each time it draws it (from a queue: all).
    pieces, piece_bytes: an item is stored as `pieces` arrays of `piece_bytes` each; the last one is padded with zeros.
    pool_rows: drawn rows that the reader mixes before it makes batches from them; 0: no mixing.
    chunk_items, in_flight_items: items that the reader takes at once, and that it requests ahead.
    prioritised: as in TableSpec. priority_exponent: for a Prioritized sampler or remover.
    """

    name: str
    kind: str
    rows_per_item: int
    item_bytes: int
    pieces: int
    piece_bytes: int
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

    @property
    def bytes(self) -> int:
        """Of a full table."""
        return self.capacity_items * self.item_bytes


_PLAN = TypeAdapter(TablePlan)


def plan_of(data: Any) -> TablePlan:
    """The plan that a buffer sent, as JSON. Raises MeshError: it is invalid, or of another version."""
    what = "the buffer describes its table otherwise than this version does, so nothing is drawn; update the older side"
    return parsed(_PLAN, data, what, MeshError)


def plan(table: TableSpec, specs: Specs, app: App) -> TablePlan:
    """The table for rows of `specs`. With `Specs({})`, before these are known, it only checks the configuration.

    Raises ConfigError: the table could never deliver a batch.
    """
    if table.kind not in _ITEM_LIMITS:
        raise ConfigError(
            f"TableSpec.kind = {table.kind!r}; a table is a 'queue' or a 'replay', and no other can be made. Correct "
            "the agent's `table`."
        )
    if app.replay_buffer_capacity < app.train_batch_size:
        raise ConfigError(
            f"replay_buffer_capacity = {app.replay_buffer_capacity} is below train_batch_size = "
            f"{app.train_batch_size}; a batch could never be drawn and training would wait for ever. Raise the first "
            "or lower the second."
        )
    rows = rows_per_item(table, specs, app)
    size = item_bytes(specs, rows)
    capacity = math.ceil(app.replay_buffer_capacity / rows)
    if table.prioritised and rows != 1:
        raise ConfigError(
            f"TableSpec.prioritised with rows_per_item = {rows}: Reverb has one priority per item, so the samples of "
            "an item could not have their own. Set rows_per_item = 1 in the agent's `table`."
        )
    if table.kind != "queue" and app.replay_share:
        raise ConfigError(
            f"replay_share = {app.replay_share:g} with algo = {app.algo}, whose samples lie in a replay table: all of "
            "each batch is replayed already, and its samples would be kept twice. Set replay_share = 0, or an "
            "algorithm with a queue, such as impala."
        )
    if table.kind == "queue" and app.replay_ratio:
        raise ConfigError(
            f"replay_ratio = {app.replay_ratio:g} with algo = {app.algo}, whose samples lie in a queue, where each is "
            "used once: a learner that waits for more of them and a full queue would wait for each other. Set "
            "replay_ratio = 0, or an algorithm with a replay table, such as dqn."
        )
    if table.kind == "queue":
        return _plan_queue(table, rows, size, capacity, app)
    return _plan_replay(table, rows, size, capacity, app)


def plan_of_copies(table: TableSpec, specs: Specs, app: App) -> TablePlan:
    """The second table, of fresh copies of such rows (buffer/copies). Nothing waits for it.

    Raises ConfigError: as `plan`, or rows are not drawn one by one.
    """
    first = plan(table, specs, app)
    if first.kind != "replay" or first.rows_per_item != 1:
        raise ConfigError(
            f"reanalyse_count = {app.reanalyse_count} with algo = {app.algo}, whose table is a {first.kind} of "
            f"{first.rows_per_item} samples an item: fresh copies want a replay table with rows_per_item = 1. Set "
            "reanalyse_count = 0."
        )
    return first._replace(
        name=f"{first.name}_fresh",
        capacity_items=copies_kept(app),
        min_items=max(1, min(FIRST_COPIES, copies_kept(app)) // len(app.buffer_addrs)),
        limiter="MinSize",
        error_buffer=0.0,
        warnings=(),
    )


def rows_per_item(table: TableSpec, specs: Specs, app: App) -> int:
    """The rows in an item: as the algorithm asks; else enough to make Reverb cheap per row, and few enough that the
    table still has many items.
    """
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
        f"{key} = {getattr(app, key)} has no effect: {table.name!r} is a queue, first in first out, each sample used "
        "once"
        for key in ("reverb_sampler", "reverb_remover", "reverb_rate_limiter")
        if getattr(app, key) not in (None, "reverb.selectors.Fifo")
    ]
    # A quarter of a batch at once: rows that wait in the reader grow old.
    chunk = max(1, min(64, app.train_batch_size // (4 * rows), CHUNK_BYTES // max(size, 1)))
    return TablePlan(
        name=table.name, kind="queue", rows_per_item=rows, **_pieces(size), capacity_items=capacity, min_items=1,
        sampler="reverb.selectors.Fifo", remover="reverb.selectors.Fifo", limiter="Queue", samples_per_insert=1.0,
        error_buffer=0.0, rows_per_draw=rows, pool_rows=0, chunk_items=chunk, in_flight_items=chunk + 1,
        prioritised=False, priority_exponent=0.0, warnings=tuple(warnings),
    )  # fmt: skip


def _pieces(size: int) -> dict[str, int]:
    pieces = max(1, math.ceil(size / PIECE_BYTES))
    return {"item_bytes": size, "pieces": pieces, "piece_bytes": math.ceil(size / pieces)}


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
            f"reverb_sampler = {sampler} on a table that keeps its samples draws the oldest one again and again: every "
            "batch repeats it. Use reverb.selectors.Uniform, or an algorithm whose table is a queue."
        )
    ratio = app.reverb_samples_per_insert * rows / draw
    slack = 0.0
    limiter = app.reverb_rate_limiter or "MinSize"
    if limiter == "SampleToInsertRatio" and app.algorithm_on_policy_or_off_policy == "on-policy":
        raise ConfigError(
            "on-policy with reverb_rate_limiter = SampleToInsertRatio and reverb_samples_per_insert = "
            f"{app.reverb_samples_per_insert:g}: of each model's samples one batch of {batch} is drawn and the rest "
            "dropped, so the ratio is never reached and the buffer would take no more. Set reverb_rate_limiter = "
            "MinSize, or off-policy."
        )
    if limiter == "SampleToInsertRatio":
        # Inserts may be ahead by a batch of one-row items, draws by all that the reader may hold.
        needed = max(ratio * (batch + in_flight), 2 * pool / draw, 2.0)
        slack = needed if app.reverb_error_buffer is None else app.reverb_error_buffer / draw
        if slack < needed:
            warnings.append(
                f"reverb_error_buffer = {app.reverb_error_buffer:g} samples is less than inserting and drawing may "
                f"differ by with train_batch_size = {batch}, reverb_samples_per_insert = "
                f"{app.reverb_samples_per_insert:g} and what the learner prefetches: each would wait for the other. "
                f"{math.ceil(needed * draw)} is used instead."
            )
            slack = needed
    return TablePlan(
        name=table.name, kind="replay", rows_per_item=rows, **_pieces(size), capacity_items=capacity,
        min_items=min(min_items, capacity), sampler=sampler, remover=app.reverb_remover or "reverb.selectors.Fifo",
        limiter=limiter, samples_per_insert=ratio, error_buffer=float(slack), rows_per_draw=draw, pool_rows=pool,
        chunk_items=chunk, in_flight_items=in_flight, prioritised=table.prioritised,
        priority_exponent=app.reverb_priority_exponent, warnings=tuple(warnings),
    )  # fmt: skip


def build(plan: TablePlan) -> reverb.Table:
    """The Reverb table. Its signature is a fixed number of bytes, so Reverb itself refuses items of another size."""
    signature = tf.TensorSpec([plan.pieces, plan.piece_bytes], tf.uint8)
    if plan.kind == "queue":
        return reverb.Table.queue(plan.name, plan.capacity_items, signature=signature)
    if plan.min_items > plan.capacity_items:
        raise ConfigError(
            f"table {plan.name!r} would wait for {plan.min_items} items and holds at most {plan.capacity_items}; "
            "nothing could ever be drawn. Raise replay_buffer_capacity or lower preload_ratio."
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
    """The part of a table's `TableInfo` that is its configuration, by name. A restored table keeps its saved one."""
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


def difference(found: dict[str, str], wanted: dict[str, str]) -> str:
    """Where the configuration `found` is not the one `wanted`, for a message; "" if they agree."""
    return "; ".join(
        f"{key} {found.get(key)} instead of {value}" for key, value in wanted.items() if found.get(key) != value
    )
