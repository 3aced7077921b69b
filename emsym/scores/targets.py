"""Targets: over which pixels the logit is added up that an attribution explains."""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Target = Literal["foreground", "true-foreground", "background", "all"]


def target_mask(target: Target, predicted: "Tensor", truth: "Tensor | None") -> "Tensor":
    """The pixels whose logit is explained, bool (N, H, W): T(x) = Σ of the logit over them.

    ``foreground`` is where the class is predicted on the unperturbed input, and stays fixed while
    x is perturbed or mirrored; ``true-foreground`` where the labels have it: the same pixels for
    every network, so that networks compare; ``background`` where it is not predicted; ``all``
    every pixel. Of several classes, the foreground is the class that is looked at.

    `predicted` and `truth` are bool (N, H, W). Raises `ValueError` where the truth is asked for
    and is None, and for an unknown target.
    """
    if target == "true-foreground":
        if truth is None:
            raise ValueError("there are no labels")
        return truth
    if target == "foreground":
        return predicted
    if target == "background":
        return ~predicted
    if target == "all":
        return predicted.new_ones(predicted.shape)
    raise ValueError(f"there is no target {target!r}")
