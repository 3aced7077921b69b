"""A card's volume: opened lazily, checked, and read as sections."""

import math
from dataclasses import dataclass

import numpy as np

from emsym.data.cards import BOUNDARY, Card, Task
from emsym.data.fetching.data_digest import data_digest
from emsym.data.labels import boundaries
from emsym.data.reading.lazy_array import (
    LazyArray,
    copy_block,
    in_memory_array,
    open_lazy_array,
    require_same_gaps,
)
from emsym.derived_cache import cached_arrays
from emsym.errors import UserError


@dataclass(frozen=True)
class Sections:
    """Sections of a volume with their labels, all (n, Y, X) and contiguous."""

    image: np.ndarray
    """uint8 or uint16 as stored, else float32; finite."""
    foreground: np.ndarray
    """bool."""
    instances: np.ndarray | None
    """Integer ids as stored, 0 none; None where they were not asked for or the task has none."""


@dataclass(frozen=True)
class Volume:
    """A card's image and the label layers of its task; nothing of them is in memory."""

    card: Card
    image: LazyArray
    labels: dict[str, LazyArray]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X)."""
        return self.image.shape

    @property
    def breaks(self) -> tuple[int, ...]:
        """The sections that, by the names of their files, do not follow the one before them."""
        return self.image.breaks

    @property
    def dtype(self) -> np.dtype:
        """The image's type as it is read: uint8, uint16 or float32."""
        kept = self.image.dtype in (np.uint8, np.uint16)
        return self.image.dtype if kept else np.dtype(np.float32)

    def read(self, start: int, stop: int, instances: bool = False) -> Sections:
        """Return the sections [start, stop), with the true instances if asked for.

        Beyond the result it takes the memory of some blocks, however large the volume is. Raises
        `ValueError` for sections that there are not, and `UserError` where a file cannot be read,
        the image or labels hold NaN or infinite values, labels belong to no class or to several,
        or ids are not whole numbers.
        """
        if not 0 <= start < stop <= self.shape[0]:
            raise ValueError(f"[{start}, {stop}) is not a range of {self.shape[0]} sections")
        image = np.empty((stop - start, *self.shape[1:]), self.dtype)
        self.image.read_into(image, start)
        for section in image:
            _require_finite(self.image, section)
        return Sections(image, *self.read_labels(start, stop, instances))

    def read_labels(
        self, start: int, stop: int, instances: bool = False
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the foreground and the instances of `read` without the image; raise the same."""
        task, shape = self.card.task, (stop - start, *self.shape[1:])
        needed, foreground, ids = {task.labels}, np.empty(shape, bool), None
        if task.foreground == BOUNDARY:
            needed, foreground = set(), self._boundaries(start, stop)
        if instances and task.ids is not None:
            needed.add(task.ids)
            ids = np.empty(shape, _id_type(self.labels[task.ids].dtype))
        for name in needed:
            layer = self.labels[name]
            for box, block in layer.blocks(start, stop):
                _require_finite(layer, block)
                if name == task.labels and task.foreground != BOUNDARY:
                    copy_block(foreground[box], self._foreground(layer, block))
                if name == task.ids and ids is not None:
                    copy_block(ids[box], _whole_numbers(layer, block))
        return foreground, ids

    def labelled(self, start: int, stop: int) -> np.ndarray | None:
        """Return where sections [start, stop) have a label, bool; None where all of them do.

        Raises `UserError` where the labels cannot be read.
        """
        task = self.card.task
        if task.ignore is None:
            return None
        known = np.empty((stop - start, *self.shape[1:]), bool)
        for box, block in self.labels[task.labels].blocks(start, stop):
            copy_block(known[box], block != task.ignore)
        return known

    def _boundaries(self, start: int, stop: int) -> np.ndarray:
        """Return the borders between ids in [start, stop), derived once per machine."""
        task = self.card.task
        layer = self.labels[task.labels]

        def derive() -> dict[str, np.ndarray]:
            foreground = np.empty((stop - start, *self.shape[1:]), bool)
            for box, block in layer.blocks(start, stop, whole=True):
                _require_finite(layer, block)
                foreground[box] = boundaries(_whole_numbers(layer, block), task.boundary_width)
            return {"foreground": foreground}

        return cached_arrays(f"boundaries {data_digest(self.card)} {start} {stop}", derive)[
            "foreground"
        ]

    def _foreground(self, layer: LazyArray, block: np.ndarray) -> np.ndarray:
        task, low, high = self.card.task, block.min(), block.max()
        if block.dtype.kind != "f" and int(high) - int(low) < 256:
            # Mostly all numbers between the least and the greatest have their class: then there
            # is no need to count each voxel's, which takes far longer.
            between = low + np.arange(int(high) - int(low) + 1, dtype=block.dtype)
            if (_count_classes(task, between) == 1).all():
                return task.class_mask(task.foreground, block) & _labelled(task, block)
        count, labelled = _count_classes(task, block), _labelled(task, block)
        for what, wrong in (("none", count == 0), ("several", count > 1)):
            wrong = wrong & labelled
            if wrong.any():
                values = ", ".join(str(value) for value in np.unique(block[wrong])[:5])
                classes = ", ".join(f"{name} ({rule})" for name, rule in task.classes.items())
                raise UserError(
                    f"The {layer.name} holds {values}, which belongs to {what} of the classes "
                    f"{classes}: correct 'classes' in its card, or say 'ignore' there of a value "
                    "that means that there is no label."
                )
        return task.class_mask(task.foreground, block) & labelled


def open_volume(card: Card) -> Volume:
    """Return the volume of a card with one task, without reading it.

    Raises `UserError` where the data is not on this machine, a file cannot be opened, shapes are
    not alike or not the card's, and where a split leaves the volume.
    """
    image, labels = _phantom_arrays(card) if card.phantom else _stored_arrays(card)
    for layer in labels.values():
        if layer.shape != image.shape:
            raise UserError(
                f"The {layer.name} has the shape {layer.shape}, its image has {image.shape}: they "
                "must be the same (Z, Y, X)."
            )
        require_same_gaps(image, layer)
    if card.shape not in (None, image.shape):
        raise UserError(
            f"The {image.name} has the shape {image.shape}, but its card says {card.shape}: it is "
            "another volume, or stored with other 'axes'."
        )
    for name, (_, stop) in card.split.ranges().items():
        if stop > image.shape[0]:
            raise UserError(
                f"The {name} split of '{card.name}' ends at section {stop}, but the volume has "
                f"{image.shape[0]} sections."
            )
    return Volume(card, image, labels)


def _stored_arrays(card: Card) -> tuple[LazyArray, dict[str, LazyArray]]:
    from emsym.data.fetching.availability import require_data

    located = require_data(card)
    source = card.sources[located.source]
    # a card that says the shape leaves no doubt about the axes
    known = card.shape is not None
    image = open_lazy_array(f"image of '{card.name}'", located.folder, source.image, trusted=known)
    return image, {
        name: open_lazy_array(
            _label_name(card, name), located.folder, source.labels[name], trusted=known
        )
        for name in card.task.layers
    }


def _phantom_arrays(card: Card) -> tuple[LazyArray, dict[str, LazyArray]]:
    from emsym.data.phantoms import generate_phantom
    from emsym.data.stationary_phantoms import generate_stationary_phantom

    phantom = card.phantom
    assert phantom is not None
    kept_out = {"volume_per_seed"}  # says nothing of the first of its volumes
    generate = generate_stationary_phantom if phantom.stationary else generate_phantom
    try:
        arrays = cached_arrays(
            f"phantom {phantom.model_dump_json(exclude=kept_out, exclude_defaults=True)}",
            lambda: vars(generate(phantom.kind, phantom.shape, phantom.seed)),
        )
    except ValueError as error:
        raise UserError(f"The card of '{card.name}': {error}.") from error
    return in_memory_array(f"image of '{card.name}'", arrays["image"], "zyx"), {
        name: in_memory_array(_label_name(card, name), arrays[name], "zyx")
        for name in card.task.layers
    }


def _label_name(card: Card, layer: str) -> str:
    return f"label layer '{layer}' of '{card.name}'"


def check_volume(card: Card, volume: Volume, slices: int, patch: int) -> None:
    """Raise `UserError` where a split holds no stack of `slices` sections, or a section no patch.

    `patch` is a patch's height and width in pixels.
    """
    _, height, width = volume.shape
    if min(height, width) < patch:
        raise UserError(
            f"The sections of '{card.name}' are {height} × {width} pixels, smaller than the "
            f"protocol's patch of {patch} × {patch}."
        )
    for name, (start, stop) in card.split.ranges().items():
        if stop - start < slices:
            raise UserError(
                f"The {name} split of '{card.name}' has {stop - start} sections, fewer than the "
                f"{slices} of one slice stack: widen the split or use fewer slices."
            )


def check_split(card: Card, share: float, name: str) -> None:
    """Raise `UserError` for a split, called `name`, without foreground or with nothing else.

    `share` is the foreground's part of the pixels that have a label, NaN where none has.
    """
    if math.isnan(share):
        raise UserError(
            f"The {name} split of '{card.name}' has no label but {card.task.ignore}, which its "
            "card's 'ignore' leaves out: correct its card."
        )
    if share in (0, 1):
        raise UserError(
            f"The {name} split of '{card.name}' is {'all' if share else 'without'} foreground "
            f"('{card.task.foreground}'): correct its card."
        )


def _require_finite(layer: LazyArray, block: np.ndarray) -> None:
    if block.dtype.kind == "f" and not np.isfinite(block).all():
        raise UserError(f"The {layer.name} holds NaN or infinite values.")


def _labelled(task: Task, block: np.ndarray) -> np.ndarray | np.bool_:
    """Where a block of labels says something: bool of its shape, or True where it always does."""
    return np.True_ if task.ignore is None else block != task.ignore


def _count_classes(task: Task, values: np.ndarray) -> np.ndarray:
    """Count the classes that each value belongs to; it should be one."""
    count = np.zeros_like(values, np.uint8)
    for name in task.classes:
        count += task.class_mask(name, values)
    return count


def _whole_numbers(layer: LazyArray, block: np.ndarray) -> np.ndarray:
    """Ids as integers; those that are stored as floats must be whole."""
    with np.errstate(invalid="ignore"):  # of floats too large for any integer
        ids = block.astype(_id_type(block.dtype), copy=False)
    if ids is not block and (ids != block).any():
        raise UserError(f"The {layer.name} holds ids that are not whole numbers.")
    return ids


def _id_type(stored: np.dtype) -> np.dtype:
    return np.dtype(np.int64) if stored.kind == "f" else stored
