"""Faithfulness with shared passes beside one Quantus call per section and metric."""

import statistics
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TypeVar

import numpy as np
import pytest
import torch

from emsym import create_model
from emsym.scores.attribution.methods import ATTRIBUTIONS
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.faithfulness.metrics import faithfulness, list_metrics
from emsym.scores.faithfulness.shared_passes import Totals

T = TypeVar("T")
QUICK = ["faithfulness-estimate", "pixel-flipping", "slice-removal"]
SECTIONS, SIZE, STEPS, ROUNDS = 4, 128, 16, 3


def timed(run: Callable[[], T]) -> tuple[T, float, float]:
    """What it makes, its seconds and its seconds of CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    made = run()
    return made, time.perf_counter() - wall, time.process_time() - cpu


def best_pass(dense: DenseLogits, x: torch.Tensor, count: int) -> tuple[float, str]:
    """Seconds per stack at the batch size, and with the threads, that take the least."""
    stacks = x.repeat(-(-count // len(x)), 1, 1, 1)[:count]
    threads, before = torch.get_num_threads(), dense.chunk
    found = {}

    def run(part: slice) -> float:
        with torch.no_grad():
            return float(dense(stacks[part]).sum())

    for size in (1, 2, 4, 8, 16):
        dense.chunk = size * SIZE * SIZE
        times = [timed(lambda: list(dense.in_chunks(run, count, SIZE * SIZE)))[1] for _ in range(4)]
        found[f"{size} at a time, {threads} at once"] = statistics.median(times[1:]) / count
    dense.chunk = before
    best = min(found, key=lambda name: found[name])
    return found[best], best


@pytest.mark.parametrize("metrics", [QUICK, None], ids=["quick", "all"])
@pytest.mark.parametrize("name", ["unet-tu-test_resnet", "linknet-tu-test_efficientnet"])
@pytest.mark.parametrize("threads", [2, 1])
def test_four_sections(
    say: Callable[[str], None],
    plain: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    metrics: Sequence[str] | None,
    threads: int,
) -> None:
    """ROAD is in neither: Quantus' own call cannot give it for several slices."""
    torch.set_num_threads(threads)
    metrics = metrics or [each for each in list_metrics() if each in plain.METRICS]
    network = create_model(name, seed=0).eval()
    dense = DenseLogits(network)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(SECTIONS, 3, SIZE, SIZE, generator=generator)
    with torch.no_grad():
        logit = dense(x)
    mask = logit > logit.flatten(1).median(1).values[:, None, None]
    a = ATTRIBUTIONS.get("saliency")(dense, x, mask)

    passes = []
    evaluate = Totals.evaluate

    def counted(self: Totals) -> None:
        passes.append(len(self._waiting))
        evaluate(self)

    monkeypatch.setattr(Totals, "evaluate", counted)
    ours, theirs = [], []
    for _ in range(ROUNDS if metrics == QUICK else 1):  # in turn: the machine's drift touches both
        passes.clear()
        found, *cost = timed(lambda: faithfulness(dense, x, mask, {"saliency": a}, metrics, STEPS))
        ours.append(cost)
        expected, *cost = timed(lambda: plain.faithfulness(network, x, mask, a, metrics, STEPS))
        theirs.append(cost)
    differences = {
        each: np.max(np.abs(found["saliency", each] / expected[each] - 1)) for each in metrics
    }
    one, how = best_pass(dense, x, 48)
    (wall, cpu), (plain_wall, plain_cpu) = np.median(ours, 0), np.median(theirs, 0)
    floor = sum(passes) * one
    say(
        f"{name}, {len(metrics)} metrics of {SECTIONS} sections of {SIZE}², {threads} threads: "
        f"{wall:.2f} s ({cpu:.2f} of CPU) against {plain_wall:.2f} ({plain_cpu:.2f}), "
        f"{wall / plain_wall:.2f} of it ({cpu / plain_cpu:.2f})\n"
        f"  largest relative difference {max(differences.values()):.1e} "
        f"({max(differences, key=lambda each: differences[each])})\n"
        f"  {sum(passes)} passes of {1e3 * one:.2f} ms ({how}): {floor:.2f} s, "
        f"{wall / floor:.2f} times that"
    )
