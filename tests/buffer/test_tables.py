"""Plans of tables, and the traps of measured Reverb behaviour that a configuration can run into."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reverb

from kaimesh.buffer import tables
from kaimesh.buffer.drawing.reader import Reader
from kaimesh.buffer.ingest import Ingest
from kaimesh.config import App
from kaimesh.contract.agent import TableSpec
from kaimesh.contract.arrays import ArraySpec, Specs
from kaimesh.contract.errors import ConfigError
from kaimesh.process.meter import Meter
from tests.buffer.conftest import WAIT_S, check_rows, config_of, rows

SMALL = Specs({"x": ArraySpec("<f4", (20,))})  # 80 bytes
LARGE = Specs({"x": ArraySpec("<f4", (32, 128))})  # 16 kB
REPLAY, QUEUE = TableSpec(), TableSpec(kind="queue")


def app(**keys: Any) -> App:
    return App(**{"replay_buffer_capacity": 1000, "train_batch_size": 32, **keys})


@pytest.mark.parametrize(
    ("table", "specs", "keys", "expected"),
    [
        (QUEUE, SMALL, {"train_batch_size": 256}, 64),
        (QUEUE, SMALL, {}, 32),  # no more than a batch
        (REPLAY, SMALL, {}, 16),
        (REPLAY, SMALL, {"replay_buffer_capacity": 40}, 5),  # the table stays finely divided
        (REPLAY, SMALL, {"replay_buffer_capacity": 10, "train_batch_size": 2}, 1),
        (QUEUE, LARGE, {}, 1),
        (REPLAY, LARGE, {}, 1),
        (TableSpec(rows_per_item=4), LARGE, {}, 4),
        (TableSpec(rows_per_item=4), SMALL, {"replay_buffer_capacity": 2, "train_batch_size": 2}, 2),
        (REPLAY, Specs({"x": ArraySpec("<f4", (1000,))}), {}, 8),  # 32 kB
    ],
)
def test_rows_per_item(table: TableSpec, specs: Specs, keys: dict[str, Any], expected: int) -> None:
    assert tables.plan(table, specs, app(**keys)).rows_per_item == expected


def test_a_table_holds_the_capacity_in_rows() -> None:
    plan = tables.plan(TableSpec(kind="queue", rows_per_item=7), SMALL, app())
    assert plan.capacity_items == 143  # 1001 rows
    assert tables.build(plan).info.max_size == 143
    assert tables.build(plan).info.max_times_sampled == 1


def test_capacity_below_a_batch_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"replay_buffer_capacity = 31 is below train_batch_size = 32.*wait for ever"):
        tables.plan(QUEUE, SMALL, app(replay_buffer_capacity=31))
    with pytest.raises(ConfigError, match="train_batch_size"):  # before there is a sample
        Ingest(QUEUE, app(replay_buffer_capacity=31))


def test_an_unknown_kind_of_table_is_an_error() -> None:
    with pytest.raises(ConfigError, match="'stack'; a table is a 'queue' or a 'replay'"):
        tables.plan(TableSpec(kind="stack"), SMALL, app())


@pytest.mark.parametrize("capacity", [32, 33, 1000])
@pytest.mark.parametrize("rows_per_item", [0, 1, 5, 32, 64])
@pytest.mark.parametrize("ratio", [0.001, 0.5, 1.0, 3.0, 1000.0])
def test_what_is_waited_for_always_fits(capacity: int, rows_per_item: int, ratio: float) -> None:
    table = TableSpec(rows_per_item=rows_per_item)
    plan = tables.plan(table, SMALL, app(replay_buffer_capacity=capacity, preload_ratio=ratio))
    assert 1 <= plan.min_items <= plan.capacity_items
    assert plan.pool_rows == 0 or plan.pool_rows >= 32
    tables.build(plan)


def test_a_plan_that_could_never_deliver_is_not_built() -> None:
    plan = tables.plan(REPLAY, SMALL, app())._replace(min_items=100, capacity_items=50)
    with pytest.raises(ConfigError, match="wait for 100 items and holds at most 50"):
        tables.build(plan)


def test_preload_is_shared_out_over_the_servers() -> None:
    addresses = {"buffer_addrs": ["a:1", "b:2"], "buffer_ingest_addrs": ["a:3", "b:4"]}
    table = TableSpec(rows_per_item=10)
    assert tables.plan(table, SMALL, app()).min_items == 100
    assert tables.plan(table, SMALL, app(**addresses)).min_items == 50


def test_a_fifo_sampler_on_a_replay_table_is_warned_of_with_reason() -> None:
    """Its consequence is real: the second half of the test draws the oldest item for ever."""
    settings = app(
        reverb_sampler="reverb.selectors.Fifo", replay_buffer_capacity=64, train_batch_size=4, preload_ratio=0.1
    )
    plan = tables.plan(TableSpec(rows_per_item=1), SMALL, settings)
    assert "draws the oldest one again and again" in plan.warnings[0]
    ingest = Ingest(TableSpec(rows_per_item=1), settings)
    ingest.declare(rows(1).specs, None)
    ingest.insert(rows(10))
    assert ingest.flush(WAIT_S)
    reader = Reader(
        [],
        [],
        "",
        batch_size=4,
        table=TableSpec(rows_per_item=1),
        config=config_of(settings),
        meter=Meter("l"),
        controls=[ingest],
    )
    batch = reader.next_batch(WAIT_S)
    assert batch is not None
    assert check_rows(batch).tolist() == [0, 0, 0, 0]
    reader.close()
    ingest.close()


def test_selectors_and_limiters_that_a_queue_cannot_have_are_named() -> None:
    plan = tables.plan(
        QUEUE, SMALL, app(reverb_sampler="reverb.selectors.Uniform", reverb_rate_limiter="SampleToInsertRatio")
    )
    assert len(plan.warnings) == 2
    assert "reverb_sampler = reverb.selectors.Uniform has no effect" in plan.warnings[0]
    assert not tables.plan(QUEUE, SMALL, app(reverb_sampler="reverb.selectors.Fifo")).warnings


@pytest.mark.parametrize("name", ["Fifo", "Lifo", "Uniform", "Prioritized"])
def test_every_selector_of_the_configuration_exists(name: str) -> None:
    key = f"reverb.selectors.{name}"
    info = tables.build(tables.plan(REPLAY, SMALL, app(reverb_sampler=key, reverb_remover=key))).info
    assert name.lower() in str(info.sampler_options)
    assert name.lower() in str(info.remover_options)


def test_a_ratio_is_in_rows() -> None:
    plan = tables.plan(
        TableSpec(rows_per_item=16), SMALL, app(reverb_rate_limiter="SampleToInsertRatio", reverb_samples_per_insert=3)
    )
    assert plan.rows_per_draw == 4
    assert plan.samples_per_insert == 3 * 16 / 4  # 16 rows in make 12 draws of 4 rows


def test_a_slack_too_narrow_is_widened_with_a_warning() -> None:
    keys = {"reverb_rate_limiter": "SampleToInsertRatio", "reverb_samples_per_insert": 5}
    default = tables.plan(REPLAY, SMALL, app(**keys))
    narrow = tables.plan(REPLAY, SMALL, app(**keys, reverb_error_buffer=10))
    wide = tables.plan(REPLAY, SMALL, app(**keys, reverb_error_buffer=1e6))
    assert not default.warnings
    assert narrow.error_buffer == default.error_buffer
    assert "reverb_error_buffer = 10" in narrow.warnings[0]
    assert "each would wait for the other" in narrow.warnings[0]
    assert wide.error_buffer == 1e6 / wide.rows_per_draw
    assert not wide.warnings


@pytest.mark.parametrize("rows_per_item", [1, 16])
@pytest.mark.parametrize("samples_per_insert", [0.5, 8.0])
def test_a_ratio_neither_deadlocks_nor_is_missed(rows_per_item: int, samples_per_insert: float) -> None:
    """One thread inserts and draws in turn: what hangs with a slack that is too narrow."""
    table = TableSpec(rows_per_item=rows_per_item)
    settings = app(
        reverb_rate_limiter="SampleToInsertRatio", reverb_samples_per_insert=samples_per_insert, reverb_error_buffer=1,
        preload_ratio=0.1, replay_buffer_capacity=2000,
    )  # fmt: skip
    ingest = Ingest(table, settings)
    ingest.declare(rows(1).specs, None)
    reader = Reader(
        [], [], "", batch_size=32, table=table, config=config_of(settings), meter=Meter("l"), controls=[ingest]
    )
    drawn = inserted = 0
    batch = None
    for step in range(600):
        if ingest.flush(0.0, partial=False):
            ingest.insert(rows(16, 16 * step))
            inserted += 16
        while (batch := reader.next_batch(0.0)) is not None:
            drawn += len(check_rows(batch))
    plan = ingest.plan
    assert plan is not None
    slack_rows = plan.error_buffer * plan.rows_per_draw + samples_per_insert * 200
    assert inserted > 3000
    assert abs(drawn - samples_per_insert * inserted) <= 2 * slack_rows + plan.pool_rows + 3 * 32 + 64
    reader.close()
    ingest.close()


def test_a_restored_configuration_can_be_told_apart() -> None:
    one = tables.configuration(tables.build(tables.plan(REPLAY, SMALL, app())).info)
    two = tables.configuration(tables.build(tables.plan(REPLAY, SMALL, app(replay_buffer_capacity=2000))).info)
    assert {key for key in one if one[key] != two[key]} == {"max_size", "min_size_to_sample"}


def test_reverb_itself_refuses_items_of_another_size() -> None:
    ingest = Ingest(QUEUE, app())
    ingest.declare(SMALL, None)
    client = reverb.Client(f"127.0.0.1:{ingest.port}")
    writer = client.trajectory_writer(1)
    writer.append(np.zeros(3, np.uint8))
    with pytest.raises(ValueError, match="inconsistent with the table signature"):
        writer.create_item("samples", 1.0, writer.history[-1:])
    writer.close()
    ingest.close()
