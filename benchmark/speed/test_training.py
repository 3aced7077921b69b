"""The training loop, beside eager PyTorch on one fixed batch that lies in memory."""

import statistics
import time
from collections.abc import Callable

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from emsym.models.architectures import create_model
from emsym.protocol import Protocol
from emsym.train import Batch, loss, train

STEPS = 10
PAIRS = 7


def sampler(quick: Protocol, neurites: tuple) -> Callable[[], Batch]:
    recipe, generator = quick.recipe, torch.Generator().manual_seed(0)
    return lambda: neurites[0].sample(recipe.batch_size, recipe.patch, recipe.augment, generator)


def fixed(model: torch.nn.Module, batch: Batch) -> None:
    """A step on the same batch again and again, as a careful person writes it."""
    optimizer = torch.optim.AdamW(model.parameters())
    model.train()
    for _ in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        loss(model(batch[0]), batch[1]).backward()
        optimizer.step()


@pytest.mark.parametrize("architecture", ["unet-tu-test_resnet", "linknet-tu-test_efficientnet"])
def test_training_step(
    benchmark: BenchmarkFixture, quick: Protocol, neurites: tuple, architecture: str
) -> None:
    model = create_model(architecture, "random")
    recipe = quick.recipe.model_copy(update={"steps": STEPS})
    batches = sampler(quick, neurites)
    benchmark.pedantic(train, (model, batches, recipe), rounds=3, warmup_rounds=1)
    benchmark.extra_info["images per second"] = (
        STEPS * recipe.batch_size / benchmark.stats.stats.median
    )


@pytest.mark.parametrize("architecture", ["unet-tu-test_resnet", "linknet-tu-test_efficientnet"])
def test_loop_against_eager_pytorch(
    say: Callable[[str], None], quick: Protocol, neurites: tuple, architecture: str
) -> None:
    """In turn, so that the machine's drift touches both.

    Asked for: 1.25 times as fast, and 1.5 times of the Linknet.
    """
    model = create_model(architecture, "random")
    recipe = quick.recipe.model_copy(update={"steps": STEPS})
    batches = sampler(quick, neurites)
    batch = batches()
    ratios, speeds = [], []
    for _ in range(PAIRS + 1):
        start = time.perf_counter()
        fixed(model, batch)
        middle = time.perf_counter()
        train(model, batches, recipe)
        end = time.perf_counter()
        ratios.append((middle - start) / (end - middle))
        speeds.append(STEPS * recipe.batch_size / (end - middle))
    ratios, speeds = ratios[1:], speeds[1:]  # the first pair warms up
    say(
        f"{architecture}: loop at {statistics.median(speeds):.0f} images/s, "
        f"{statistics.median(ratios):.2f} × eager PyTorch on a fixed batch "
        f"(min {min(ratios):.3f}, max {max(ratios):.3f}, {PAIRS} pairs)",
    )
