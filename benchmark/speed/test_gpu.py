"""Training steps on a GPU, beside eager PyTorch as a careful person writes it.

EMSYM_SPEED_DEVICE=cpu tries the tables without one.
"""

import os
import statistics
import time
from collections.abc import Callable

import pytest
import torch

from emsym.cuda_graph import captured
from emsym.models.architectures import create_model
from emsym.protocol import Protocol, Recipe
from emsym.train import Batch, loss, train

DEVICE = os.environ.get("EMSYM_SPEED_DEVICE", "cuda")
WARM = 10 if DEVICE == "cuda" else 1
STEPS = 30 if DEVICE == "cuda" else 3
ROUNDS = 5 if DEVICE == "cuda" else 2
NETWORKS = {
    "unet-tu-test_resnet": (8, 64),
    "linknet-tu-test_efficientnet": (8, 64),
    "unet-resnet34": (8, 256),
}

pytestmark = pytest.mark.skipif(
    DEVICE == "cuda" and not torch.cuda.is_available(), reason="there is no GPU"
)


def _wait() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def _eager(model: torch.nn.Module, batch: Batch) -> float:
    """Fused AdamW, gradients set to None, no loss read before the end."""
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    model.train()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(model(batch[0]), batch[1]).backward()
        optimizer.step()

    return _milliseconds(step)


def _graph(model: torch.nn.Module, batch: Batch) -> float:
    """The network's captured passes and the loss, and nothing else: what a step cannot beat."""
    answer = captured(model.train(), batch[0])
    return _milliseconds(lambda: loss(answer(batch[0]), batch[1]).backward())


def _loop(model: torch.nn.Module, batch: Batch, recipe: Recipe) -> float:
    """A step of emsym's loop, after those that capture it."""
    taken, start = 0, 0.0

    def progress(*_: object) -> None:
        nonlocal taken, start
        taken += 1
        if taken == WARM:
            _wait()
            start = time.perf_counter()

    train(model, lambda: batch, recipe, progress)
    _wait()
    return 1000 * (time.perf_counter() - start) / STEPS


def _milliseconds(step: Callable[[], object]) -> float:
    for _ in range(WARM):
        step()
    _wait()
    start = time.perf_counter()
    for _ in range(STEPS):
        step()
    _wait()
    return 1000 * (time.perf_counter() - start) / STEPS


@pytest.mark.parametrize("architecture", NETWORKS)
def test_step_beside_eager_pytorch(
    say: Callable[[str], None], quick: Protocol, architecture: str
) -> None:
    """Asked of an H100 or H200: at most 1 ms a quick step, five times as fast as eager.

    And of `unet-resnet34` at least .7 of the rate of its captured passes alone.
    """
    count, side = NETWORKS[architecture]
    model = create_model(architecture, "random").to(DEVICE)
    batch = (
        torch.randn(count, 3, side, side, device=DEVICE),
        torch.randint(2, (count, 1, side, side), device=DEVICE).float(),
    )
    recipe = quick.recipe.model_copy(update={"steps": WARM + STEPS})
    found = [
        (_loop(model, batch, recipe), _eager(model, batch), _graph(model, batch))
        for _ in range(ROUNDS)
    ]
    step, eager, graph = (statistics.median(times) for times in zip(*found, strict=True))
    say(
        f"{architecture}, {count} × {side}² on {DEVICE}: {step:.2f} ms a step, "
        f"eager {eager:.2f}, captured passes alone {graph:.2f}"
    )
