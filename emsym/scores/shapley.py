"""Exact Shapley values of slices: what each brings to T, on average over all orders of arrival.

An absent slice is replaced by the training mean, 0. All 2^S coalitions are evaluated, each input
once: those that a stack and its mirror image have in common, and those that were seen before. The
answer to a stack without any slice is the same for all of one size.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from math import comb

import numpy as np
import torch
from torch import Tensor

from emsym.protocol import SHAPLEY_SLICES
from emsym.scores.dense_logits import ROUNDING, DenseLogits

Arrangement = tuple[int, ...]
"""Which slice of x stands at each place of a stack, −1 for none."""


class Predictions:
    """The foreground that is predicted from stacks made of the slices of a group of n stacks."""

    def __init__(self, shape: tuple[int, int, int], threshold: float) -> None:
        """`shape` is (n, H, W), `threshold` one of the probability; nothing is there yet."""
        self.threshold = threshold
        self._shape = shape
        self.by_arrangement: dict[Arrangement, np.ndarray] = {}
        """Bool (n, H, W) each."""

    def expect(self, arrangements: Sequence[Arrangement]) -> None:
        """Make room for what is predicted from these, which several threads then add."""
        self.by_arrangement |= {each: np.zeros(self._shape, bool) for each in arrangements}

    def add(self, rows: Sequence[tuple[int, Arrangement]], predicted: Tensor) -> None:
        """Add what is predicted, bool (rows, H, W), of stacks by their numbers."""
        for (n, arrangement), one in zip(rows, predicted.numpy(force=True), strict=True):
            self.by_arrangement[arrangement][n] = one


def totals(
    dense: DenseLogits,
    x: Tensor,
    masks: Tensor,
    arrangements: Sequence[Arrangement],
    known: Mapping[Arrangement, Tensor] | None = None,
    predictions: Predictions | None = None,
) -> dict[Arrangement, np.ndarray]:
    """T, (K, N) float64, of stacks made of the slices of x (N, S, H, W), for masks (K, N, H, W).

    `known` has the logits (N, H, W) of arrangements that were evaluated already. `predictions` are
    given what is predicted from those that are evaluated now, but for stacks without a slice.
    """
    empty = (-1,) * x.shape[1]
    logits = dict(known or {})
    made = {each: _add_up(value, masks) for each, value in logits.items() if each in arrangements}
    missing = [each for each in dict.fromkeys(arrangements) if each not in made]
    with torch.no_grad():
        if empty in missing:  # the same for every stack
            missing.remove(empty)
            made[empty] = _add_up(dense(torch.zeros_like(x[:1])).expand(len(x), -1, -1), masks)
        padded = torch.cat([x, torch.zeros_like(x[:, :1])], 1)  # slice −1 is the absent one
        rows = list(product(range(len(x)), missing))

        def run(part: slice) -> Tensor:
            with torch.no_grad():
                outputs = dense.outputs(torch.stack([padded[n, list(e)] for n, e in rows[part]]))
                if predictions is not None:
                    predictions.add(rows[part], dense.predicted(outputs, predictions.threshold))
                chosen = masks[:, [n for n, _ in rows[part]]]
                return (outputs[:, dense.channel].double() * chosen).sum((2, 3))

        if predictions is not None:
            predictions.expect(missing)
        for each in missing:
            made[each] = np.empty(masks.shape[:2])
        for part, totals_of_part in dense.in_chunks(run, len(rows), x.shape[-1] * x.shape[-2]):
            for (n, each), values in zip(rows[part], totals_of_part.cpu().numpy().T, strict=True):
                made[each][:, n] = values
    return {each: made[each] for each in arrangements}


def slice_shapley(
    dense: DenseLogits,
    x: Tensor,
    masks: Tensor,
    logits: Tensor | None = None,
    mirrored: Tensor | None = None,
    predictions: Predictions | None = None,
    empty: Tensor | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Shapley values of the slices of x and of mirror x, two (K, N, S), for masks (K, N, H, W).

    Each in the order of its own stack. They add up to T(x) − T(0). NaN where T is the same for all
    coalitions, up to the rounding of float32, as it is for an empty mask. `logits` and `mirrored`
    are those of x and mirror x, (N, H, W), and `empty` those of a stack without any slice,
    (1, H, W), where they are known; `predictions` are as `totals` has them. Shapley 1953; no
    sampling.
    Raises `ValueError` for more than `SHAPLEY_SLICES` slices.
    """
    slices = x.shape[1]
    if slices > SHAPLEY_SLICES:
        raise ValueError(
            f"{2**slices} coalitions of {slices} slices: at most {SHAPLEY_SLICES} slices"
        )
    coalitions = list(product((False, True), repeat=slices))
    there, back = tuple(range(slices)), tuple(reversed(range(slices)))
    orders = [
        {
            kept: tuple(s if k else -1 for s, k in zip(order, kept, strict=True))
            for kept in coalitions
        }
        for order in (there, back)
    ]
    none = None if empty is None else empty.expand(len(x), -1, -1)
    given = {there: logits, back: mirrored, (-1,) * slices: none}
    known = {order: answer for order, answer in given.items() if answer is not None}
    coalition_totals = totals(
        dense, x, masks, [each for order in orders for each in order.values()], known, predictions
    )
    one, other = (_known({k: coalition_totals[order[k]] for k in coalitions}) for order in orders)
    return one, other


def _known(values: Mapping[tuple[bool, ...], np.ndarray]) -> np.ndarray:
    every = np.stack(list(values.values()))
    same = np.ptp(every, axis=0) <= ROUNDING * np.abs(every).max(axis=0)
    return np.where(same[..., None], np.nan, shapley_values(values))


def shapley_values(values: Mapping[tuple[bool, ...], np.ndarray]) -> np.ndarray:
    """Shapley values, (…, S), from the value of every coalition of S players, each (…).

    φ_s = Σ over C without s of |C|! (S − |C| − 1)! / S! · (v(C ∪ s) − v(C)).

    >>> shapley_values({(0, 0): 0, (0, 1): 1, (1, 0): 2, (1, 1): 5}).tolist()
    [3.0, 2.0]
    """
    players = len(next(iter(values)))
    made = []
    for s in range(players):
        terms = [
            (np.asarray(values[(*c[:s], True, *c[s + 1 :])], float) - values[c])
            / (players * comb(players - 1, sum(c)))
            for c in values
            if not c[s]
        ]
        made.append(np.sum(terms, axis=0))
    return np.stack(made, -1)


def _add_up(logits: Tensor, masks: Tensor) -> np.ndarray:
    return (logits.double() * masks).sum((2, 3)).cpu().numpy()
