"""Charts: points at the positions of their values, ticks at round numbers, text escaped."""

import itertools
import re

import numpy as np
import pytest

from zoo import charts
from zoo.charts import Chart, Line, level_chart, short, svg, trace, training_charts


def lines_of(text):
    """The points of the lines in an SVG, in order."""
    groups = re.findall(r'<g class="line2d">\s*<path d="([^"]*)" style="fill: none', text)
    paths = [re.findall(r"[ML] (\S+) (\S+)", path) for path in groups]
    return [[tuple(map(float, point)) for point in path] for path in paths]


def drawn(points, **options):
    # Ticks and grid come before the lines.
    return lines_of(svg(Chart([Line("", points)], "x", "y", **options)))[-1]


def labels_of(text):
    return re.findall(r"<text [^>]*>([^<]*)</text>", text)


def test_points_are_where_their_values_say():
    (x0, y0), (x1, y1), (x2, y2) = drawn([(0, 0), (5, 2.5), (10, 10)])
    assert (x1 - x0) / (x2 - x0) == pytest.approx(0.5, abs=1e-4)
    assert (y1 - y0) / (y2 - y0) == pytest.approx(0.25, abs=1e-4)
    assert y2 < y0  # up is up


def test_a_logarithm_makes_factors_equal_steps_and_leaves_gaps():
    points = drawn([(0, 1), (1, 10), (2, 100), (3, 0), (4, float("nan"))], log=True)
    (_, a), (_, b), (_, c) = points
    assert a - b == pytest.approx(b - c, abs=1e-4)


@pytest.mark.parametrize("values", [[0.011, 0.0165], [0.0123, 0.0123], [3e-12, 5e-12], [0.01, 80]])
@pytest.mark.parametrize("log", [False, True])
def test_every_axis_has_labels(values, log):
    labels = labels_of(svg(Chart([Line("", [*enumerate(values)])], "x", "y", log=log)))
    assert len(set(labels) - {"0", "1", "x", "y"}) >= 2


def test_no_point_is_no_chart():
    assert svg(Chart([Line("a", [(0, float("nan"))])], "x", "y")) is None
    assert svg(Chart([Line("a", [(0, -1)])], "x", "y", log=True)) is None


def test_names_keep_apart_and_are_escaped():
    series = {f"<{n}>$x$": [(0, 1), (1, 1 + n / 1000)] for n in range(5)}
    text = svg(level_chart(series, "x", "y", classical=()))
    heights = sorted(float(y) for y in re.findall(r'y="([\d.]+)"[^>]*>&lt;', text))
    assert min(b - a for a, b in itertools.pairwise(heights)) > 9
    assert len(heights) == 5
    assert "<3>" not in text
    assert "&lt;3&gt;$x$" in labels_of(text)


def test_an_svg_asks_for_nothing_and_styles_nothing_else():
    rows = [{"step": n, "loss": 0.5, "psnr": 20.0, "validation_psnr": 21.0} for n in (1, 2)]
    for chart in training_charts(rows, "psnr", "PSNR, dB"):
        text = svg(chart)
        assert not re.search(r"https?:|//|url\(|@import|<style|<script|#[0-9a-f]{6}", text)
        assert (text.count("<svg"), text[-6:]) == (1, "</svg>")
        ids = set(re.findall(r' id="(\w+)"', text))
        assert ids == set(re.findall(r'href="#(\w+)"', text))


def test_no_spike_of_a_long_run_is_lost():
    rows = [{"step": n, "grad_norm": 2.0} for n in range(100_000)]
    rows[54_321]["grad_norm"], rows[77_777]["grad_norm"] = 9.0, 0.5
    text = svg(trace(rows, "grad_norm", "norm"))
    assert len(text) < 50_000
    pale, _ = lines_of(text)[-2:]
    heights = np.array([y for _, y in pale])
    usual = np.median(heights)
    # A logarithmic axis: 9 is log 4.5 above 2, and 0.5 is log 4 below it.
    above, below = usual - heights.min(), heights.max() - usual
    assert above / below == pytest.approx(np.log(4.5) / np.log(4), rel=0.01)


def test_a_running_mean_is_weighted_from_its_start():
    assert charts._running_mean([3.0] * 200) == pytest.approx([3.0] * 200)
    values = np.random.default_rng(0).normal(size=500)
    weights = 0.9 ** np.arange(500)[::-1]  # 500 / 50 = 10 values
    assert charts._running_mean([*values])[-1] == pytest.approx(np.average(values, weights=weights))


@pytest.mark.parametrize("loss", [0.5, 0.0, -30.0])
def test_a_loss_below_zero_has_its_chart(loss):
    rows = [{"step": step, "loss": loss - step / 10, "psnr": 20.0} for step in range(1, 4)]
    found, _ = training_charts(rows, "psnr", "PSNR, dB")
    assert found.log == (loss > 0.3)
    assert len(lines_of(svg(found))[-1]) == 3


def test_ticks_read_well():
    assert [short(v) for v in (0, 5000, 12500, 2e6, 1e-4, -5, 0.30000000000000004)] == [
        *("0", "5k", "12.5k", "2M", "1e\N{MINUS SIGN}4", "\N{MINUS SIGN}5", "0.3"),
    ]
