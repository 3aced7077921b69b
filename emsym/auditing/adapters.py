"""Adapters: a network whose input or output is another than an audit wants, as one that fits.

Each module wraps a network (N, S, H, W) → whatever it gives.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from emsym.errors import UserError, first_names

QUERIES = (
    ("class_queries_logits", "masks_queries_logits"),
    ("pred_logits", "pred_masks"),
    ("logits", "pred_masks"),
)
"""The outputs of networks that give the classes of queries, and their masks, by the names that
Transformers has for those after MaskFormer, their authors, and Transformers for DETR."""
_LEAST = 1e-6
"""Probabilities are taken for at least that far from 0 and 1, where the logit is infinite."""


class PickedOutput(nn.Module):
    """A network of which one output is taken, as one map per class, (N, C, H, W).

    A network that gives one tensor is left as it is, but for maps without an axis of classes. Of
    several outputs the one called `key` is taken, a name or a number; without a key the only one
    that has four axes. A smaller map is brought to the size of the stack where `upsample` says so.
    """

    def __init__(self, model: nn.Module, key: str | None, upsample: bool) -> None:
        """Take the output `key` of `model`; None for the only one."""
        super().__init__()
        self.model, self.key, self.upsample = model, key, upsample
        self.taken = ""
        """The name of the output that is taken of several, once the network was asked."""
        self.joined = False
        """Whether maps were made of queries, once the network was asked."""
        self.enlarged = ""
        """The maps that were brought to another size, once the network was asked."""
        self.is_needed = upsample or key is not None
        """Whether the network's own answer is another, once it was asked."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the output that is taken; raises `UserError` where it cannot be told which."""
        maps = self._taken(self.model(x), x.shape[2:])
        if maps.ndim == 3 and maps.shape == (len(x), *x.shape[2:]):
            maps, self.is_needed = maps[:, None], True
        if self.upsample and maps.ndim == 4 and maps.shape[2:] != x.shape[2:]:
            self.enlarged = f"Maps of {maps.shape[2]} × {maps.shape[3]} pixels"
            maps = nn.functional.interpolate(
                maps.float(), x.shape[2:], mode="bilinear", align_corners=False
            )
        elif maps.ndim == 4 and maps.shape[2] < x.shape[2] and maps.shape[3] < x.shape[3]:
            raise UserError(
                f"The network gives maps of {maps.shape[2]} × {maps.shape[3]} pixels for "
                f"sections of {x.shape[2]} × {x.shape[3]}: say --upsample where they show the "
                "whole section at a lower resolution."
            )
        return maps

    def _taken(self, answer: object, size: torch.Size) -> Tensor:
        if isinstance(answer, Tensor):
            if self.key is not None:
                raise UserError("The network gives one output: leave --output-key out.")
            return answer
        self.is_needed = True
        outputs = dict(_named_tensors(answer))
        if self.key is None and (queries := _queries(outputs)):
            self.joined = True
            classes, masks = queries
            if self.upsample:
                masks = nn.functional.interpolate(
                    masks.float(), size, mode="bilinear", align_corners=False
                )
            return maps_of_queries(classes, masks)
        if self.key is not None:
            if self.key not in outputs:
                raise UserError(
                    f"The network has no output '{self.key}': it gives {first_names(outputs)}."
                )
            self.taken = self.key
            return outputs[self.key]
        maps = [name for name, output in outputs.items() if output.ndim == 4]
        if len(maps) != 1:
            several = f"several maps, {first_names(maps)}" if maps else "no map of classes"
            raise UserError(
                f"The network gives a {type(answer).__name__} of {several}: say with --output-key "
                "which one holds the logits."
            )
        self.taken = maps[0]
        return outputs[maps[0]]


def _queries(outputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor] | None:
    """Return the classes (N, Q, C + 1) and the masks (N, Q, H, W) of queries, where there are."""
    for names in QUERIES:
        if {*names} <= outputs.keys():
            classes, masks = (outputs[name] for name in names)
            if classes.ndim == 3 and masks.ndim == 4 and classes.shape[:2] == masks.shape[:2]:
                return classes, masks
    return None


def maps_of_queries(classes: Tensor, masks: Tensor) -> Tensor:
    """Return logits (N, C, H, W) of a network that gives masks of queries, and their classes.

    `classes` are logits (N, Q, C + 1), the last of them of no object, and `masks` logits
    (N, Q, H, W). The score of a class is the sum over queries of its probability times that of the
    mask, as Transformers' `post_process_semantic_segmentation` has it; its logarithm is returned,
    or of one class its logit, so that the class with the highest score is the one with the highest
    probability.
    """
    scores = torch.einsum("nqc,nqhw->nchw", classes.softmax(-1)[..., :-1], masks.sigmoid())
    if scores.shape[1] == 1:
        return scores.clamp(_LEAST, 1 - _LEAST).logit()
    return scores.clamp(min=_LEAST).log()


def _named_tensors(answer: object) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a dictionary, list or tuple with their keys or numbers."""
    pairs: Any = ()
    if isinstance(answer, Mapping):
        pairs = answer.items()
    elif isinstance(answer, Sequence) and not isinstance(answer, str):
        pairs = enumerate(answer)
    for name, value in pairs:
        if isinstance(value, Tensor):
            yield str(name), value


class DescendingSlices(nn.Module):
    """A network whose first channel is the last slice, shown stacks in the order of the slices."""

    def __init__(self, model: nn.Module) -> None:
        """Reverse what `model` is shown."""
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Any:
        """Return the network's answer to the reversed stacks."""
        return self.model(x.flip(1))


class OneChannel(nn.Module):
    """A network of which one channel is looked at, as if there were no others."""

    def __init__(self, model: nn.Module, channel: int) -> None:
        """Take the channel of that number, counted from 0."""
        super().__init__()
        self.model, self.channel = model, channel

    def forward(self, x: Tensor) -> Tensor:
        """(N, S, H, W) → (N, 1, H, W)."""
        return self.model(x)[:, self.channel : self.channel + 1]


class FromProbabilities(nn.Module):
    """A network that gives probabilities as one that gives logits.

    Of one class their logit; of several their logarithm, whose softmax they are. Where a
    probability has been rounded to 0 or 1 its gradient is lost, so the logits themselves tell more.
    """

    def __init__(self, model: nn.Module) -> None:
        """`model` is (N, S, H, W) → (N, C, H, W) in 0..1."""
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Any:
        """(N, S, H, W) → (N, C, H, W)."""
        probability = self.model(x)
        if not isinstance(probability, Tensor):
            return probability
        inside = probability.clamp(_LEAST, 1 - _LEAST)
        alone = probability.ndim == 4 and probability.shape[1] == 1
        return inside.logit() if alone else inside.log()


def in_unit_interval(answer: Tensor) -> bool:
    """Return whether all values are in 0..1 and differ, as those of probabilities do."""
    low, high = float(answer.min()), float(answer.max())
    return 0 <= low < high <= 1


def adds_up_to_1(answer: Tensor) -> bool:
    """Return whether the channels of each pixel of (N, C, H, W) add up to 1, as a softmax's do."""
    return bool((answer.sum(1) - 1).abs().max() < 1e-3)


def look_scaled(answer: Tensor) -> bool:
    """Return whether values look like probabilities times 255: none negative, up to 50 and more."""
    return (
        float(answer.min()) >= 0
        and 50 < float(answer.max()) <= 255
        and bool(torch.isfinite(answer).all())
    )
