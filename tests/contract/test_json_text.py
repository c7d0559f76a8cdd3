"""JSON that every reader takes, whatever the numbers in it are."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaimesh.contract.json_text import finite, json_text, number

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def strict(text: str) -> Any:
    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@given(PLAIN, st.booleans(), st.booleans())
def test_whatever_is_written_can_be_read_and_only_what_is_not_finite_is_lost(
    data: Any, compact: bool, ascii_only: bool
) -> None:
    assert strict(json_text(data, compact=compact, ensure_ascii=ascii_only)) == finite(data)


@given(st.dictionaries(st.text(max_size=5), PLAIN, max_size=4))
def test_each_lost_number_is_named_once_at_its_place(data: dict[str, Any]) -> None:
    told = strict(json_text(data, reasons=True))
    lost = [text for text in _numbers(data) if not math.isfinite(text)]
    assert len(told.get("not_finite", {})) <= len(lost)  # places of odd keys may read alike
    assert bool(told.get("not_finite")) == bool(lost) or "not_finite" in data


def _numbers(data: Any) -> list[float]:
    if isinstance(data, dict | list):
        return [one for inner in (data.values() if isinstance(data, dict) else data) for one in _numbers(inner)]
    return [data] if isinstance(data, float) else []


def test_the_reason_says_which_number_it_was() -> None:
    data = {"loss": math.nan, "rows": [{"rate": math.inf}, (1.0, -math.inf)], "fine": 1.5}
    assert strict(json_text(data, reasons=True)) == {
        "loss": None,
        "rows": [{"rate": None}, [1.0, None]],
        "fine": 1.5,
        "not_finite": {"loss": "NaN", "rows[0].rate": "Infinity", "rows[1][1]": "-Infinity"},
    }
    assert "not_finite" not in strict(json_text({"fine": 1.5}, reasons=True))
    assert strict(json_text([math.nan])) == [None]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, "1", None, True, [], {}])
def test_what_is_no_finite_number_is_none(value: Any) -> None:
    assert number(value) is None
    assert number(3) == 3.0
