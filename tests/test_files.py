"""Files that appear whole or not at all, two at once."""

import os
import subprocess
import sys

import pytest

from zoo import files
from zoo.errors import ZooError


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_removes_all_that_is_unfinished(tmp_path, name):
    code = f"""
import os, pathlib, signal
from zoo import files
# A shell in the background ignores the first, nohup the second, and children inherit that.
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
folder = pathlib.Path({str(tmp_path)!r})
with files.staged(folder / "whole") as part:
    part.touch()
with files.staged(folder / "a") as a, files.staged(folder / "b") as b:
    a.touch(), b.touch()
    assert len(os.listdir(folder)) == 3
    os.kill(os.getpid(), signal.{name})
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode < 0
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_a_name_may_be_as_long_as_the_disk_takes(tmp_path):
    for letter in "aé":
        name = letter * (251 // len(letter.encode())) + ".png"
        files.write(tmp_path / name, b"x")
        assert [path.name for path in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()


def test_a_full_disk_wants_room(tmp_path, monkeypatch):
    def full(part, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ZooError, match=r"cannot write .*a: No space left .*; make room on its"):
        files.write(tmp_path / "a", b"x")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def odd(tmp_path):
    """What is no regular file, or too large to be read, and what an error says of it."""
    os.mkfifo(tmp_path / "pipe")
    os.symlink("circle", tmp_path / "circle")
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(60 * 10**9)
    return {
        tmp_path / "pipe": "is a pipe or a device",
        "/dev/zero": "is a pipe or a device",
        tmp_path: "Is a directory",
        tmp_path / "none": "No such file",
        tmp_path / "circle": "Too many levels of symbolic links",
        tmp_path / "sparse": "has 60,000,000,000 bytes",
        tmp_path / ("x" * 300): "File name too long",
        "a\0b": r"'a\\x00b'",
        "\ud800": r"'\\ud800'",
    }


def test_only_regular_files_are_read(odd):
    """Nothing waits for a pipe, and nothing fills the memory."""
    for path, reported in odd.items():
        with pytest.raises(ZooError, match=reported) as caught:
            files.read(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "reader",
    ["image_files.read", "pages", "audio_files.read", "read_state", "weights.load", "kinds"],
)
def test_every_reader_goes_through_the_door(odd, reader):
    from zoo import weights
    from zoo.data import audio_files, file_kinds, image_files
    from zoo.data.image_files import read_pages
    from zoo.interop.weight_readers import read_state

    read = {
        "image_files.read": image_files.read,
        "pages": read_pages,
        "audio_files.read": audio_files.read,
        "read_state": read_state,
        "weights.load": weights.load,
        "kinds": file_kinds.kind_of,
    }[reader]
    for path, reported in odd.items():
        if (reader, reported[:3]) == ("kinds", "has"):  # it reads no more than the head
            continue
        with pytest.raises(ZooError) as caught:
            read(path)
        assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize("links", [True, False])
def test_what_appears_during_the_work_is_kept(tmp_path, monkeypatch, links):
    def none(*_):
        raise OSError(95, "Operation not supported")

    if not links:
        monkeypatch.setattr(os, "link", none)

    def work():
        with files.staged(tmp_path / "a", overwrite=False) as part:
            part.write_bytes(b"mine")
            (tmp_path / "a").write_bytes(b"theirs")

    with pytest.raises(ZooError, match="a has appeared in the meantime, and is kept"):
        work()
    assert (tmp_path / "a").read_bytes() == b"theirs"
    files.write(tmp_path / "b", b"new", overwrite=False)
    assert (tmp_path / "b").read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_a_folder_stays_where_another_cannot_take_its_place(tmp_path, monkeypatch):
    former, new, rename = tmp_path / "a", tmp_path / "b", os.rename
    for folder in (former, new):
        folder.mkdir()
        (folder / folder.name).touch()

    def refuse(source, target):
        if source == new:
            raise OSError(5, "Broken")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(OSError, match="Broken"):
        files.move_folder(new, former, overwrite=True)
    assert os.listdir(former) == ["a"]
    monkeypatch.setattr(os, "rename", rename)
    files.move_folder(new, former, overwrite=True)
    assert os.listdir(tmp_path) == ["a"]
    assert os.listdir(former) == ["b"]
    # Of a process that was killed between the two moves.
    (tmp_path / ".a.01234567.former").mkdir()
    files.write(tmp_path / "c", b"")
    assert sorted(os.listdir(tmp_path)) == [".a.01234567.former", "a", "c"]


def test_a_long_name_of_a_folder(tmp_path):
    path = tmp_path / ("\u6f22" * 83)
    with files.staged_folder(path) as folder:
        (folder / "a").touch()
    assert os.listdir(path) == ["a"]


def test_of_two_at_once_one_fails(tmp_path):
    def work():
        with files.staged(tmp_path / "a", overwrite=False) as late:
            late.write_bytes(b"late")
            files.write(tmp_path / "a", b"early", overwrite=False)

    with pytest.raises(ZooError, match="has appeared in the meantime"):
        work()
    assert (tmp_path / "a").read_bytes() == b"early"


def test_pipes_and_devices_are_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ZooError, match="is a pipe or a device"):
        files.write(tmp_path / "pipe", b"x")
    os.symlink("circle", tmp_path / "circle")
    with pytest.raises(ZooError, match="circle of links"):
        files.free(tmp_path / "circle", overwrite=True)
    for path in ("a\0b", "", tmp_path / "\ud800"):
        with pytest.raises(ZooError, match="is not the name of a file"):
            files.write(path, b"x")


def test_what_killed_makers_left_is_removed(tmp_path):
    """And nothing else: not what another process is at work on, nor a file of the user's."""
    code = f"""
import os, signal
from zoo import files
with files.staged({str(tmp_path / "dead.png")!r}) as part:
    part.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    (left,) = os.listdir(tmp_path)
    assert left.startswith(".dead.png.")
    for name in (".mine.part", "a.0a1b2c3d.part", ".b.0a1b2c3d.part.txt"):
        (tmp_path / name).write_bytes(b"mine")
    kept = sorted(set(os.listdir(tmp_path)) - {left})
    with files.staged(tmp_path / "alive") as part:
        # As another process would come, which has not looked here yet.
        files._cleaned.clear()
        files.write(tmp_path / "next", b"x")
        assert part.exists()
        assert sorted(os.listdir(tmp_path)) == sorted([*kept, "next", part.name])


def test_a_folder_that_cannot_be_read_is_reported(tmp_path, monkeypatch):
    def closed(path):
        raise PermissionError(13, "Permission denied", os.fspath(path))

    monkeypatch.setattr(os, "scandir", closed)  # permissions do not stop root
    with pytest.raises(ZooError, match=r"cannot read the folder .*: Permission denied"):
        files.walk(tmp_path)


def test_a_home_that_nobody_has():
    assert str(files.expanded("~nobody-here/a")) == "~nobody-here/a"
