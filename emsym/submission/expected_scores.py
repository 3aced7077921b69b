"""Which scores a cell of a protocol has, and between which bounds each lies."""

import math
import re

import numpy as np

from emsym.protocol import SHAPLEY, Protocol
from emsym.scores.symmetry import by_slice, symmetry

POOLED_ALONE = ("arand_3d",)
"""Scores of a whole test volume, which no values of single sections give."""
COUNTS = ("tp", "fp", "fn")

_BOUNDS = [
    (re.compile(r"(dice|iou)@.*|arand_[23]d|flip_error|flip_dice"), (0.0, 1.0)),
    (re.compile(r".*/(slice_share\[.*\]|imbalance|mirror_distance)"), (0.0, 1.0)),
    (re.compile(r".*/(neighbour|model|data)_asymmetry"), (-1.0, 1.0)),
    (re.compile(r".*/pixels|(tp|fp|fn)@.*"), (0.0, math.inf)),
    (re.compile(r".*/faithfulness-(estimate|correlation)"), (-1.0, 1.0)),
]


def score_bounds(score: str) -> tuple[float, float]:
    """Between what a score can lie.

    >>> bounds("saliency/foreground/model_asymmetry"), bounds("slice-shapley/all/slice_shapley[+0]")
    ((-1.0, 1.0), (-inf, inf))
    """
    return next((range_ for of, range_ in _BOUNDS if of.fullmatch(score)), (-math.inf, math.inf))


def image_scores(protocol: Protocol) -> set[str]:
    """The scores that a cell has of each test section."""
    scoring = protocol.scoring
    faithful = scoring.faithfulness
    targets = dict.fromkeys((*scoring.targets, faithful.target))
    return {
        *(f"{score}@{t}" for score in ("dice", "iou") for t in scoring.thresholds),
        "arand_2d",
        *_symmetry(protocol, tuple(targets)),
        *(f"{m}/{faithful.target}/{metric}" for m in scoring.maps for metric in faithful.metrics),
    }


def counts(protocol: Protocol) -> set[str]:
    """The counts of pixels of each test section that pooled scores come from."""
    return {f"{count}@{t}" for count in COUNTS for t in protocol.scoring.thresholds}


def look_scores(protocol: Protocol) -> set[str]:
    """The scores of each look while a cell is trained; none where the protocol takes none."""
    scoring = protocol.scoring
    return _symmetry(protocol, scoring.targets) if scoring.over_training else set()


def _symmetry(protocol: Protocol, targets: tuple[str, ...]) -> set[str]:
    slices = protocol.slices
    one = np.ones((1, slices, 1, 1))
    both = list(symmetry(one, one).columns())
    by_method = {name: [*both, "mirror_distance"] for name in protocol.scoring.maps}
    if SHAPLEY in protocol.scoring.attributions:
        by_method[SHAPLEY] = [*by_slice("slice_shapley", one[:, :, 0, 0]), *both]
    return {
        "flip_error",
        "flip_dice",
        *(f"{target}/pixels" for target in targets),
        *(f"{m}/{t}/{score}" for m, names in by_method.items() for t in targets for score in names),
    }
