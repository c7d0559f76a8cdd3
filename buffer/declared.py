"""Checks what writers declare as their samples, and the numbers in the samples that they send."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np

from kaimesh.buffer.tables import TablePlan
from kaimesh.config.keys import App
from kaimesh.contract.arrays import Batch, Specs
from kaimesh.contract.columns import MESH_COLUMNS, POSITIONS, PRIORITY
from kaimesh.contract.errors import SampleError
from kaimesh.contract.finite import first_not_finite

MOST_ITEM_BYTES = 1 << 30
MOST_GAME_BYTES = 4_000_000  # of a row of several positions


def together(app: App) -> int:
    """How many buffers may share one machine's memory: those with the same host in their addresses."""
    return max(Counter(address.rpartition(":")[0] for address in app.buffer_addrs).values(), default=1)


def check(specs: Specs, plan: TablePlan, memory_bytes: int, buffers: int = 1, copies: Sequence[TablePlan] = ()) -> None:
    """Raises SampleError: samples of `specs` cannot be stored in the table `plan`, or it would need more memory.

    buffers: how many of this size share the memory. copies: the second table, if there is one.
    """
    for name, spec in specs:
        column = MESH_COLUMNS.get(name)
        if column is None:
            continue
        if column.drawn:
            raise SampleError(
                f"samples have a field {name!r}, which the mesh itself adds when they are drawn; none was stored. Give "
                "the field another name."
            )
        if spec not in column.specs:
            usual = column.specs[0]
            raise SampleError(
                f"field {name!r} is {spec.dtype}{list(spec.shape)}; it must be {usual.dtype}{list(usual.shape)}, or "
                "the mesh could not read it; no sample was stored. Correct the field."
            )
    if POSITIONS in specs.names and specs.row_bytes > MOST_GAME_BYTES:
        largest = sorted(specs, key=lambda field: -field.spec.nbytes)[:3]
        raise SampleError(
            f"a sample of several positions takes {specs.row_bytes:,} bytes, over the limit of {MOST_GAME_BYTES:,}, "
            "and of each only some positions are drawn; no sample was stored. Its largest fields are "
            f"{', '.join(f'{name} ({spec.nbytes:,} bytes)' for name, spec in largest)}. Store shorter windows of an "
            "episode, or smaller observations: bytes instead of floats, single frames instead of stacks."
        )
    if plan.item_bytes > MOST_ITEM_BYTES:
        raise SampleError(
            f"an item of {plan.rows_per_item} samples takes {plan.item_bytes} bytes, over the limit of "
            f"{MOST_ITEM_BYTES}; no sample was stored. Lower rows_per_item, or make smaller samples."
        )
    if _bytes(plan, copies) * buffers > memory_bytes:
        raise SampleError(
            f"{_full(plan, buffers, copies)}, and there are {_gb(memory_bytes)} of memory; the buffer would be "
            f"killed once it is that full, so no sample was stored. {_SMALLER}"
        )


def warnings(plan: TablePlan, memory_bytes: int, buffers: int = 1, copies: Sequence[TablePlan] = ()) -> list[str]:
    """The warnings to log for a new table: the plan's own, and one if it takes more than half of the memory.

    buffers, copies: as `check`.
    """
    if _bytes(plan, copies) * buffers <= memory_bytes // 2:
        return list(plan.warnings)
    return [
        *plan.warnings,
        f"{_full(plan, buffers, copies)}, more than half of the {_gb(memory_bytes)} of memory here; what else runs may "
        f"not find room, and a checkpoint of the buffer takes as much disk. {_SMALLER}",
    ]


def tell(plan: TablePlan, copies: Sequence[TablePlan], memory_bytes: int, buffers: int, log: logging.Logger) -> None:
    """Logs what a new table is like, and what to know about it. copies, buffers: as `check`."""
    log.info(
        "table %r: a %s of up to %d items of %d rows, %d bytes each; %s, from %d items on", plan.name, plan.kind,
        plan.capacity_items, plan.rows_per_item, plan.item_bytes, plan.limiter, plan.min_items,
    )  # fmt: skip
    for warning in warnings(plan, memory_bytes, buffers, copies):
        log.warning("%s", warning)


def check_same(specs: Specs, known: Specs) -> None:
    """Raises SampleError: `specs` are not those of the samples that the buffer holds already."""
    if specs != known:
        raise SampleError(
            f"this buffer holds samples of {_words(known)}; {_words(specs)} cannot join them. Give every sample of the "
            "run the same fields, shapes and dtypes; after a change of the agent, start a new run."
        )


def refuse_not_finite(batch: Batch) -> None:
    """Raises SampleError: a float column holds NaN or infinity."""
    if (found := first_not_finite(batch.columns)) is None:
        return
    name, row, wrong = found
    raise SampleError(
        f"field {name!r} of row {row} holds {wrong}; the frame of {len(batch)} samples was refused, nothing is trained "
        "on it. Look at what makes this field: the reward, the observation, or the network's outputs."
    )


_SMALLER = "Lower replay_buffer_capacity, make smaller samples, or use more buffers on more machines."


def _bytes(plan: TablePlan, copies: Sequence[TablePlan]) -> int:
    return sum(table.bytes for table in (plan, *copies))


def _full(plan: TablePlan, buffers: int, copies: Sequence[TablePlan]) -> str:
    fresh = "".join(f" and {one.capacity_items:,} fresh copies (reanalyse_capacity)," for one in copies)
    text = (
        f"the table of {plan.capacity_items * plan.rows_per_item:,} samples (replay_buffer_capacity), "
        f"{plan.capacity_items:,} items of {plan.item_bytes:,} bytes,{fresh} takes {_gb(_bytes(plan, copies))} when it "
        "is full"
    )
    return (
        text
        if buffers == 1
        else f"{text}, {buffers} buffers on one machine (buffer_addrs) {_gb(_bytes(plan, copies) * buffers)}"
    )


def _gb(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"


def _words(specs: Specs) -> str:
    return ", ".join(f"{name} {spec.dtype}{list(spec.shape)}" for name, spec in specs)


def priorities(batch: Batch) -> list[float]:
    """The first priority of each row. Raises SampleError: Reverb would never draw one of them."""
    given = batch.columns[PRIORITY]
    if not (given > 0).all():
        raise SampleError(
            f"{PRIORITY} of row {int(np.argmin(given))} is {given.min():g}; Reverb would never draw it. The frame of "
            f"{len(batch)} samples was refused; priorities must be above 0."
        )
    return list(given.tolist())
