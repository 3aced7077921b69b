"""The volume of an audit: which sections are looked at, and how they are normalised."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emsym.auditing.grey_levels import note_on_constant_sections, note_on_units
from emsym.auditing.inputs import MOST, NetworkOnVolume
from emsym.auditing.result import DataResult
from emsym.auditing.unlabelled import find_unlabelled
from emsym.auditing.volume_source import open_audited_volume
from emsym.data.reading.lazy_array import LazyArray
from emsym.data.reading.section_order import centres_of_whole_stacks
from emsym.data.stacks import ROUNDING, Normalisation, evenly_spaced
from emsym.data.volume import Volume
from emsym.errors import UserError


@dataclass(frozen=True)
class Chosen:
    """The sections of an audit as stacks; what `emsym.scores.measure.measure` reads them from."""

    image: dict[int, np.ndarray]
    """Grey levels (H, W), by the section's number in the volume."""
    labels: np.ndarray | None
    """(N, H, W), of the central sections, as they are stored; a card's are bool."""
    scale: Normalisation
    slices: int
    data: DataResult
    slice_labels: np.ndarray | None = None
    """(N, S, H, W) bool, of every slice; None where it is not sure that all are labelled."""
    unlabelled: np.ndarray | None = None
    """(N, H, W) bool, where the labels say nothing; None where they always do."""
    notes: tuple[str, ...] = ()
    """Assumptions, and what was left out, when image and labels were read."""
    cautions: tuple[str, ...] = ()
    """Sentences without which the numbers may mislead."""

    def __len__(self) -> int:
        return len(self.data.sections)

    def __getitem__(self, part: slice) -> tuple[Tensor, Tensor | None]:
        """Stacks x (n, S, H, W) float32 normalised, and labels (n, H, W) bool or None."""
        half = self.slices // 2
        stacks = [
            np.stack([self.image[z] for z in range(centre - half, centre + half + 1)])
            for centre in self.data.sections[part]
        ]
        grey = torch.from_numpy(np.stack(stacks).astype(np.float32))
        if self.labels is None:
            return self.scale(grey), None
        labels = self.labels[part]
        marked = self.data.foreground_label
        truth = labels != 0 if marked is None else labels == marked
        return self.scale(grey), torch.from_numpy(truth)

    def labelled(self, part: slice) -> Tensor | None:
        """Where the labels of stacks say something, (n, H, W) bool; None where they always do."""
        return None if self.unlabelled is None else torch.from_numpy(~self.unlabelled[part])

    def slice_truth(self, part: slice) -> np.ndarray | None:
        """The labels of every slice of stacks, bool (n, S, H, W); None where they are not known."""
        return None if self.slice_labels is None else self.slice_labels[part]

    def visited(self, order: np.ndarray) -> "Chosen":
        """Return the same sections in another order, (N,) int, numbers of those in this one."""
        labels, slice_labels, unlabelled = (
            None if each is None else each[order]
            for each in (self.labels, self.slice_labels, self.unlabelled)
        )
        sections = [self.data.sections[index] for index in order]
        return replace(
            self,
            labels=labels,
            slice_labels=slice_labels,
            unlabelled=unlabelled,
            data=self.data.model_copy(update={"sections": sections}),
        )

    def marking(self, classes: int, channel: int) -> "Chosen":
        """Return its sections, with the foreground of one of the classes of a network.

        Labels of more than two values, beside more than two classes, are taken for the numbers of
        the classes, so that `channel` is foreground; of others whatever is not 0.
        """
        several = classes > 2 and self.labels is not None and len(np.unique(self.labels)) > 2
        if not several:
            return self
        data = self.data.model_copy(update={"foreground_label": channel})
        return replace(self, data=data)


def choose_sections(
    inputs: NetworkOnVolume, slices: int, size: tuple[int, int], seed: int = 0
) -> Chosen:
    """Read some sections, evenly spaced, and the middle `size` (height, width) pixels of each.

    Labels are foreground where they are not 0, until `Chosen.marking` says otherwise. Only
    sections that have all their neighbours, `slices` in all, are looked at, and only those and
    their neighbours are read. Without `mean` and `sd` grey levels are normalised by those of a
    card's training split, or else of the sections that were read. Of a data set with a volume for
    each seed of a protocol, that of `seed` is looked at.

    Raises `UserError` for what cannot be read, does not fit together, or is of one grey level.
    """
    mean, sd = inputs.mean, inputs.sd
    if (mean is None) != (sd is None) or not (
        math.isfinite(mean or 0) and math.isfinite(sd or 0) and (sd is None or sd > 0)
    ):
        raise UserError("Give both --mean and --sd, finite, in grey levels, the latter above 0.")
    most = MOST if inputs.sections is None else inputs.sections
    for name, value in (("sections", most), ("size", min(size))):
        if value < 1:
            raise UserError(f"--{name} must be 1 or more.")
    source = open_audited_volume(inputs, seed)
    half, (start, stop) = slices // 2, source.within
    breaks = [place - start for place in source.image.breaks]
    centres = [start + z for z in centres_of_whole_stacks(stop - start, slices, breaks)]
    if not centres:
        raise UserError(
            f"The volume has {stop - start} sections to look at, "
            + (
                f"of which no {slices} follow each other by the numbers in their names: where they "
                "are neighbours all the same, number them one after the other."
                if breaks and stop - start >= slices
                else f"fewer than the {slices} of one slice stack."
            )
        )
    chosen = [centres[index] for index in evenly_spaced(len(centres), most)]
    crop = _middle(source.image.shape[1:], size)
    needed = sorted({z for c in chosen for z in range(c - half, c + half + 1)})
    image, own = _read(source.image, needed, crop)
    if mean is not None and sd is not None:
        scale, origin = Normalisation(mean, sd), "the mean and sd that were given"
    elif source.train is not None:
        scale, origin = _training(source.image, *source.train), "the training split's mean and sd"
    else:
        scale, origin = own, f"the mean and sd of the {len(needed)} sections that were read"
    if own.sd <= ROUNDING * abs(own.mean):
        raise UserError(
            f"The {source.image.name} is {own.mean:g} everywhere in the sections that were read: "
            "is it the right one?"
        )
    notes, cautions = [*source.image.notes], note_on_constant_sections(image)
    if mean is not None:
        cautions += note_on_units(scale, own)
    marks = None if source.labels is None else _labels(source.labels, chosen, crop)
    unlabelled, left_out = None, list[float]()
    if isinstance(source.labels, LazyArray) and marks is not None:
        unlabelled, unlabelled_notes = find_unlabelled(marks, inputs.ignore)
        notes += [note for note in source.labels.notes if note not in notes] + unlabelled_notes
        if unlabelled is not None:
            left_out = np.unique(marks[unlabelled]).tolist()
            marks = np.where(unlabelled, 0, marks)
    if isinstance(source.labels, Volume):
        unlabelled, unlabelled_notes = _unlabelled_of_card(source.labels, chosen, crop)
        notes += unlabelled_notes
    slice_labels = None
    if isinstance(source.labels, Volume) and unlabelled is None:
        every = dict(zip(needed, _labels(source.labels, needed, crop), strict=True))
        stacks = ([every[z] for z in range(c - half, c + half + 1)] for c in chosen)
        slice_labels = np.array(list(stacks))
    data = DataResult(
        name=source.name,
        source=source.source,
        shape=source.image.shape,
        mean=scale.mean,
        sd=scale.sd,
        normalised_by=origin,
        labels=marks is not None,
        available=len(centres),
        sections=chosen,
        crop=crop,
        voxel_size_nm=source.voxel_size_nm,
        unlabelled_values=left_out,
    )
    return Chosen(
        image,
        marks,
        scale,
        slices,
        data,
        slice_labels=slice_labels,
        unlabelled=unlabelled,
        notes=tuple(notes),
        cautions=tuple(cautions),
    )


def _middle(shape: tuple[int, ...], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Rows and columns of the middle, as `Data.crop`."""
    sides = []
    for whole, wanted in zip(shape, size, strict=True):
        side = min(whole, wanted)
        sides += [(whole - side) // 2, (whole - side) // 2 + side]
    return sides[0], sides[1], sides[2], sides[3]


def _read(
    layer: LazyArray, needed: list[int], crop: tuple[int, int, int, int]
) -> tuple[dict[int, np.ndarray], Normalisation]:
    """Read the middle of sections, by their number, and the mean and sd of the whole ones."""
    top, bottom, left, right = crop
    kept = layer.dtype if layer.dtype in (np.uint8, np.uint16) else np.dtype(np.float32)
    middle = np.empty((len(needed), bottom - top, right - left), kept)
    pivot: float | None = None
    count = 0
    sums: list[float] = []
    squares: list[float] = []
    for first, last in _runs(needed):
        at = needed.index(first)
        for (z, y, x), block in layer.blocks(first, last + 1):
            if block.dtype.kind == "f" and not np.isfinite(block).all():
                raise UserError(
                    f"The {layer.name} holds NaN or infinite values: fill them with a grey level, "
                    "or cut away what holds them."
                )
            if block.dtype.kind == "f" and np.abs(block).max() > np.finfo(np.float32).max:
                raise UserError(
                    f"The {layer.name} holds values beyond {np.finfo(np.float32).max:.1e}, which "
                    "single precision cannot hold: scale its grey levels down."
                )
            pivot = float(block.mean(dtype=np.float64)) if pivot is None else pivot
            apart = block - np.float64(pivot)
            count += block.size
            sums.append(float(apart.sum()))
            squares.append(float(np.square(apart, out=apart).sum()))
            rows = slice(max(y.start, top), max(min(y.stop, bottom), top))
            columns = slice(max(x.start, left), max(min(x.stop, right), left))
            middle[
                at + z.start : at + z.stop,
                rows.start - top : rows.stop - top,
                columns.start - left : columns.stop - left,
            ] = block[
                :,
                rows.start - y.start : max(rows.stop - y.start, 0),
                columns.start - x.start : max(columns.stop - x.start, 0),
            ]
    shift = math.fsum(sums) / count
    sd = math.sqrt(max(math.fsum(squares) / count - shift**2, 0))
    return dict(zip(needed, middle, strict=True)), Normalisation((pivot or 0) + shift, sd)


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    """First and last of each run of numbers that follow each other.

    >>> _runs([3, 4, 5, 9])
    [(3, 5), (9, 9)]
    """
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return list(zip(starts, ends, strict=True))


def _training(layer: LazyArray, start: int, stop: int) -> Normalisation:
    """Return the training split's numbers, the very ones that a cell of the benchmark uses."""
    kept: Any = layer.dtype if layer.dtype in (np.uint8, np.uint16) else np.float32
    image = np.empty((stop - start, *layer.shape[1:]), kept)
    layer.read_into(image, start)
    return Normalisation.from_image(image)


def _unlabelled_of_card(
    labels: Volume, centres: list[int], crop: tuple[int, int, int, int]
) -> tuple[np.ndarray | None, list[str]]:
    """Return the pixels that the card's `ignore` leaves out, (N, H, W) bool, and say so."""
    ignore = labels.card.task.ignore
    if ignore is None:
        return None, []
    top, bottom, left, right = crop
    parts = (labels.labelled(first, last + 1) for first, last in _runs(centres))
    known = np.concatenate([part[:, top:bottom, left:right] for part in parts if part is not None])
    return ~known, [
        f"Where labels are {ignore}, {1 - known.mean():.1%} of the pixels, the card says that "
        "there is no label: they count in no target and no Dice."
    ]


def _labels(
    labels: LazyArray | Volume, centres: list[int], crop: tuple[int, int, int, int]
) -> np.ndarray:
    """Read the labels of the central sections, (N, H, W) as stored; of a card its foreground."""
    top, bottom, left, right = crop
    read = []
    for first, last in _runs(centres):
        if isinstance(labels, Volume):
            whole, _ = labels.read_labels(first, last + 1)
        else:
            whole = np.empty((last + 1 - first, *labels.shape[1:]), labels.dtype)
            labels.read_into(whole, first)
            if whole.dtype.kind == "f" and not np.isfinite(whole).all():
                raise UserError(
                    "The labels hold NaN or infinite values: store labels as whole numbers, with "
                    "one that --ignore names where there is no label."
                )
        read.append(whole[:, top:bottom, left:right])
    return np.concatenate(read)
