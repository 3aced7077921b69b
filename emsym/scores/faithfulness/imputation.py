"""ROAD's noisy linear imputation, for pixels of single slices."""

import numpy as np
from scipy.ndimage import correlate1d, distance_transform_edt
from scipy.sparse.linalg import LinearOperator, cg

TOLERANCE = 1e-4
"""The relative residual that is left: well below the noise that is added."""


def impute(arr: np.ndarray, indices: np.ndarray, noise: float = 0.01, **_: object) -> np.ndarray:
    """x (S, H, W) with some pixels (flat `indices`) filled in from their neighbours, and noise.

    A missing pixel is the weighted mean of its eight neighbours in its slice, 1/6 beside and 1/12
    across, the missing ones among them: a linear system per slice. Rong et al., arXiv 2202.00449.
    Quantus' `noisy_linear_imputation` solves it by factorising, in 6 s and 0.9 GB for 512²,
    and knows only pixels that are missing from all slices at once. A slice of which nothing is
    left becomes the training mean, 0.
    """
    missing = np.isin(np.arange(arr.size), indices).reshape(arr.shape)
    filled = np.stack([_fill(each, gone) for each, gone in zip(arr, missing, strict=True)])
    filled[missing] += noise * np.random.randn(len(indices))  # noqa: NPY002 - as Quantus does
    return filled


def _fill(image: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """One slice (H, W)."""
    image = image.astype(np.float64)
    if missing.all():
        return np.zeros_like(image)
    if not missing.any():
        return image
    weight = _neighbours(np.ones_like(image))[missing]

    def scatter(values: np.ndarray) -> np.ndarray:
        made = np.zeros_like(image)
        made[missing] = values
        return made

    def system(values: np.ndarray) -> np.ndarray:
        return weight * values - _neighbours(scatter(values))[missing]

    nearest = distance_transform_edt(missing, return_distances=False, return_indices=True)
    solution, _ = cg(
        LinearOperator((len(weight),) * 2, matvec=system),
        _neighbours(np.where(missing, 0, image))[missing],
        x0=image[tuple(nearest)][missing],
        rtol=TOLERANCE,
    )
    return np.where(missing, scatter(solution), image)


def _neighbours(image: np.ndarray) -> np.ndarray:
    """Σ of the neighbours' values, 1/6 beside and 1/12 across; 0 beyond the edge."""
    around = image
    for axis in (0, 1):
        around = correlate1d(around, [1.0, 2.0, 1.0], axis, mode="constant")
    return (around - 4 * image) / 12
