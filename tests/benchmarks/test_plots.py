"""The benchmarks' images: what is drawn, left out and refused, and that nothing overlaps."""

import itertools
import math

import numpy as np
import pytest
from harness import figure, plots, quality
from matplotlib.text import Text

from zoo.errors import ZooError

pytestmark = pytest.mark.tools


@pytest.mark.parametrize(
    "heights", [[0.5, 0.5, 0.5], [0.0, 0.01, 0.99, 1.0], [0.1, 0.5, 0.9], [1.0, 1.0, 1.0, 1.0]]
)
def test_names_do_not_overlap_and_move_no_further_than_they_must(heights):
    placed = figure._apart(heights, 0.1)
    assert np.diff(placed).min() >= 0.1 - 1e-9
    assert min(placed) >= 0
    assert max(placed) <= 1 + 1e-9
    if np.diff(heights).min() >= 0.1:
        assert placed == heights


def test_the_front_is_what_nobody_beats():
    points = [(1, 9), (2, 5), (3, 7), (4, 7), (5, 1), (0.5, 8)]
    assert quality._front(points) == [(1, 9), (4, 7), (5, 1)]


ROWS = [
    {
        "model": model,
        "task": task,
        "size": "64x64x3",
        "batch": batch,
        "dtype": "f32",
        "device": "1 x cpu",
        "megapixels_per_s": 2.0 * batch,
        "gmac_per_example": 0.1,
        "gflop_per_step": 3.0 * batch,
        "gbyte_per_step": 0.5 * batch,
        "tflop_per_s": 0.1,
    }
    for model in ("dncnn-color", "unet-small")
    for task in ("train", "infer")
    for batch in (8, 16)
]


def test_images_are_drawn(tmp_path):
    scores = tmp_path / "scores.csv"
    scores.write_text(
        "data,level,method,pictures,psnr\n"
        "cbsd68,25,dncnn-color,68,31.2\ncbsd68,25,noisy,68,20.2\ncbsd68,50,unet-small mine,68,28\n"
    )
    drawn = [
        plots.batches(tmp_path / "batches.png", ROWS),
        plots.roofline(tmp_path / "roofline.png", ROWS, 0.5, 40.0),
        *quality.draw(tmp_path / "q", ROWS, quality.read_scores(scores)),
    ]
    assert [path.name for path in drawn[2:]] == ["q_psnr_cbsd68_25.png", "q_psnr_cbsd68_50.png"]
    for path in drawn:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_rows_without_a_cost_are_left_out_and_named(tmp_path, capsys):
    odd = [{"gflop_per_step": math.nan}, {"gbyte_per_step": 0.0}, {"tflop_per_s": None}]
    rows = [{**row, **change} for row, change in zip(ROWS, [*odd, {}], strict=False)]
    assert plots.roofline(tmp_path / "some.png", rows, 0.5, 40.0).is_file()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(";")[0] for line in lines] == [
        "left out: dncnn-color train 64x64x3 batch 8",
        "left out: dncnn-color train 64x64x3 batch 16",
        "left out: dncnn-color infer 64x64x3 batch 8",
    ]
    assert plots.roofline(tmp_path / "none.png", rows[:3], 0.5, 40.0) is None
    assert not (tmp_path / "none.png").exists()


def test_scores_without_a_psnr_are_left_out_and_named(tmp_path, capsys):
    path = tmp_path / "scores.csv"
    values = ("31.2", "", "n/a", "nan", "inf")
    lines = [f"kodak,{level},dncnn-color,24,{psnr}" for level, psnr in enumerate(values)]
    lines += ["kodak,9,unet-small", "kodak,9,bm3d,24,what"]
    path.write_text("\n".join(["data,level,method,pictures,psnr", *lines, ""]))
    scores = quality.read_scores(path)
    (drawn,) = quality.draw(tmp_path / "q", ROWS, scores)
    assert drawn.name == "q_psnr_kodak_0.png"
    reported = capsys.readouterr().err.splitlines()
    assert [line.split(";")[0] for line in reported] == [
        *(f"left out: dncnn-color, kodak, {level}" for level in (1, 2, 3, 4)),
        "left out: unet-small, kodak, 9",
    ]
    with pytest.raises(ZooError, match="no model in --scores has a PSNR"):
        list(quality.draw(tmp_path / "q", ROWS, scores[1:]))


def test_what_no_row_measured_may_bring_its_speed(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(figure.Panels, "__exit__", lambda panels, *_: figures.append(panels))
    path = tmp_path / "scores.csv"
    path.write_text(
        "data,level,method,psnr,megapixels_per_s\n"
        "bsd68,25,dncnn-color,29.2,\nbsd68,25,bm3d,28.6,0.03\nbsd68,25,nlm,27,\n"
    )
    list(quality.draw(tmp_path / "q", ROWS, quality.read_scores(path)))
    speed, cost = (axes for axes, _ in figures[0])

    def named(axes):
        return [text.get_text() for text in axes.texts if text.get_text()]

    assert sorted(named(speed)) == ["bm3d", "dncnn-color"]
    assert named(cost) == ["dncnn-color"]
    assert [[0.03, 28.6]] in [line.get_xydata().tolist() for line in speed.lines]
    with pytest.raises(ZooError, match="no model in --scores has a PSNR"):
        list(quality.draw(tmp_path / "q", ROWS, quality.read_scores(path)[1:]))


# Above both roofs, near them and in a heap: (operations a byte, TFLOP/s), below 0.5 and 40 GB/s.
CROWDS = {
    "above the level roof": [(20, 0.6), (40, 0.55), (80, 0.51), (160, 0.7), (300, 0.5)],
    "on the slope": [(2, 0.09), (3, 0.14), (4, 0.17), (6, 0.26), (1, 0.05)],
    "far above the slope": [(1, 0.3), (1.2, 0.2), (2, 0.1), (5, 0.1)],
    "in a heap": [(10, 0.1 + 0.001 * n) for n in range(30)],
    "alone": [(50, 0.2)],
}


@pytest.mark.parametrize("crowd", CROWDS)
def test_nothing_is_written_over_anything_in_a_roofline(crowd, tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(figure.Panels, "__exit__", lambda panels, *_: figures.append(panels))
    rows = [
        {**ROWS[0], "model": f"m{n}", "gflop_per_step": x, "gbyte_per_step": 1.0, "tflop_per_s": y}
        for n, (x, y) in enumerate(CROWDS[crowd])
    ]
    plots.roofline(tmp_path / "roofline.png", rows, 0.5, 40.0)
    ((axes, _),) = figures[0]
    points = axes.transData.transform(CROWDS[crowd])
    canvas = axes.figure.bbox
    names, memory = [], None
    for text in axes.texts:
        if text.get_rotation():
            memory = text.get_bbox_patch()
        else:
            names.append(Text.get_window_extent(text))
    assert len(names) == len(rows) + 1
    names += [Text.get_window_extent(title) for title in (axes._left_title, axes._right_title)]
    for one, other in itertools.combinations(names, 2):
        assert not one.overlaps(other)
    for box in names:
        assert canvas.x0 <= box.x0 < box.x1 <= canvas.x1
        assert canvas.y0 <= box.y0 < box.y1 <= canvas.y1
        assert not any(box.contains(*point) for point in points)
    along = memory.get_transform().transform_path(memory.get_path())
    assert not along.contains_points(points, radius=4).any()
    assert not any(along.intersects_bbox(box) for box in names)
    level = axes.transData.transform([(x, 0.5) for x in np.geomspace(12.5, 50, 100)])
    assert not along.contains_points(level).any()


def test_scores_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ZooError, match="cannot read"):
        quality.read_scores(tmp_path / "none.csv")
    path = tmp_path / "other.csv"
    path.write_text("data,level\nx,1\n")
    with pytest.raises(ZooError, match="has no method, psnr"):
        quality.read_scores(path)
    with pytest.raises(ZooError, match="no model"):
        list(quality.draw(tmp_path / "q", ROWS, [{"data": "d", "level": "1", "method": "x"}]))
