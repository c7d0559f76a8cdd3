"""Whether a checkpoint can be restored into the table that is configured now."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

from kaimesh.buffer import tables
from kaimesh.buffer.checkpoint import Manifest
from kaimesh.buffer.tables import TablePlan
from kaimesh.config.keys import App
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import Specs
from kaimesh.contract.errors import SampleError
from kaimesh.contract.spaces import Spaces


class Fitting(NamedTuple):
    """What a checkpoint holds. wanted: the table's configuration (tables.configuration)."""

    plan: TablePlan
    specs: Specs
    spaces: Spaces | None
    wanted: dict[str, str]


def fitting(manifest: Manifest, folder: Path, table: TableSpec, app: App, log: logging.Logger) -> Fitting | None:
    """What the checkpoint in `folder` holds; None, and why in the log: it is not to be restored."""
    try:
        specs = Specs.from_json(manifest.specs)
        spaces = None if manifest.spaces is None else Spaces.from_json(manifest.spaces)
    except SampleError as error:
        log.error("checkpoint %s is damaged (%s); trying the one before", folder, error)
        return None
    plan = tables.plan(table, specs, app)
    wanted = tables.configuration(tables.build(plan).info)
    if difference := tables.difference(manifest.configuration, wanted):
        log.error(
            "%s was saved with another table (%s). Reverb would keep that table whatever the keys say, so it is NOT "
            "restored and this buffer starts empty. To get it back, set the keys back and start again before newer "
            "checkpoints replace it.", folder, difference,
        )  # fmt: skip
        return None
    return Fitting(plan, specs, spaces, wanted)
