"""The queue: order, progress, stopping; and the visitors' files."""

import os
import threading
import time

import pytest

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


def upload(store, name="photo.png", content=b"x"):
    folder = store.root / "0123"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def left(store):
    return [path for path in store.root.rglob("*") if path.is_file()]


def test_a_file_is_taken_and_goes_with_the_visitor(store):
    visit = store.visit("a")
    place = visit.take("picture", upload(store))
    assert (place.name, place.read_bytes()) == ("photo.png", b"x")
    assert visit.file("picture") == place
    store.sweep(upload=-1)
    assert left(store) == [place]
    store.leave("a")
    assert not left(store)
    with pytest.raises(ZooError, match="drop one, or take a sample"):
        store.visit("a").file("picture")


def test_an_upload_goes_with_the_last_who_brought_it_and_samples_stay(store):
    path, sample = upload(store), store.root / "samples" / "cat.png"
    sample.parent.mkdir()
    sample.write_bytes(b"x")
    for name in "ab":
        store.visit(name).take("picture", path)
        store.visit(name).take("trial", sample)
    store.leave("a")
    assert path.exists()
    store.leave("b")
    assert left(store) == [sample]


def test_visitors_and_tabs_do_not_meet(store):
    path = upload(store)
    first, second = store.visit("a"), store.visit("b")
    mine = [first.take("picture", path), first.take("trial", path), second.take("picture", path)]
    assert len({*mine}) == 3
    first.drop("picture")
    assert [place.exists() for place in mine] == [False, True, True]
    store.leave("a")
    assert [place.exists() for place in mine] == [False, False, True]


def test_another_file_takes_the_place_of_the_last_and_stops_its_job(store):
    visit = store.visit("a")
    place = visit.take("picture", upload(store))
    jobs, slow = Jobs(), Slow()
    visit.jobs["picture"] = job = jobs.submit(slow)
    visit.take("picture", upload(store, "other.png"))
    slow.let()
    until(lambda: job.done)
    assert isinstance(job.error, Stopped)
    assert not place.exists()
    jobs.close(5)


def test_idle_visitors_are_swept_but_not_those_at_work(store):
    idle, busy = store.visit("idle"), store.visit("busy")
    for visit in (idle, busy):
        visit.take("picture", upload(store))
    jobs, slow = Jobs(), Slow()
    busy.jobs["picture"] = job = jobs.submit(slow)
    store.sweep(idle=-1)
    assert not idle.folder.exists()
    assert busy.folder.exists()
    slow.let(4)
    until(lambda: job.done)
    store.sweep(idle=-1, upload=-1)
    assert not left(store)
    jobs.close(5)


def test_an_upload_that_is_gone_is_one_line(store):
    with pytest.raises(ZooError, match="drop it again"):
        store.visit("a").take("picture", store.root / "gone.png")


def test_where_links_cannot_be_made_files_are_copied(store, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    assert store.visit("a").take("picture", upload(store)).read_bytes() == b"x"
