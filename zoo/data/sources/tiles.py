"""Pictures cut into tiles, for models that take one size only."""

from collections.abc import Sequence

import numpy as np

from zoo.data.sources.contract import Listing, Picture


def cut(pictures: Sequence[Picture], size: tuple[int, int]) -> Listing:
    """Cuts pictures into tiles that do not overlap, and keeps them in memory.

    What is left over at the right and at the bottom belongs to no tile; a picture smaller than a
    tile gives none.

    Args:
      pictures: of any sizes; each is read once, now.
      size: height and width of a tile in pixels.
    """
    height, width = size
    names: list[str] = []
    items: list[tuple[np.ndarray, np.ndarray | None]] = []
    for picture in pictures:
        rows, columns = picture.target.shape[0] // height, picture.target.shape[1] // width
        for row in range(rows):
            for column in range(columns):
                tile = np.s_[
                    row * height : (row + 1) * height, column * width : (column + 1) * width
                ]
                names.append(f"{picture.name}_{row}_{column}")
                noisy = None if picture.input is None else picture.input[tile]
                items.append((picture.target[tile], noisy))
    return Listing(names, items, _read)


def _read(
    item: tuple[np.ndarray, np.ndarray | None],
) -> tuple[np.ndarray, np.ndarray | None]:
    return item
