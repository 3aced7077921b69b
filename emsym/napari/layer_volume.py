"""The volume of a layer of napari: its array, its voxels' size, and the section that is shown."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from emsym.errors import UserError

_NANOMETRES = {
    "angstrom": 0.1,
    "nanometer": 1.0,
    "micrometer": 1e3,
    "micron": 1e3,
    "millimeter": 1e6,
    "meter": 1e9,
}
"""The units of lengths, as napari calls them."""

VoxelSize = tuple[float, float, float]


@dataclass(frozen=True)
class LayerVolume:
    """The volume of a layer, of which nothing is read yet."""

    array: Any
    """(Z, Y, X), of NumPy, or read as it is sliced, as those of Dask and Zarr."""
    voxel_size: VoxelSize | None
    """In nm, z y x; None where the layer does not say."""
    note: str
    """A sentence on where that is from."""


def layer_volume(layer: Any) -> LayerVolume:
    """Return the volume of an image or labels layer, of several resolutions the finest.

    Raises `UserError` for colours, and for what is no volume.
    """
    array = layer.data[0] if layer.multiscale else layer.data
    if getattr(layer, "rgb", False):
        raise UserError(
            f"The layer '{layer.name}' is a colour image: choose one of grey levels, such as one "
            "of its channels (Split RGB in the layer's menu)."
        )
    if len(array.shape) == 2:
        raise UserError(
            f"The layer '{layer.name}' is a single section: choose a volume, Z × Y × X, for the "
            "network reads neighbouring sections."
        )
    if len(array.shape) != 3:
        raise UserError(
            f"The layer '{layer.name}' has {len(array.shape)} axes, "
            f"{' × '.join(map(str, array.shape))}: choose a volume, Z × Y × X, such as one of its "
            "channels or times (Split Stack in the layer's menu)."
        )
    return LayerVolume(array, *_voxel_size(layer))


def shown_section(layer: Any, point: Any) -> int:
    """Return the number of the layer's section at a point of the viewer, in world coordinates."""
    depth = (layer.data[0] if layer.multiscale else layer.data).shape[0]
    place = layer.world_to_data(np.asarray(point)[-layer.ndim :])[0]
    return int(np.clip(round(float(place)), 0, depth - 1))


def placed(layer: Any, origin: tuple[int, int, int]) -> dict[str, Any]:
    """Return where a layer lies whose first voxel is the one at `origin` of another, as keywords.

    Rotation, shear and all else that moves the other layer move it, too.
    """
    at = layer.affine.inverse(np.asarray(layer.data_to_world(origin)))
    same = {name: getattr(layer, name) for name in ("scale", "rotate", "shear", "affine", "units")}
    return {**same, "translate": at}


def _voxel_size(layer: Any) -> tuple[VoxelSize | None, str]:
    """Return the size of a voxel in nm, by the layer's scale and units, and where it is from."""
    units = [str(unit) for unit in layer.units]
    scale = [abs(float(step)) for step in layer.scale]
    if set(units) == {"pixel"}:
        if set(scale) == {1.0}:
            return None, "The layer tells no voxel size, so lengths are in sections and pixels."
        size, how = scale, ", which names no unit: nanometres were taken for granted"
    elif unknown := [unit for unit in units if unit not in _NANOMETRES]:
        return None, (
            f"The layer's unit '{unknown[0]}' is no length that is known here, so lengths are in "
            "sections and pixels."
        )
    else:
        size, how = [s * _NANOMETRES[unit] for s, unit in zip(scale, units, strict=True)], ""
    z, y, x = size
    numbers = " × ".join(f"{side:.4g}" for side in size)
    return (z, y, x), f"Voxels of {numbers} nm (z, y, x), by the layer's scale{how}."
