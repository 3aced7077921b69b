"""Deriving labels from the ids of objects: the borders between them, and pieces to count."""

from collections.abc import Callable

import numpy as np


def boundaries(ids: np.ndarray, width: int = 1) -> np.ndarray:
    """Membranes between labelled objects: bool, of the shape of `ids`, (Y, X) or (Z, Y, X).

    A pixel belongs to a boundary when it belongs to no object, 0, or when a pixel of another id
    (0 too) is at most `width` steps up, down, left or right away, |Δy| + |Δx| ≤ `width`, in the
    same section. So a straight border is 2 · `width` pixels wide. With `width` 1 that is every 0
    and scikit-image's ``find_boundaries(section, connectivity=1, mode="thick")``. Raises
    `TypeError` for ids that are not integers.

    >>> boundaries(np.array([[5, 5, 5, 8, 8, 8]])).astype(int).tolist()
    [[0, 0, 1, 1, 0, 0]]
    """
    _require_integers(ids)
    borders = np.empty(ids.shape, bool)
    for section, border in zip(_sections(ids), _sections(borders), strict=True):
        border[:] = _neighbour_pairs(section, np.not_equal)
        for _ in range(width - 1):
            border |= _neighbour_pairs(border, np.logical_or)
        border |= section == 0
    return borders


def instances_2d(ids: np.ndarray) -> np.ndarray:
    """Return the pieces of objects in each section: int32, of the shape of `ids`.

    `ids` are (Y, X) or (Z, Y, X).

    A piece is a component of one id, connected by sides within its section: two profiles of one
    neurite are two pieces. Each section counts its own, 1 … n; 0 stays 0. Raises `TypeError` for
    ids that are not integers.
    """
    from skimage.measure import label

    _require_integers(ids)
    pieces = np.empty(ids.shape, np.int32)
    for section, piece in zip(_sections(ids), _sections(pieces), strict=True):
        piece[:] = label(section, connectivity=1)
    return pieces


def sequential_ids(ids: np.ndarray) -> np.ndarray:
    """Return the same objects with the ids 1 … n, without gaps and in the same order, as int32.

    0 stays 0.

    Raises `TypeError` for ids that are not integers.

    >>> sequential_ids(np.array([[7, 0], [2**64 - 1, 7]], np.uint64)).tolist()
    [[1, 0], [2, 1]]
    """
    from pandas import unique  # by hashing: far faster than sorting every pixel

    _require_integers(ids)
    known = np.sort(unique(ids.ravel()))
    known = known[known != 0]
    renamed = np.empty(ids.shape, np.int32)
    for row, section in enumerate(ids):
        renamed[row] = (np.searchsorted(known, section) + 1) * (section != 0)
    return renamed


def _neighbour_pairs(section: np.ndarray, compare: Callable[..., np.ndarray]) -> np.ndarray:
    """Return where a pixel and one of its four neighbours compare as true; the other one too."""
    differing = np.zeros(section.shape, bool)
    for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        pairs = compare(section[here], section[there])
        differing[here] |= pairs
        differing[there] |= pairs
    return differing


def _sections(array: np.ndarray) -> np.ndarray:
    return array if array.ndim == 3 else array[None]


def _require_integers(ids: np.ndarray) -> None:
    if ids.dtype.kind not in "ui":
        raise TypeError(f"ids are integers, not {ids.dtype}")
