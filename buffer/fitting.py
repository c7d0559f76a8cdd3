"""Whether a checkpoint can be restored into the table that is configured now."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

from kaimesh.buffer import tables
from kaimesh.buffer.checkpoint import Manifest
from kaimesh.buffer.tables import TablePlan
from kaimesh.config.keys import App
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Specs
from kaimesh.contract.errors import MeshError, SampleError
from kaimesh.contract.spaces import Spaces

_TABLES = ("samples", "fresh copies")  # what a buffer's tables hold


class Fitting(NamedTuple):
    """What a checkpoint holds. wanted: the tables' configurations (tables.configuration), of one or of both."""

    plan: TablePlan
    specs: Specs
    spaces: Spaces | None
    wanted: list[dict[str, str]]

    def check(self, manifest: Manifest, infos: list[Any]) -> None:
        """Raises MeshError: what came back is not what was saved. infos: Reverb's, of the tables, as `wanted`."""
        saved = (manifest.items, manifest.copies_items)
        for info, wanted, items in zip(infos, self.wanted, saved, strict=False):
            difference = tables.difference(tables.configuration(info), wanted)
            if info.current_size < items or difference:
                raise MeshError(
                    f"{info.current_size} of {items} items came back; {difference or 'the rest is damaged'}"
                )


def fitting(manifest: Manifest, folder: Path, table: TableSpec, app: App, log: logging.Logger) -> Fitting | None:
    """What the checkpoint in `folder` holds; None, and why in the log: it is not to be restored."""
    try:
        specs = Specs.from_json(manifest.specs)
        spaces = None if manifest.spaces is None else Spaces.from_json(manifest.spaces)
    except SampleError as error:
        log.error("checkpoint %s is damaged (%s); trying the one before", folder, error)
        return None
    plan = tables.plan(table, specs, app)
    plans = [plan] if manifest.copies is None else [plan, tables.plan_of_copies(table, specs, app)]
    wanted = [tables.configuration(tables.build(one).info) for one in plans]
    found = (manifest.configuration, manifest.copies or {})
    other = zip(_TABLES, map(tables.difference, found, wanted), strict=False)
    if difference := "; ".join(f"{name}: {words}" for name, words in other if words):
        log.error(
            "%s was saved with another table (%s). Reverb would keep that table whatever the keys say, so it is NOT "
            "restored and this buffer starts empty. To get it back, set the keys back and start again before newer "
            "checkpoints replace it.", folder, difference,
        )  # fmt: skip
        return None
    return Fitting(plan, specs, spaces, wanted)
