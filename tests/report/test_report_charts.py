"""Charts: points where they belong, ticks where one expects them."""

import itertools
import re
from types import SimpleNamespace

import pytest

from zoo.report import curves
from zoo.report.axes import linear, logarithmic
from zoo.report.charts import Line, chart
from zoo.report.numbers import duration, fixed, short


def path_of(figure, number=0):
    path = re.findall(r'<path d="([^"]*)"', figure)[number]
    return [tuple(map(float, point.split())) for point in re.findall(r"[ML]([^ML]+)", path)]


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0, 10], (0, 2, 4, 6, 8, 10)),
        ([-5.2, 15.1], (-10, -5, 0, 5, 10, 15, 20)),
        ([0.61, 0.93], (0.6, 0.7, 0.8, 0.9, 1.0)),
        ([3e-12, 5e-12], (3e-12, 3.5e-12, 4e-12, 4.5e-12, 5e-12)),
    ],
)
def test_linear_ticks_are_round(values, ticks):
    axis = linear(values)
    assert axis.ticks == pytest.approx(ticks)
    assert axis.low <= min(values) < max(values) <= axis.high


@pytest.mark.parametrize("values", [[0.011, 0.0165], [0.013, 0.0169], [0.0123]])
def test_logarithmic_has_ticks_between_all_round_numbers(values):
    axis = logarithmic(values)
    assert axis.low < min(values) <= max(values) < axis.high
    assert len(axis.ticks) >= 1
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)


def test_logarithmic_ticks_are_powers_and_their_parts():
    assert logarithmic([0.003, 800]).ticks == pytest.approx([0.01, 0.1, 1, 10, 100])
    assert logarithmic([0.02, 0.3]).ticks == pytest.approx([0.02, 0.05, 0.1, 0.2])
    close = logarithmic([0.097, 0.113])
    assert len(close.ticks) >= 2
    assert all(close.low <= tick <= close.high for tick in close.ticks)


def test_equal_values_have_an_axis():
    for values in ([0.0], [7.5, 7.5]):
        axis = linear(values)
        assert axis.low < values[0] < axis.high
        assert 0 < axis.place(values[0]) < 1
    assert logarithmic([4.0]).place(4.0) == pytest.approx(0.5)


def test_points_stand_where_their_values_say():
    figure = chart("t", [Line("a", [(0, 0), (5, 2.5), (10, 10)], "c0")], across="x", up="y")
    (x0, y0), (x1, y1), (x2, y2) = path_of(figure)
    assert (x1 - x0) / (x2 - x0) == pytest.approx(0.5, abs=0.001)
    assert (y1 - y0) / (y2 - y0) == pytest.approx(0.25, abs=0.002)
    assert y2 < y0  # up is up


def test_a_logarithm_makes_factors_equal_steps():
    line = Line("a", [(0, 1), (1, 10), (2, 100), (3, 0), (4, float("nan"))], "c0")
    points = path_of(chart("t", [line], across="x", up="y", log=True))
    assert len(points) == 3  # what has no logarithm is left out
    (_, a), (_, b), (_, c) = points
    assert a - b == pytest.approx(b - c, abs=0.11)


def test_nothing_to_draw_is_no_chart():
    line = Line("a", [(0, float("nan"))], "c0")
    assert chart("t", [line], across="x", up="y") is None


def test_names_keep_apart_and_are_escaped():
    lines = [Line(f"<{n}>", [(0, 1), (1, 1 + n / 1000)], "c1") for n in range(5)]
    figure = chart("t", lines, across="x", up="y", named=True)
    heights = sorted(map(float, re.findall(r'y="([\d.]+)" class="name', figure)))
    assert min(b - a for a, b in itertools.pairwise(heights)) > 12
    assert "<3>" not in figure
    assert "&lt;3&gt;" in figure


def test_no_spike_of_a_long_run_is_lost():
    points = [(n, 1.0) for n in range(100_000)]
    points[54_321] = (54_321, 9.0)
    points[77_777] = (77_777, -3.0)
    found = curves._extremes(points)
    assert len(found) <= curves._POINTS
    assert {(54_321, 9.0), (77_777, -3.0)} <= set(found)
    assert found == sorted(found)


def test_numbers_read_well():
    assert [short(v) for v in (0, 5000, 12500, 2e6, 1e-4, -5, 0.30000000000000004)] == [
        *("0", "5k", "12.5k", "2M", "1e\N{MINUS SIGN}4", "\N{MINUS SIGN}5", "0.3"),
    ]
    assert fixed(-0.5, 1) == "\N{MINUS SIGN}0.5"
    assert fixed(2.0, 1, sign=True) == "+2.0"
    assert fixed(None, 2) == fixed(float("nan"), 2) == "\N{EN DASH}"
    assert [duration(s) for s in (7.4, 61, 3599.6)] == ["7 s", "1 min 1 s", "1 h 0 min"]


@pytest.mark.parametrize("loss", [0.5, -30.0])
def test_a_loss_below_zero_has_its_chart(loss):
    run = SimpleNamespace(
        steps=[{"step": step, "loss": loss - step / 10, "psnr": 20.0} for step in range(1, 4)],
        sound=False,
    )
    assert "Training loss" in str(curves.curves(run))
