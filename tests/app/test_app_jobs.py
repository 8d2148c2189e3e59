"""The queue: order, progress, stopping; and the visitors' files."""

import threading
import time
from contextlib import suppress

import pytest

from zoo.app import limits
from zoo.app.jobs import Jobs, Stopped
from zoo.app.store import Store
from zoo.errors import ZooError


@pytest.fixture
def jobs():
    made = Jobs()
    yield made
    made.close(5)


def until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


class Slow:
    """Work that goes on by one step each time it is let."""

    def __init__(self):
        self.steps = threading.Semaphore(0)

    def __call__(self, tell):
        for step in range(4):
            self.steps.acquire(timeout=10)
            tell(step + 1, 4)
        return "whole"

    def let(self, count=1):
        self.steps.release(count)


def test_one_at_a_time_in_their_order(jobs):
    first, second = Slow(), Slow()
    a, b = jobs.submit(first), jobs.submit(second)
    c = jobs.submit(lambda tell: "short")
    assert (a.before, b.before, c.before) in {(0, 1, 2), (0, 0, 1), (0, 1, 2)}
    first.let(2)
    until(lambda: a.share == 0.5)
    assert (a.before, b.before, c.before) == (0, 1, 2)
    assert not b.done
    first.let(2)
    second.let(4)
    until(lambda: c.done)
    assert [one.result for one in (a, b, c)] == ["whole", "whole", "short"]


def test_who_waits_is_stopped_at_once_and_who_works_at_its_next_step(jobs):
    slow = Slow()
    a, b = jobs.submit(slow), jobs.submit(Slow())
    slow.let()
    until(lambda: a.share == 0.25)
    b.stop()
    assert b.done
    assert isinstance(b.error, Stopped)
    a.stop()
    assert not a.done
    slow.let()
    until(lambda: a.done)
    assert isinstance(a.error, Stopped)
    assert a.share == 0.25
    after = jobs.submit(lambda tell: 7)
    until(lambda: after.done)
    assert after.result == 7


def test_an_error_is_kept_and_the_queue_goes_on(jobs):
    def fail(tell):
        raise ZooError("no; mend it")

    one, two = jobs.submit(fail), jobs.submit(lambda tell: 1)
    until(lambda: two.done)
    assert str(one.error) == "no; mend it"
    assert two.result == 1


def test_closing_stops_all():
    jobs, slow = Jobs(), Slow()
    a, b = jobs.submit(slow), jobs.submit(lambda tell: 1)
    slow.let(2)
    until(lambda: a.share == 0.5)
    closing = threading.Thread(target=jobs.close)
    closing.start()
    until(lambda: b.done)
    slow.let()
    closing.join(10)
    assert isinstance(a.error, Stopped)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "root")


def visit(store, session="a"):
    made = store.of(store.open())
    assert store.join(made, session)
    assert store.visit(session) is made
    return made


def upload(visit, name="photo.png", content=b"x"):
    place = visit.place_upload(name)
    place.write_bytes(content)
    visit.add_upload(place)
    return place


def left(store):
    return [path for path in store.root.rglob("*") if path.is_file()]


def test_a_file_is_taken_and_goes_with_the_visitor(store):
    one = visit(store)
    place = one.take("image", upload(one))
    assert (place.name, place.read_bytes()) == ("photo.png", b"x")
    assert one.file("image") == place
    store.sweep(upload=-1)
    assert left(store) == [place]
    store.leave("a")
    assert not left(store)
    with pytest.raises(ZooError, match="drop one, or take a sample"):
        store.visit("a").file("image")


def test_an_upload_that_no_tab_takes_goes_and_samples_stay(store):
    one, sample = visit(store), store.root / "samples" / "cat.png"
    sample.parent.mkdir()
    sample.write_bytes(b"x")
    upload(one)
    one.try_sample("image", sample)
    store.sweep(upload=-1)
    assert left(store) == [sample]
    one.drop("image")
    store.leave("a")
    assert left(store) == [sample]


def test_visitors_and_tabs_do_not_meet(store):
    first, second = visit(store), visit(store, "b")
    mine = [
        first.take("image", upload(first)),
        first.take("trial", upload(first)),
        second.take("image", upload(second)),
    ]
    assert len({*mine}) == 3
    first.drop("image")
    assert [place.exists() for place in mine] == [False, True, True]
    store.leave("a")
    assert [place.exists() for place in mine] == [False, False, True]


def test_a_visit_takes_nothing_but_what_it_brought(store, tmp_path):
    first, second = visit(store), visit(store, "b")
    (tmp_path / "secret.png").write_bytes(b"x")
    theirs = upload(second)
    for path in (tmp_path / "secret.png", "/dev/zero", theirs, f"{theirs.parent}/../x", "\0", ""):
        assert not first.has_upload(str(path))
        with pytest.raises(ZooError, match="drop it again"):
            first.take("image", path)
    assert not store.join(first, "b")
    assert not store.join(second, "a")
    # Once only: what a tab has taken, it may remove.
    second.take("image", theirs)
    with pytest.raises(ZooError, match="drop it again"):
        second.take("trial", theirs)


@pytest.mark.parametrize(
    ("limit", "size", "match"),
    [
        ("MOST_BYTES", 101, "larger than"),
        ("VISIT_BYTES", 90, "reload"),
        ("SERVER_BYTES", 80, "no room for more"),
    ],
)
def test_bytes_on_the_disk_and_on_their_way_are_bounded(store, monkeypatch, limit, size, match):
    first, second = visit(store), visit(store, "b")
    upload(first, content=b"x" * 10)
    upload(second, content=b"x" * 10)
    monkeypatch.setattr(limits, limit, 100)
    with store.coming(first, 5), pytest.raises(ZooError, match=match), store.coming(first, size):
        pass
    with store.coming(first, 5), store.coming(first, 60):
        pass


def test_a_disk_is_never_filled(store, monkeypatch):
    monkeypatch.setattr(limits, "FREE_BYTES", 2**80)
    with pytest.raises(ZooError, match="no room"), store.coming(visit(store), 1):
        pass


def test_visits_are_bounded_and_only_those_with_nothing_make_room(store, monkeypatch):
    monkeypatch.setattr(limits, "MOST_VISITS", 2)
    first, second = store.open(), store.open()
    upload(store.of(first))
    third = store.open()
    assert (store.of(second), store.of(first) is None) == (None, False)
    upload(store.of(third))
    with pytest.raises(ZooError, match="too many visitors"):
        store.open()


def test_of_results_the_last_stays_and_of_a_failure_nothing(store):
    one = visit(store)
    for content in (b"first", b"second"):
        with one.room("image") as room:
            (room / "x").write_bytes(content)
    with suppress(KeyError), one.room("image") as room:
        (room / "y").write_bytes(b"half")
        raise KeyError
    assert [path.read_bytes() for path in left(store)] == [b"second"]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("photo.png", "photo.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.png", "a.png"),
        ("\x1b]0;own\x07\u202egnp.png", "]0;owngnp.png"),
        ("a\nb\0c.png", "abc.png"),
        (".ssh", "ssh"),
        ("..", "file"),
        ("", "file"),
        ("Ünïcode — 写真.png", "Ünïcode — 写真.png"),
    ],
)
def test_a_name_is_a_name_only(name, plain):
    assert limits.plain(name) == plain
    assert len(limits.plain("写" * 300 + ".png").encode()) <= 136


def test_who_would_wait_too_long_is_refused():
    jobs, slow = Jobs(most=2), Slow()
    running = jobs.submit(slow)
    slow.let()
    until(lambda: running.share)
    waiting = [jobs.submit(slow) for _ in range(2)]
    with pytest.raises(ZooError, match="too many others"):
        jobs.submit(slow)
    waiting[0].stop()
    assert not jobs.submit(slow).done
    slow.let(20)
    jobs.close(5)


def test_another_file_takes_the_place_of_the_last_and_stops_its_job(store):
    one = visit(store)
    place = one.take("image", upload(one))
    jobs, slow = Jobs(), Slow()
    one.jobs["image"] = job = jobs.submit(slow)
    one.take("image", upload(one, "other.png"))
    slow.let()
    until(lambda: job.done)
    assert isinstance(job.error, Stopped)
    assert not place.exists()
    jobs.close(5)


def test_idle_visitors_are_swept_but_not_those_at_work(store):
    idle, busy = visit(store, "idle"), visit(store, "busy")
    for one in (idle, busy):
        one.take("image", upload(one))
    jobs, slow = Jobs(), Slow()
    busy.jobs["image"] = job = jobs.submit(slow)
    store.sweep(idle=-1)
    assert not idle.folder.exists()
    assert busy.folder.exists()
    slow.let(4)
    until(lambda: job.done)
    store.sweep(idle=-1, upload=-1)
    assert not left(store)
    jobs.close(5)


def test_an_upload_that_is_gone_is_one_line(store):
    one = visit(store)
    place = upload(one)
    place.unlink()
    with pytest.raises(ZooError, match="drop it again"):
        one.take("image", place)


def test_a_job_that_never_returns_does_not_block_others(capsys):
    """Such as a decoder caught in an endless loop by a damaged file."""
    jobs, endless, slow = Jobs(patience=0.3), threading.Event(), Slow()
    hung = jobs.submit(lambda progress: endless.wait(30))
    other = jobs.submit(slow)
    started = time.monotonic()
    until(lambda: hung.done)
    assert "takes too long" in str(hung.error)
    # Work that reports its progress is not given up, however long it takes.
    for _ in range(4):
        time.sleep(0.15)
        slow.let()
    until(lambda: other.done)
    assert (other.result, time.monotonic() - started > 0.6) == ("whole", True)
    endless.set()
    time.sleep(0.05)
    assert (hung.result, "takes too long" in str(hung.error)) == (None, True)
    assert "given up" in capsys.readouterr().err
    jobs.close(5)


def test_a_hung_job_that_its_visitor_left_says_nothing_to_him():
    jobs, endless = Jobs(patience=0.2), threading.Event()
    hung = jobs.submit(lambda progress: endless.wait(30))
    until(lambda: not hung.before)
    time.sleep(0.05)
    hung.stop()
    until(lambda: hung.done)
    assert isinstance(hung.error, Stopped)
    endless.set()
    jobs.close(5)
