"""Caveats: sentences that a reader must know beside the numbers of an audit."""

from collections.abc import Mapping

import numpy as np

from emsym.auditing.effect import NEARLY_EMPTY
from emsym.auditing.result import LooksResult, SymmetryResult
from emsym.auditing.volume import Chosen
from emsym.scores.catalogue import score_of
from emsym.scores.dense_logits import STRIDE
from emsym.scores.segmentation import Counts
from emsym.scores.targets import Target

FEW = 10
"""Sections with a value, below which their mean is normal only if they are."""
HALF = 0.5
"""A share of labelled foreground above may mean that it is the background."""
LOW_DICE = 0.2
"""Below, labels or normalisation may be others than the network was trained with."""
TARGETS: dict[Target, str] = {
    "foreground": "predicted foreground",
    "true-foreground": "labelled foreground",
    "background": "predicted background",
    "all": "whole sections",
}
"""The names of the targets in a sentence."""


def data_caveats(chosen: Chosen) -> list[str]:
    """Say which part of each section was looked at, and how it was normalised."""
    data, notes = chosen.data, []
    top, bottom, left, right = data.crop
    if (bottom - top, right - left) != data.shape[1:]:
        notes.append(
            f"Of each section the middle {bottom - top} × {right - left} of {data.shape[1]} × "
            f"{data.shape[2]} pixels were looked at."
        )
    if min(bottom - top, right - left) < STRIDE:
        notes.append(
            f"They were filled up to {STRIDE} × {STRIDE} pixels by reflection, as networks halve "
            "their input five times: the numbers are of what was filled in, too. Take larger ones."
        )
    notes.append(
        f"Grey levels were normalised by {data.normalised_by}, {data.mean:.4g} and {data.sd:.4g}"
        + (
            "; where training used others, give them with --mean and --sd."
            if "read" in data.normalised_by
            else "."
        )
    )
    if chosen.data.foreground_label is not None:
        notes.append(
            f"The labels hold more than two values, and the network has several classes: labelled "
            f"foreground is what is {chosen.data.foreground_label} in the labels."
        )
    elif chosen.data.labels and chosen.labels is not None:
        values = np.unique(chosen.labels)
        if len(values) > 2 or 0 not in values:
            named = ", ".join(f"{value:g}" for value in values[:5]) + (", …" * (len(values) > 5))
            notes.append(
                f"The labels hold {named}: all but 0 counts as foreground. Where one of them means "
                "that there is no label, leave it out with --ignore."
            )
    share = _labelled_share(chosen)
    if share > HALF:
        notes.append(
            f"Labelled foreground is {share:.0%} of the labelled pixels: is it what the network is "
            "to find, and not all else?"
        )
    return [*notes, *chosen.notes]


def _labelled_share(chosen: Chosen) -> float:
    """The foreground's share of the pixels that have a label; 0 without labels."""
    foreground = labelled = 0
    for index in range(len(chosen) if chosen.data.labels else 0):
        part = slice(index, index + 1)
        _, truth = chosen[part]
        known = chosen.labelled(part)
        foreground += 0 if truth is None else int(truth.sum())
        labelled += 0 if truth is None else int(truth.numel() if known is None else known.sum())
    return foreground / max(labelled, 1)


def prediction_cautions(predicted: float) -> list[str]:
    """Say that a prediction is nearly empty; `predicted` is the foreground's part of its pixels."""
    if predicted >= NEARLY_EMPTY:
        return []
    begins = "The prediction is empty"
    if predicted > 0:
        begins = f"The prediction is nearly empty: {100 * predicted:.2g} % of its pixels"
        begins += " are foreground"
    return [
        f"{begins}. Are --mean and --sd those of its training, does a lower --threshold give more, "
        "or do these sections hold little of it?"
    ]


def interval_caveats(
    sections: list[int], blocks: np.ndarray, valued: int, looks: LooksResult
) -> list[str]:
    """Say over which draws the intervals are, of which level, and how far they can be trusted.

    `blocks` are as of `blocks_of`; `valued` is how many sections have the headline's asymmetry.
    """
    notes = [
        "Intervals are over sections of this one volume, which are alike as neighbours are, for "
        "this one network: another training of it may lean otherwise."
    ]
    if looks.ends[1:]:
        *first, last = map(str, looks.ends)
        notes.append(
            f"The finding was to be judged after {', '.join(first)} and {last} sections, and the "
            "audit to end with the first that decides it. So that 95 % intervals hold as often, "
            f"each is one of {100 * looks.level:.4g} % by itself; with --sections, of 95 %."
        )
    if (count := len(np.unique(blocks))) < len(sections):
        notes.append(
            f"Stacks of the {len(sections)} sections share slices, so that intervals are over "
            f"{count} {'block' if count == 1 else 'blocks'} of them."
        )
    if 1 < valued < FEW:
        notes.append(
            f"Of {valued} sections with a value, fewer than {FEW}, an interval is right only if "
            "they vary as a normal distribution does."
        )
    return notes


def score_caveats(
    columns: Mapping[str, np.ndarray],
    rows: list[SymmetryResult],
    counts: Counts | None,
    inverse: Counts | None,
    predicted: float = 1,
) -> list[str]:
    """Say which scores are missing in how many sections, and why; and whether Dice is suspect.

    `counts` are pooled over sections, `inverse` those of the labels' background, None without
    labels. `predicted` is the foreground's part of the prediction; where that is nearly empty,
    labels are not suspected.
    """
    notes, empty, sections = [], {}, len(columns["flip_error"])
    if counts and inverse and (inverse.dice or 0) > 0.5 > (counts.dice or 0):
        notes.append(
            f"The labels look inverted: Dice is {counts.dice or 0:.2f} against what is not 0 in "
            f"them, and {inverse.dice:.2f} against what is 0. Give labels that are not 0 where the "
            "network is to find foreground."
        )
    elif counts and (counts.dice or 1) < LOW_DICE and predicted >= NEARLY_EMPTY:
        notes.append(
            f"Dice is {counts.dice:.2f}: is the labelled foreground what the network segments, "
            "and was it trained with this mean and sd?"
        )
    for target in dict.fromkeys(row.target for row in rows):
        empty[target] = int((columns[f"{target}/pixels"] == 0).sum())
        if empty[target]:
            notes.append(
                f"The {TARGETS[target]} is empty in {empty[target]} of {sections} sections, which "
                "have no attribution scores for it."
            )
    for row in rows:
        of = f"{row.attribution} over the {TARGETS[row.target]}"
        if zero := row.missing - empty[row.target]:
            notes.append(
                f"The attribution, {of}, is zero everywhere or not finite in {zero} of the "
                f"{sections - empty[row.target]} sections that have a target."
            )
        lone = columns[f"{row.attribution}/{row.target}/model_asymmetry"]
        if (none := int(np.isnan(lone).sum()) - row.missing) and row.share and len(row.share) > 1:
            notes.append(
                f"Neither side counts in {none} sections by {of}, so that they have no asymmetry."
            )
    if unsegmented := int(np.isnan(columns["flip_dice"]).sum()):
        notes.append(
            f"Nothing is predicted in {unsegmented} of {sections} sections, neither from the stack "
            f"nor from its mirror image: they have no {score_of('flip_dice').term}."
        )
    return notes
