"""The result of an audit: everything of its JSON, and the pictures that its report shows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from emsym.errors import UserError
from emsym.protocol import Strict
from emsym.scores.symmetry import flip_error_map
from emsym.scores.targets import Target

Finding = Literal["biased", "symmetric", "unclear", "unmeasurable"]
Kind = Literal["module", "callable", "state dict", "TorchScript", "torch.export", "ONNX"]
"""Where a network comes from."""


class Interval(Strict):
    """A mean over sections and its 95 % interval (`emsym.auditing.intervals`).

    Of an audit that may stop early they hold at all looks together: see `LooksResult`.

    No bounds where it is of one section, or of sections that share slices.
    """

    value: float
    low: float | None = None
    high: float | None = None


class SymmetryResult(Strict):
    """The symmetry scores of one attribution method; None where no section has a value."""

    attribution: str
    """A registered method, or ``slice-shapley``."""
    target: Target
    share: list[Interval] | None
    """The share of each slice, first to last."""
    ratio: Interval | None
    """(1 − m) / (1 + m) of the model asymmetry m: how many times as much the slices before the
    centre count as those after it, whatever the image holds. 1 for a symmetric network. None where
    those after it do not count at all; a `high` of None beside a `low` is without bound."""
    imbalance: Interval | None
    neighbour_asymmetry: Interval | None
    model_asymmetry: Interval | None
    data_asymmetry: Interval | None
    mirror_distance: Interval | None
    missing: int
    """Sections without a value: the target is empty there, or the attribution is zero everywhere or
    not finite."""


class StemResult(Strict):
    """Each slice's share of the weight norm of what reads the stack; see `stem_profile`."""

    where: str
    share: list[float]
    """The share of each slice in all filters together, first to last."""
    filters: list[list[float | None]]
    """The same of each filter; None for one of zeros."""


class Network(Strict):
    """The network that was audited."""

    name: str
    kind: Kind
    digest: str | None
    """SHA-256 of its file."""
    architecture: str | None
    parameters: int | None
    classes: int
    channel: int
    """The class that was looked at, counted from 0."""


class DataResult(Strict):
    """The volume that it was audited on, and the sections of it."""

    name: str
    source: str
    shape: tuple[int, int, int]
    """The whole volume, (Z, Y, X)."""
    mean: float
    sd: float
    """Grey levels were normalised with this mean and standard deviation."""
    normalised_by: str
    """Where these come from, in words."""
    labels: bool
    available: int
    """Sections that have all their neighbours, of which some were audited."""
    sections: list[int]
    """The audited ones, by their number in the volume."""
    voxel_size_nm: tuple[float, float, float] | None = None
    """Along z, y and x; None where nobody says."""
    foreground_label: int | None = None
    """The value of labels that is foreground; None where it is whatever is not 0."""
    unlabelled_values: list[float] = []
    """The values of labels, of those of a user, that mean no label."""
    crop: tuple[int, int, int, int]
    """Rows [y0, y1) and columns [x0, x1) that were looked at."""


class LooksResult(Strict):
    """How many sections were looked at, and when the finding was judged; see `looks`."""

    sentence: str
    """How many of how many, and why no more."""
    most: int
    """How many would have been looked at, at most."""
    ends: list[int]
    """After how many sections the finding was judged, or would have been."""
    level: float
    """The level of each look's intervals, at which those of all looks hold .95 of the time."""


class AnswerEffect(Strict):
    """The effect of the stacks' direction on the answer; see `emsym.auditing.effect`."""

    matters: Literal["yes", "no", "unclear"]
    """Whether a user would notice."""
    sentence: str
    dice_reversed: float | None = None
    """Dice of the predictions from reversed stacks, pooled; None without labels."""
    dice_averaged: float | None = None
    """The same of the mean of both probabilities."""


class UnitScore(Strict):
    """An optional score of the catalogue (`emsym.scores.optional`), mean over sections."""

    score: str
    unit: str
    """``nm``; ``sections`` or ``pixels`` where the voxel size is not known; or nothing."""
    value: Interval


class LayerResult(Strict):
    """How far reversing the stack moves what a layer passes on (`emsym.scores.layers`)."""

    name: str
    """The module's name in the network; ``logits`` for its answer."""
    size: tuple[int, int]
    """Height and width of its map of an audited section."""
    value: Interval


class Advice(Strict):
    """A piece of advice."""

    text: str
    command: str | None = None
    """A command line that does it."""


class Audit(Strict):
    """The audit of one network on one volume."""

    schema_version: Literal[1] = 1
    verdict: str
    """One sentence."""
    finding: Finding
    network: Network
    data: DataResult
    slices: int
    headline: str
    """The attribution and the target that the verdict speaks of, as ``saliency/foreground``."""
    flip_error: Interval | None
    flip_dice: Interval | None
    dice: float | None
    """Pooled over the audited sections; None without labels."""
    iou: float | None
    looks: LooksResult | None = None
    """None in what was written before an audit could stop early."""
    effect: AnswerEffect | None = None
    """None of a network of one slice."""
    in_units: list[UnitScore] = []
    """How large the bias is in units that people feel, of the scores that have a value; empty for a
    network of one slice."""
    layers: list[LayerResult] = []
    """The flip error layer by layer, in the order in which they are run, the logits last; the
    logits alone where a network hides its layers."""
    symmetry: list[SymmetryResult]
    """The scores of each attribution method and target; slice-shapley among them."""
    shapley: list[Interval] | None
    """The Shapley value of each slice as a part of |T(x) − T(0)|, for the headline's target: below
    0, a slice lowers the logits. None where no section has one, or the mean of T(x) − T(0) cannot
    be told from 0."""
    stem: StemResult | None
    stem_note: str
    """Why there is no stem profile, or nothing."""
    advice: list[Advice]
    cautions: list[str] = []
    """Those of the notes without which the verdict may mislead: they stand right beside it."""
    notes: list[str]
    """Sentences that a reader must know: sections left out, values missing and why."""
    images: dict[str, list[float | None]]
    """Every score of every section."""
    seconds: float
    environment: dict[str, str | int | bool | None]

    @property
    def shown(self) -> SymmetryResult:
        """The headline's scores."""
        return next(s for s in self.symmetry if f"{s.attribution}/{s.target}" == self.headline)


@dataclass(frozen=True)
class SectionExample:
    """One section, as it was seen and explained."""

    section: int
    stack: np.ndarray
    """(S, H, W) float32, normalised."""
    attribution: np.ndarray
    """(S, H, W) float32, by the headline's method."""
    probability: np.ndarray
    """(H, W) in 0..1."""
    mirrored: np.ndarray
    """(H, W) in 0..1, of the reversed stack."""
    truth: np.ndarray | None
    """(H, W) bool."""

    @property
    def flip_error(self) -> np.ndarray:
        """How far reversing the stack moves the probability of every pixel, (H, W) in 0..1."""
        return flip_error_map(self.probability, self.mirrored)


@dataclass(frozen=True)
class Pictures:
    """The arrays that the report shows and the JSON does not hold."""

    examples: list[SectionExample]
    mean_map: np.ndarray
    """(S, H, W) float32: mean of |A_s| by the headline's method, over the sections with shares."""


def check_free(path: Path) -> list[Path]:
    """Return the files of a report at `path`. Raises `UserError` where one of them exists."""
    if path.suffix != ".html":
        raise UserError(f"The report is a page: let {path} end in .html.")
    paths = [path, path.with_suffix(".json")]
    for each in paths:
        if each.exists():
            raise UserError(f"{each} exists: give another name, or remove it first.")
    return paths
