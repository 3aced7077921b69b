"""Attributions by what T loses where a part of the stack is replaced by the training mean, 0.

No gradient is taken: a whole slice or one patch of one slice at a time, after Zeiler and Fergus
2014, arXiv 1311.2901.
"""

from itertools import product

import torch
from torch import Tensor

from emsym.scores.dense_logits import DenseLogits
from emsym.scores.shapley import totals

PATCH = 16
"""Side of a patch, in pixels; those at the lower and right border are cut off there."""


def slice_occlusion(dense: DenseLogits, x: Tensor, mask: Tensor) -> Tensor:
    """T(x) − T(x without slice s), spread evenly over the slice: float32 (N, S, H, W).

    All pixels of a slice have the same value, and add up to what T loses. S + 1 passes.
    """
    slices = x.shape[1]
    whole = tuple(range(slices))
    without = [tuple(-1 if s == gone else s for s in whole) for gone in whole]
    coalition_totals = totals(dense, x, mask[None], [whole, *without])
    falls = [
        torch.from_numpy(coalition_totals[whole][0] - coalition_totals[each][0]) for each in without
    ]
    even = torch.stack(falls, 1) / (x.shape[-1] * x.shape[-2])
    return even.to(x)[:, :, None, None].expand_as(x).clone()


def patch_occlusion(dense: DenseLogits, x: Tensor, mask: Tensor) -> Tensor:
    """T(x) − T(x without a patch of one slice), at each pixel of the patch: (N, S, H, W).

    The patches of a slice, `PATCH`² pixels, lie side by side. The same numbers as captum's
    `Occlusion` with such windows. S · ⌈H / PATCH⌉ · ⌈W / PATCH⌉ + 1 passes, in chunks.
    """
    height, width = x.shape[-2:]
    patches = [
        (s, slice(top, top + PATCH), slice(left, left + PATCH))
        for s, top, left in product(
            range(x.shape[1]), range(0, height, PATCH), range(0, width, PATCH)
        )
    ]
    rows = list(product(range(len(x)), [None, *patches]))  # of each image, first the whole

    def run(part: slice) -> Tensor:
        images = [image for image, _ in rows[part]]
        stacks = x[images]
        for stack, (_, patch) in zip(stacks, rows[part], strict=True):
            if patch is not None:
                stack[patch] = 0
        with torch.no_grad():
            return (dense(stacks).double() * mask[images]).sum((1, 2))

    row_totals = [total for _, total in dense.in_chunks(run, len(rows), height * width)]
    total = torch.cat(row_totals).view(len(x), -1)
    made = torch.empty_like(x)
    for number, patch in enumerate(patches, 1):
        made[:, *patch] = (total[:, 0] - total[:, number]).to(x)[:, None, None]
    return made
