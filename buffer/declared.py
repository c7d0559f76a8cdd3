"""Checks what writers declare as their samples, and the numbers in the samples that they send."""

from __future__ import annotations

import os

from kaimesh.buffer.tables import TablePlan
from kaimesh.contract.arrays import Batch, Specs
from kaimesh.contract.columns import MESH_COLUMNS
from kaimesh.contract.errors import SampleError
from kaimesh.contract.finite import first_not_finite

MOST_ITEM_BYTES = 1 << 30
_MOST_MEMORIES = 64  # a table larger than this machine's memory times this is a mistake, even if it never fills up


def check(specs: Specs, plan: TablePlan) -> None:
    """Raises SampleError: samples of `specs` cannot be stored in the table `plan`."""
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
    if plan.item_bytes > MOST_ITEM_BYTES:
        raise SampleError(
            f"an item of {plan.rows_per_item} samples takes {plan.item_bytes} bytes, over the limit of "
            f"{MOST_ITEM_BYTES}; no sample was stored. Lower rows_per_item, or make smaller samples."
        )
    size = plan.capacity_items * plan.item_bytes
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > _MOST_MEMORIES * memory:
        raise SampleError(
            f"a table of {plan.capacity_items} items of {plan.item_bytes} bytes takes {size} bytes, this machine has "
            f"{memory}; the buffer would run out of memory, so no sample was stored. Lower replay_buffer_capacity, or "
            "make smaller samples."
        )


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


def _words(specs: Specs) -> str:
    return ", ".join(f"{name} {spec.dtype}{list(spec.shape)}" for name, spec in specs)
