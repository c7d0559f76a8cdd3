"""The keys of reanalyse: what does not go together is told, and how much of a batch is copies."""

from __future__ import annotations

import re
from typing import Any

import pytest

from kaimesh.config.check import copies_in_batch, copies_kept, problems
from kaimesh.config.idle import idle
from kaimesh.config.keys import App


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"wrapper_type": "local", "aisrv_count": 1}, "wrapper_type = local.*muzero.sync_reanalyse"),
        ({"algorithm_on_policy_or_off_policy": "on-policy", "dump_model_freq": 1}, "with on-policy.*off-policy"),
        ({"reverb_rate_limiter": "SampleToInsertRatio"}, "SampleToInsertRatio.*= MinSize, and replay_ratio"),
        ({"reanalyse_share": 0.001}, "reanalyse_share = 0.001 of train_batch_size = 64 is no whole sample"),
        ({"train_batch_size": 1}, "reanalyse_share = 0.5 of train_batch_size = 1 is no whole sample"),
        ({"reanalyse_capacity": 63}, "reanalyse_capacity = 63 is below train_batch_size = 64"),
    ],
)
def test_what_reanalyse_does_not_go_with_is_told(keys: dict[str, Any], words: str) -> None:
    assert [*filter(lambda text: "reanalyse" in text, problems(App(**keys)))] == []
    (found,) = problems(App(reanalyse_count=1, **keys))
    assert re.search(words, found), found


def test_a_share_of_a_batch_is_copies_and_at_least_one_sample_is_plays() -> None:
    assert copies_in_batch(App(reanalyse_share=0.5)) == 0, "there is no reanalyse"
    for share, count in ((0.0, 0), (0.5, 32), (0.99, 63), (1.0, 63)):
        assert copies_in_batch(App(reanalyse_count=1, reanalyse_share=share)) == count
    assert copies_kept(App()) == 2500
    assert copies_kept(App(replay_buffer_capacity=100)) == 64
    assert copies_kept(App(reanalyse_capacity=7)) == 7


def test_keys_without_reanalyse_have_no_effect() -> None:
    keys = ("reanalyse_share", "reanalyse_capacity")
    changed = {"reanalyse_share": 0.3, "reanalyse_capacity": 99}
    assert any("reanalyse_count is 0" in note for note in idle(App(**changed), keys))
    assert not idle(App(reanalyse_count=1, **changed), keys)
