"""The maps of a section as layers of napari: arrays and what is to be told of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from emsym.auditing.charts import difference_white, slice_side
from emsym.auditing.result import Audit, SectionExample
from emsym.scores.symmetry import slice_share
from emsym.wording import MISSING, significant, slice_names

_COLOURS = {
    "before": (0.0, 0.4, 1.0),
    "centre": (0.3, 0.7, 0.3),
    "after": (1.0, 0.5, 0.0),
    "flip error": (1.0, 0.25, 0.55),
    "probability": (0.35, 0.9, 0.55),
}
"""Colours of the maps: those of the report's sides, as strong as the greys of a section need."""


@dataclass(frozen=True)
class MapLayer:
    """One map as a layer: what `Viewer.add_image` takes, without where it lies."""

    key: str
    """The map that it is, whatever its section: a slice's name, say."""
    data: np.ndarray
    """(1, H, W) float32, so that it lies in its section alone."""
    name: str
    contrast_limits: tuple[float, float]
    colour: tuple[float, float, float]
    blending: str
    visible: bool

    @property
    def look(self) -> dict[str, Any]:
        """How a new layer looks: of the colour, and the more opaque the larger the number."""
        clear, full = (*self.colour, 0.0), (*self.colour, 1.0)
        return {
            "colormap": np.array([clear, full]),
            "blending": self.blending,
            "interpolation2d": "nearest",
            "visible": self.visible,
        }


def map_layers(example: SectionExample, audited: Audit) -> list[MapLayer]:
    """Return the layers of a section: probability, flip error, and the attribution of each slice.

    All slices have the same contrast limits, so that a map that is brighter counts more; their
    names tell their shares. They lie in the section that they explain, whichever slice they are of,
    and add up, so that none hides another: blue is what counts before the centre, orange what
    counts after it, and where both count alike it is nearly white. In the order in which they are
    added, the last on top.
    """
    maps = np.abs(example.attribution)
    share = slice_share(example.attribution[None])[0]
    white = float(np.percentile(maps, 99.5)) or float(maps.max()) or 1.0
    method = audited.headline.partition("/")[0]
    apart = example.flip_error
    made = [
        _layer("probability", example.probability, "predicted probability", 1.0),
        _layer(
            "flip error",
            apart,
            f"flip error, {significant(float(apart.mean()))} on average",
            min(1.0, float(difference_white([example]))),
        ),
    ]
    for index, name in enumerate(slice_names(len(maps))):
        part = f"{share[index]:.0%}" if np.isfinite(share[index]) else MISSING
        side = slice_side(index, len(maps))
        shown = f"{name} counts {part} ({method})"
        made.append(_layer(name, maps[index], shown, white, side, visible=side != "centre"))
    return made


def map_origin(audited: Audit, section: int) -> tuple[int, int, int]:
    """Return the voxel of the volume at which the maps of a section begin."""
    top, _, left, _ = audited.data.crop
    return section, top, left


def map_sentence(example: SectionExample, audited: Audit, asked: int) -> str:
    """Say what the layers show, and of which section, where another was asked for."""
    top, bottom, left, right = audited.data.crop
    _, height, width = audited.data.shape
    sentence = f"The layers are of section {example.section}, counted from 0"
    if (bottom - top, right - left) != (height, width):
        sentence += f", of the {bottom - top} × {right - left} pixels in its middle"
    if asked != example.section:
        sentence += f": section {asked} was shown, which has no whole stack around it"
    if not example.attribution.any():
        sentence += "; nothing in it is explained, as it has no pixel of the target"
    return f"{sentence}."


def _layer(
    key: str,
    values: np.ndarray,
    name: str,
    white: float,
    side: str = "",
    visible: bool = False,
) -> MapLayer:
    data = np.asarray(values, np.float32)[None]
    blending = "additive" if side else "translucent"
    return MapLayer(key, data, name, (0.0, white), _COLOURS[side or key], blending, visible)
