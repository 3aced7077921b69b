"""Do the scores of a submission follow from its values of single sections?"""

import numpy as np

from emsym.errors import UserError, first_names
from emsym.protocol import Protocol
from emsym.scores.catalogue import score_of
from emsym.scores.expected_scores import (
    COUNTS,
    counts,
    image_scores,
    look_scores,
)
from emsym.submission.layout import CELLS
from emsym.submission.read import IMAGES, LOOKS
from emsym.submission.safe_npz import Arrays
from emsym.submission.schema import LARGEST

CLOSE = 2e-6
"""How far float32 values of sections may carry a score from that of the record, relative to the
largest of them."""


def check_values(
    group: Arrays,
    keys: list[str],
    scores: dict[str, np.ndarray],
    protocol: Protocol,
    volumes: list[int],
) -> int:
    """Check all that the cells of one data set and architecture say; how many sections they have.

    `keys` are those of the done cells in the order of their rows, and `scores` has a column of each
    score, (C,), as claimed. `volumes` are numbers that cells of one volume share, whose sections
    had the same labels. Raises `UserError` with the first thing that is wrong.
    """
    listed = group.keys()
    if sorted(listed) != sorted(keys):
        raise UserError(f"{group.path} has not the cells that the rows of its data set have.")
    _check_names(group, protocol)
    cells, order = len(keys), np.array([listed.index(key) for key in keys])
    section = group.get("section", "<i4", None)
    if len(section) == 0 or (np.diff(section) <= 0).any() or section[0] < 0:
        raise UserError(f"{group.path}: its sections are not in order.")
    images = {
        name: group.get(f"{IMAGES}{name}", "<f4", cells, len(section))[order]
        for name in sorted(image_scores(protocol) | counts(protocol))
    }
    for name, values in images.items():
        _check_bounds(group, name, values)
    _check_counts(group, images, protocol, np.array(volumes))
    _check_shares(group, images)
    for name, claimed in scores.items():
        _check_bounds(group, name, claimed)
        if score_of(name).pooling != "volume":
            _check_claim(group, keys, name, claimed, images)
    _check_looks(group, cells, protocol)
    return len(section)


def _check_names(group: Arrays, protocol: Protocol) -> None:
    looks = look_scores(protocol)
    expected = {
        "keys",
        "section",
        *(f"{IMAGES}{name}" for name in image_scores(protocol) | counts(protocol)),
        *(f"{LOOKS}{name}" for name in looks | ({"steps", "sections"} if looks else set())),
    }
    if odd := sorted(expected ^ set(group.names)):
        what = "lacks" if odd[0] in expected else "has no use for"
        raise UserError(f"{group.path} {what} {first_names(odd)}.")


def _check_bounds(group: Arrays, name: str, values: np.ndarray) -> None:
    low, high = score_of(name).bounds
    slack = 1e-6  # of rounding: a share of one may come out a hair above it
    if (np.abs(values) > LARGEST).any():
        raise UserError(f"{group.path}: a value of {name} is not finite, or beyond {LARGEST:g}.")
    if (values < low - slack).any() or (values > high + slack).any():
        raise UserError(f"{group.path}: a value of {name} is not within {low:g} and {high:g}.")


def _check_counts(
    group: Arrays, images: dict[str, np.ndarray], protocol: Protocol, volumes: np.ndarray
) -> None:
    """Pixels are whole numbers that the masks' sizes and each section's Dice and IoU agree with."""
    for threshold in protocol.scoring.thresholds:
        tp, fp, fn = (images[f"{name}@{threshold}"].astype(float) for name in COUNTS)
        for name, values in zip(COUNTS, (tp, fp, fn), strict=True):
            if not (values == np.rint(values)).all():
                raise UserError(f"{group.path}: {name}@{threshold} is no count of pixels.")
        truth, predicted = tp + fn, tp + fp
        each = (truth[volumes == volume] for volume in np.unique(volumes))
        if not all(np.allclose(same, same[:1], rtol=1e-6) for same in each):
            raise UserError(f"{group.path}: its cells had different labels of one section.")
        for target, pixels in (("true-foreground", truth), ("foreground", predicted)):
            at_it = target == "true-foreground" or threshold == protocol.scoring.thresholds[0]
            known = images.get(f"{target}/pixels") if at_it else None
            if known is not None and not np.allclose(known, pixels, rtol=1e-6):
                raise UserError(f"{group.path}: {target}/pixels is not what its counts give.")
        for name, value in (("dice", _dice(tp, fp, fn)), ("iou", _iou(tp, fp, fn))):
            if not np.allclose(images[f"{name}@{threshold}"], value, atol=1e-6, equal_nan=True):
                raise UserError(f"{group.path}: {name}@{threshold} is not what its counts give.")


def _check_shares(group: Arrays, images: dict[str, np.ndarray]) -> None:
    """The shares of all slices add up to one, and asymmetries are halves of a whole."""
    for name in images:
        before, _, score = name.rpartition("/")
        if score == "model_asymmetry":
            whole = images[f"{before}/model_asymmetry"] + images[f"{before}/data_asymmetry"]
            known = images[f"{before}/neighbour_asymmetry"]
            if not np.allclose(whole[~np.isnan(whole)], known[~np.isnan(whole)], atol=1e-5):
                raise UserError(f"{group.path}: {before}: model and data asymmetry do not add up.")
        if score.startswith("slice_share["):
            shares = [v for n, v in images.items() if n.startswith(f"{before}/slice_share[")]
            total = np.sum(shares, axis=0)
            if not np.allclose(total[~np.isnan(total)], 1, atol=1e-5):
                raise UserError(f"{group.path}: the shares of {before} do not add up to 1.")


def _check_claim(
    group: Arrays,
    keys: list[str],
    name: str,
    claimed: np.ndarray,
    images: dict[str, np.ndarray],
) -> None:
    if score_of(name).pooling == "counts":
        score, _, threshold = name.partition("@")
        tp, fp, fn = (images[f"{c}@{threshold}"].sum(1, dtype=float) for c in COUNTS)
        computed = (_dice if score == "dice" else _iou)(tp, fp, fn)
        largest = np.ones(len(keys))
    else:
        values = images[name].astype(float)
        known = ~np.isnan(values)
        computed = np.full(len(keys), np.nan)
        np.divide(np.nansum(values, 1), known.sum(1), out=computed, where=known.any(1))
        largest = np.abs(np.where(known, values, 0)).max(1)
    far = np.abs(claimed - computed) > CLOSE * largest + 1e-12
    wrong = far | (np.isnan(claimed) != np.isnan(computed))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise UserError(
            f"{group.path.parents[1] / CELLS}: the cell {keys[at]} claims {claimed[at]:.6g} as its "
            f"{name}, and its sections in {IMAGES}{group.path.name} give {computed[at]:.6g}: pack "
            "both from the same records, with `emsym-bench submit`."
        )


def _check_looks(group: Arrays, cells: int, protocol: Protocol) -> None:
    settings = protocol.scoring.over_training
    if settings is None:
        return
    steps = group.get(f"{LOOKS}steps", "<i4", None)
    if steps.tolist() != sorted(set(settings.steps)):
        raise UserError(f"{group.path}: it was not looked at after the steps of the protocol.")
    sections = group.get(f"{LOOKS}sections", "<i4", None)
    if not 1 <= len(sections) <= settings.sections:
        raise UserError(f"{group.path}: it was not looked at in the sections of the protocol.")
    for name in sorted(look_scores(protocol)):
        shape = cells, len(steps), len(sections)
        _check_bounds(group, name, group.get(f"{LOOKS}{name}", "<f4", *shape))


def _dice(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
    return _ratio(2 * tp, 2 * tp + fp + fn)


def _iou(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
    return _ratio(tp, tp + fp + fn)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)
