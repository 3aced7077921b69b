"""A card's volume in memory: read, checked, and told in one sentence where it is wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emsym.data.cards import Card, Files
from emsym.data.phantoms import generate
from emsym.errors import UserError


@dataclass(frozen=True)
class Volume:
    """A grey volume with its labels, all (Z, Y, X)."""

    image: np.ndarray
    """uint8, uint16 or float32, finite."""
    foreground: np.ndarray
    """bool."""
    instances: np.ndarray | None
    """Integer, 0 none; None where the data set has none of its own."""

    def range(self, start: int, stop: int) -> "Volume":
        """The sections [start, stop) as views."""
        instances = None if self.instances is None else self.instances[start:stop]
        return Volume(self.image[start:stop], self.foreground[start:stop], instances)


def open_volume(card: Card, slices: int, patch: int) -> Volume:
    """Read a card's volume; check that it has stacks of `slices` sections and square patches.

    Raises `UserError` where a file cannot be read, is not a (Z, Y, X) array or not finite, shapes
    do not match, a section is smaller than a patch, a split has fewer than `slices` sections or
    lies outside of the volume, or one of the splits holds nothing but foreground or none.
    """
    if card.phantom is not None:
        try:
            phantom = generate(card.phantom.kind, card.phantom.shape, card.phantom.seed)
        except ValueError as error:
            raise UserError(f"The card of '{card.name}': {error}.") from error
        image, labels = phantom.image, phantom.semantic
        instances: np.ndarray | None = phantom.instances
    else:
        assert card.image is not None  # the card's validator
        assert card.labels is not None
        image = _read(card, card.image, "image")
        labels = _read(card, card.labels, "labels")
        instances = None if card.instances is None else _read(card, card.instances, "instances")
    for name, array in (("labels", labels), ("instances", instances)):
        if array is not None and array.shape != image.shape:
            raise UserError(
                f"The {name} of '{card.name}' have the shape {array.shape}, its image has "
                f"{image.shape}: they must be the same (Z, Y, X)."
            )
    for name, array in (("labels", labels), ("instances", instances)):
        if array is not None and not np.isfinite(array).all():
            raise UserError(f"The {name} of '{card.name}' hold NaN or infinite values.")
    if min(image.shape[1:]) < patch:
        raise UserError(
            f"The sections of '{card.name}' are {image.shape[1]} × {image.shape[2]} pixels, "
            f"smaller than the protocol's patch of {patch} × {patch}."
        )
    if image.dtype not in (np.uint8, np.uint16):
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is told
            image = image.astype(np.float32)
    if not np.isfinite(image).all():
        raise UserError(f"The image of '{card.name}' holds NaN or infinite values.")
    volume = Volume(image, card.task.is_foreground(labels), instances)
    for name, (start, stop) in (("train", card.split.train), ("test", card.split.test)):
        _check_split(card, volume, name, start, stop, slices)
    return volume


def _check_split(card: Card, volume: Volume, name: str, start: int, stop: int, slices: int) -> None:
    if stop > len(volume.image):
        raise UserError(
            f"The {name} split of '{card.name}' ends at section {stop}, but the volume has "
            f"{len(volume.image)} sections."
        )
    if stop - start < slices:
        raise UserError(
            f"The {name} split of '{card.name}' has {stop - start} sections, fewer than the "
            f"{slices} of one slice stack: widen the split or use fewer slices."
        )
    share = volume.foreground[start:stop].mean()
    if share in (0, 1):
        raise UserError(
            f"The {name} split of '{card.name}' is {'all' if share else 'without'} foreground "
            f"({card.task.foreground}): correct 'foreground' in its card."
        )


def _read(card: Card, files: Files, role: str) -> np.ndarray:
    paths = card.paths(files)
    sections = []
    for path in paths:
        array = _read_file(path, files.key)
        if len(paths) == 1:
            sections = [array]
            break
        if array.ndim != 2 or (sections and array.shape != sections[0].shape):
            raise UserError(
                f"{path} has the shape {array.shape}; the sections of '{card.name}' must be grey "
                f"and alike{f', {sections[0].shape}' if sections else ''}."
            )
        sections.append(array)
    volume = sections[0] if len(paths) == 1 else np.stack(sections)
    if volume.ndim != 3:
        raise UserError(
            f"The {role} of '{card.name}' at {paths[0]} is {volume.ndim}-dimensional, "
            f"{volume.shape}; it must be (Z, Y, X)."
        )
    if volume.dtype.kind not in "uifb":
        raise UserError(f"The {role} of '{card.name}' at {paths[0]} does not hold numbers.")
    return volume


def _read_file(path: Path, key: str | None) -> np.ndarray:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path} is of an unknown kind; known are {', '.join(_READERS)}.")
    try:
        return reader(path, key)
    except UserError:
        raise
    except Exception as error:  # each library has its own kinds for a damaged file
        raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}.") from error


def _read_hdf5(path: Path, key: str | None) -> np.ndarray:
    import h5py

    with h5py.File(path) as file:
        if key is None or not isinstance(file.get(key), h5py.Dataset):
            found: list[str] = []
            file.visititems(
                lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
            )
            raise UserError(
                f'{path} has no data set at the key {key!r}: write key = "…" beside its path in '
                f"the card; the file has {', '.join(found) or 'none'}."
            )
        return np.asarray(file[key][()])


def _read_tiff(path: Path, key: str | None) -> np.ndarray:
    import tifffile

    with tifffile.TiffFile(path) as file:
        # pages that were written one by one are a series each, of which imread reads the first
        return file.asarray(key=slice(None)) if len(file.series) > 1 else file.asarray()


def _read_png(path: Path, key: str | None) -> np.ndarray:
    from skimage.io import imread

    return imread(path)


def _read_npy(path: Path, key: str | None) -> np.ndarray:
    return np.load(path, allow_pickle=False)


_READERS: dict[str, Callable[[Path, str | None], np.ndarray]] = {
    ".png": _read_png,
    ".tif": _read_tiff,
    ".tiff": _read_tiff,
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
    ".hdf": _read_hdf5,
    ".npy": _read_npy,
}
