"""What a writer may declare as its samples: the mesh's own columns as they are, and no more bytes than could ever be meant."""

from __future__ import annotations

import os

from kaimesh.buffer.tables import TablePlan
from kaimesh.contract.arrays import ArraySpec, Specs
from kaimesh.contract.columns import KEY, MODEL_VERSION, PRIORITY, PROBABILITY, REPLAYED, RUN_ID, SERVER
from kaimesh.contract.errors import SampleError

MOST_ITEM_BYTES = 1 << 30
_MOST_MEMORIES = (
    64  # a table is never full of the largest samples; beyond so many times this machine's memory none is meant
)
_COUNT, _PRIORITY = ArraySpec("<i8", ()), (ArraySpec("<f4", ()), ArraySpec("<f8", ()))
_OWN = {MODEL_VERSION: (_COUNT,), RUN_ID: (_COUNT,), PRIORITY: _PRIORITY}
_LEARNERS = (PROBABILITY, KEY, SERVER, REPLAYED)  # columns that the learner's side adds to what it draws


def check(specs: Specs, plan: TablePlan) -> None:
    """Raises SampleError: samples of `specs` cannot be stored in the table `plan`."""
    for name, spec in specs:
        if name in _LEARNERS:
            raise SampleError(f"samples have a field {name!r}, which the mesh adds itself; call the field otherwise")
        wanted = _OWN.get(name)
        if wanted is not None and spec not in wanted:
            raise SampleError(
                f"field {name!r} is {spec.dtype}{list(spec.shape)}; it must be {wanted[0].dtype}{list(wanted[0].shape)}"
            )
    if plan.item_bytes > MOST_ITEM_BYTES:
        raise SampleError(
            f"an item of {plan.rows_per_item} samples takes {plan.item_bytes} bytes, over the limit of {MOST_ITEM_BYTES}; lower "
            "rows_per_item, or make smaller samples"
        )
    size = plan.capacity_items * plan.item_bytes
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > _MOST_MEMORIES * memory:
        raise SampleError(
            f"a table of {plan.capacity_items} items of {plan.item_bytes} bytes takes {size} bytes, this machine has {memory}; lower "
            "replay_buffer_capacity, or make smaller samples"
        )
