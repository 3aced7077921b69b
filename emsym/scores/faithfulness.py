"""Faithfulness: do the pixels that an attribution names matter to the network? By Quantus."""

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emsym.scores.logits import DenseLogits, chunks


class MaskedLogit(nn.Module):
    """The dense network as Quantus wants one: (N, S, H, W) → T, (N, 1), over fixed masks.

    Quantus perturbs a whole batch and keeps its order, so that the masks stay with their images.
    """

    def __init__(self, dense: DenseLogits, mask: Tensor) -> None:
        """`mask` is bool (N, H, W)."""
        super().__init__()
        self.dense = dense
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        """See the class. Raises `ValueError` for a batch other than the masks'."""
        if len(x) != len(self.mask):
            raise ValueError(f"{len(x)} images for {len(self.mask)} masks")
        return (self.dense(x) * self.mask).sum((1, 2))[:, None]


def group_size(height: int, width: int, steps: int) -> int:
    """Pixels per perturbation: H·W over its largest divisor up to `steps`, as Quantus demands.

    >>> group_size(128, 128, 16)
    1024
    """
    pixels = height * width
    return pixels // max(n for n in range(1, steps + 1) if pixels % n == 0)


def faithfulness_estimate(
    dense: DenseLogits, x: Tensor, mask: Tensor, attribution: Tensor, steps: int
) -> np.ndarray:
    """Pearson's r between what pixels are said to matter and do matter, (N,) in −1..1.

    The pixels of all slices are ranked by attribution and cut into groups; each group alone is
    replaced by the training mean (0), and its summed attribution is correlated with the fall of
    T. Alvarez-Melis and Jaakkola, arXiv 1806.07538; Quantus' `FaithfulnessEstimate`. NaN where
    the mask is empty, T or the attribution is the same for all groups, or there is but one group.
    """
    import quantus

    size = group_size(x.shape[-2], x.shape[-1], steps)
    scores = np.full(len(x), np.nan)
    flat = attribution.flatten(1)
    # quantus asserts that attributions differ and are not all negative; groups are of one size,
    # so that a shift of all pixels does not change the correlation
    least = flat.amin(1)
    scorable = mask.flatten(1).any(1) & (flat.amax(1) > least)
    if x[0].numel() // size < 2:
        return scores
    shifted = attribution - least[:, None, None, None]
    chosen = scorable.nonzero()[:, 0]
    baseline: Any = 0.0  # quantus takes numbers as well as the names that its signature says
    metric = quantus.FaithfulnessEstimate(
        features_in_step=size,
        perturb_baseline=baseline,
        abs=False,
        normalise=False,
        disable_warnings=True,
    )
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # scipy's on a constant input, which is answered by NaN
        for chunk in chunks(x[chosen]):
            part = chosen[chunk]
            scores[part.numpy()] = metric(
                model=MaskedLogit(dense, mask[part]).eval(),
                x_batch=x[part].numpy(),
                y_batch=np.zeros(len(part), dtype=int),
                a_batch=shifted[part].numpy(),
                channel_first=True,
                softmax=False,
                device="cpu",
                batch_size=len(part),
            )
    return scores
