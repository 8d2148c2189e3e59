"""Trains and evaluates what a config describes: `zoo train`, run from a clone.

python main.py --config=configs/unet.py
python main.py --config=configs/unet.py --config.noise.level=50 --workdir=runs/unet50
python main.py --config=configs/unet.py --mode=eval
python main.py --config=configs/unet.py --resume-with=optimizer.learning_rate=1e-4
python main.py --config=configs/unet.py --coordinator=10.0.0.1:1234 --processes=2 --process=0
"""

import sys

from zoo.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
