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
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emsym.errors import UserError
from emsym.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from emsym.scores.attribution.gradients import At
    from emsym.scores.dense_logits import DenseLogits

Attribution = Callable[["DenseLogits", "Tensor", "Tensor"], "Tensor"]

FORWARD_ONLY = ("patch-occlusion", "slice-occlusion")
"""The methods that take no gradient, so that they explain any function of stacks."""

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


Term = Callable[["Tensor", "Tensor", "At"], "Tensor"]


@dataclass(frozen=True)
class GradientMethod:
    """A method that adds up a term of x and ∂T/∂x at points around x.

    Methods of the same points share the network's passes.
    """

    points: str
    """A kind of `emsym.scores.attribution.gradients.POINTS`."""
    term: Term
    """(x (n, S, H, W), gradients (K, n, S, H, W), where they were taken) → (K, n, S, H, W)."""

    def __call__(self, dense: DenseLogits, x: Tensor, mask: Tensor) -> Tensor:
        """Return A(x), (N, S, H, W), for one mask, (N, H, W)."""
        from emsym.scores.attribution import gradients

        return gradients.attribute(dense, x, mask, self)


def _gradient_method(name: str, points: str) -> Callable[[Term], GradientMethod]:
    """Decorate the term of a gradient method, which registers it."""

    def register(term: Term) -> GradientMethod:
        method = GradientMethod(points, term)
        summary = (term.__doc__ or "").strip().split("\n")[0]
        ATTRIBUTIONS.add(name, method, summary=summary, depth=2)
        return method

    return register


@_gradient_method("saliency", points="itself")
def saliency(x: Tensor, gradient: Tensor, at: At) -> Tensor:
    """|∂T/∂x|. Simonyan, Vedaldi and Zisserman, arXiv 1312.6034."""
    return gradient.abs()


@_gradient_method("input-x-gradient", points="itself")
def input_x_gradient(x: Tensor, gradient: Tensor, at: At) -> Tensor:
    """x · ∂T/∂x. Shrikumar et al., arXiv 1605.01713."""
    return x * gradient


@_gradient_method("integrated-gradients", points="path")
def integrated_gradients(x: Tensor, gradient: Tensor, at: At) -> Tensor:
    """x · mean of ∂T/∂x from the training mean to x, 50 steps. Sundararajan et al., 1703.01365."""
    return x * (at.weight * gradient)


@_gradient_method("smoothgrad", points="noisy")
def smoothgrad(x: Tensor, gradient: Tensor, at: At) -> Tensor:
    """Mean |∂T/∂x| of 25 noisy copies of x. Smilkov et al., arXiv 1706.03825."""
    return gradient.abs() / at.count


@_gradient_method("gradient-shap", points="towards-grey")
def gradient_shap(x: Tensor, gradient: Tensor, at: At) -> Tensor:
    """Mean (x − grey) · ∂T/∂x at random points between, 25 greys. Lundberg and Lee, 1705.07874."""
    return (x - at.level) * gradient / at.count


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
