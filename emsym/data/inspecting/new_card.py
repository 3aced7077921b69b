"""A first card for a person's own volume, from a look at the files."""

import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import pydantic

from emsym.data.cards import Card, Files, told_files
from emsym.data.inspecting.foreground_fraction import fractions
from emsym.data.reading.file_key import split_file_key
from emsym.data.reading.lazy_array import LazyArray, open_lazy_array
from emsym.data.reading.readers import find_files
from emsym.errors import UserError
from emsym.files import validation_message, write_atomically

_NM = {"nm": 1.0, **dict.fromkeys(("micron", "microns", "um", "µm", "μm", "\\u00B5m"), 1000.0)}
_FEW = 16
"""With more values than that, labels are ids."""
_HALF = 0.5
"""A share of foreground above is told: it may be that of what is not meant."""
_SPARSE = 0.5
"""Ids that leave more than that share to 0 are of single objects, not of everything there is."""


class Guess(NamedTuple):
    """Part of a card, and what a person should know of how it came about."""

    toml: str
    why: str


def write_card(path: Path, image: str, labels: str, axes: str | None = None) -> list[str]:
    """Write a valid card for a volume and its labels, and return what was guessed, a sentence each.

    `image` and `labels` are files, patterns, or ``file.h5:key``, relative to the working folder;
    the card refers to them from where it lies; `axes` are those of both, as stored. Nothing is
    written before the volume was opened as the card says and both splits were found to hold
    foreground. Raises `UserError` where that fails, and for a card that exists.
    """
    if path.suffix != ".toml" or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", path.stem):
        raise UserError(
            f"A card is called NAME.toml, NAME of letters, digits and . _ + - alone; '{path.name}' "
            "is not."
        )
    if path.exists():
        raise UserError(f"{path} exists: choose another name, or delete it.")
    folder = path.parent.resolve()
    if not folder.is_dir():
        raise UserError(f"There is no folder {path.parent}: make it first.")
    image_files, labels_files = (
        _files(option, given, folder, axes)
        for option, given in (("--image", image), ("--labels", labels))
    )
    volume = open_lazy_array("image", folder, image_files)
    layer = open_lazy_array("labels", folder, labels_files)
    if volume.shape != layer.shape:
        raise UserError(
            f"The image has the shape {volume.shape}, its labels {layer.shape}: they must be the "
            "same (Z, Y, X)."
        )
    size, task, split = _voxel_size(folder, image_files), _task(layer), _split(volume.shape[0])
    text = _CARD.format(
        name=path.stem,
        size=size.toml,
        shape=list(volume.shape),
        task=task.toml,
        split=split.toml,
        image=_toml(image_files),
        labels=_toml(labels_files),
    )
    largest = max(_check(path, text).values())
    write_atomically(path, text)
    sizes = ", ".join(map(str, volume.shape))
    foreground = (
        f"foreground: {largest:.0%} of a split, so it may be the background that is labelled"
    )
    return [
        f"axes: z, y, x = {sizes}, stored as {', '.join(volume.axes)}; add axes = "
        '"…" to image and labels where that is wrong',
        *(f"reading: {note}" for note in dict.fromkeys((*volume.notes, *layer.notes))),
        size.why,
        task.why,
        *([foreground] if largest > _HALF and "boundary" not in task.toml else []),
        split.why,
        "title, modality, licence: write them, they stand in every record and leaderboard",
    ]


_CARD = """\
name = "{name}"
title = "{name}"
modality = "unknown"            # such as "serial-section TEM"
{size}
shape = {shape}          # z, y, x
licence = "unknown"             # stands in every record and leaderboard
share_pictures = false          # true: submissions and pages may show sections of it

{task}
{split}
[sources.own]
image = {image}
labels.own = {labels}
"""

_OBJECTS = """\
[tasks.objects]
labels = "own"
classes = {{ {classes} }}
foreground = "{name}"
instances = "foreground"
"""


def _files(option: str, argument: str, folder: Path, axes: str | None) -> Files:
    """Return a path of the command line, made relative to the card's folder.

    Raises `UserError`, which names the option, where nothing is there.
    """
    path, key = split_file_key(argument)
    try:
        relative = os.path.relpath(Path(path).absolute(), folder)
    except ValueError:  # another drive
        relative = str(Path(path).absolute())
    files = told_files(Path(relative).as_posix(), key, axes)
    if not all(find_files(folder, each) for each in files.paths):
        raise UserError(f"There is no file {path}, which {option} names: check the path.")
    return files


def _toml(files: Files) -> str:
    key = f", key = {json.dumps(files.key)}" if files.key else ""
    axes = f", axes = {json.dumps(files.axes)}" if files.told_axes else ""
    return f"{{ path = {json.dumps(files.path, ensure_ascii=False)}{key}{axes} }}"


def _task(layer: LazyArray) -> Guess:
    values, zeros = _values(layer)
    if values is None and zeros < _SPARSE:
        return Guess(
            '[tasks.membranes]\nlabels = "own"\nforeground = "boundary"      # borders between ids'
            '\ninstances = "between"\nids = "own"\n',
            f"task: more than {_FEW} label values, so they are ids of objects that touch; the "
            "foreground is the borders between them",
        )
    if values is None:
        return Guess(
            _OBJECTS.format(classes='rest = "== 0", object = "!= 0"', name="object")
            + 'ids = "own"\n',
            f"task: more than {_FEW} label values and {zeros:.0%} of the pixels 0, so they are ids "
            "of single objects; the foreground is whatever is not 0",
        )
    if len(values) < 2:
        raise UserError(f"The labels hold nothing but {values[0]}: there is nothing to segment.")
    if len(values) == 2:
        low, high = values
        return Guess(
            _OBJECTS.format(classes=f'rest = "== {low}", object = "== {high}"', name="object"),
            f"task: labels are {low} and {high}; the foreground is {high}, and its components are "
            'the instances; write instances = "between" for membranes',
        )
    classes = ", ".join(f'value-{value} = "== {value}"' for value in values)
    first = next(value for value in values if value != 0)
    return Guess(
        _OBJECTS.format(classes=classes, name=f"value-{first}"),
        f"task: labels are {', '.join(map(str, values))}, a class each; the foreground is {first}",
    )


def _values(layer: LazyArray) -> tuple[list[int] | None, float]:
    """The label values, or None where they are many, and the share of 0."""
    seen: set[int] | None = set()
    zeros = 0
    for _, block in layer.blocks(0, layer.shape[0]):
        zeros += int(np.count_nonzero(block == 0))
        if seen is None:
            continue
        values = np.unique(block)
        if (values < 0).any() or (values != np.floor(values)).any():
            raise UserError(
                "The labels hold values that are negative or not whole: are image and labels "
                "exchanged?"
            )
        seen |= {int(value) for value in values[: _FEW + 1]}
        if len(seen) > _FEW:
            seen = None
    return (None if seen is None else sorted(seen)), zeros / int(np.prod(layer.shape))


def _split(depth: int) -> Guess:
    if depth < 6:
        raise UserError(
            f"The volume has {depth} sections; six are needed for two splits of a slice stack each."
        )
    first = min(round(depth * 0.8), depth - 3)
    return Guess(
        f"[split]\ntrain = [0, {first}]\ntest = [{first}, {depth}]\n",
        f"split: the first {first} sections train, the last {depth - first} test",
    )


def _voxel_size(folder: Path, files: Files) -> Guess:
    locations = find_files(folder, files.paths[0])
    sizes = list(_sizes(locations[0], files.key)) if isinstance(locations[0], Path) else []
    if not sizes:
        return Guess(
            "# voxel_size_nm = [z, y, x]     # unknown, as the files do not say it",
            "voxel size: unknown, as the files do not say it; write voxel_size_nm = [z, y, x] into "
            "the card if you know it. Without it, scores in nm are missing",
        )
    size, where = sizes[0]
    listed = ", ".join(f"{value:g}" for value in size)
    return Guess(
        f"voxel_size_nm = [{listed}]       # z, y, x",
        f"voxel size: [{listed}] nm, from {where}",
    )


def _sizes(path: Path, key: str | None) -> Iterator[tuple[tuple[float, ...], str]]:
    """Voxel sizes (z, y, x) in nm that a file states, with where it does."""
    if path.suffix.lower() in (".tif", ".tiff"):
        import tifffile

        with tifffile.TiffFile(path) as tiff:
            metadata = tiff.imagej_metadata or {}
            unit = _NM.get(str(metadata.get("unit")))
            tags = tiff.pages.first.tags
            if unit and "spacing" in metadata and "XResolution" in tags and "YResolution" in tags:
                across, down = (tags[f"{axis}Resolution"].value for axis in "XY")
                if across[0] and down[0]:
                    plane = (down[1] / down[0] * unit, across[1] / across[0] * unit)
                    yield (metadata["spacing"] * unit, *plane), "ImageJ's metadata"
            if tiff.ome_metadata and (told := _ome_size(tiff.ome_metadata)):
                yield told, "the OME metadata"
    elif path.suffix.lower() in (".h5", ".hdf5", ".hdf") and key is not None:
        import h5py

        with h5py.File(path, "r") as opened:
            attributes = opened[key].attrs
            for name, unit in (("resolution", 1.0), ("element_size_um", 1000.0)):
                size = np.ravel(attributes.get(name, ()))
                if len(size) == 3 and size.dtype.kind in "uif" and (size > 0).all():
                    yield tuple(float(value) * unit for value in size), f"the attribute '{name}'"


def _ome_size(xml: str) -> tuple[float, ...] | None:
    """Return the voxel size (z, y, x) in nm of OME-XML; None where it is not stated."""
    try:
        pixels = ElementTree.fromstring(xml).find(".//{*}Pixels")
        attributes = {} if pixels is None else pixels.attrib
        size = tuple(
            float(attributes[f"PhysicalSize{axis}"])
            * _NM[attributes.get(f"PhysicalSize{axis}Unit", "µm")]
            for axis in "ZYX"
        )
    except (ElementTree.ParseError, KeyError, ValueError):
        return None
    return size if all(0 < side < float("inf") for side in size) else None


def _check(path: Path, text: str) -> dict[str, float]:
    """Open the volume as the card says, before it is written; the foreground's share by split."""
    try:
        card = Card.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UserError("The files' names hold characters that no card can hold.") from error
    except pydantic.ValidationError as error:
        raise UserError(
            f"No card can be written for these files: {validation_message(error)}."
        ) from error
    card._folder = path.parent
    shares = fractions(card, images=True)[next(iter(card.tasks))]
    for name, share in shares.items():
        if share in (0, 1):
            raise UserError(
                f"With {card.task.foreground} as the foreground, which is all that the labels' "
                f"values tell, the last fifth of the sections tests and the others train, and the "
                f"{name} split is {'all' if share else 'without'} foreground: are image and labels "
                "exchanged?"
            )
    return shares
