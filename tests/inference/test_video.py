"""The images of videos: what is kept, what is refused, and what the neighbors are good for."""

import struct
from fractions import Fraction
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from video_clips import SIZE, UNIT, colors, facts, scene, write

import zoo
from zoo import cli
from zoo.data import video_files, video_frames, video_writing
from zoo.errors import ZooError
from zoo.inference import denoise_video, temporal
from zoo.models import Denoiser
from zoo.resolve import resolve

av = pytest.importorskip("av", minversion="19")
BT709 = {"color_range": 1, "color_primaries": 1, "color_trc": 1, "colorspace": 1}
BT2020 = {"color_range": 1, "color_primaries": 9, "color_trc": 16, "colorspace": 9}


class Smooth(Denoiser):
    """A mean of 3x3 pixels where there is noise: enough of a denoiser, and quick to compile."""

    takes_level = True
    reach = 1

    def _denoise(self, x, level, train):
        wide = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
        h, w = x.shape[1:3]
        mean = sum(wide[:, i : i + h, j : j + w] for i in range(3) for j in range(3)) / 9
        noise = jnp.reshape(jnp.asarray(level, x.dtype), (-1, 1, 1, 1))
        share = jnp.clip(noise * 12, 0, 1)
        return x + share * (mean - x)


@pytest.fixture(scope="module")
def model():
    return resolve(Smooth(), {})


def noisy_scene(sigma=0.1):
    clean = scene()
    noise = sigma * np.random.default_rng(0).standard_normal(clean.shape)
    return clean, np.float32(clean + noise)


def psnr(x, clean):
    return -10 * np.log10(np.mean(np.square(np.clip(x, 0, 1) - clean)))


@pytest.mark.parametrize(
    ("suffix", "codec", "form", "sound", "tags", "extra"),
    [
        ("mp4", "libx264", "yuv420p", "aac", BT709, {"rotation": 90, "shape": Fraction(4, 3)}),
        ("mkv", "ffv1", "yuv422p10le", "libopus", BT2020, {}),
        ("webm", "libvpx-vp9", "yuv420p", "libopus", BT709, {}),
    ],
)
def test_all_but_the_images_is_kept(tmp_path, model, suffix, codec, form, sound, tags, extra):
    source, target = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    clean, noisy = noisy_scene()
    options = {"crf": "2"} if codec != "ffv1" else {}
    write(source, noisy, codec, form, sound=sound, tags=tags, options=options, **extra)
    done = []
    report = zoo.denoise_file(
        source, target, model, 0.1, clean="images", progress=lambda *at: done.append(at)
    )
    assert facts(target) == facts(source)
    assert report.frames == len(clean) == len(facts(source)[1])
    assert (report.size, report.lost, report.level) == (SIZE, (), pytest.approx(25.5))
    assert done == [(i, 8) for i in range(1, 9)]
    assert psnr(colors(target), clean) > psnr(colors(source), clean) + 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [source.name, target.name]


def test_strength_0_changes_no_bit_and_names_in_the_way_stay(tmp_path, model):
    source, target = tmp_path / "a.mkv", tmp_path / "b.mkv"
    write(source, noisy_scene()[1], "ffv1", "yuv420p")
    settings = {"clean": "images", "strength": 0}
    zoo.denoise_file(source, target, model, 0.1, **settings)
    with av.open(str(source)) as a, av.open(str(target)) as b:
        for one, other in zip(a.decode(video=0), b.decode(video=0), strict=True):
            assert [bytes(plane) for plane in one.planes] == [bytes(p) for p in other.planes]
    with pytest.raises(ZooError, match=r"b\.mkv is there already"):
        zoo.denoise_file(source, target, model, 0.1, **settings)


def test_the_level_is_estimated_once_and_few_frames_are_held(tmp_path, monkeypatch, model):
    source = tmp_path / "a.mkv"
    write(source, np.concatenate([scene(), noisy_scene()[1]]), times=[40 * i for i in range(16)])
    levels, opened, written, ahead = [], [0], [0], []
    estimate, frames = denoise_video.estimate_level, video_files.frames

    def counted(path):
        for frame in frames(path):
            opened[0] += 1
            ahead.append(opened[0] - written[0])
            yield frame

    def estimated(*arguments, **options):
        levels.append(estimate(*arguments, **options))
        return levels[-1]

    put = video_writing.VideoPut.__call__

    def putting(self, frame):
        written[0] += 1
        put(self, frame)

    monkeypatch.setattr(denoise_video, "estimate_level", estimated)
    report = None
    survey = video_files.survey(source)
    monkeypatch.setattr(video_files, "survey", lambda path: survey)
    monkeypatch.setattr(video_files, "frames", counted)
    monkeypatch.setattr(video_writing.VideoPut, "__call__", putting)
    report = zoo.denoise_file(source, tmp_path / "b.mkv", model, clean="images")
    # Of every second frame, of which half are noisy.
    assert len(levels) == 8
    assert report.level == pytest.approx(255 * np.median(levels))
    assert (opened[0], written[0]) == (16, 16)
    assert max(ahead) == denoise_video.REACH + 1


def test_neighbors_help_and_what_they_show_else_does_not_count(model):
    clean, noisy = noisy_scene()
    cut = np.concatenate([noisy[:4], noisy[4:, ::-1, :, ::-1]])
    clip = denoise_video.Clip(model, 0.1, lambda: zip(noisy[::2], noisy[1::2], strict=True), {})
    for frames, scenes in ((noisy, [clean]), (cut, [clean[:4], clean[4:, ::-1, :, ::-1]])):
        reference = np.concatenate(scenes)
        outputs = denoise_video.denoised_frames(((None, x) for x in frames), clip)
        found = np.stack([y for _, _, y in outputs])
        alone = np.stack([clip.denoised(x) for x in frames])
        assert psnr(found, reference) > psnr(alone, reference) + 0.5
        assert np.std(np.diff(found - reference, axis=0)) < 0.9 * np.std(
            np.diff(alone - reference, axis=0)
        )
    # Nothing of one scene comes into the other.
    for t, other, weight in ((3, 4, 0.0), (4, 3, 0.0), (3, 2, 0.7)):
        mean = temporal.Mean.of(jnp.asarray(cut[t]))
        mean = temporal.with_neighbor(mean, alone[t], alone[other], cut[other], clip.allowed)
        assert float(mean.weight.mean()) - 1 == pytest.approx(weight, abs=0.3 * (weight > 0))
    one = next(denoise_video.denoised_frames(iter([(None, noisy[0])]), clip))
    np.testing.assert_array_equal(one[2], alone[0])


def test_flow_is_the_motion_of_a_shifted_scene():
    a, b = (x @ temporal._LUMA for x in scene(2, speed=1.7))
    v = np.asarray(temporal.flow(jnp.asarray(a), jnp.asarray(b)))[6:-6, 6:-6]
    np.testing.assert_allclose(v[..., 1], 1.7, atol=0.25)
    np.testing.assert_allclose(v[..., 0], 0, atol=0.25)


@pytest.mark.parametrize(
    "form", ["yuv420p", "yuvj422p", "yuv444p10le", "gray", "gbrp", "rgb24", "nv12", "yuv411p"]
)
def test_colors_are_those_of_ffmpeg_and_a_change_comes_back(form):
    x = scene(1)[0, 2:, 1:]
    frame = av.VideoFrame.from_ndarray(np.uint8(np.rint(255 * x)), "rgb24").reformat(format=form)
    frame.pts, frame.time_base = 3, Fraction(1, 25)
    reference = frame.reformat(format="rgb24").to_ndarray() / 255
    layout = video_frames.layout(frame, "a")
    found = video_frames.to_color(frame, layout)
    # Its chroma is interpolated in another way.
    error = np.abs(found - reference)
    assert error.mean() < 0.025
    assert form in ("yuv411p", "nv12", "yuv420p", "yuvj422p") or error.max() < 0.01
    changed = video_frames.with_change(frame, np.float32(0.1) - 0 * found, layout)
    assert (changed.format.name, changed.pts) == (form, 3)
    step = video_frames.to_color(changed, layout) - found
    np.testing.assert_allclose(step, 0.1, atol=0.006)


@pytest.mark.parametrize(("pixels", "values"), [(9, 3), (8, 2), (5, 3), (6, 6)])
def test_chroma_of_any_size_is_linear_between_the_middles_of_its_pixels(pixels, values):
    each = {(9, 3): 4, (8, 2): 4, (5, 3): 2, (6, 6): 1}[pixels, values]
    middles = np.float32(each * np.arange(values) + (each - 1) / 2)
    found = video_frames._enlarged(middles[None], 1, pixels)[0]
    inside = slice((each - 1) // 2 + 1, int(middles[-1]) + 1)
    np.testing.assert_allclose(found[inside], np.arange(pixels)[inside], atol=1e-5)
    reduced = video_frames._reduced(np.arange(pixels, dtype=np.float32)[None], (1, values))[0]
    whole = pixels // each
    np.testing.assert_allclose(reduced[:whole], middles[:whole], atol=1e-5)


def test_frames_of_one_row_have_no_motion():
    row = jnp.asarray(scene(1)[0, :1])
    assert not temporal.flow(row @ temporal._LUMA, row @ temporal._LUMA).any()
    mean = temporal.with_neighbor(temporal.Mean.of(row), row, row, row, temporal.allowed(0.1, 0.0))
    np.testing.assert_allclose(mean.image(), row, atol=1e-5)


def test_another_video_track_is_copied_and_reported(tmp_path, model):
    source, target = tmp_path / "a.mkv", tmp_path / "b.mkv"
    write(source, noisy_scene()[1])
    with av.open(str(source)) as one, av.open(str(tmp_path / "two.mkv"), "w") as both:
        (track,) = one.streams
        copies = [both.add_stream_from_template(track) for _ in range(2)]
        for packet in one.demux(track):
            for copy in copies if packet.size else ():
                again = av.Packet(bytes(packet))
                again.pts, again.dts, again.time_base = packet.pts, packet.dts, packet.time_base
                again.duration, again.is_keyframe, again.stream = packet.duration, True, copy
                both.mux(again)
    report = zoo.denoise_file(tmp_path / "two.mkv", target, model, level=0.1, clean="images")
    assert report.lost == ("another video track as it was",)
    with av.open(str(target)) as found:
        second = [bytes(packet) for packet in found.demux(found.streams.video[1]) if packet.size]
    with av.open(str(source)) as found:
        assert second == [bytes(packet) for packet in found.demux(video=0) if packet.size]


@pytest.mark.matrix
def test_the_audio_and_the_images_at_once(tmp_path, monkeypatch, model):
    source, target = tmp_path / "a.mkv", tmp_path / "b.mkv"
    write(source, noisy_scene()[1], sound="flac")
    with pytest.raises(ZooError, match="clean='both' takes a model of images and one of audio"):
        zoo.denoise_file(source, target, model, clean="both")
    chosen = []
    monkeypatch.setattr(denoise_video, "resolve", lambda name: chosen.append(name) or model)
    report = zoo.denoise_file(source, target, level=0.1, limit=6, clean="both")
    assert (chosen, report.codec, report.audio.channels) == (["unet-color"], "ffv1", 1)
    before, after = facts(source), facts(target)
    assert before[:3] == after[:3]
    assert before[3] != after[3]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mkv", "b.mkv"]


def test_a_codec_without_encoder_and_what_no_container_holds(tmp_path, model):
    source = tmp_path / "a.mkv"
    times, every = [40 * i for i in range(8)], Fraction(1, 25)
    write(source, noisy_scene()[1], "mpeg2video", "yuv420p", times=times, unit=every)
    report = zoo.denoise_file(source, tmp_path / "b.mkv", model, 0.1, clean="images")
    assert report.codec == "h264"
    assert report.lost == ("as h264, for want of an encoder for this mpeg2video",)
    write(source, noisy_scene()[1], "ffv1", "yuv420p", shape=Fraction(4, 3))
    report = zoo.denoise_file(source, tmp_path / "c.mkv", model, 0.1, clean="images")
    for name, problem in (("d.webm", "cannot hold ffv1; end it in .mkv"), ("d.png", "hold video")):
        with pytest.raises(ZooError, match=problem):
            zoo.denoise_file(source, tmp_path / name, model, 0.1, clean="images")
    assert not [*tmp_path.glob("d.*")]


def copied(source, target):
    with video_writing.writing(target, source=source, overwrite=False) as put:
        for frame in video_files.frames(source):
            put(frame)
    with av.open(str(target)) as file:
        return put.lost, file.metadata


def test_metadata_of_cameras_is_kept_and_what_is_not_is_said(tmp_path):
    camera = {"com.apple.quicktime.make": "A camera", "title": "A clip"}
    for name, options in (("a.mov", {"movflags": "use_metadata_tags"}), ("b.mkv", {})):
        with av.open(str(tmp_path / name), "w", options=options) as out:
            out.metadata.update(camera)
            track = out.add_stream("libx264", rate=25)
            track.width, track.height = 48, 32
            if name == "b.mkv":
                cover = av.CodecContext.create("png", "w")
                cover.width, cover.height, cover.pix_fmt = 8, 8, "rgb24"
                cover.time_base = UNIT
                image = av.VideoFrame.from_ndarray(np.zeros((8, 8, 3), np.uint8), "rgb24")
                out.add_attachment("cover.png", "image/png", bytes(cover.encode(image)[0]))
            out.mux(track.encode(av.VideoFrame(48, 32, "yuv420p")))
            out.mux(track.encode(None))
    lost, metadata = copied(tmp_path / "a.mov", tmp_path / "c.mov")
    assert lost == ()
    assert metadata.items() >= camera.items()
    lost, metadata = copied(tmp_path / "a.mov", tmp_path / "c.mp4")
    assert lost == ("tag com.apple.quicktime.make left out",)
    lost, _ = copied(tmp_path / "b.mkv", tmp_path / "d.mp4")
    assert lost == ("cover, tag COM.APPLE.QUICKTIME.MAKE left out",)


def test_what_a_container_refuses_at_once_is_one_line(tmp_path, monkeypatch):
    def refuse(_):
        raise av.error.ArgumentError(22, "Invalid argument")

    write(tmp_path / "a.mkv", scene())
    monkeypatch.setattr(video_writing.media_copying.Copies, "begin", refuse)
    with pytest.raises(ZooError, match=r"b\.mkv cannot be written \(Invalid argument\); convert"):
        copied(tmp_path / "a.mkv", tmp_path / "b.mkv")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]


def box(kind, content):
    return struct.pack(">I4s", 8 + len(content), kind) + content


def test_that_a_video_is_spherical_is_said_where_it_is_lost(tmp_path):
    write(tmp_path / "a.mp4", scene(), "libx264", "yuv420p")
    data, at = bytearray((tmp_path / "a.mp4").read_bytes()), 0
    shape = box(b"prhd", bytes(16)) + box(b"equi", bytes(20))
    sphere = box(b"sv3d", box(b"svhd", b"\0\0\0\0a\0") + box(b"proj", shape))
    heads = {b"moov": 8, b"trak": 8, b"mdia": 8, b"minf": 8, b"stbl": 8, b"stsd": 16, b"avc1": 86}
    for kind, head in heads.items():
        while data[at + 4 : at + 8] != kind:
            at += int.from_bytes(data[at : at + 4])
        size = int.from_bytes(data[at : at + 4])
        data[at : at + 4] = (size + len(sphere)).to_bytes(4)
        at += head
    place = at - head + size
    data[place:place] = sphere
    (tmp_path / "a.mp4").write_bytes(data)
    lost, _ = copied(tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert lost == ("that it is spherical video left out",)


def test_color_between_gray_samples_is_seen_as_its_luma(tmp_path):
    frames = np.full((40, *SIZE, 3), 0.4, np.float32)
    frames[3] = 0.9, 0.2, 0.1
    write(tmp_path / "a.mkv", frames, "ffv1", "yuv444p", times=[40 * i for i in range(40)])
    found = video_files.survey(tmp_path / "a.mkv")
    assert found.channels == 1
    frame = [*video_files.frames(tmp_path / "a.mkv")][3]
    assert found.colors(frame)[0, 0] == pytest.approx(0.299 * 0.9 + 0.587 * 0.2 + 0.0114, abs=0.01)


def refused(tmp_path: Path, source: Path, match: str, **options) -> None:
    with pytest.raises(ZooError, match=match) as caught:
        zoo.denoise_file(source, tmp_path / "out.mkv", clean="images", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.mkv").exists()


def test_what_is_refused_is_one_line_before_the_work(tmp_path):
    source, noisy = tmp_path / "a.mkv", noisy_scene()[1]
    write(source, noisy, "ffv1", "yuva420p")
    refused(tmp_path, source, r"a\.mkv has frames with alpha \(yuva420p\)")
    write(source, noisy, "libvpx-vp9", "yuva420p")
    refused(tmp_path, source, r"a\.mkv has frames with alpha, which are not supported")
    interlaced = {"flags": "+ildct", "x264-params": "interlaced=1:tff=1"}
    write(source, noisy, "libx264", "yuv420p", options=interlaced)
    refused(tmp_path, source, "interlaced at 0.00 s, and only whole frames are denoised")
    write(source, noisy, "ffv1", "yuv420p", sound="flac")
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) // 4])
    refused(tmp_path, source, "truncated")
    sound = tmp_path / "sound.wav"
    zoo.data.audio_writing.write(sound, np.zeros((100, 1), np.float32), 16000)
    refused(tmp_path, sound, r"sound\.wav is audio without images; leave out clean=")
    write(source, noisy)
    refused(tmp_path, source, "range= is not for videos", range=(0, 1))
    refused(tmp_path, source, "limit= is an option of audio", limit=12)
    with pytest.raises(ZooError, match=r"a\.mkv holds no audio; clean='images' denoises"):
        zoo.denoise_file(source, tmp_path / "out.mkv")
    with pytest.raises(ZooError, match="clean='sound' is not 'audio', 'images' or 'both'"):
        zoo.denoise_file(source, tmp_path / "out.mkv", clean="sound")
    even = {"times": [40 * i for i in range(8)], "unit": Fraction(1, 25)}
    write(tmp_path / "a.avi", noisy, "msmpeg4", "yuv420p", **even)
    with pytest.raises(ZooError, match=r"out\.mp4 cannot hold the msmpeg4v3 of .*a\.avi until"):
        zoo.denoise_file(tmp_path / "a.avi", tmp_path / "out.mp4", clean="both")
    audio = tmp_path / "b.mka"
    zoo.data.audio_writing.write(audio, np.zeros((4800, 1), np.float32), 48000)
    refused(tmp_path, audio, r"b\.mka holds no video")


def test_an_interruption_leaves_nothing(tmp_path, model):
    source = tmp_path / "a.mkv"
    write(source, noisy_scene()[1])

    def stop(done, _):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zoo.denoise_file(source, tmp_path / "b.mkv", model, 0.1, clean="images", progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]


def test_the_command_says_what_it_does_not_do(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("a.mkv", noisy_scene()[1])
    write("b.mkv", noisy_scene()[1], "ffv1", "yuva420p")
    both = "--clean both takes a model of images and one of audio"
    for options, problem in (
        ("a.mkv --clean images --limit 12", "--limit is an option of audio, which --clean images"),
        ("a.mkv --clean both --model unet-gray", both),
        ("a.mkv --clean images --save-noise", "--save-noise is not for the images of videos"),
        ("a.mkv --clean images --range 0 9", "--range is not for the images of videos"),
        ("a.mkv --sigma 9", "--sigma is an option of images, and no input is one"),
        ("a.mkv --clean images -o c.wav", "c.wav cannot hold video; end it in .mp4"),
        ("b.mkv --clean images", "b.mkv has frames with alpha"),
        ("a.mkv", "a.mkv holds no audio; --clean images denoises its images"),
    ):
        assert cli.main(["denoise", *options.split()]) in (1, 2)
        errors = capsys.readouterr().err.splitlines()
        assert len(errors) == 1
        assert problem in errors[0]
    assert cli.main(["info", "a.mkv"]) == 0
    shown = capsys.readouterr().out
    assert "ffv1, yuv444p, limited range" in shown
    assert "8 in 0.4" in shown
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.matrix
def test_the_command_denoises_a_folder_of_clips(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in ("a.mkv", "b.mp4"):
        codec = "ffv1" if name == "a.mkv" else "libx264"
        write(f"in/{name}", noisy_scene()[1], codec, "yuv420p", sound="aac")
    settings = ["-o", "out/", "--clean", "images", "--sigma", "25", "--strength", "0.5"]
    assert cli.main(["denoise", "in", *settings, "--shard", "1/2"]) == 0
    assert "in/a.mkv -> out/a.mkv: 48 x 32, 8 frames, ffv1, sigma 25.0" in capsys.readouterr().out
    assert cli.main(["denoise", "in", *settings]) == 0
    assert "left 1 output" in capsys.readouterr().out
    for name in ("a.mkv", "b.mp4"):
        assert facts(f"in/{name}") == facts(f"out/{name}")
