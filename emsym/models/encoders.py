"""Which encoders can be treated, and which decoders go with them: a table.

The table, ``encoders.csv`` beside this file, has a row for every encoder of
segmentation-models-pytorch and for one or more of every family of timm, with the ``tu-`` that
segmentation-models-pytorch writes before their names. It tells what was measured, not what is
allowed: any other model of timm is treated in the same way. Reading it imports no torch.

``python -m emsym.models.encoder_survey`` measures every row anew, with the libraries that are
installed, and rewrites the file: about 6 minutes on two cores. To add encoders, append lines with
their names alone first.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path

DECODERS = (
    "unet",
    "unetplusplus",
    "manet",
    "linknet",
    "fpn",
    "pspnet",
    "pan",
    "deeplabv3",
    "deeplabv3plus",
    "upernet",
    "segformer",
    "dpt",
)
"""Their names in segmentation-models-pytorch's `create_model`."""
FILE = Path(__file__).with_suffix(".csv")
TIMM = "tu-"
"""The prefix that segmentation-models-pytorch gives the name of an encoder of timm."""
WIDTH = 64
"""The most characters of a line that `encoder_summaries` gives beside a name."""

SMALLEST = 64
"""The first of the sizes that networks are run with, in pixels."""


@dataclass(frozen=True)
class Encoder:
    """The measurements of one encoder.

    `family` is the module of its library that defines it; `parameters` is their number in millions.
    `stem` tells the weights that read the stack, by their paths in the encoder, and `inputs` how
    many inputs of each of them belong to one slice: 1 in a convolution of the stack itself, more
    where it is first unfolded into patches, or from space to depth. `slices` are the sizes of
    stacks that the stem can be filled for.

    `decoders` are those that run with it, each with the height and width in pixels of the first
    stack in `emsym.models.stem.traced_run.SIZES` that gives a mask of its size. Where there is none
    the rest was measured on timm's own network without its classifier.

    `refused` says why the stem cannot be treated, and is empty where it can.
    """

    name: str
    family: str
    parameters: float
    stem: str
    inputs: tuple[int, ...]
    slices: tuple[int, ...]
    decoders: Mapping[str, int]
    refused: str


@lru_cache
def encoders() -> Mapping[str, Encoder]:
    """Return the table: encoders by their names, in the order of these."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return {row["encoder"]: _from_row(row) for row in csv.DictReader(file)}


def encoder_summaries(pattern: str = "*") -> list[tuple[str, str]]:
    """Return the names that match a shell pattern, each with a summary of at most `WIDTH` letters.

    >>> encoder_summaries("resnet34")
    [('resnet34', ' 21.3 M  11/12 decoders  conv1 (Conv2d)')]
    """
    return [
        (name, _summary_line(row)) for name, row in encoders().items() if fnmatch(name, pattern)
    ]


def _summary_line(row: Encoder) -> str:
    first, *more = row.stem.split("; ")
    description = f"{first.partition(' ')[0]} and {len(more)} more" if more else first
    if row.refused:
        description = f"refused: {row.refused}"
    runs = f"{len(row.decoders):>2}/{len(DECODERS)} decoders"
    line = f"{row.parameters:5.1f} M  {runs}  {description}"
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 2]} …"


def describe_encoder(row: Encoder) -> str:
    """All that a row says, in a few lines.

    >>> print(describe_encoder(encoders()["resnet34"]))
    resnet34: 21.28 million parameters, of the family resnet
    stem: conv1 (Conv2d), for 1, 3, 5, 7 or 9 slices
    decoders: unet, unetplusplus, manet, linknet, fpn, pspnet, deeplabv3, deeplabv3plus, upernet, \
segformer; pan (224 pixels)
    """
    *others, last = map(str, row.slices or ("no",))
    counts = f"{', '.join(others)} or {last}" if others else last
    small = [name for name, size in row.decoders.items() if size == SMALLEST]
    large = [f"{name} ({n} pixels)" for name, n in row.decoders.items() if n != SMALLEST]
    runs = "; ".join(", ".join(names) for names in (small, large) if names)
    return "\n".join(
        [
            f"{row.name}: {row.parameters} million parameters, of the family {row.family}",
            f"refused: {row.refused}" if row.refused else f"stem: {row.stem}, for {counts} slices",
            f"decoders: {runs or 'none of those tried; emsym.symmetrize treats the network'}",
        ]
    )


def _from_row(row: Mapping[str, str]) -> Encoder:
    sizes = (pair.split(":") for pair in (row["decoders"] or "").split())
    return Encoder(
        row["encoder"],
        row["family"] or "",
        float(row["parameters"] or 0),
        row["stem"] or "",
        tuple(map(int, (row["inputs"] or "").split())),
        tuple(map(int, (row["slices"] or "").split())),
        {name: int(size) for name, size in sizes},
        row["refused"] or "",
    )
