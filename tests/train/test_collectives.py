"""What the devices say to each other in a step: the gradients, summed, and next to nothing else."""

import sys
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from zoo import losses, models, noise
from zoo.data.augment import make_augment
from zoo.data.batches import Batch, make_bank
from zoo.models import DnCNN
from zoo.train import parallel
from zoo.train.step import create_state, make_prepare, make_step

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from harness.collectives import collectives

BATCH, CROP, CHANNELS = 8, 16, 3

MODELS = {
    "unet-tiny": lambda: models.create_model("unet-tiny", channels=CHANNELS),
    "batch norm": lambda: DnCNN(channels=CHANNELS, depth=3, width=16, norm="batch"),
    "dncnn": lambda: DnCNN(channels=CHANNELS, depth=3, width=16),
}


def compiled(kind, model, change=lambda step: step):
    """The program of a step over all devices, and the state it changes."""
    optimizer = optax.sgd(0.01, momentum=0.9)
    prepare = make_prepare(
        size=(CROP, CROP, CHANNELS),
        augment=make_augment(flip=True, quarter_turn=True),
        sampler=noise.make_sampler("gaussian", (10, 50), unit="1/255"),
    )

    def step(axis_name):
        return change(
            make_step(
                model=model.clone(axis_name=axis_name) if hasattr(model, "axis_name") else model,
                loss=losses.make_loss("charbonnier"),
                optimizer=optimizer,
                prepare=prepare,
                ema_decay=0.9,
                axis_name=axis_name,
            )
        )

    runner = parallel.make_runner(kind, step, BATCH)
    state = create_state(model, optimizer, jax.random.key(0), (1, CROP, CROP, CHANNELS))
    state = jax.device_get(state)
    images = [np.full((20 + i, 24, CHANNELS), i, np.uint8) for i in range(5)]
    bank = runner.place_bank(make_bank(images))
    batch = Batch(np.arange(BATCH, dtype=np.int32), np.arange(BATCH, dtype=np.int32) % 5)
    arguments = (runner.place(state), runner.feed(batch, bank), jax.random.key(1))
    return runner.run.lower(*arguments).compile().as_text(), state


@pytest.mark.matrix
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["jit", "pmap"])
def test_devices_exchange_sums_of_gradients_and_little_more(kind, name):
    text, state = compiled(kind, MODELS[name]())
    found = collectives(text)
    assert {kind for kind, _ in found} == {"all-reduce"}
    gradients = sum(x.nbytes for x in jax.tree.leaves(state.params))
    # Batch statistics hold two figures a channel; with the sums of the backward pass four travel,
    # some of them twice. Four scalars: the loss, its weight, the error, the norm.
    statistics = sum(x.nbytes for x in jax.tree.leaves(state.model_state))
    more = sum(size for _, size in found) - gradients
    assert 0 <= more <= 4 * statistics + 16, (more, statistics)


@pytest.mark.matrix
@pytest.mark.parametrize("kind", ["jit", "pmap"])
def test_devices_that_gather_would_be_noticed(kind):
    def change(step):
        def gathering(state, batch, key):
            state, metrics = step(state, batch, key)
            everybody = jax.lax.all_gather(batch.example, parallel.AXIS)
            return state, metrics | {"pictures": everybody}

        return gathering

    text, _ = compiled(kind, MODELS["dncnn"](), change)
    assert "all-gather" in {kind for kind, _ in collectives(text)}


def test_sizes_are_read_from_a_program():
    text = """
  %a = (f32[16,3]{1,0}, f32[]) all-reduce(%x, %y), channel_id=1, replica_groups=[1,8]<=[8]
  ROOT %b = bf16[4,2]{1,0} all-gather(%z), dimensions={0}
  %c = s32[8]{0} collective-permute-start(%z), source_target_pairs={{0,1}}
  %d = f32[8]{0} add(%all-reduce.1, %all-reduce.2)
"""
    expected = [("all-reduce", 196), ("all-gather", 16), ("collective-permute", 32)]
    assert collectives(text) == expected
