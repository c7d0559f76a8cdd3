"""From an agent's unit to an action space's bounds: any box, against exact fractions."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kaimesh.contract.scaling import Scaling

INF, LARGEST_32, LARGEST = np.inf, float(np.finfo(np.float32).max), float(np.finfo(np.float64).max)
TINY = 5e-324
EDGES = [sign * edge for edge in (INF, LARGEST, LARGEST_32, TINY, 1e308, 1.0, 0.0) for sign in (-1, 1)]
BOUNDS = st.one_of(st.floats(allow_nan=False), st.sampled_from(EDGES))
BOXES = st.tuples(BOUNDS, BOUNDS).map(sorted).filter(lambda box: box[0] < INF and box[1] > -INF)
UNITS = st.one_of(st.floats(width=32, allow_nan=False), st.floats(-1, 1, width=32), st.sampled_from([-1.0, 0.0, 1.0]))


def scaled(low: float, high: float, *units: float) -> list[float]:
    """The actions for `units`; a warning of NumPy's is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        column = np.array(units, np.float32)[:, None]
        found = Scaling.of([low], [high]).actions(column)
    assert found.shape == column.shape
    assert found.dtype == np.float64
    values: list[float] = found[:, 0].tolist()
    return values


def is_bound(value: float) -> bool:
    return abs(value) not in (INF, LARGEST_32, LARGEST)


@settings(max_examples=60)
@given(box=BOXES, unit=UNITS)
@example(box=[-1e308, 1e308], unit=0.5)
@example(box=[TINY, 2 * TINY], unit=0.0)
@example(box=[-LARGEST, float(np.nextafter(LARGEST, 0))], unit=1.0)
@example(box=[float(np.nextafter(-LARGEST, 0)), float(np.nextafter(LARGEST, 0))], unit=1 - 2**-24)
def test_an_action_is_in_its_box_where_the_documents_say(box: list[float], unit: float) -> None:
    low, high = box
    (action,) = scaled(low, high, unit)
    assert low <= action <= high
    lower, upper = is_bound(low), is_bound(high)
    u = min(max(unit, -1.0 if lower else -INF), 1.0 if upper else INF)
    if abs(u) == INF:
        assert action == (high if u > 0 else low)
        return
    if lower and upper:
        exact = (Fraction(low) + Fraction(high)) / 2 + Fraction(u) * (Fraction(high) - Fraction(low)) / 2
        width = Fraction(high) - Fraction(low)
    else:
        exact = Fraction(u) + (Fraction(low) + 1 if lower else Fraction(high) - 1 if upper else 0)
        width = abs(Fraction(u)) + 1
    nearest = exact if low == -INF else max(exact, Fraction(low))
    nearest = nearest if high == INF else min(nearest, Fraction(high))
    largest = max(abs(Fraction(x)) for x in (low, high, action) if abs(x) != INF and (is_bound(x) or x == action))
    assert abs(Fraction(action) - nearest) <= (width + largest) * Fraction(2) ** -51 + Fraction(TINY)


@given(box=BOXES.filter(lambda box: all(map(is_bound, box))))
@example(box=[-1e308, 1e308])
@example(box=[-1e30, 1e-30])
@example(box=[3.0, 3.0])
@example(box=[TINY, TINY])
def test_the_ends_are_the_bounds_to_the_bit(box: list[float]) -> None:
    low, high = box
    assert scaled(low, high, -1.0, 1.0, -INF, INF, -7.0, 7.0) == [low, high] * 3


@given(box=BOXES, units=st.lists(UNITS, min_size=2, max_size=2).map(sorted))
def test_more_is_never_less(box: list[float], units: list[float]) -> None:
    less, more = scaled(*box, *units)
    assert less <= more


@settings(max_examples=20)
@given(unit=st.floats(-1, 1, width=32))
def test_what_needs_no_scaling_is_itself_to_the_bit(unit: float) -> None:
    for box in ((-1.0, 1.0), (-INF, INF), (-LARGEST_32, LARGEST_32), (-1.0, INF), (-LARGEST, 1.0)):
        assert Scaling.of(*([bound] for bound in box)).is_identity
        assert scaled(*box, unit) == [unit]
    assert not Scaling.of([-1.0, 0.0], [1.0, 1.0]).is_identity


@pytest.mark.parametrize(
    ("box", "units", "actions"),
    [
        ((0.0, 1000.0), (-1.0, 0.0, 0.4, 2.0), (0.0, 500.0, 700.0, 1000.0)),
        ((-2.0, 2.0), (-0.5, 0.25), (-1.0, 0.5)),
        ((10.0, INF), (-3.0, -1.0, 0.0, 6.5), (10.0, 10.0, 11.0, 17.5)),
        ((-INF, -4.0), (-6.5, 0.0, 1.0, 3.0), (-11.5, -5.0, -4.0, -4.0)),
        ((0.0, LARGEST_32), (-2.0, 4.0), (0.0, 5.0)),
        ((-INF, INF), (-77.0, 1e30), (-77.0, float(np.float32(1e30)))),
    ],
)
def test_some_by_hand(box: tuple[float, float], units: tuple[float, ...], actions: tuple[float, ...]) -> None:
    assert scaled(*box, *units) == pytest.approx(list(actions), rel=1e-7)


def test_each_dimension_has_its_own_bounds() -> None:
    low, high = np.array([[0.0, -INF], [-1.0, 5.0]]), np.array([[10.0, INF], [1.0, 5.0]])
    actions = Scaling.of(low, high).actions(np.array([[0, 3, 0.5, 0], [9, -9, -9, 9]], np.float32))
    assert actions.tolist() == [[5, 3, 0.5, 5], [10, -9, -1, 5]]
