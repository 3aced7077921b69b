"""Attributions: how much each pixel of each slice matters for the logit of a set of pixels.

A(x), (N, S, H, W), explains T(x) = Σ of the logit over the pixels of a mask. The mask is fixed:
it does not follow the prediction when x is perturbed or mirrored.
"""

import torch
from captum.attr import Saliency
from torch import Tensor

from emsym.protocol import Target
from emsym.scores.logits import DenseLogits, chunks


def target_mask(target: Target, predicted: Tensor, truth: Tensor) -> Tensor:
    """The pixels whose logit is explained, bool (N, H, W).

    ``foreground`` is what the network predicts on the unperturbed input, ``true-foreground`` what
    the labels say: the same pixels for every network, so that networks compare.
    """
    return predicted if target == "foreground" else truth


def saliency(dense: DenseLogits, x: Tensor, mask: Tensor) -> Tensor:
    """|∂T/∂x|, (N, S, H, W), of stacks x (N, S, H, W) and their masks (N, H, W).

    Simonyan, Vedaldi and Zisserman, arXiv 1312.6034; captum's `Saliency`.
    """

    def total(stacks: Tensor, pixels: Tensor) -> Tensor:
        return (dense(stacks) * pixels).sum((1, 2))

    method = Saliency(total)
    return torch.cat(
        [
            method.attribute(
                x[part].clone().requires_grad_(), additional_forward_args=(mask[part],)
            ).detach()
            for part in chunks(x)
        ]
    )
