"""A scale bar in a picture of a section."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHARE = 0.4
"""The most of a picture's width that a bar takes."""


def bar_length(width: float) -> float:
    """Return the length of a bar for a picture of that width: 1, 2 or 5 times a power of ten.

    >>> bar_length(1000), bar_length(120), bar_length(30)
    (200, 20, 10)
    """
    most = SHARE * width
    power = 10 ** math.floor(math.log10(most))
    return max(each * power for each in (1, 2, 5) if each * power <= most)


def length_text(nm: float) -> str:
    """Say a length.

    >>> length_text(200), length_text(5000)
    ('200 nm', '5 µm')
    """
    return f"{nm / 1000:g} µm" if nm >= 1000 else f"{nm:g} nm"


def draw_scale_bar(axis: "Axes", step: int, pixel_nm: float | None) -> None:
    """Draw a bar into the lower left of a picture of which every `step`-th pixel is drawn.

    Where a pixel's width is not known, the bar is so many pixels long, and says so.
    """
    from matplotlib.patheffects import withStroke

    left, right = sorted(axis.get_xlim())
    low, high = axis.get_ylim()  # the lower end first, whichever way the axis points
    unit = step * (pixel_nm or 1.0)  # what one drawn pixel is wide
    length = bar_length((right - left) * unit)
    text = length_text(length) if pixel_nm else f"{length:g} pixels, of unknown size"
    x, y = left + 0.04 * (right - left), low + 0.06 * (high - low)
    around = [withStroke(linewidth=4, foreground="black")]
    axis.plot([x, x + length / unit], [y, y], color="white", linewidth=2, path_effects=around)
    axis.annotate(
        text,
        (x, y),
        (0, 3),
        textcoords="offset points",
        color="white",
        fontsize=8,
        path_effects=[withStroke(linewidth=2, foreground="black")],
    )
    axis.set_xlim(left, right)
    axis.set_ylim(low, high)
