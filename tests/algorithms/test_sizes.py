"""A whole number that sizes an array is refused where no machine has room for it; in words, before anything starts."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from kaimesh.algorithms.dqn.config import Config as Dqn
from kaimesh.algorithms.impala.config import Config as Impala
from kaimesh.algorithms.muzero.config import Config as Muzero
from kaimesh.algorithms.ppo.config import Config as Ppo

HUGE = 100_000_000_000
# Those that count something else: learns, moves, passes.
COUNTS = {"total_learner_steps", "target_period", "temperature_moves", "sync_learns", "epochs", "minibatches", "seed"}


@pytest.mark.parametrize("config", [Dqn, Impala, Muzero, Ppo])
def test_a_size_that_fits_in_no_memory_is_refused(config: Any) -> None:
    whole = {field.name for field in fields(config) if type(field.default) is int} - COUNTS
    assert "unroll_length" in whole
    for key in whole:
        said = [line for line in config(**{key: HUGE}).check() if line.startswith(f"{key} = ") or f", {key} = " in line]
        assert said, key
        assert any("Set at most" in line or "Lower the first" in line for line in said), said
    assert config().check() == []
