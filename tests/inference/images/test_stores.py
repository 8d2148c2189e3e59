"""Zarr stores region by region: as whole planes, resumed after a kill, of any scheduler."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small import Box, Half, Middle, build, make_image

import zoo
from zoo.data.science import regions
from zoo.errors import ZooError
from zoo.inference import ImageDenoiser, blocks, denoise_image_file, denoise_stores, even_noise
from zoo.inference.resumable import Steps
from zoo.inference.value_scale import scale_of_range
from zoo.stabilize import Rician

zarr = pytest.importorskip("zarr")
da = pytest.importorskip("dask.array")

LEVEL = {"axes": [{"name": name, "type": "space"} for name in "zyx"]}


def store(path, data, chunks=(1, 40, 48)):
    """An image of OME-Zarr with a second level."""
    root = zarr.create_group(path)
    root.create_array("0", data=data, chunks=chunks)
    half = (data.shape[0], *(side // 2 for side in data.shape[1:]))
    root.create_array("1", shape=half, dtype=data.dtype, chunks=(1, 64, 64))
    facts = [{**LEVEL, "datasets": [{"path": "0"}, {"path": "1"}]}]
    root.attrs["ome"] = {"version": "0.5", "multiscales": facts}
    return path


def volume(dtype=np.uint16):
    planes = np.stack([make_image(200, 230, seed=seed)[..., 0] for seed in range(2)])
    return (planes.astype(np.float32) * 16 + 100).astype(dtype)


@pytest.fixture(scope="module")
def box():
    return ImageDenoiser(Box())


@pytest.fixture
def parts(monkeypatch):
    """Planes are in several regions."""
    monkeypatch.setattr(regions, "MOST", 96 * 120)


def denoised(tmp_path, denoiser, name="b.ome.zarr", **options):
    report = denoise_image_file(tmp_path / "a.ome.zarr", tmp_path / name, denoiser, **options)
    return report, zarr.open_group(tmp_path / name, mode="r")


@pytest.mark.usefixtures("parts")
def test_regions_of_a_plane_are_those_of_the_whole(tmp_path, box):
    data = volume(np.float32)
    data[0, 80:120, 96:144] = np.nan
    store(tmp_path / "a.ome.zarr", data)
    report, after = denoised(tmp_path, box, range=(0, 4400))
    scale = scale_of_range((0, 4400), data.dtype)
    for before, plane in zip(data, after["0"][...], strict=True):
        whole = box(before, None, None, scale).image
        seen = np.isfinite(before)
        np.testing.assert_array_equal(np.isfinite(plane), seen)
        # But for a constant in each region, and what stands for a mask that hides all of one.
        rest = np.where(seen, plane - whole, np.nan)[:, 144:]
        for band in (rest[:80], rest[120:]):
            assert np.nanstd(band[:80, :48]) < 1e-4 * 4400
    assert abs(report.shift) < 1e-3
    assert report.scale[:2] == scale[:2]
    np.testing.assert_allclose(
        after["1"][1], after["0"][1].reshape(100, 2, 115, 2).mean((1, 3)), rtol=1e-6
    )


def test_a_store_of_whole_planes_is_as_an_array(tmp_path, box):
    data = volume()
    data[1] = 300
    data[0, 80:160, 48:144] = 0
    store(tmp_path / "a.ome.zarr", data)
    np.save(tmp_path / "a.npy", data)
    report, after = denoised(tmp_path, box)
    other = denoise_image_file(tmp_path / "a.npy", tmp_path / "b.npy", box)
    assert report.scale == other.scale
    expected = np.load(tmp_path / "b.npy")[0].astype(int)
    difference = np.delete(after["0"][0].astype(int) - expected, slice(80, 160), 0)
    assert np.ptp(difference) <= 1
    # Nothing was measured there.
    np.testing.assert_array_equal(after["0"][1], data[1])
    np.testing.assert_array_equal(after["0"][0, 80:160, 48:144], 0)
    removed = np.delete(data[0].astype(int) - after["0"][0], slice(80, 160), 0)
    assert abs(report.shift) < 1e-3
    assert removed.std() > 100


def test_a_large_plane_is_looked_at_in_parts(tmp_path, monkeypatch):
    denoiser = ImageDenoiser("unet-gray")
    plane = make_image(1030, 1024, dtype=np.uint16) // 7
    store(tmp_path / "a.ome.zarr", plane[None, ..., 0], chunks=(1, 300, 300))
    scale = denoiser.find_scales([plane])[plane.dtype]
    level = blocks.level_of(plane.astype(np.float32), scale, denoiser)
    monkeypatch.setattr(denoise_stores, "HELD", 2**19)
    monkeypatch.setattr(blocks, "HELD", 2**19)
    work = denoise_stores._Work(
        "", str(tmp_path / "a.ome.zarr"), "", denoiser, None, None, None, {"uint16": scale}, {}
    )
    looks = [denoise_stores._as_look(look) for look in denoise_stores._look(work, 0, (), 0, 1)]
    assert denoise_stores._scales(work, looks)["uint16"] == scale
    np.testing.assert_allclose(denoise_stores._estimate(work, 0, (), 0, 1), [level], rtol=1e-6)


@pytest.mark.usefixtures("parts")
def test_the_level_of_a_plane_is_that_of_all_its_regions(tmp_path, monkeypatch):
    # Of 8 bits, it is looked whether it is drawn.
    monkeypatch.setattr(even_noise, "_WHOLE", 2**12)
    for module in (denoise_stores, blocks):
        monkeypatch.setattr(module, "HELD", 2**14)
    monkeypatch.setattr(Half, "locality", "local", raising=False)
    monkeypatch.setattr(Half, "reach", 1, raising=False)
    model = ImageDenoiser(Half(3, takes_level=True))
    seen = []
    monkeypatch.setattr(denoise_stores.blocks, "denoise_part", lambda *one: seen.append(one[2]))
    facts = {"axes": [{"name": name} for name in "yxc"], "datasets": [{"path": "0"}]}
    root = zarr.create_group(tmp_path / "a.ome.zarr")
    root.create_array("0", data=make_image(200, 230, 3), chunks=(40, 48, 3))
    root.attrs["ome"] = {"version": "0.5", "multiscales": [facts]}
    denoised(tmp_path, model)
    assert len(seen) > 1
    assert len(set(seen)) == 1
    assert seen[0] == pytest.approx(0.1, rel=0.1)


def test_a_slice_without_measurements_stays(tmp_path, box):
    data = volume(np.float32)
    data[0] = np.nan
    store(tmp_path / "a.ome.zarr", data)
    np.save(tmp_path / "a.npy", data)
    _, after = denoised(tmp_path, box, stabilize=Rician(100.0))
    denoise_image_file(tmp_path / "a.npy", tmp_path / "b.npy", box, stabilize=Rician(100.0))
    for found in (after["0"], np.load(tmp_path / "b.npy")):
        assert np.isnan(found[0]).all()
        assert np.isfinite(found[1]).all()


def test_chunks_of_one_pixel_are_not_taken_for_margins(tmp_path, box):
    data = volume()[:, :8, :10]
    zarr.create_array(tmp_path / "a.ome.zarr", data=data, chunks=(2, 1, 1))
    denoise_image_file(tmp_path / "a.ome.zarr", tmp_path / "b.ome.zarr", box)
    assert (zarr.open(tmp_path / "b.ome.zarr")[...] != data).mean() > 0.5


def test_damaged_stores_and_places_within_them_are_refused(tmp_path, box):
    source = store(tmp_path / "a.ome.zarr", volume())
    for inner, output in ((source, source / "b.ome.zarr"), (source / "0", source)):
        with pytest.raises(ZooError, match=r"lies in .*a.ome.zarr; name another output"):
            denoise_image_file(inner, output, box, overwrite=True)
    chunk = source / "0/c/0/1/1"
    chunk.write_bytes(chunk.read_bytes()[:40])
    with pytest.raises(ZooError, match="a truncated or broken Zarr file"):
        denoised(tmp_path, box)
    with pytest.raises(ZooError, match="becomes another by a model"):
        denoised(tmp_path, lambda *_: None, scheduler="tcp://127.0.0.1:1")
    assert os.listdir(tmp_path) == ["a.ome.zarr"]


@pytest.mark.usefixtures("parts")
def test_what_is_done_is_not_done_again(tmp_path, box, monkeypatch):
    store(tmp_path / "a.ome.zarr", volume())
    _, whole = denoised(tmp_path, box, "whole.ome.zarr")
    write, done = denoise_stores._write, []

    def some(work, number, region):
        if len(done) == 5:
            raise RuntimeError
        done.append(region)
        return write(work, number, region)

    monkeypatch.setattr(denoise_stores, "_write", some)
    with pytest.raises(RuntimeError):
        denoised(tmp_path, box)
    unfinished = tmp_path / "b.ome.zarr.unfinished"
    assert not (tmp_path / "b.ome.zarr").exists()
    # As a process leaves it that is killed while it writes a line.
    with (unfinished / ".steps.jsonl").open("a") as file:
        file.write('{"step": "region 9", "fou')
    with pytest.raises(ZooError, match="was begun with another version, model or input, or other"):
        denoised(tmp_path, box, range=(0, 9))
    before, done[:] = list(done), []
    monkeypatch.setattr(
        denoise_stores, "_write", lambda *one: (done.append(one[2]), write(*one))[1]
    )
    _, after = denoised(tmp_path, box)
    assert not unfinished.exists()
    assert not {str(one) for one in done} & {str(one) for one in before[:4]}
    for level in ("0", "1"):
        np.testing.assert_array_equal(after[level], whole[level])
    assert sorted(os.listdir(tmp_path / "b.ome.zarr")) == ["0", "1", "zarr.json"]


def test_what_is_not_for_parts_is_refused(tmp_path, box):
    store(tmp_path / "a.ome.zarr", volume())
    whole = ImageDenoiser(Middle())
    with pytest.raises(ZooError, match=r"looks at all of an image.* local model: .*unet-gray"):
        denoised(tmp_path, whole, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(ZooError, match="a scheduler is for a Zarr store"):
        denoised(tmp_path, box, "b.npy", scheduler="tcp://127.0.0.1:1")
    assert os.listdir(tmp_path) == ["a.ome.zarr"]
    # Without one, such a model sees whole planes.
    _, after = denoised(tmp_path, whole)
    assert after["0"].shape == (2, 200, 230)


def test_what_cannot_be_gone_on_with_is_refused_and_kept(tmp_path, box, monkeypatch):
    store(tmp_path / "a.ome.zarr", volume())
    unfinished = tmp_path / "b.ome.zarr.unfinished"
    for name, text, reported in (
        (".steps.jsonl", "\0\0\n{}\n", "holds a damaged .steps.jsonl; set overwrite=True"),
        ("mine", "", "is there, of another origin"),
    ):
        unfinished.mkdir()
        (unfinished / name).write_text(text)
        with pytest.raises(ZooError, match=reported):
            denoised(tmp_path, box)
        assert (unfinished / name).read_text() == text
        unfinished.rename(tmp_path / f"{name}.kept")
    # While another process copies.
    again = functools.partial(Steps, tmp_path / "b", "", overwrite=True)
    with pytest.raises(ZooError, match="another process is at work on"):
        again(lambda _: again(lambda _: None))
    # Where the finished folder cannot be moved.
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", lambda *_: (_ for _ in ()).throw(OSError(5, "Broken")))
        with pytest.raises(ZooError, match="Broken"):
            denoised(tmp_path, box)
    done = (unfinished / ".steps.jsonl").read_text()
    monkeypatch.setattr(denoise_stores, "_write", None)
    denoised(tmp_path, box)
    assert "region" in done
    assert not (tmp_path / "b.ome.zarr" / ".steps.jsonl").exists()


CODE = """
import sys, time
sys.path[:0] = [{here!r}, {above!r}]
from small import Box
from zoo.data.science import regions
from zoo.inference import ImageDenoiser, denoise_image_file, denoise_stores
regions.MOST, write = {most}, denoise_stores._write
denoise_stores._write = lambda *one: (time.sleep(0.3), write(*one))[1]
denoise_image_file({source!r}, {target!r}, ImageDenoiser(Box()))
"""


@pytest.mark.matrix
@pytest.mark.usefixtures("parts")
def test_a_killed_process_is_gone_on_with(tmp_path, box):
    source = store(tmp_path / "a.ome.zarr", volume())
    here, target = Path(__file__).parent, tmp_path / "b.ome.zarr"
    places = {"here": str(here), "above": str(here.parents[1])}
    code = CODE.format(**places, source=str(source), target=str(target), most=regions.MOST)
    unfinished = Path(f"{target}.unfinished")
    listed = unfinished / ".steps.jsonl"
    process = subprocess.Popen([sys.executable, "-c", code])
    while not (listed.exists() and "region" in listed.read_text()):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not target.exists()
    chunks = [path for path in (unfinished / "0/c").rglob("*") if path.is_file()]
    before = {path.relative_to(unfinished): path.stat().st_mtime_ns for path in chunks}
    lines = listed.read_text().splitlines()
    done = [json.loads(line).get("step", "") for line in lines if line.endswith("}")]
    assert sum(step.startswith("region") for step in done) < 12
    _, whole = denoised(tmp_path, box, "whole.ome.zarr")
    denoise_image_file(source, target, box)
    # But for those of a region that was being written.
    assert any((target / path).stat().st_mtime_ns == when for path, when in before.items())
    after = zarr.open_group(target, mode="r")
    for level in ("0", "1"):
        np.testing.assert_array_equal(after[level], whole[level])


@pytest.mark.matrix
@pytest.mark.filterwarnings("ignore")
def test_two_workers_give_the_bits_of_one_process(tmp_path, parts):
    distributed = pytest.importorskip("distributed")
    model, variables = build("unet-tiny")
    denoiser = ImageDenoiser(model, variables=variables)
    store(tmp_path / "a.ome.zarr", volume())
    _, one = denoised(tmp_path, denoiser, "one.ome.zarr")
    noisy = da.from_zarr(tmp_path / "a.ome.zarr" / "0")
    array = zoo.science.map_blocks(model, noisy, variables=variables)
    here = array.compute(scheduler="threads")
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**settings) as cluster:
        _, two = denoised(tmp_path, denoiser, "two.ome.zarr", scheduler=cluster.scheduler_address)
        with distributed.Client(cluster):
            there = array.compute()
    np.testing.assert_array_equal(there, here)
    for level in ("0", "1"):
        np.testing.assert_array_equal(two[level], one[level])
