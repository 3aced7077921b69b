"""All symmetry scores of a network, a group of sections at a time, with the passes they share.

One pass through x, forward and back, gives the prediction, the mask that it explains, saliency and
input × gradient; one through mirror x gives the same of it and the flip error. Other attributions
take passes of their own. Nothing is kept but what the caller keeps, so memory does not grow with
the number of sections.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from emsym.errors import UserError
from emsym.protocol import SHAPLEY
from emsym.scores.attribution import gradients
from emsym.scores.attribution.methods import ATTRIBUTIONS, GradientMethod
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.shapley import Arrangement, Predictions, slice_shapley
from emsym.scores.symmetry import by_slice, flip_dice, flip_error, mirror_distance, symmetry
from emsym.scores.targets import Target, target_mask


class Stacks(Protocol):
    """Where sections come from, a few at a time."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> tuple[Tensor, Tensor | None]:
        """Stacks x, float32 (n, S, H, W), and their labels, (n, H, W) bool or 0 and 1, or None."""


@runtime_checkable
class PartlyLabelled(Protocol):
    """Stacks some of whose pixels have no label."""

    def labelled(self, part: slice, /) -> Tensor | None:
        """The pixels that count, (n, H, W) bool; None where all do."""


@dataclass(frozen=True)
class Measurement:
    """The network's answers for a group of n sections, and their scores."""

    part: slice
    """Which of the stacks they are."""
    x: Tensor
    """(n, S, H, W), normalised."""
    truth: Tensor | None
    """(n, H, W) bool."""
    labelled: Tensor | None
    """(n, H, W) bool: where the truth is known; None where it is everywhere."""
    probability: np.ndarray
    """(n, H, W) in 0..1."""
    mirrored: np.ndarray
    """(n, H, W) in 0..1, of the reversed stacks."""
    predicted: np.ndarray
    """(n, H, W) bool, at the threshold."""
    mirror_predicted: np.ndarray
    """(n, H, W) bool, of the reversed stacks."""
    average_predicted: np.ndarray
    """(n, H, W) bool, of the mean of both probabilities."""
    masks: dict[Target, Tensor]
    """(n, H, W) bool."""
    maps: dict[tuple[str, Target], Tensor]
    """A(x), (n, S, H, W), by attribution and target."""
    columns: dict[str, np.ndarray]
    """(n,) each, NaN where missing; those of attributions are called attribution/target/score."""
    slice_values: dict[Target, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    """The exact Shapley values of the slices of x and of mirror x, each (n, S) in the order of its
    own stack, by target; empty where they were not asked for."""
    predictions: dict[Arrangement, np.ndarray] = field(default_factory=dict)
    """(n, H, W) bool, of stacks in which slices are missing: what Shapley values asked for."""


def measure(
    dense: DenseLogits,
    stacks: Stacks,
    targets: Sequence[Target],
    attributions: Sequence[str],
    threshold: float = 0.5,
    which: slice = slice(None),
) -> Iterator[Measurement]:
    """Measure a network on all stacks, group by group, each as large as one pass may be.

    Or on those of `which` alone, a part of them without a step.

    `attributions` are registered names, and ``slice-shapley``. The threshold, of the probability,
    decides what is predicted where the network gives one logit per pixel.

    Raises `ArithmeticError` where the network's output is not finite, and `UserError` for unknown
    names, an output that is not one logit per pixel and class, and a section that does not fit in
    memory.
    """
    for name in attributions:
        if name != SHAPLEY:
            ATTRIBUTIONS.get(name)
    empty: dict[torch.Size, Tensor] = {}
    start, stop, _ = which.indices(len(stacks))
    while start < stop:
        height, width = stacks[start : start + 1][0].shape[-2:]
        part = slice(start, min(stop, start + dense.at_once(height * width)))
        # stacks of an audit may have pixels without a label, which are no part of any target
        labelled = stacks.labelled(part) if isinstance(stacks, PartlyLabelled) else None
        group = (part, *stacks[part], labelled)
        yield _measure(dense, *group, targets, attributions, threshold, empty)
        start = part.stop


def _measure(
    dense: DenseLogits,
    part: slice,
    x: Tensor,
    truth: Tensor | None,
    labelled: Tensor | None,
    targets: Sequence[Target],
    attributions: Sequence[str],
    threshold: float,
    empty: dict[torch.Size, Tensor],
) -> Measurement:
    """`empty` keeps the logits (1, H, W) of a stack without any slice, by its (H, W)."""
    methods = [name for name in attributions if name != SHAPLEY]
    x = x.to(dense.device)
    truth = None if truth is None else truth.to(dense.device).bool()
    labelled = None if labelled is None else labelled.to(dense.device)
    back = dense.mirrored()

    def masks_of(outputs: Tensor, of: slice) -> Tensor:
        predicted = dense.predicted(outputs, threshold)
        labels = None if truth is None else truth[of]
        chosen = torch.stack([target_mask(target, predicted, labels) for target in targets])
        return chosen if labelled is None else chosen & labelled[of]

    outputs, at_x = _first(dense, x, masks_of)
    masks = masks_of(outputs, slice(None))
    mirrored, at_mirror = _first(back, x, lambda _, of: masks[:, of])
    if not (outputs.isfinite().all() and mirrored.isfinite().all()):
        raise ArithmeticError("the network's output is not finite")
    here = _attribute(dense, x, masks, methods, at_x)
    there = _attribute(back, x, masks, methods, at_mirror)

    answers = (outputs, mirrored)
    probability, reverse = (dense.probability(each).numpy(force=True) for each in answers)
    predicted, other = (dense.predicted(each, threshold).numpy(force=True) for each in answers)
    average = dense.predicted_from_average(*answers, threshold).numpy(force=True)
    columns = {
        "flip_error": flip_error(probability, reverse),
        "flip_dice": flip_dice(predicted, other),
    }
    predictions = Predictions(probability.shape, threshold)
    if SHAPLEY in attributions:
        logits, reverse_logits = (each[:, dense.channel] for each in answers)
        if (size := x.shape[-2:]) not in empty:
            with torch.no_grad():
                empty[size] = dense(torch.zeros_like(x[:1]))
        brought = slice_shapley(dense, x, masks, logits, reverse_logits, predictions, empty[size])
    slice_values = {}
    for k, target in enumerate(targets):
        columns[f"{target}/pixels"] = masks[k].sum((1, 2)).double().numpy(force=True)
        for name in methods:
            one = here[name][k].numpy(force=True)
            # of the network that sees x reversed: its last slice is the first of mirror x
            two = there[name][k].numpy(force=True)[:, ::-1]
            scores = symmetry(one, two).columns() | {"mirror_distance": mirror_distance(one, two)}
            columns |= {f"{name}/{target}/{score}": found for score, found in scores.items()}
        if SHAPLEY in attributions:
            one, two = (value[k] for value in brought)
            slice_values[target] = one, two
            found = symmetry(one[:, :, None, None], two[:, :, None, None])
            scores = by_slice("slice_shapley", one) | found.columns()
            columns |= {f"{SHAPLEY}/{target}/{score}": values for score, values in scores.items()}
    return Measurement(
        part,
        x,
        truth,
        labelled,
        probability,
        reverse,
        predicted,
        other,
        average,
        dict(zip(targets, masks, strict=True)),
        {(name, target): here[name][k] for name in methods for k, target in enumerate(targets)},
        columns,
        slice_values,
        predictions.by_arrangement,
    )


def _first(
    dense: DenseLogits, x: Tensor, masks_of: Callable[[Tensor, slice], Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the logits of x, (n, C, H, W), and ∂T/∂x for each target, (K, n, S, H, W).

    A network that is not differentiable has no ∂T/∂x: then K is 0.
    """

    def run(part: slice) -> tuple[Tensor, Tensor]:
        if dense.differentiable:
            return gradients.gradients(dense, x[part], lambda outputs: masks_of(outputs, part))
        with torch.no_grad():
            return dense.outputs(x[part]), x.new_empty(0, *x[part].shape)

    chunks = [made for _, made in dense.in_chunks(run, len(x), x.shape[-1] * x.shape[-2])]
    return torch.cat([o for o, _ in chunks]), torch.cat([g for _, g in chunks], 1)


def _attribute(
    dense: DenseLogits, x: Tensor, masks: Tensor, names: list[str], at_x: Tensor
) -> dict[str, Tensor]:
    """A(x), (K, n, S, H, W), by method; those that add up gradients share their passes."""
    methods = {name: ATTRIBUTIONS.get(name) for name in names}
    shared = {n: method for n, method in methods.items() if isinstance(method, GradientMethod)}
    made = gradients.attribute_all(dense, x, masks, shared, at_x)
    for name, method in methods.items():
        if name not in shared:
            made[name] = torch.stack([method(dense, x, mask) for mask in masks])
            if made[name].shape[1:] != x.shape:
                raise UserError(
                    f"The attribution '{name}' gives {tuple(made[name].shape[1:])} for stacks of "
                    f"{tuple(x.shape)}: it must give one value for each pixel of each slice."
                )
    return made
