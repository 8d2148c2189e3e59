"""The `zoo` command, as its users meet it."""

import io
import json
import os
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from zoo import cli, models, weights

RECORD = {
    "model": "unet-tiny",
    "options": {},
    "noise": {"name": "gaussian", "level": 25, "unit": "1/255"},
    "step": 700,
    "scores": {"validation_psnr": 31.456},
    "commit": "abc123",
}


@pytest.fixture
def zoo(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return cli.main(arguments), *capsys.readouterr()

    return run


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "runs" / "mine" / "weights.safetensors"
    path.parent.mkdir(parents=True)
    weights.save(path, {"params": {"a": np.zeros(3, np.float32)}}, RECORD)
    return path


def test_models_are_listed_with_their_figures(zoo, monkeypatch):
    def traced(*_):
        raise AssertionError("a list of names must not trace the networks")

    monkeypatch.setattr(jax, "eval_shape", traced)
    code, output, errors = zoo("models")
    assert (code, errors) == (0, "")
    named = []
    for block, kind, modality in zip(
        output.split("\n\n"), ("images", "audio"), ("image", "audio"), strict=True
    ):
        heading, *lines = block.splitlines()
        assert heading.split()[:3] == ["model", "parameters", "denoises"]
        assert {line.split()[2] for line in lines} == {kind}
        names = [line.split()[0] for line in lines]
        assert {models.model_spec(name).modality for name in names} == {modality}
        named += names
    assert sorted(named) == models.list_models()
    assert not any(line.endswith(" ") or len(line) > 100 for line in output.splitlines())


def test_models_are_described_by_name(zoo):
    code, output, _ = zoo("models", "mlp_autoencoder-mnist")
    assert code == 0
    # 784 to 128 to 784, with biases.
    count = 784 * 128 + 128 + 128 * 784 + 784
    assert output.splitlines()[1].split()[:5] == [
        "mlp_autoencoder-mnist",
        f"{count:,}",
        "images",
        "1",
        "28x28",
    ]


def test_models_of_recordings_tell_rate_and_latency(zoo):
    code, output, _ = zoo("models", "stream-t", "spectral-gate")
    assert code == 0
    # A step of 256 samples, and 256 more until the next half window is there: 512 at 16 kHz.
    listed, cards = output.split("\n\n")
    assert [line.split(maxsplit=5) for line in listed.splitlines()[1:]] == [
        ["stream-t", "22,091", "audio", "any", "16000", "Hz     32 ms"],
        ["spectral-gate", "0", "audio", "any", "16000", "Hz     whole file"],
    ]
    assert re.search(r"^stream-t +the fastest, .* +59,900,000 a second +none$", cards, re.M)


def test_cards_name_the_source_and_the_license_of_published_weights(zoo):
    code, output, _ = zoo("models", "ffdnet-gray")
    card = r"^ffdnet-gray +15 layers .* +121,000 a pixel +github\.com/cszn/KAIR \(MIT\)$"
    assert code == 0
    assert re.search(card, output, re.M)


def test_an_unknown_model_is_one_line(zoo):
    message = "error: unknown model 'unet-smal'; did you mean 'unet-small'?\n"
    assert zoo("models", "unet-smal") == (2, "", message)


def test_weights_are_reported(zoo, file):
    code, output, errors = zoo("weights")
    assert (code, errors) == (0, "")
    *shipped, mine = output.splitlines()[1:]
    assert [line.split()[0] for line in shipped] == weights.list_weights()
    assert [cell.strip() for cell in mine.split("  ") if cell] == [
        "runs/mine/weights.safetensors",
        "unet-tiny",
        "gaussian 25 1/255",
        "700",
        "31.46 dB PSNR",
        "abc123",
        "-",
    ]
    code, output, _ = zoo("weights", "--json", str(file))
    assert code == 0
    assert json.loads(output) == {str(file): RECORD}


def test_free_weights_are_those_of_a_license_without_bounds(zoo, file):
    tensors = {"params": {"a": np.zeros(3, np.float32)}}
    weights.save(file.parent / "free.safetensors", tensors, RECORD | {"license": "MIT"})
    named = [str(file), str(file.parent / "free.safetensors")]
    output = zoo("weights", "--free", "--json", *named)[1]
    assert list(json.loads(output)) == named[1:]
    shown = [line.split()[0] for line in zoo("weights", "--free")[1].splitlines()[1:]]
    assert shown == [
        name
        for name in weights.list_weights()
        if not weights.read_record(name)["license"].startswith("research use")
    ]


def test_scores_of_recordings_have_their_units(zoo, file):
    heard = {
        "model": {"si_sdr": 12.345, "si_sdr_gain": 4.0, "stoi": 0.8765, "pesq": None},
        "noisy": {"si_sdr": 8.345, "si_sdr_gain": 0.0, "stoi": 0.7654, "pesq": 1.234},
    }
    record = RECORD | {
        "model": "stream-t",
        "noise": {"name": "add_at_snr", "level": [-5, 20], "unit": "1"},
        # As JSON sorts them.
        "scores": {"validation_si_sdr": 10.5, "test": {"-5": heard, "10": heard, "5": heard}},
    }
    weights.save(file, {"params": {"a": np.zeros(3, np.float32)}}, record)
    code, output, errors = zoo("weights", str(file))
    assert (code, errors) == (0, "")
    table, test = output.split("\n\n")
    assert "  add_at_snr -5 to 20 dB  700   10.50 dB SI-SDR  " in table
    _, heading, *lines = test.splitlines()
    assert [cell.strip() for cell in heading.split("  ") if cell] == [
        *("level", "SI-SDR, dB", "STOI", "PESQ"),
    ]
    assert [line.split()[0] for line in lines] == ["-5", "5", "10"]
    assert {tuple(line.split()[1:]) for line in lines} == {
        ("12.35", "(8.35)", "0.876", "(0.765)", "-", "(1.23)")
    }
    # All at once are a table, no more.
    assert zoo("weights")[1].count("\n") == 2 + len(weights.list_weights())


def test_scores_of_a_benchmark_stand_before_those_of_the_run(zoo, file):
    def scored(psnr):
        return {"model": {"psnr": psnr}, "noisy": {"psnr": 20.0}}

    scores = {
        "test": {"25": scored(1.0)},
        "benchmark": {"bsd68": {"25": scored(29.0), "5": scored(37.0)}, "set12": {"25": scored(3)}},
    }
    weights.save(file, {"params": {"a": np.zeros(3, np.float32)}}, RECORD | {"scores": scores})
    _, first, second = zoo("weights", str(file))[1].split("\n\n")
    assert first.splitlines()[0] == f"{file} on bsd68, in brackets the noisy input"
    assert [line.split() for line in first.splitlines()[2:]] == [
        ["5", "37.00", "(20.00)"],
        ["25", "29.00", "(20.00)"],
    ]
    assert second.splitlines()[0].startswith(f"{file} on set12")


def test_what_comes_with_the_zoo_has_a_card(zoo, file):
    card = {
        "summary": "any photo",
        "license": "research use",
        "seconds": 5400,
        "device": "cpu",
        "parameters": 5,
    }
    weights.save(file, {"params": {"a": np.zeros(3, np.float32)}}, RECORD | card)
    code, output, _ = zoo("weights", str(file))
    assert code == 0
    assert {tuple(line.split(maxsplit=1)) for line in output.splitlines()[3:]} == {
        (str(file),),
        ("for", "any photo"),
        ("license", "research use"),
        ("training", "90 minutes on cpu"),
        ("parameters", "5"),
    }


def test_weights_without_scores_or_commit(zoo, file):
    bare = {"model": "unet-tiny", "options": {}, "commit": None}
    weights.save(file, {"params": {"a": np.zeros(3, np.float32)}}, bare)
    code, output, _ = zoo("weights", str(file))
    assert code == 0
    assert output.splitlines()[1].split()[-2:] == ["-", "-"]


def test_bad_weights_are_one_line(zoo, tmp_path):
    (tmp_path / "bad").write_text("x")
    for name, reported in (
        ("none", "unknown weights 'none'"),
        ("no/ne", "there is no weight file no/ne"),
        ("bad", "bad is no whole"),
    ):
        code, output, errors = zoo("weights", name)
        assert (code, output) == (2, "")
        assert errors.startswith(f"error: {reported}")
        assert errors.count("\n") == 1


def test_every_command_is_listed_and_tells_its_own_arguments(zoo, capsys):
    for arguments in (["--help"], *([name, "--help"] for name in cli.COMMANDS)):
        with pytest.raises(SystemExit) as stop:
            zoo(*arguments)
        output = capsys.readouterr().out
        assert stop.value.code == 0
        if arguments == ["--help"]:
            assert all(f"\n    {name} " in output for name in cli.COMMANDS)
        else:
            assert output.startswith(f"usage: zoo {arguments[0]} ")
            assert output.count("\n") > 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("modles",), "unknown command 'modles'; did you mean 'models'?"),
        (("denoize", "a.png"), "unknown command 'denoize'; did you mean 'denoise'?"),
        (("help",), "unknown command 'help'; did you mean 'zoo --help'?"),
        (("help", "noise"), "unknown command 'help'; did you mean 'zoo noise --help'?"),
        (("xyzzy",), "unknown command 'xyzzy'; choose from app, denoise, "),
    ],
)
def test_a_misspelled_command_is_one_line(zoo, arguments, message):
    code, output, errors = zoo(*arguments)
    assert (code, output) == (2, "")
    assert errors.startswith(f"error: {message}")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("arguments", [(), ("models", "--all")])
def test_wrong_arguments_show_the_usage(zoo, capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        zoo(*arguments)
    assert stop.value.code == 2
    assert "usage: zoo" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error():
    """`zoo models | head -1`, with a head that is gone before the first line."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "zoo.cli", "models", "unet-tiny"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_no_room_for_what_is_printed_is_one_line(zoo, monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        code, _, errors = zoo("models", "unet-tiny")
    assert code == 2
    assert errors.startswith("error: cannot print: No space left on device; ")
    assert errors.count("\n") == 1


def test_any_name_can_be_printed(zoo, monkeypatch, tmp_path):
    """As where the terminal is not of UTF-8, or a name is not."""
    Image.new("L", (4, 4)).save("ü\n\udcff.png")
    found = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", found)
    assert zoo("info", "ü\n\udcff.png")[0] == 0
    found.seek(0)
    assert found.readline() == "file      \\xfc\\n\\udcff.png\n"


def test_nobody_need_listen(zoo, monkeypatch):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert cli.main(["models", "unet-tiny"]) == 0
    assert cli.main(["models", "none"]) == 2
    sys.stdout.close()
    sys.stderr.close()


def test_weights_of_a_run_are_written_from_its_checkpoint(zoo, tmp_path, monkeypatch):
    written = []

    def weights_of(run, file):
        written.append((run, str(file)))
        weights.save(file, {"params": {"a": np.zeros(3, np.float32)}}, RECORD)
        return file

    monkeypatch.setattr("zoo.train.run_weights.weights_of", weights_of)
    (tmp_path / "run").mkdir()
    code, output, errors = zoo("weights", "--from-run", str(tmp_path / "run"))
    file = str(tmp_path / "run" / "weights.safetensors")
    assert (code, errors) == (0, "")
    assert file in output
    code, _, errors = zoo("weights", "--from-run", str(tmp_path / "run"))
    assert (code, errors.count("\n")) == (2, 1)
    assert f"{file} is there already; name another file by -o, or add --overwrite" in errors
    assert zoo("weights", "--from-run", str(tmp_path / "run"), "--overwrite")[0] == 0
    assert written == [(str(tmp_path / "run"), file)] * 2
    assert "are for --from-run" in zoo("weights", "-o", file)[2]


def test_a_folder_that_is_no_run_has_no_weights_to_write(zoo, tmp_path):
    code, _, errors = zoo("weights", "--from-run", str(tmp_path))
    assert (code, errors.count("\n")) == (2, 1)
    assert "name the workdir of a run" in errors


@pytest.mark.parametrize(
    ("error", "reported"),
    [
        (
            PermissionError(13, "Permission denied", "a\x1b"),
            r"cannot use a\x1b: Permission denied; ",
        ),
        (FileNotFoundError(2, "No such file or directory"), "the working folder is gone; "),
        (RecursionError("maximum"), "what was read is nested too deeply; "),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "what was read is not text "),
        (MemoryError(), "out of memory; "),
        (RuntimeError("Unable to initialize backend 'x': no"), "JAX cannot start: Unable to"),
        (ValueError("invalid truth value 'x' for environment 'JAX_ENABLE_X64'"), "JAX cannot"),
    ],
)
def test_what_the_machine_refuses_is_one_line(zoo, monkeypatch, error, reported):
    def refuse(*_):
        raise error

    monkeypatch.setattr(models, "model_spec", refuse)
    code, output, errors = zoo("models", "unet-tiny")
    assert (code, output) == (2, "")
    assert errors.startswith(f"error: {reported}")
    assert errors.count("\n") == 1


def test_a_mistake_in_the_program_is_none_of_the_users(zoo, monkeypatch):
    monkeypatch.setattr(models, "model_spec", lambda name: {}[name])
    with pytest.raises(KeyError):
        zoo("models", "unet-tiny")


def test_flags_that_xla_does_not_know_are_one_line():
    done = subprocess.run(
        [sys.executable, "-m", "zoo.cli", "models", "unet-tiny"],
        capture_output=True,
        env=os.environ | {"XLA_FLAGS": "--xla_nonsense=1"},
        text=True,
        check=False,
    )
    reported = "error: Unknown flag in XLA_FLAGS: --xla_nonsense=1; correct or unset XLA_FLAGS\n"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.replace("flags", "flag") == reported


def test_a_terminal_obeys_no_record_and_no_argument(zoo, capsys, file):
    evil = "\x1b]0;owned\x07\x9b2J\u202egnp.exe"
    weights.save(
        file, {"params": {"a": np.zeros(3, np.float32)}}, RECORD | {"commit": evil, "summary": evil}
    )
    _, output, _ = zoo("weights", str(file))
    with pytest.raises(SystemExit):
        zoo("models", "--" + evil)
    for reported in (output, capsys.readouterr().err):
        assert not set(evil[:1] + "\x07\x9b\u202e") & set(reported)
        assert r"\x1b]0;owned" in reported
