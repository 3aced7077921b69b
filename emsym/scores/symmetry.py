"""Symmetry scores: does a network treat the slices on either side of the centre alike?

Everything here is per image: attributions A (N, S, H, W) come in and N values go out, NaN where
an attribution is zero everywhere (an empty mask) or not finite, so that a missing value is never a
number.
Slices are s = −k … +k, the centre is index k = S // 2, mirror(s) = −s.
"""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    pass


def slice_share(attribution: np.ndarray) -> np.ndarray:
    """share_s = Σ_hw |A_s| / Σ_s Σ_hw |A_s|: (N, S, H, W) → (N, S), rows that add up to 1.

    >>> slice_share(np.array([1.0, 2.0, 1.0]).reshape(1, 3, 1, 1)).tolist()
    [[0.25, 0.5, 0.25]]
    """
    mass = np.abs(attribution).sum((2, 3), dtype=np.float64)
    total = np.sort(mass, axis=1).sum(1, keepdims=True)  # the same bits for mirrored slices
    known = np.isfinite(total) & (total > 0)
    return np.divide(mass, total, out=np.full_like(mass, np.nan), where=known)


def imbalance(share: np.ndarray) -> np.ndarray:
    """S/(S−1) · ½ Σ_s |share_s − 1/S|: (N, S) → (N,) in 0..1, the paper's unequal importance.

    0 when all slices count alike, 1 when one counts alone. The centre may deserve more, so 0 is
    not the ideal. 0 by definition for S = 1.
    """
    slices = share.shape[1]
    if slices == 1:
        return share[:, 0] * 0
    return slices / (slices - 1) / 2 * np.abs(share - 1 / slices).sum(1)


def neighbour_asymmetry(share: np.ndarray) -> np.ndarray:
    """a = Σ_d (share_{+d} − share_{−d}) / Σ_d (share_{+d} + share_{−d}), d ≥ 1: (N, S) → (N,).

    In −1..1: −1 when only slices before the centre count, +1 when only those after it.
    NaN where no neighbour counts at all, and for S = 1.

    >>> neighbour_asymmetry(np.array([[0.3, 0.6, 0.1]])).round(3).tolist()
    [-0.5]
    """
    centre = share.shape[1] // 2
    # both from the outside in, so that mirrored shares add up to the very same bits
    before, after = share[:, :centre].sum(1), share[:, : -centre - 1 : -1].sum(1)
    total = before + after
    return np.divide(after - before, total, out=np.full_like(total, np.nan), where=total > 0)


def mirror_distance(attribution: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Σ | |A(x)| − mirror |A(mirror x)| | / Σ (|A(x)| + |A(mirror x)|): two (N, S, H, W) → (N,).

    In 0..1: 0 where reversing the stack only reverses what explains the answer, as for every
    mirror-symmetric network. Pixel by pixel, so that it also tells two maps apart whose slices have
    the same shares. NaN where both are zero everywhere.
    """
    there, back = np.abs(attribution), np.abs(mirrored[:, ::-1])
    apart = np.abs(there - back).sum((1, 2, 3), dtype=np.float64)
    total = (there + back).sum((1, 2, 3), dtype=np.float64)
    known = np.isfinite(total) & (total > 0)
    return np.divide(apart, total, out=np.full_like(total, np.nan), where=known)


@dataclass(frozen=True)
class Symmetry:
    """The scores of N images from one attribution method and target."""

    share: np.ndarray
    """(N, S)."""
    imbalance: np.ndarray
    """(N,) in 0..1."""
    neighbour_asymmetry: np.ndarray
    """a(x), (N,) in −1..1."""
    model_asymmetry: np.ndarray
    """½ (a(x) + a(mirror x)), (N,) in −1..1: the network's own bias, whatever the image holds.

    For a mirror-symmetric network a(mirror x) = −a(x), so it is exactly 0.
    """
    data_asymmetry: np.ndarray
    """½ (a(x) − a(mirror x)), (N,) in −1..1: the rest, which the image brings."""

    def columns(self) -> dict[str, np.ndarray]:
        """Each score by its name, (N,); the shares slice by slice, as ``slice_share[-1]``."""
        scores = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "share"}
        return {**by_slice("slice_share", self.share), **scores}


def symmetry(attribution: np.ndarray, mirrored: np.ndarray) -> Symmetry:
    """The scores from A(x) and A(mirror x), each (N, S, H, W) in the order of its own input."""
    share = slice_share(attribution)
    there = neighbour_asymmetry(share)
    back = neighbour_asymmetry(slice_share(mirrored))
    return Symmetry(share, imbalance(share), there, (there + back) / 2, (there - back) / 2)


def by_slice(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """(N, S) → a column (N,) for each slice, named by its distance from the centre.

    >>> list(by_slice("slice_share", np.ones((1, 3))))
    ['slice_share[-1]', 'slice_share[+0]', 'slice_share[+1]']
    """
    centre = values.shape[1] // 2
    return {f"{name}[{index - centre:+d}]": column for index, column in enumerate(values.T)}


def flip_error_map(probability: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """|p(x) − p(mirror x)| of every pixel: two arrays in 0..1 → one of the same shape in 0..1."""
    apart: np.ndarray = np.abs(probability - mirrored)
    return apart


def flip_error(probability: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Mean over pixels of |p(x) − p(mirror x)|: two (N, H, W) in 0..1 → (N,) in 0..1."""
    return flip_error_map(probability, mirrored).mean((1, 2), dtype=np.float64)


def flip_dice(predicted: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Dice of the masks predicted from x and mirror x: two bool (N, H, W) → (N,) in 0..1.

    1 where reversing the stack changes no pixel. NaN where both are empty.
    """
    both = (predicted & mirrored).sum((1, 2), dtype=np.float64)
    total = predicted.sum((1, 2), dtype=np.float64) + mirrored.sum((1, 2))
    return np.divide(2 * both, total, out=np.full_like(total, np.nan), where=total > 0)
