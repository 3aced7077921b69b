"""Training patches: ours, a batch at a time, beside the plain way, a patch at a time.

The plain way is what a tutorial shows: a `torch.utils.data.Dataset` whose `__getitem__` slices,
augments and normalises one patch, behind a `DataLoader` with two workers.
"""

import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch.utils.data import DataLoader, Dataset

from emsym.data.stacks import Split
from emsym.models.architectures import create_model
from emsym.protocol import Protocol
from emsym.train import Batch, train

BATCHES = 200
ROUNDS = 7


class Plain(Dataset):
    """One patch at a time, with the same augmentations."""

    def __init__(self, split: Split, patch: int, length: int) -> None:
        self.image, self.foreground = split.image.numpy(), split.foreground.numpy()
        self.scale, self.slices = split.scale, split.slices
        self.patch, self.length = patch, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        rng = np.random.default_rng(index)
        half, (depth, height, width) = self.slices // 2, self.image.shape
        z = rng.integers(half, depth - half)
        y, x = rng.integers(height - self.patch + 1), rng.integers(width - self.patch + 1)
        window = (slice(y, y + self.patch), slice(x, x + self.patch))
        image = self.image[z - half : z + half + 1, *window].astype(np.float32)
        label = self.foreground[z : z + 1, *window].astype(np.float32)
        turns = int(rng.integers(4))
        image, label = np.rot90(image, turns, (1, 2)), np.rot90(label, turns, (1, 2))
        if rng.random() < 0.5:
            image, label = image[..., ::-1], label[..., ::-1]
        image = (image - self.scale.mean) / self.scale.sd
        image = image * rng.uniform(0.8, 1.2) + rng.uniform(-0.2, 0.2)
        return (
            torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)),
            torch.from_numpy(np.ascontiguousarray(label)),
        )


def ours(quick: Protocol, split: Split) -> Callable[[], Batch]:
    recipe, generator = quick.recipe, torch.Generator().manual_seed(0)
    return lambda: split.sample(recipe.batch_size, recipe.patch, recipe.augment, generator)


def forever(loader: DataLoader) -> Iterator[Batch]:
    while True:
        yield from loader


def seconds(work: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        work()
    return time.perf_counter() - start


def test_sampling_a_batch(benchmark: BenchmarkFixture, quick: Protocol, neurites: tuple) -> None:
    benchmark(ours(quick, neurites[0]))


def test_patches_per_second_against_a_dataset(
    say: Callable[[str], None], quick: Protocol, neurites: tuple
) -> None:
    """In turn, once the workers are up and warm: asked for is a ratio of at least 5."""
    recipe, batches = quick.recipe, ours(quick, neurites[0])
    plain = Plain(neurites[0], recipe.patch, length=10**6)
    loader = DataLoader(plain, recipe.batch_size, num_workers=2, persistent_workers=True)
    stream = forever(loader)
    for _ in range(50):
        next(stream)
    batches()
    ratios, speeds = [], []
    for _ in range(ROUNDS):
        theirs = seconds(lambda: next(stream), BATCHES)
        mine = seconds(batches, BATCHES)
        ratios.append(theirs / mine)
        speeds.append(BATCHES * recipe.batch_size / mine)
    say(
        f"{statistics.median(speeds):.0f} patches/s in one process, "
        f"{statistics.median(ratios):.1f} × a Dataset with two workers "
        f"(min {min(ratios):.1f}, max {max(ratios):.1f}, {ROUNDS} rounds of {BATCHES} batches)"
    )


@pytest.mark.parametrize("architecture", ["unet-tu-test_resnet", "linknet-tu-test_efficientnet"])
def test_share_of_a_training_step(
    say: Callable[[str], None], quick: Protocol, neurites: tuple, architecture: str
) -> None:
    """Asked for is less than 5 % of a step of the smaller one."""
    model = create_model(architecture, "random")
    steps = 10
    recipe = quick.recipe.model_copy(update={"steps": steps})
    batches = ours(quick, neurites[0])
    batch = batches()
    train(model, lambda: batch, recipe)
    shares = []
    for _ in range(ROUNDS):
        step = seconds(lambda: train(model, lambda: batch, recipe), 1) / steps
        shares.append(seconds(batches, BATCHES) / BATCHES / step)
    weights = sum(parameter.numel() for parameter in model.parameters())
    say(
        f"{architecture} ({weights / 1e6:.2f} M weights): sampling is "
        f"{100 * statistics.median(shares):.2f} % of a training step "
        f"(max {100 * max(shares):.2f} %)"
    )
