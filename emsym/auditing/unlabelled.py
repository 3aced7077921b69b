"""Labels that say nothing of a pixel: which values these are, and where they stand."""

import numpy as np

from emsym.errors import UserError


def find_unlabelled(labels: np.ndarray, ignore: int | None) -> tuple[np.ndarray | None, list[str]]:
    """Find the pixels without a label: bool, of the shape of `labels`, or None; and what to say.

    They hold `ignore`, where that is given; or else a negative value, or the largest that the type
    can hold, where that stands apart from the others: beside more than one other value, and not as
    the last of a gradation. Raises `UserError` where nothing but them is left.

    >>> find_unlabelled(np.array([0, 1, 255], np.uint8), None)[0].tolist()
    [False, False, True]
    >>> find_unlabelled(np.array([0, 255], np.uint8), None)[0] is None
    True
    """
    values = np.unique(labels)
    left_out = values[:0]
    if ignore is not None:
        left_out = values[values == ignore]
        if not len(left_out):
            return None, [f"No label is {ignore} in the pixels looked at: none was left out."]
        if not values[(values != ignore) & (values != 0)].size:
            raise UserError(
                f"--ignore {ignore} leaves out the only label that is not 0 in the pixels looked "
                "at, so that there is no foreground: leave it away, or say another value."
            )
    elif labels.dtype.kind in "if":
        left_out = values[values < 0]
    if ignore is None and labels.dtype.kind in "ui":
        largest = np.iinfo(labels.dtype).max
        others = values[(values > 0) & (values != largest)]
        if values[-1] == largest and len(others) and others[-1] != largest - 1:
            left_out = np.append(left_out, values[-1:])
    if not len(left_out):
        return None, []
    missing = np.isin(labels, left_out)
    if missing.all():
        raise UserError("The labels hold nothing but values that mean no label.")
    named = ", ".join(f"{value:g}" for value in left_out[:3].tolist())
    more = ", …" if len(left_out) > 3 else ""
    why = "" if ignore is not None else ", which commonly means that; another is told with --ignore"
    return missing, [
        f"Where labels are {named}{more}, {missing.mean():.1%} of the pixels, there is no "
        f"label{why}. These pixels count in no target and no Dice; flip error and flip Dice, which "
        "need no labels, are of all pixels."
    ]
