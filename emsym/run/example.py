"""The example of a cell that a reader may look at: one test section, and its network's view."""

from pathlib import Path
from typing import Any

import numpy as np

from emsym.data.stacks import Split, SplitSubset
from emsym.files import atomic_replacement
from emsym.images import middle
from emsym.protocol import Scoring
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.measure import measure

SIZE = 96
"""Height and width, in pixels, of the middle part that is kept, at most."""


def example(dense: DenseLogits, test: Split, scoring: Scoring) -> dict[str, np.ndarray]:
    """Return the middle part of the middle test section, h × w pixels, as uint8 throughout.

    ``image`` (S, h, w), the stack from its darkest to its brightest pixel; ``truth`` (h, w), 0 or
    1; ``probability`` (h, w), 255 for 1; ``attribution`` (S, h, w), |A| of the headline's method
    and target, 255 for the largest of all slices; and ``section``, () int32, where in the volume.
    """
    index = len(test) // 2
    targets = scoring.targets
    target = "true-foreground" if "true-foreground" in targets else targets[0]
    some = SplitSubset(test, [index])
    measured = next(measure(dense, some, [target], scoring.attributions[:1], scoring.thresholds[0]))
    assert measured.truth is not None
    attribution = measured.maps[scoring.maps[0], target][0]
    kept = {
        "image": _bytes(middle(measured.x[0].numpy(force=True), SIZE)),
        "truth": middle(measured.truth[0].numpy(force=True), SIZE).astype(np.uint8),
        "probability": np.rint(middle(measured.probability[0], SIZE) * 255).astype(np.uint8),
        "attribution": _bytes(np.abs(middle(attribution.numpy(force=True), SIZE)), low=0.0),
    }
    return {**kept, "section": np.array(test.sections[index], np.int32)}


def save_example(
    path: Path, dense: DenseLogits, test: Split, scoring: Scoring, may_be_shown: bool
) -> None:
    """Write `example` to an .npz file, and whether the data's card lets it be shown in public.

    Raises `UserError` where it cannot be written.
    """
    arrays: dict[str, Any] = example(dense, test, scoring)
    arrays["may_be_shown"] = np.array(may_be_shown, np.uint8)
    with atomic_replacement(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _bytes(array: np.ndarray, low: float | None = None) -> np.ndarray:
    """Numbers as uint8, from `low`, or the least of them, to the largest; 0 where all are alike."""
    least = float(array.min()) if low is None else low
    span = float(array.max()) - least
    scaled = (array - least) / span if span > 0 else np.zeros_like(array)
    return np.rint(scaled * 255).astype(np.uint8)
