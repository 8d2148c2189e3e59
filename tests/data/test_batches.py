"""Which image each slot of each batch shows."""

import itertools
from collections import Counter

import jax
import numpy as np
import pytest

from zoo.data.batches import BankBatches, Order, crop, excerpt, make_bank, stack
from zoo.data.sources import Example
from zoo.errors import ZooError

# In crops of 100: 1, 1, 2, 5, and one for what is smaller than a crop.
AREAS, REPEATS = (100, 149, 151, 520, 30), {0: 1, 1: 1, 2: 2, 3: 5, 4: 1}


def order(seed=0):
    return Order(AREAS, 100, seed)


def test_an_epoch_shows_each_image_by_its_area():
    numbers = order()
    assert numbers.epoch_size == 10
    for epoch in range(3):
        shown = [numbers[epoch * 10 + i] for i in range(10)]
        assert Counter(shown) == REPEATS


def test_every_epoch_and_every_seed_has_an_order_of_its_own():
    epochs = [tuple(order(seed)[10 * e + i] for i in range(10)) for seed in (0, 1) for e in (0, 1)]
    assert len(set(epochs)) == 4
    assert epochs[0] != tuple(sorted(epochs[0]))


def test_the_order_is_a_function_of_the_number_alone():
    straight = [order()[g] for g in range(50)]
    mixed = order()
    wanted = np.random.default_rng(0).permutation(50)
    assert [mixed[g] for g in wanted] == [straight[g] for g in wanted]
    assert isinstance(mixed[np.int64(7)], int)


class DisturbedOrder(Order):
    """An order that another thread moves to the next epoch whenever it is looked at."""

    @property
    def _cached(self):
        seen = self._state
        following = seen[0] + 1
        shuffle = np.random.default_rng([self._seed, following]).permutation
        self._state = (following, shuffle(self._examples))
        return seen

    @_cached.setter
    def _cached(self, value):
        self._state = value


def test_threads_do_not_disturb_each_other():
    shared = DisturbedOrder(AREAS, 100, 0)
    assert [shared[g] for g in range(50)] == [order()[g] for g in range(50)]


def take(batches, n, count=3):
    return list(itertools.islice(batches.starting_at(n), count))


@pytest.mark.parametrize("hosts", [2, 4])
def test_the_hosts_parts_make_the_whole_batch(hosts):
    whole = take(BankBatches(order(), 8), 2)
    parts = [take(BankBatches(order(), 8, host, hosts), 2) for host in range(hosts)]
    for batch, *split in zip(whole, *parts, strict=True):
        assert {len(part.slot) for part in split} == {8 // hosts}
        np.testing.assert_array_equal(np.concatenate([p.slot for p in split]), batch.slot)
        np.testing.assert_array_equal(np.concatenate([p.example for p in split]), batch.example)


def test_batches_follow_the_order_and_can_be_entered_anywhere():
    numbers, batches = order(), BankBatches(order(), 8)
    whole = take(batches, 0, 6)
    shown = np.concatenate([batch.example for batch in whole])
    assert shown.tolist() == [numbers[g] for g in range(48)]
    assert shown.dtype == np.int32
    for batch, again in zip(whole[4:], take(batches, 4, 2), strict=True):
        np.testing.assert_array_equal(batch.slot, np.arange(8))
        np.testing.assert_array_equal(batch.example, again.example)


def test_far_into_a_run_numbers_do_not_overflow():
    batch = next(BankBatches(order(), 8).starting_at(2**40))
    assert batch.example.tolist() == [order()[2**43 + i] for i in range(8)]


def test_a_bank_of_both_depths_keeps_brightness():
    eight, sixteen = np.full((2, 3, 1), 255, np.uint8), np.full((4, 2, 1), 1234, np.uint16)
    bank = make_bank([eight, sixteen])
    assert bank.values.dtype == np.uint16
    assert bank.values.tolist() == [65535] * 6 + [1234] * 8
    assert (bank.start.tolist(), bank.shape.tolist()) == ([0, 6], [[2, 3], [4, 2]])


def test_a_bank_of_too_many_values_is_refused():
    one = np.broadcast_to(np.uint8(0), (2**15, 2**15, 1))
    with pytest.raises(ZooError, match=r"images hold 2,147,483,648 .*data\.stream=True"):
        make_bank([one, one])


def test_crops_reach_every_place_of_a_image():
    image = np.arange(30, dtype=np.uint8).reshape(5, 6, 1)
    bank = jax.tree.map(jax.numpy.asarray, make_bank([image + 100, image]))
    cut = jax.vmap(lambda key: crop(key, bank, np.int32(1), (4, 4, 1)))
    found = np.asarray(cut(jax.random.split(jax.random.key(0), 600)))
    corners = Counter(found[:, 0, 0, 0].tolist())
    assert corners.keys() == {6 * y + x for y in range(2) for x in range(3)}
    # Binomial(600, 1/6): five standard deviations are 46.
    assert all(abs(count - 100) < 46 for count in corners.values())
    first = corners.most_common(1)[0][0]
    y, x = divmod(first, 6)
    piece = found[found[:, 0, 0, 0] == first][0]
    np.testing.assert_array_equal(piece, image[y : y + 4, x : x + 4])


# ------------------------------------------------------------------------------- recordings


def recording(start, length, channels=1):
    """Samples that tell where they come from."""
    first = np.arange(start, start + length, dtype=np.int16)[:, None]
    return first + np.arange(channels, dtype=np.int16) * np.int16(10000)


def bank_of(*recordings, **options):
    one_row = [stack(Example("", x, None)) for x in recordings]
    return jax.tree.map(jax.numpy.asarray, make_bank(one_row, **options))


def test_a_recording_is_a_image_of_one_row():
    clean, noisy = recording(0, 5, 2), recording(100, 5, 2)
    assert stack(Example("", clean, None)).shape == (1, 5, 2)
    both = stack(Example("", clean, noisy))
    np.testing.assert_array_equal(both, np.concatenate([clean, noisy], axis=1)[None])


def test_crops_of_a_recording_are_its_slices():
    bank = bank_of(recording(0, 300, 2), recording(1000, 40, 2))
    assert bank.values.dtype == np.int16
    cut = jax.vmap(lambda key: crop(key, bank, np.int32(1), (30, 2)))
    found = np.asarray(cut(jax.random.split(jax.random.key(0), 500)))
    assert found.shape == (500, 30, 2)
    starts = found[:, 0, 0]
    assert set(starts.tolist()) == set(range(1000, 1011))
    for one in found[:20]:
        np.testing.assert_array_equal(one, recording(int(one[0, 0]), 30, 2))


def test_short_recordings_are_followed_by_silence_and_noise_starts_over():
    short = recording(1, 3)
    quiet = bank_of(short, recording(50, 9), length=8)
    assert quiet.shape.tolist() == [[1, 8], [1, 9]]
    assert quiet.values[:8].tolist() == [1, 2, 3, 0, 0, 0, 0, 0]
    around = bank_of(short, recording(50, 9), length=8, wrap=True)
    assert around.values[:8].tolist() == [1, 2, 3, 1, 2, 3, 1, 2]


def test_too_many_samples_are_refused():
    one = np.broadcast_to(np.int16(0), (1, 2**30, 1))
    with pytest.raises(ZooError, match=r"audio has 2,147,483,648 .*data\.stream=True"):
        make_bank([one, one])


def test_excerpts_come_by_length_and_from_every_place():
    lengths = np.array([100, 300, 200])
    bank = bank_of(*(recording(1000 * n, length) for n, length in enumerate(lengths)))
    draw = jax.jit(jax.vmap(lambda key: excerpt(key, bank, (100, 1))))
    found = np.asarray(draw(jax.random.split(jax.random.key(0), 3000)))
    assert found.shape == (3000, 100, 1)
    assert (np.diff(found[:, :, 0]) == 1).all()
    which, place = np.divmod(found[:, 0, 0], 1000)
    counts = np.bincount(which, minlength=3)
    # Binomial(3000, p): five standard deviations.
    shares = lengths / lengths.sum()
    assert (np.abs(counts - 3000 * shares) < 5 * np.sqrt(3000 * shares * (1 - shares))).all()
    for index, length in enumerate(lengths):
        places = place[which == index]
        assert places.min() >= 0
        assert places.max() <= length - 100
        middle = (length - 100) / 2
        assert abs(places.mean() - middle) < 5 * max(middle, 1) / np.sqrt(3 * len(places)) + 1e-9
