"""What a reader must know of an audit's numbers, a sentence each."""

import numpy as np

from emsym.auditing.result import Symmetry
from emsym.auditing.volume import Chosen
from emsym.protocol import Target
from emsym.scores.segmentation import Counts

FEW = 10
"""Sections, below which a bootstrap does not see how much they vary."""
LOW_DICE = 0.2
"""Below, labels or normalisation may be others than the network was trained with."""
TARGETS: dict[Target, str] = {
    "foreground": "predicted foreground",
    "true-foreground": "labelled foreground",
    "background": "predicted background",
    "all": "whole sections",
}
"""What the targets are called in a sentence."""


def of_data(chosen: Chosen, probabilities: bool | None) -> list[str]:
    """What was looked at, and how it was normalised."""
    data, notes = chosen.data, []
    top, bottom, left, right = data.crop
    if len(chosen) < data.available:
        notes.append(
            f"{len(chosen)} of {data.available} sections with all their neighbours were looked at, "
            "evenly spaced."
        )
    if (bottom - top, right - left) != data.shape[1:]:
        notes.append(
            f"Of each section the middle {bottom - top} × {right - left} of {data.shape[1]} × "
            f"{data.shape[2]} pixels were looked at."
        )
    notes.append(
        f"Grey levels were normalised by {data.normalised_by}, {data.mean:.4g} and {data.sd:.4g}"
        + (
            "; where training used others, give them with --mean and --sd."
            if "read" in data.normalised_by
            else "."
        )
    )
    if probabilities:
        notes.append(
            "The logits were taken back from probabilities; where these are rounded to 0 or 1, "
            "attributions are 0."
        )
    return notes


def of_intervals(chosen: Chosen) -> str:
    """What intervals are over."""
    return (
        "Intervals are over sections of this one volume, which are alike as neighbours are, for "
        "this one network: another training of it may lean otherwise."
        + f" From fewer than {FEW} sections they come out too narrow."
        * (len(chosen) < FEW)
    )


def of_scores(
    columns: dict[str, np.ndarray], rows: list[Symmetry], counts: Counts | None
) -> list[str]:
    """Which scores are missing in how many sections, and why; and a Dice that is suspect.

    `counts` are pooled over sections, None without labels.
    """
    notes, empty, sections = [], {}, len(columns["flip_error"])
    if counts and counts.dice is not None and counts.dice < LOW_DICE:
        notes.append(
            f"Dice is {counts.dice:.2f}: is what is not 0 in the labels what the network segments, "
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
                f"The attribution, {of}, is zero everywhere in {zero} of the "
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
            "nor from its mirror image: they have no flip Dice."
        )
    return notes
