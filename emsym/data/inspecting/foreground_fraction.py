"""How much of each split is labelled."""

from collections.abc import Callable

import numpy as np

from emsym.data.cards import Card
from emsym.data.volume import open_volume

Fractions = dict[str, dict[str, float]]

_BLOCK = 32_000_000
"""Voxels that are looked at together."""


def fractions(
    card: Card,
    advance: Callable[[int, int], None] = lambda done, total: None,
    *,
    images: bool = False,
) -> Fractions:
    """The share of foreground, by task and split.

    Reads the labels of both splits once for each task, in blocks, and with `images` the image too,
    to see that it can be read; `advance` is told sections done and in all. Raises `UserError` as
    `Volume.read` does.
    """
    total = len(card.tasks) * sum(stop - start for start, stop in card.split.ranges().values())
    done, fractions_by_task = 0, Fractions()
    for chosen in card.single_task_cards():
        volume = open_volume(chosen)
        step = max(1, _BLOCK // (volume.shape[1] * volume.shape[2]))
        shares = fractions_by_task.setdefault(next(iter(chosen.tasks)), {})
        for name, (start, stop) in card.split.ranges().items():
            pixels = labelled = 0
            for first in range(start, stop, step):
                end = min(first + step, stop)
                if images:
                    foreground = volume.read(first, end).foreground
                else:
                    foreground, _ = volume.read_labels(first, end)
                known = volume.labelled(first, end)
                pixels += foreground.size if known is None else int(np.count_nonzero(known))
                labelled += int(np.count_nonzero(foreground))
                done += len(foreground)
                advance(done, total)
            shares[name] = labelled / max(pixels, 1)
    return fractions_by_task
