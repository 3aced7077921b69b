"""PNG and JPEG pictures, each of them one section."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from emsym.data.reading.axes import NamedArray
from emsym.data.reading.registry import Array, register_reader
from emsym.data.reading.rows import open_stream

ALPHA = "Alpha, which is not opaque everywhere, was left out."
_GREY_STEPS = {"L;2": 85, "L;4": 17}
"""The factors that Pillow multiplies shades of two and of four bits with."""


@register_reader(".png", ".jpg", ".jpeg")
def read_picture(file: Path | IO[bytes], key: str | None) -> Iterator[Array]:
    """One section; a colour picture must hold shades of grey."""
    from PIL import Image

    with open_stream(file) as stream, Image.open(stream, formats=["PNG", "JPEG"]) as image:
        count = getattr(image, "n_frames", 1)
        if count > 1 and image.format == "PNG":
            raise ValueError(f"it holds {count} pictures; save each as a file of its own")
        mode = image.tile[0][3] if image.tile else image.mode  # gone once it is decoded
        notes = []
        if image.getexif().get(274, 1) != 1:
            notes.append("Pictures say that they are to be turned when shown; they were not.")
        picture, notes_of_values = _values(image, mode, stream)
        section, alpha = grey_section(picture)
        if alpha is not None and (alpha != alpha_opaque(alpha)).any():
            if (section == section.flat[0]).all():
                raise ValueError(
                    "only its alpha differs from pixel to pixel; save what is meant as shades of "
                    "grey"
                )
            notes.append(ALPHA)
        yield NamedArray(section, "yx", [*notes, *notes_of_values])


def _values(image: Any, mode: Any, stream: IO[bytes]) -> tuple[np.ndarray, list[str]]:
    """All bits of a picture as they are stored, in Pillow's raw `mode`; and what to say of them."""
    if image.format == "PNG" and isinstance(mode, str) and mode.endswith(";16B") and mode[0] != "I":
        from imagecodecs import png_decode  # Pillow would keep eight bits

        stream.seek(0)
        return png_decode(stream.read()), []
    if image.mode == "P":
        numbers = np.asarray(image)
        return numbers, palette_notes(numbers, np.array(image.getpalette("RGB")).reshape(-1, 3))
    if "transparency" in image.info or image.mode not in ("1", "L", "LA", "I", "F", "RGB", "RGBA"):
        if image.mode == "CMYK":
            raise ValueError("it is in the colours of print, and sections must be grey")
        if not image.mode.startswith("I;16"):
            return np.asarray(image.convert("RGBA")), []
    values = np.asarray(image)
    return values // np.uint8(_GREY_STEPS.get(mode, 1)) if mode in _GREY_STEPS else values, []


def palette_notes(numbers: np.ndarray, colours: np.ndarray) -> list[str]:
    """Return what to say of a picture that is read as its palette's numbers, which labels are.

    `colours` are (N, 3), 0 to 255. Raises `ValueError` where shades of grey are what is meant.
    """
    used = np.unique(numbers)
    if used[-1] >= len(colours):
        return ["The numbers of the palette were read."]
    shades = colours[used].astype(int)
    if (shades == shades[:, :1]).all() and not _in_proportion(used, shades[:, 0]):
        raise ValueError(
            "its palette gives shades of grey in another order, or in other steps, than its "
            "numbers; save the one that is meant without a palette"
        )
    plain = (shades == used[:, None]).all()
    return [] if plain else ["The numbers of the palette were read, not its colours."]


def _in_proportion(numbers: np.ndarray, shades: np.ndarray) -> bool:
    """Whether shades are numbers in other units, as far as eight bits tell them."""
    if len(numbers) < 2:
        return True
    slope = (shades[-1] - shades[0]) / (int(numbers[-1]) - int(numbers[0]))
    line = shades[0] + slope * (numbers.astype(int) - int(numbers[0]))
    return bool(slope > 0 and (np.abs(line - shades) <= 1).all())


def alpha_opaque(alpha: np.ndarray) -> int:
    """The alpha of what hides all that lies behind it."""
    return int(np.iinfo(alpha.dtype).max) if alpha.dtype.kind in "ui" else 1


def grey_section(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a section (Y, X) of a grey picture, or of one in colour whose colours are alike.

    `picture` is (Y, X), (Y, X, channels) or (channels, Y, X). Its alpha, the second or fourth
    channel, is returned beside, or None. Raises `ValueError` where the colours differ.
    """
    if picture.ndim == 2:
        return picture, None
    channels = picture if picture.shape[-1] <= 4 else np.moveaxis(picture, 0, -1)
    count = channels.shape[-1]
    colours = channels[..., :3] if count > 2 else channels[..., :1]
    if (colours != colours[..., :1]).any():
        raise ValueError("it is in colour, and sections must be grey")
    return colours[..., 0], channels[..., -1] if count in (2, 4) else None
