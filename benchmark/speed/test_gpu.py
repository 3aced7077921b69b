"""Training steps on a GPU, beside eager PyTorch as a careful person writes it.

EMSYM_SPEED_DEVICE=cpu tries the tables without one.
"""

import os
import statistics
import time
from collections.abc import Callable

import pytest
import torch

from emsym.models.architectures import create_model
from emsym.protocol import Protocol
from emsym.train import Batch, loss, train

DEVICE = os.environ.get("EMSYM_SPEED_DEVICE", "cuda")
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


def _eager(model: torch.nn.Module, batch: Batch) -> None:
    """Fused AdamW, gradients set to None, no loss read before the end."""
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    model.train()
    for _ in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        loss(model(batch[0]), batch[1]).backward()
        optimizer.step()


@pytest.mark.parametrize("architecture", NETWORKS)
def test_step_beside_eager_pytorch(
    say: Callable[[str], None], quick: Protocol, architecture: str
) -> None:
    """Asked of an H100 or H200: at most 1 ms a quick step, five times as fast as eager."""
    count, side = NETWORKS[architecture]
    model = create_model(architecture, "random").to(DEVICE)
    batch = (
        torch.randn(count, 3, side, side, device=DEVICE),
        torch.randint(2, (count, 1, side, side), device=DEVICE).float(),
    )
    recipe = quick.recipe.model_copy(update={"steps": STEPS})
    ours, theirs = [], []
    for _ in range(ROUNDS + 1):
        _wait()
        start = time.perf_counter()
        _eager(model, batch)
        _wait()
        middle = time.perf_counter()
        train(model, lambda: batch, recipe)
        _wait()
        theirs.append(1000 * (middle - start) / STEPS)
        ours.append(1000 * (time.perf_counter() - middle) / STEPS)
    step, plain = (statistics.median(times[1:]) for times in (ours, theirs))
    say(f"{architecture}, {count} × {side}² on {DEVICE}: {step:.2f} ms a step, eager {plain:.2f}")
