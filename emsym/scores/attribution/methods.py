"""Attribution methods: how much each pixel of each slice matters for T(x), by name.

A method gets a network (`DenseLogits`), stacks x (N, S, H, W), float32, and their masks (N, H, W),
bool, and returns A(x), float32 (N, S, H, W), in the order of the slices. It explains
T(x) = Σ of the logit over the pixels of the mask, which is fixed: it does not follow the
prediction when x is perturbed. What stands for an absent pixel is the training mean, 0.

A method must tell slices apart. Grad-CAM and what derives from it do not, as they weigh maps of a
layer in which the slices are already mixed, so they are not here.

Listing the methods imports neither torch nor captum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from emsym.errors import UserError
from emsym.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from emsym.scores.dense_logits import DenseLogits

Attribution = Callable[["DenseLogits", "Tensor", "Tensor"], "Tensor"]

ATTRIBUTIONS: Registry[Attribution] = Registry("attribution", group="emsym.attributions")


def register_attribution(name: str) -> Callable[[Attribution], Attribution]:
    """Decorate a method (network, x (N, S, H, W), mask (N, H, W)) → A (N, S, H, W).

    Raises `UserError` when the name is taken.
    """
    if not isinstance(name, str):
        raise UserError('A method is registered by its name: @register_attribution("my-name").')

    def register(method: Attribution) -> Attribution:
        summary = (method.__doc__ or "").strip().split("\n")[0]
        ATTRIBUTIONS.add(name, method, summary=summary, depth=2)
        return method

    return register


def list_attributions(pattern: str = "*") -> list[str]:
    """The names of the attribution methods that match a shell pattern.

    >>> list_attributions("s*")
    ['saliency', 'slice-occlusion', 'smoothgrad']
    """
    return ATTRIBUTIONS.names(pattern)


@register_attribution("saliency")
def saliency(dense: DenseLogits, x: Tensor, mask: Tensor) -> Tensor:
    """|∂T/∂x|. Simonyan, Vedaldi and Zisserman, arXiv 1312.6034."""
    from emsym.scores.attribution import gradients

    return gradients.attribute(dense, x, mask, "saliency")


@register_attribution("input-x-gradient")
def input_x_gradient(dense: DenseLogits, x: Tensor, mask: Tensor) -> Tensor:
    """x · ∂T/∂x. Shrikumar et al., arXiv 1605.01713."""
    from emsym.scores.attribution import gradients

    return gradients.attribute(dense, x, mask, "input-x-gradient")


@register_attribution("integrated-gradients")
def integrated_gradients(dense: DenseLogits, x: Tensor, mask: Tensor) -> Tensor:
    """x · mean of ∂T/∂x from the training mean to x, 50 steps. Sundararajan et al., 1703.01365."""
    from emsym.scores.attribution import gradients

    return gradients.attribute(dense, x, mask, "integrated-gradients")


@register_attribution("smoothgrad")
def smoothgrad(dense: DenseLogits, x: Tensor, mask: Tensor) -> Tensor:
    """Mean |∂T/∂x| of 25 noisy copies of x. Smilkov et al., arXiv 1706.03825."""
    from emsym.scores.attribution import gradients

    return gradients.attribute(dense, x, mask, "smoothgrad")


@register_attribution("gradient-shap")
def gradient_shap(dense: DenseLogits, x: Tensor, mask: Tensor) -> Tensor:
    """Mean (x − grey) · ∂T/∂x at random points between, 25 greys. Lundberg and Lee, 1705.07874."""
    from emsym.scores.attribution import gradients

    return gradients.attribute(dense, x, mask, "gradient-shap")


@register_attribution("guided-backprop")
def guided_backprop(dense: DenseLogits, x: Tensor, mask: Tensor) -> Tensor:
    """∂T/∂x in which ReLUs pass no negative gradient. Springenberg et al., arXiv 1412.6806."""
    from emsym.scores.attribution import backward_rules

    return backward_rules.guided_backprop(dense, x, mask)


@register_attribution("deeplift")
def deeplift(dense: DenseLogits, x: Tensor, mask: Tensor) -> Tensor:
    """Contributions of the differences from the training mean. Shrikumar et al., 1704.02685."""
    from emsym.scores.attribution import backward_rules

    return backward_rules.deeplift(dense, x, mask)


@register_attribution("lrp")
def lrp(dense: DenseLogits, x: Tensor, mask: Tensor) -> Tensor:
    """Layer-wise relevance propagation, ε rule. Bach et al., doi 10.1371/journal.pone.0130140."""
    from emsym.scores.attribution import backward_rules

    return backward_rules.lrp(dense, x, mask)


@register_attribution("slice-occlusion")
def slice_occlusion(dense: DenseLogits, x: Tensor, mask: Tensor) -> Tensor:
    """The fall of T when a whole slice is the training mean. After Zeiler, Fergus, 1311.2901."""
    from emsym.scores.attribution import occlusion

    return occlusion.slice_occlusion(dense, x, mask)


@register_attribution("patch-occlusion")
def patch_occlusion(dense: DenseLogits, x: Tensor, mask: Tensor) -> Tensor:
    """The fall of T when a patch of one slice is the training mean. Zeiler, Fergus, 1311.2901."""
    from emsym.scores.attribution import occlusion

    return occlusion.patch_occlusion(dense, x, mask)
