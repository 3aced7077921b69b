"""IoU, Dice and the adapted Rand error of a foreground mask."""

from typing import Literal, NamedTuple

import numpy as np
from skimage.measure import label
from skimage.metrics import adapted_rand_error

from emsym.data.labels import instances_2d, sequential_ids

Instances = Literal["foreground", "between"]


class Counts(NamedTuple):
    """True positive, false positive and false negative pixels; they add up over images."""

    tp: int
    fp: int
    fn: int

    @classmethod
    def of(cls, predicted: np.ndarray, truth: np.ndarray) -> "Counts":
        """From two bool masks of one shape."""
        both = int(np.count_nonzero(predicted & truth))
        return cls(both, int(predicted.sum()) - both, int(truth.sum()) - both)

    @property
    def dice(self) -> float | None:
        """2 TP / (2 TP + FP + FN) in 0..1; None where there is no foreground on either side."""
        total = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / total if total else None

    @property
    def iou(self) -> float | None:
        """TP / (TP + FP + FN) in 0..1; None where there is no foreground on either side."""
        total = self.tp + self.fp + self.fn
        return self.tp / total if total else None


def pooled(counts: list[Counts]) -> Counts:
    """The counts of all images together."""
    return Counts(*np.sum(counts, axis=0).tolist())


def components(foreground: np.ndarray, instances: Instances) -> np.ndarray:
    """Instances of a bool mask, 2D or 3D: face-connected components, 0 elsewhere.

    Of the foreground (mitochondria, fibres), or of what lies ``between`` it (neurites).
    """
    return label(foreground if instances == "foreground" else ~foreground, connectivity=1)


def arand(predicted: np.ndarray, truth: np.ndarray) -> float | None:
    """The adapted Rand error, 1 − F of the pair counts, in 0..1.

    None without true instances, and where no segment has two pixels to make a pair of.

    Both are integer labels of one shape. Pixels whose true label is 0 do not count; among the
    others a predicted 0 is one more segment. Arganda-Carreras et al. 2015,
    doi 10.3389/fnana.2015.00142; scikit-image's implementation.
    """
    if not truth.any():
        return None
    with np.errstate(invalid="ignore"):
        error = float(adapted_rand_error(truth, predicted, ignore_labels=(0,))[0])
    return None if np.isnan(error) else error


def arand_2d(predicted: np.ndarray, truth: np.ndarray) -> list[float | None]:
    """`arand` of each section of (Z, Y, X) labels, pieces of an instance counted apart."""
    pieces = zip(instances_2d(predicted), instances_2d(truth), strict=True)
    return [arand(ours, theirs) for ours, theirs in pieces]


def arand_3d(predicted: np.ndarray, truth: np.ndarray) -> float | None:
    """`arand` of (Z, Y, X) labels as one volume; ids are first made dense.

    scikit-image counts pairs in a table as large as the largest id.
    """
    return arand(predicted, sequential_ids(truth))
