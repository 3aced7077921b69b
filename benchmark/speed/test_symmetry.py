"""All symmetry scores of 20 images beside the plain way, and beside the fewest passes they need.

On a CPU, and on a GPU where there is one: there SmoothGrad's noise is drawn by another generator
than the plain way's, so that its scores are not compared.
"""

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from emsym import create_model
from emsym.data.cards import load_card
from emsym.data.stacks import read_splits
from emsym.data.volume import open_volume
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.measure import measure

IMAGES, SIZE, ROUNDS = 20, 128, 2
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
THREADS = 2
EXACT = 1  # images that are also computed in float64, to tell whose rounding a difference is
# x and mirror x, each: the pass that gives the prediction and ∂T/∂x, 50 and 25 more; of the
# coalitions, 6 of x and 5 of mirror x (the centre alone is the same stack) that no pass has seen
WITH_GRADIENT, FORWARD = 2 * (1 + 50 + 25), 6 + 5


class Images:
    """Stacks in memory, as `look` wants them."""

    def __init__(self, stacks: Tensor) -> None:
        self.stacks = stacks

    def __len__(self) -> int:
        return len(self.stacks)

    def __getitem__(self, part: slice) -> tuple[Tensor, None]:
        return self.stacks[part], None


def ours(model: torch.nn.Module, stacks: Tensor, methods: Sequence[str]) -> dict[str, np.ndarray]:
    columns: dict[str, list[np.ndarray]] = {}
    for found in measure(DenseLogits(model), Images(stacks), ["foreground"], methods, 0.5):
        for name, values in found.columns.items():
            columns.setdefault(name.replace("foreground/", ""), []).append(values)
    return {name: np.concatenate(values) for name, values in columns.items()}


def pass_seconds(model: torch.nn.Module, stacks: Tensor, gradient: bool) -> tuple[float, int]:
    """Seconds for each image of one plain pass at the best batch size, and that size."""
    best = (float("inf"), 0)
    for size in (1, 2, 4, 8, 16, 32):
        batch = stacks.repeat(2, 1, 1, 1)[:size].requires_grad_(gradient)
        times = []
        for _ in range(4):
            start = time.perf_counter()
            with torch.set_grad_enabled(gradient):
                logit = model(batch).sum()
                if gradient:
                    torch.autograd.grad(logit, batch)
                if batch.is_cuda:
                    torch.cuda.synchronize()
            times.append((time.perf_counter() - start) / size)
        best = min(best, (min(times[1:]), size))
    return best


def apart(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> str:
    """The largest differences of scores, relative; of differences of shares, of their range 1 too.

    An asymmetry or imbalance of nearly 0 is what is left of shares that nearly cancel, so that
    the rounding of a share is large beside it.
    """
    told = []
    left = ("asymmetry", "imbalance")
    for what, chosen, scale in (
        ("relative of shares and the rest", lambda name: not name.endswith(left), True),
        ("relative of asymmetries and imbalance", lambda name: name.endswith(left), True),
        ("absolute of these", lambda name: name.endswith(left), False),
    ):
        found = max(
            (float(np.nanmax(np.abs(one[n] - other[n]) / (np.abs(other[n]) if scale else 1))), n)
            for n in other
            if chosen(n)
        )
        told.append(f"{what} {found[0]:.1e} ({found[1]})")
    return ", ".join(told)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("architecture", ["unet-tu-test_resnet", "linknet-tu-test_efficientnet"])
def test_all_symmetry_scores(
    say: Callable[[str], None],
    plain: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    architecture: str,
    device: str,
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    model = create_model(architecture, "random").eval().to(device)
    card = load_card("phantom-neurites")
    train, _, _ = read_splits(card, open_volume(card), 3, "skip")  # the test split has fewer
    stacks, _ = train[:IMAGES]
    stacks = stacks.to(device)
    assert stacks.shape == (IMAGES, 3, SIZE, SIZE)
    rounds: list[tuple[float, float, float]] = []
    for _ in range(ROUNDS):  # in turn, so that the machine's drift touches all
        start = time.perf_counter()
        expected = plain.scores(model, stacks)
        middle = time.perf_counter()
        made = ours(model, stacks, plain.METHODS)
        end = time.perf_counter()
        gradient, size = pass_seconds(model, stacks, gradient=True)
        forward, _ = pass_seconds(model, stacks, gradient=False)
        rounds.append(
            (middle - start, end - middle, IMAGES * (WITH_GRADIENT * gradient + FORWARD * forward))
        )
    torch.set_num_threads(threads)
    assert made.keys() == expected.keys()
    theirs, mine, floor = (statistics.median(each) for each in zip(*rounds, strict=True))
    ratios = [f"{b / a:.2f}" for a, b, _ in rounds]
    if device != "cpu":
        expected = {n: v for n, v in expected.items() if not n.startswith("smoothgrad")}
    few = stacks[:EXACT]
    exact = {
        name: values
        for name, values in plain.scores(copy.deepcopy(model).double(), few.double()).items()
        if not name.startswith("smoothgrad")  # its noise is drawn anew in another type
    }
    shown = {
        "ours and the plain way": apart(made, expected),
        "ours and float64": apart({n: v[:EXACT] for n, v in made.items()}, exact),
        "the plain way and float64": apart({n: v[:EXACT] for n, v in expected.items()}, exact),
    }
    # a ReLU whose input is 0 but for rounding is on or off, so that its pixels' gradients jump
    monkeypatch.setattr(plain, "METHODS", ("saliency", "input-x-gradient"))
    torch.set_num_threads(1)
    alone = plain.scores(model, stacks)
    torch.set_num_threads(threads)
    shown["the plain way on one thread and on two"] = apart(
        alone, {name: expected[name] for name in alone}
    )
    floor_told = (
        f"{WITH_GRADIENT} passes with gradient of {1e3 * gradient:.1f} ms at batches of {size}, "
        f"{FORWARD} forward of {1e3 * forward:.1f} ms, for each image"
    )
    say(
        f"{architecture}, {IMAGES} images of {SIZE}², {device}, {THREADS} threads: {mine:.1f} s "
        f"against {theirs:.1f} s, {mine / theirs:.2f} of it (rounds {', '.join(ratios)}); floor "
        f"{floor:.1f} s ({floor_told}), {mine / floor:.2f} of it. Largest differences: "
        + "; ".join(f"{what}: {told}" for what, told in shown.items())
    )
