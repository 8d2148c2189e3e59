"""One process of a training run, for tests: python host.py PROCESSES PROCESS PORT PHOTOS CASE...

A case is WORKDIR,PARALLEL,OPTIMIZER,STREAM,STEPS.
"""

import sys
from pathlib import Path

from zoo.train import distributed
from zoo.train.config import default_config
from zoo.train.loop import train


def make_config(photos, parallel="jit", optimizer="sgd", stream=False, steps=4):
    config = default_config()
    config.parallel = parallel
    config.model.name = "dncnn-color"
    config.model.options.depth = 3
    config.model.options.width = 8
    config.data.name = "folder"
    config.data.path = photos
    config.data.crop = (16, 16)
    config.data.stream = stream
    config.data.crops_per_picture = 2
    config.optimizer.name = optimizer
    config.optimizer.learning_rate = 0.01
    config.optimizer.schedule = "constant"
    config.train.batch_size = 8
    config.train.steps = steps
    config.train.ema_decay = 0.0  # the weights are then the parameters
    config.log.every = 2
    config.checkpoint.every = 2
    return config


def main(processes, process, port, photos, *cases):
    if int(processes) > 1:
        distributed.join(f"127.0.0.1:{port}", int(processes), int(process), timeout=60)
    for case in cases:
        workdir, parallel, optimizer, stream, steps = case.split(",")
        config = make_config(photos, parallel, optimizer, bool(int(stream)), int(steps))
        train(config, Path(workdir))
    distributed.finish()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:
        distributed.fail(error)
        raise
