"""All scores of some sections, with the network's passes shared among them.

Metrics ask for T of one perturbed stack after another, and what they ask for does not depend on
the answers. So each is run twice: first to hear what it asks for, with made-up answers; then,
when all distinct stacks of all metrics, attributions and sections went through the network in
chunks of the best size, with the true ones. Where a metric asks for something new the second time,
it is evaluated there and then: the score is right, only slower.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from emsym.scores.dense_logits import ROUNDING, DenseLogits
from emsym.scores.folding import CHECKED, folded

Total = Callable[[np.ndarray], np.ndarray]
"""T of stacks of one section: (n, S, H, W) → (n,)."""

MetricFunction = Callable[[Total, np.ndarray, np.ndarray, int], float]
"""(T, x (S, H, W), A (S, H, W), steps) → the score. It is called twice, and draws random numbers
from NumPy's global generator, which is seeded the same for every section."""

SEED = 0

WAITING = 2**28
"""Bytes of stacks that may wait for their turn to go through the network."""


class Totals:
    """T of perturbed stacks of N sections, of each distinct stack once."""

    def __init__(self, dense: DenseLogits, mask: Tensor) -> None:
        """`mask` is bool (N, H, W)."""
        self._dense = dense
        self._mask = mask.to(dense.device)
        self._waiting: dict[tuple[int, bytes], np.ndarray] = {}
        self._bytes = 0
        self._asked = 1
        self._known: dict[tuple[int, bytes], float] = {}

    def ask(self, section: int, stacks: np.ndarray) -> np.ndarray:
        """Made-up answers, (n,), for stacks (n, S, H, W) whose true ones will be wanted."""
        for stack in stacks:
            self._key(section, stack)
        self._asked += len(stacks)
        return np.arange(self._asked - len(stacks), self._asked, dtype=float)

    def answer(self, section: int, stacks: np.ndarray) -> np.ndarray:
        """T, (n,) float64, of stacks (n, S, H, W)."""
        keys = [self._key(section, stack) for stack in stacks]
        self.evaluate()
        return np.array([self._known[key] for key in keys])

    def evaluate(self) -> None:
        """Send all stacks that wait through the network."""
        keys, stacks = list(self._waiting), list(self._waiting.values())
        self._waiting, self._bytes = {}, 0
        if not keys:
            return

        def run(part: slice) -> Tensor:
            with torch.no_grad():
                logit = self._dense(torch.from_numpy(np.stack(stacks[part])).to(self._mask.device))
                return (logit.double() * self._mask[[n for n, _ in keys[part]]]).sum((1, 2))

        for part, answers in self._dense.in_chunks(run, len(keys), stacks[0][0].size):
            self._known.update(zip(keys[part], answers.tolist(), strict=True))

    def _key(self, section: int, stack: np.ndarray) -> tuple[int, bytes]:
        stack = np.array(stack, dtype=np.float32, order="C")  # a copy: a metric may write over it
        key = section, hashlib.sha256(stack.data).digest()
        if key not in self._known and key not in self._waiting:
            if self._bytes + stack.nbytes > WAITING:
                self.evaluate()
            self._waiting[key] = stack
            self._bytes += stack.nbytes
        return key


def scores(
    dense: DenseLogits,
    x: Tensor,
    mask: Tensor,
    attributions: Mapping[str, Tensor],
    metrics: Mapping[str, MetricFunction],
    steps: int,
) -> dict[tuple[str, str], np.ndarray]:
    """See `emsym.scores.faithfulness.metrics.faithfulness`; `metrics` are functions by name."""
    totals = Totals(folded(dense, x[:CHECKED].to(dense.device)), mask)
    stacks = x.cpu().numpy()
    maps = {name: a.detach().cpu().numpy() for name, a in attributions.items()}
    wanted = [
        (n, name, metric)
        for n, some in enumerate(mask.flatten(1).any(1).tolist())
        for name, a in maps.items()
        if some and np.isfinite(a[n]).all() and np.ptp(a[n]) > 0
        for metric in metrics
    ]
    made = {(name, metric): np.full(len(x), np.nan) for name in maps for metric in metrics}

    def score(n: int, name: str, metric: str, total: Total) -> float:
        with _quiet(), _seeded():
            return metrics[metric](total, stacks[n].copy(), maps[name][n].copy(), steps)

    for n, name, metric in wanted:
        score(n, name, metric, _told(totals.ask, n, []))
    totals.evaluate()
    for n, name, metric in wanted:
        heard: list[float] = []
        value = score(n, name, metric, _told(totals.answer, n, heard))
        if _varied(heard):
            made[name, metric][n] = value
    return made


def span(total: Total, x: np.ndarray) -> tuple[float, float]:
    """T(x) and T(0), of x (S, H, W); both NaN where they are the same but for rounding."""
    whole, nothing = total(np.stack([x, np.zeros_like(x)])).tolist()
    if abs(whole - nothing) <= ROUNDING * max(abs(whole), abs(nothing)):
        return np.nan, np.nan
    return whole, nothing


def _told(
    answer: Callable[[int, np.ndarray], np.ndarray], section: int, heard: list[float]
) -> Total:
    """T for one section, which notes what it said."""

    def total(stacks: np.ndarray) -> np.ndarray:
        answers = answer(section, stacks)
        heard.extend(answers.tolist())
        return answers

    return total


def _varied(heard: list[float]) -> bool:
    """Whether T is finite and not the same for all stacks but for rounding."""
    if not np.isfinite(heard).all():
        return False
    return len(heard) < 2 or bool(np.ptp(heard) > ROUNDING * np.abs(heard).max())


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings of what is answered by NaN: constant input, a division by zero."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _seeded() -> Iterator[None]:
    """The same draws of NumPy's global generator, which Quantus uses, and its state afterwards."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(SEED)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
