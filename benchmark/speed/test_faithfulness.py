"""Faithfulness with shared passes beside one Quantus call per section and metric.

Each in processes of its own, in turn, so that the machine's drift touches both: ours as a worker
computes it, which keeps freed memory.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TypeVar
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor

from emsym import create_model
from emsym.freed_memory import keep_freed_memory
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

    for size in (1, 4, 16):
        dense.chunk = size * SIZE * SIZE
        times = [timed(lambda: list(dense.in_chunks(run, count, SIZE * SIZE)))[1] for _ in range(4)]
        found[f"{size} at a time, {threads} at once"] = statistics.median(times[1:]) / count
    dense.chunk = before
    best = min(found, key=lambda name: found[name])
    return found[best], best


def ours(dense: DenseLogits, x: Tensor, mask: Tensor, a: Tensor, metrics: Sequence[str]) -> dict:
    """Seconds, scores, and the passes that it took with the least that one pass takes."""
    passes: list[int] = []
    evaluate = Totals.evaluate

    def counted(self: Totals) -> None:
        passes.append(len(self._waiting))
        evaluate(self)

    with mock.patch.object(Totals, "evaluate", counted):
        found, wall, cpu = timed(
            lambda: faithfulness(dense, x, mask, {"saliency": a}, metrics, STEPS)
        )
    one, how = best_pass(dense, x, 48)
    scores = {each: found["saliency", each].tolist() for each in metrics}
    return {
        "wall": wall,
        "cpu": cpu,
        "scores": scores,
        "passes": sum(passes),
        "one": one,
        "how": how,
    }


def theirs(dense: DenseLogits, x: Tensor, mask: Tensor, a: Tensor, metrics: Sequence[str]) -> dict:
    """Seconds and scores of the plain script."""
    import plain_faithfulness

    found, wall, cpu = timed(
        lambda: plain_faithfulness.faithfulness(dense.model, x, mask, a, metrics, STEPS)
    )
    scores = {each: np.asarray(found[each]).tolist() for each in metrics}
    return {"wall": wall, "cpu": cpu, "scores": scores}


def child(kind: str, name: str, threads: int, metrics: Sequence[str]) -> dict:
    """Return what one of the two gives in a fresh process."""
    command = [sys.executable, "-W", "ignore", __file__, kind, name, str(threads), *metrics]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def measured(kind: str, name: str, threads: str, *metrics: str) -> dict:
    """Run one of the two in this process."""
    torch.set_num_threads(int(threads))
    if kind == "ours":
        keep_freed_memory()
    dense = DenseLogits(create_model(name, seed=0).eval())
    x = torch.randn(SECTIONS, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logit = dense(x)
    mask = logit > logit.flatten(1).median(1).values[:, None, None]
    a = ATTRIBUTIONS.get("saliency")(dense, x, mask)
    run = {"ours": ours, "plain": theirs}[kind]
    run(dense, x[:1], mask[:1], a[:1], metrics[:1])  # which imports what it needs
    return run(dense, x, mask, a, metrics)


@pytest.mark.parametrize("metrics", [QUICK, None], ids=["quick", "all"])
@pytest.mark.parametrize("name", ["unet-tu-test_resnet", "linknet-tu-test_efficientnet"])
@pytest.mark.parametrize("threads", [2, 1])
def test_four_sections(
    say: Callable[[str], None],
    plain: ModuleType,
    name: str,
    metrics: Sequence[str] | None,
    threads: int,
) -> None:
    """ROAD is in neither: Quantus' own call cannot give it for several slices."""
    metrics = metrics or [each for each in list_metrics() if each in plain.METRICS]
    pairs = [
        (child("ours", name, threads, metrics), child("plain", name, threads, metrics))
        for _ in range(ROUNDS if metrics == QUICK else 1)
    ]
    found, expected = pairs[0]
    differences = {
        each: np.nanmax(np.abs(np.divide(found["scores"][each], expected["scores"][each]) - 1))
        for each in metrics
    }
    wall, cpu, plain_wall, plain_cpu = (
        statistics.median(pair[which][key] for pair in pairs)
        for which in (0, 1)
        for key in ("wall", "cpu")
    )
    passes, one = found["passes"], statistics.median(pair[0]["one"] for pair in pairs)
    say(
        f"{name}, {len(metrics)} metrics of {SECTIONS} sections of {SIZE}², {threads} threads: "
        f"{wall:.2f} s ({cpu:.2f} of CPU) against {plain_wall:.2f} ({plain_cpu:.2f}), "
        f"{wall / plain_wall:.2f} of it ({cpu / plain_cpu:.2f})\n"
        f"  largest relative difference {max(differences.values()):.1e} "
        f"({max(differences, key=lambda each: differences[each])})\n"
        f"  {passes} passes of {1e3 * one:.2f} ms ({found['how']}): {passes * one:.2f} s, "
        f"{wall / (passes * one):.2f} times that"
    )


if __name__ == "__main__":
    print(json.dumps(measured(*sys.argv[1:])))
