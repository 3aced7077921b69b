"""Arrays as images for a page: shrunk, equalised, and written as PNG into a data URI."""

import base64
import io
from math import ceil
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")

_GREYS = 32
"""Levels of grey in a file: finer ones than these are noise in an EM section, and half its size."""


def shrink(picture: np.ndarray, longest: int) -> np.ndarray:
    """(H, W) numbers → float32 whose longest side is at most `longest`: means of square blocks.

    So zero stays zero, the mean stays the mean, and a network's chequerboard leaves no moiré.
    """
    from PIL import Image

    image = Image.fromarray(np.asarray(picture, np.float32))
    return np.array(image.reduce(ceil(max(image.size) / longest)))


def data_uri(picture: np.ndarray) -> str:
    """(H, W) in 0..1, clipped, → a grey PNG as a data URI: 0 is black and 1 is white."""
    from PIL import Image

    level = np.rint(np.clip(picture, 0, 1) * (_GREYS - 1)).astype(np.uint8)
    image = Image.fromarray(level).convert("P")  # of a palette, PNG stores the levels unfiltered
    image.putpalette([round(i * 255 / (_GREYS - 1)) for i in range(_GREYS) for _ in "rgb"])
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def middle(array: Array, size: int | None) -> Array:
    """Return the middle `size` × `size` pixels of (…, H, W), or all where there are fewer.

    >>> middle(np.arange(6).reshape(2, 3), 1)
    array([[1]])
    """
    if size is None:
        return array
    height, width = (min(length, size) for length in array.shape[-2:])
    top, left = (array.shape[-2] - height) // 2, (array.shape[-1] - width) // 2
    return array[..., top : top + height, left : left + width]


def stretch(stack: np.ndarray) -> np.ndarray:
    """Grey levels (S, H, W) → 0..1, linear from the .5th to the 99.5th percentile of all slices."""
    low, high = np.percentile(stack, (0.5, 99.5))
    return np.clip((stack - low) / (high - low if high > low else 1), 0, 1)


def equalise(attribution: np.ndarray) -> np.ndarray:
    """|A| (S, H, W) → 0..1: the part of the non-zero pixels of all S maps that count no more.

    Histogram equalisation in the limit of infinitely many bins, over all slices of a stack
    together: each map by itself would be as bright as the others, whatever its slice counts. What
    counts nothing stays black, however many such pixels there are.
    """
    from scipy.stats import rankdata

    magnitude = np.abs(attribution)
    counts = magnitude > 0
    made = np.zeros(magnitude.shape)
    if counts.any():
        made[counts] = rankdata(magnitude[counts], "max") / counts.sum()
    return made
