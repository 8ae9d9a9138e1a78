"""Label placement and tick values, apart from any figure."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from plot.labels import spread  # noqa: E402
from plot.ticks import bytes_text, make_room, round_ticks, time_text  # noqa: E402


@pytest.mark.parametrize("wanted", [
    [], [50], [10, 20, 30], [10, 10, 10], [99, 99.5, 99.9, 12], [0, 0, 0, 100, 100],
    [30, 31, 45, 46, 60, 61], [5, 4, 3, 2, 1], [-20, 130],
])
def test_spread_keeps_gap_order_and_bounds(wanted):
    placed = spread([float(w) for w in wanted], 10, 0, 100)
    assert len(placed) == len(wanted)
    assert all(-1e-9 <= p <= 100 + 1e-9 for p in placed)
    ordered = sorted(zip(wanted, placed))
    for (_, low), (_, high) in zip(ordered, ordered[1:]):
        assert abs(high - low) >= 10 - 1e-9
    by_place = [w for _, w in sorted(zip(placed, wanted))]
    assert by_place == sorted(wanted)


def test_spread_moves_nothing_that_is_free():
    assert spread([10.0, 40.0, 80.0], 10, 0, 100) == [10.0, 40.0, 80.0]


def test_spread_centres_a_block_on_what_it_wants():
    assert spread([50.0, 50.0, 50.0], 10, 0, 100) == [40.0, 50.0, 60.0]


def test_spread_of_too_many_is_even():
    assert spread([1.0, 2.0, 3.0], 60, 0, 100) == [0.0, 50.0, 100.0]


@pytest.mark.parametrize("seconds, text", [
    (1, "1 s"), (0.2, "200 ms"), (3e-4, "300 µs"), (1e-3, "1 ms"), (0.00099999, "1 ms"),
    (2.5e-8, "25 ns"), (1200, "1200 s"),
])
def test_times_have_readable_units(seconds, text):
    assert time_text(seconds) == text


def test_bytes_have_binary_units():
    assert [bytes_text(v) for v in (512, 1024, 3 * 2**20, 2**35)] == [
        "512 B", "1 KiB", "3 MiB", "32 GiB"]


@pytest.mark.parametrize("low, high, base", [
    (1e-4, 1e-3, 10), (1e-5, 1e3, 10), (2e-3, 5e-3, 10), (100, 2**40, 2), (2**20, 2**22, 2),
    (1e-30, 1e30, 10), (2**-99, 2**99, 2),
])
def test_round_ticks_are_few_inside_and_at_least_two(low, high, base):
    found = round_ticks(low, high, base, 8)
    assert 2 <= len(found) <= 8 and all(low <= t <= high for t in found)


def test_make_room_leaves_the_fraction_free():
    low, high = make_room(1.0, 100.0, 0.2, 0.3)
    assert low == pytest.approx(100 ** (-0.2 / 0.5)) and high == pytest.approx(100 ** (1 + 0.6))
