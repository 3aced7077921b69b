"""The volume that the inputs of an audit mean, opened: a data set, files, or an array."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emsym.auditing.inputs import NetworkOnVolume
from emsym.data.cards import list_cards, load_card, told_files
from emsym.data.reading.file_key import split_file_key
from emsym.data.reading.lazy_array import (
    LazyArray,
    in_memory_array,
    open_lazy_array,
    require_same_gaps,
)
from emsym.data.reading.readers import find_files
from emsym.data.volume import Volume, open_volume
from emsym.errors import UserError
from emsym.protocol import split_task

if TYPE_CHECKING:
    from emsym.auditing.inputs import VolumeSource


@dataclass(frozen=True)
class AuditedVolume:
    """The volume that a user means, of which nothing is read yet."""

    name: str
    source: str
    image: LazyArray
    labels: LazyArray | Volume | None
    """Not 0 is foreground; or a card's, which tells."""
    within: tuple[int, int]
    """The sections that may be looked at."""
    train: tuple[int, int] | None
    """The sections that grey levels are normalised by, where a card says."""
    voxel_size_nm: tuple[float, float, float] | None = None
    """Along z, y and x, where a card says."""


def open_audited_volume(inputs: NetworkOnVolume, seed: int) -> AuditedVolume:
    """Open the volume of the inputs and its labels, of which nothing is read yet.

    Of a data set with a volume for each seed of a protocol, that of `seed` is opened. Raises
    `UserError` for what cannot be opened, and for labels that do not fit.
    """
    volume, labels, axes = inputs.volume, inputs.labels, inputs.axes
    if inputs.ignore is not None and labels is None:
        raise UserError("--ignore is a value of labels: give them with --labels.")
    if isinstance(volume, str | Path) and _is_card(str(volume)):
        if labels is not None:
            raise UserError("A dataset card has its own labels: leave --labels out.")
        if axes is not None:
            raise UserError("A dataset card tells its own axes: leave --axes out.")
        family = load_card(str(volume))
        card = family.of_seed(seed)
        opened = open_volume(card)
        which = "" if card is family else f", the volume of seed {seed}"
        source = f"test split of the dataset {card.name}{which}"
        train, test = card.split.train, card.split.test
        size = card.known_voxel_size
        return AuditedVolume(card.name, source, opened.image, opened, test, train, size)
    image = _lazy_array("image", volume, axes)
    marks = None if labels is None else _lazy_array("labels", labels, axes)
    if marks is not None and marks.shape != image.shape:
        raise UserError(
            f"The image has the shape {image.shape}, its labels {marks.shape}: they must be the "
            "same (Z, Y, X)."
        )
    if marks is not None:
        require_same_gaps(image, marks)
    named = isinstance(volume, str | Path)
    name = Path(str(volume)).name if named else "array"
    source = str(volume) if named else "in memory" if isinstance(volume, np.ndarray) else "an array"
    return AuditedVolume(name, source, image, marks, (0, image.shape[0]), None)


def _is_card(path: str) -> bool:
    name = split_task(path)[0]
    return name.endswith(".toml") or (name in list_cards() and not Path(path).exists())


def _lazy_array(name: str, given: "VolumeSource", axes: str | None) -> LazyArray:
    """Open an image or labels, of which nothing is read yet."""
    if not isinstance(given, str | Path) and _is_array(given):
        if 0 in given.shape or given.dtype.kind not in "uifb":
            raise UserError(
                f"The {name} is an array of the shape {given.shape} and type {given.dtype}, and "
                "must be one of numbers, (Z, Y, X)."
            )
        if np.ma.is_masked(given):
            raise UserError(
                f"The {name} is a masked array, and its mask would be lost: give array.filled(…) "
                "with a value of your choice, which --ignore leaves out of labels."
            )
        array = np.asarray(given) if isinstance(given, np.ndarray) else _SlicedArray(given)
        return in_memory_array(name, array, axes)
    if not isinstance(given, str | Path):
        raise UserError(
            f"The {name} is a file, a pattern, a folder or an array (Z, Y, X), and not a "
            f"{type(given).__name__}."
        )
    path, key = split_file_key(str(given))
    if not find_files(Path(), path):
        near = get_close_matches(path, list_cards(), n=1, cutoff=0.6)
        hint = f"did you mean the dataset '{near[0]}'?" if near else "check the path."
        raise UserError(f"There is no file, folder or dataset {path}; {hint}")
    return open_lazy_array(name, Path(), told_files(path, key, axes))


class _SlicedArray:
    """An array that is read as it is sliced, such as one of Dask or Zarr, chunk by chunk."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape, self.dtype = tuple(array.shape), array.dtype
        # Dask's `chunks` lists the lengths of all of them
        chunks = getattr(array, "chunksize", None) or getattr(array, "chunks", None)
        self.chunks = getattr(array, "shards", None) or chunks

    def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
        return np.asarray(self._array[box])


def _is_array(given: Any) -> bool:
    """Return whether it can be sliced as a NumPy array can, which a tensor of PyTorch is not."""
    return hasattr(given, "shape") and isinstance(getattr(given, "dtype", None), np.dtype)
