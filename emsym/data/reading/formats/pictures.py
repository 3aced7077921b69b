"""PNG and JPEG pictures, each of them one section."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from emsym.data.reading.registry import Array, register_reader


@register_reader(".png", ".jpg", ".jpeg")
def read_picture(file: Path | IO[bytes], key: str | None) -> Iterator[Array]:
    """One section; a colour picture must hold shades of grey."""
    from PIL import Image

    with Image.open(file) as image:
        plain = image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16")
        yield grey_section(np.asarray(image if plain else image.convert("RGBA")))


def grey_section(picture: np.ndarray) -> np.ndarray:
    """Return a section (Y, X) of a grey picture, or of one in colour whose colours are alike.

    `picture` is (Y, X), (Y, X, channels) or (channels, Y, X). Alpha, the fourth channel, does not
    count. Raises `ValueError` where the colours differ.
    """
    if picture.ndim == 2:
        return picture
    colours = picture if picture.shape[-1] <= 4 else np.moveaxis(picture, 0, -1)
    colours = colours[..., :3] if colours.shape[-1] > 2 else colours[..., :1]
    if (colours != colours[..., :1]).any():
        raise ValueError("it is in colour, and sections must be grey")
    return colours[..., 0]
