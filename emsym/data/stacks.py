"""Slice stacks: training patches, sampled and augmented in one gather, and whole test sections."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from emsym.data.cards import Card
from emsym.data.volume import Volume


@dataclass(frozen=True)
class Normalisation:
    """The training split's mean and standard deviation, in grey levels."""

    mean: float
    sd: float

    @classmethod
    def of(cls, image: np.ndarray) -> Self:
        """From the grey levels of a training split.

        By NumPy, whose sums do not depend on the number of threads as torch's do: the last bit
        that they would change is enough to send a training another way.
        """
        return cls(
            float(image.mean(dtype=np.float64)), max(float(image.std(dtype=np.float64)), 1e-6)
        )

    def __call__(self, image: Tensor) -> Tensor:
        """Grey levels → zero mean and unit variance over the training split."""
        return (image - self.mean) / self.sd


@dataclass(frozen=True)
class Split:
    """One split on the training split's scale: every stack lies wholly inside it."""

    image: Tensor
    """(Z, H, W) float32, normalised."""
    foreground: Tensor
    """(Z, H, W) float32, 0 or 1."""
    slices: int
    first: int
    """The section of the volume that `image[0]` is."""

    @property
    def centres(self) -> range:
        """The indices of `image` that have all their neighbours: the centres of the stacks."""
        return range(self.slices // 2, len(self.image) - self.slices // 2)

    @property
    def sections(self) -> list[int]:
        """The sections of the volume that the stacks are centred on."""
        return [self.first + centre for centre in self.centres]

    def stacks(self) -> tuple[Tensor, Tensor]:
        """All stacks, (N, S, H, W), and the labels of their central slices, (N, H, W)."""
        stacks = self.image.unfold(0, self.slices, 1).movedim(-1, 1).contiguous()
        return stacks, self.foreground[list(self.centres)]

    def sample(
        self, count: int, patch: int, augment: tuple[str, ...], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Random patches, (count, S, patch, patch), and labels, (count, 1, patch, patch).

        Flips and quarter turns are a choice of which pixels to gather, so the whole batch is one
        indexing operation. All slices of a stack are treated alike: nothing here knows up from
        down.
        """

        def draw(below: int) -> Tensor:
            return torch.randint(below, (count, 1, 1), generator=generator)

        height, width = self.image.shape[1:]
        steps = torch.arange(patch)
        down, right = steps[None, :, None], steps[None, None, :]
        if "turn" in augment:  # a transposition; with the flips it makes the quarter turns
            turned = draw(2).bool()
            down, right = torch.where(turned, right, down), torch.where(turned, down, right)
        if "flip" in augment:
            down = torch.where(draw(2).bool(), patch - 1 - down, down)
            right = torch.where(draw(2).bool(), patch - 1 - right, right)
        y = draw(height - patch + 1) + down
        x = draw(width - patch + 1) + right
        z = self.centres.start + draw(len(self.centres))
        across = torch.arange(self.slices) - self.slices // 2
        images = self.image[z[:, None] + across[None, :, None, None], y[:, None], x[:, None]]
        if "brightness" in augment:
            spread = torch.rand(2, count, 1, 1, 1, generator=generator) * 2 - 1
            images = images * (1 + 0.2 * spread[0]) + 0.2 * spread[1]
        return images, self.foreground[z, y, x][:, None]


def splits(card: Card, volume: Volume, slices: int) -> tuple[Split, Split]:
    """The training and the test split of a volume, both on the training split's scale."""

    def tensors(start: int, stop: int) -> tuple[Tensor, Tensor]:
        part = volume.range(start, stop)
        image = torch.from_numpy(part.image.astype("float32"))
        return image, torch.from_numpy(part.foreground.astype("float32"))

    train, test = tensors(*card.split.train), tensors(*card.split.test)
    scale = Normalisation.of(volume.range(*card.split.train).image)
    return (
        Split(scale(train[0]), train[1], slices, card.split.train[0]),
        Split(scale(test[0]), test[1], slices, card.split.test[0]),
    )
