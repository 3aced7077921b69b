"""Slice stacks: training patches, sampled and augmented a batch at a time, and test sections."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from emsym.data.cards import Card
from emsym.data.reading.section_order import centres_of_whole_stacks
from emsym.data.volume import Sections, Volume, check_split
from emsym.errors import UserError
from emsym.images import middle
from emsym.protocol import Augmentation, Border

ROUNDING = 1e-12
"""A standard deviation below so much of the mean is none: the levels are one, up to rounding."""


_UNKNOWN = 255
"""The value of pixels without a label beside 0 and 1, in whole numbers."""


@dataclass(frozen=True)
class Normalisation:
    """The training split's mean and standard deviation, in grey levels."""

    mean: float
    sd: float

    @classmethod
    def from_image(cls, image: np.ndarray) -> Self:
        """Measure the grey levels of a training split, (Z, Y, X).

        Section by section, so that no double of the volume is made, and by NumPy, whose sums do
        not depend on the number of threads as torch's do: the last bit that they would change is
        enough to send a training another way.
        """
        mean = math.fsum(float(section.sum(dtype=np.float64)) for section in image) / image.size
        squares = (float(np.square(section - mean, dtype=np.float64).sum()) for section in image)
        sd = math.sqrt(math.fsum(squares) / image.size)
        return cls(mean, sd if sd > ROUNDING * abs(mean) else 1e-6)  # of one grey level

    def __call__(self, image: Tensor) -> Tensor:
        """Return grey levels as float32 of zero mean and unit variance over the training split."""
        return image.to(torch.float32, copy=True).sub_(self.mean).div_(self.sd)


@dataclass(frozen=True)
class Split:
    """One split, whose stacks hold none but its own sections."""

    image: Tensor
    """(Z, H, W) grey levels, uint8 or float32."""
    foreground: Tensor
    """(Z, H, W) uint8, 0 or 1."""
    scale: Normalisation
    """The training split's, whichever this is."""
    slices: int
    border: Border
    first: int
    """The section of the volume that `image[0]` is."""
    known: Tensor | None = None
    """(Z, H, W) bool: the pixels that have a label; None where all do."""
    breaks: tuple[int, ...] = ()
    """The indices of `image` whose sections do not follow the one before them."""
    most: int | None = None
    """How many stacks there are at most, evenly spaced; None for all."""

    @property
    def centres(self) -> Sequence[int]:
        """The indices of `image` that stacks are centred on: of all, at most so many as `most`.

        `skip`: those that have all their neighbours. `mirror`: all. No stack reaches across a
        section that is missing.
        """
        every = self._every_centre()
        if self.most is None:
            return every
        return [every[index] for index in evenly_spaced(len(every), self.most)]

    def _every_centre(self) -> Sequence[int]:
        if self.border == "skip":
            return centres_of_whole_stacks(len(self.image), self.slices, self.breaks)
        half, every = self.slices // 2, range(len(self.image))
        if not self.breaks:
            return every
        return [z for z in every if not any(z - half < b <= z + half for b in self.breaks)]

    @property
    def sections(self) -> list[int]:
        """The sections of the volume that the stacks are centred on."""
        return [self.first + centre for centre in self.centres]

    def to(self, device: torch.device) -> Self:
        """Return the same with its sections on a device."""
        known = None if self.known is None else self.known.to(device)
        return replace(
            self,
            image=self.image.to(device),
            foreground=self.foreground.to(device),
            known=known,
        )

    def middle(self, size: int | None) -> Self:
        """Return the same with the middle of each section alone, size × size pixels at most."""
        known = None if self.known is None else middle(self.known, size)
        return replace(
            self,
            image=middle(self.image, size),
            foreground=middle(self.foreground, size),
            known=known,
        )

    def neighbours(self, centre: int) -> list[int]:
        """Return the indices of `image` that make a centre's stack, reflected at the split's ends.

        Section 1 stands in for section −1: the end itself is not repeated.
        """
        half, last = self.slices // 2, len(self.image) - 1
        return [last - abs(last - abs(z)) for z in range(centre - half, centre + half + 1)]

    def __len__(self) -> int:
        """Return how many stacks there are."""
        return len(self.centres)

    def __getitem__(self, part: slice) -> tuple[Tensor, Tensor]:
        """Return stacks, (n, S, H, W) float32 normalised, and their labels, (n, H, W) 0 or 1."""
        return self.stacks_at(range(len(self))[part])

    def labelled(self, part: slice) -> Tensor | None:
        """Return the pixels of stacks that have a label, (n, H, W) bool; None where all do."""
        return self.labelled_at(range(len(self))[part])

    def labelled_at(self, chosen: Sequence[int]) -> Tensor | None:
        """Return the same of the stacks at those places among all."""
        return None if self.known is None else self.known[[self.centres[i] for i in chosen]]

    def slice_truth(self, part: slice) -> np.ndarray:
        """Return the labels of every slice of stacks, bool (n, S, H, W)."""
        places = [self.neighbours(self.centres[i]) for i in range(len(self))[part]]
        return self.foreground[torch.tensor(places)].bool().numpy(force=True)

    def stacks_at(self, chosen: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return the stacks at those places among all, as slicing gives them."""
        centres = [self.centres[index] for index in chosen]
        neighbours = torch.tensor([self.neighbours(centre) for centre in centres])
        return self.scale(self.image[neighbours]), self.foreground[centres]

    def sample(
        self,
        count: int,
        patch: int,
        augment: tuple[Augmentation, ...],
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Draw patches, (count, S, patch, patch), and labels, (count, 1, patch, patch), 0 or 1.

        Pixels that have no label are −1. Both float32 and on the device of `image`, the patches
        normalised. All slices of a stack are treated alike: nothing here knows up from down. The
        draws come from a CPU `generator`, so that they are the same on any device.
        """

        def draw(below: int) -> list[int]:
            return torch.randint(below, (count,), generator=generator).tolist()

        half, (height, width) = self.slices // 2, self.image.shape[1:]
        corners = zip(
            draw(len(self.centres)), draw(height - patch + 1), draw(width - patch + 1), strict=True
        )
        windows, masks = [], []
        target = self.foreground
        if self.known is not None:
            target = torch.where(self.known, target, torch.full_like(target, _UNKNOWN))
        for z, y, x in corners:  # views: `torch.stack` copies their pixels once
            centre = self.centres[z]
            if half <= centre < len(self.image) - half:
                windows.append(_window(self.image, centre - half, y, x, self.slices, patch))
            else:
                whole = _window(self.image, 0, y, x, len(self.image), patch)
                windows.append(whole[self.neighbours(centre)])
            masks.append(_window(target, centre, y, x, 1, patch))
        images, labels = torch.stack(windows), torch.stack(masks)
        if "flip" in augment or "turn" in augment:
            places = _flips_and_turns(count, patch, augment, generator).to(images.device)
            images, labels = _gather_pixels(images, places), _gather_pixels(labels, places)
        spread = torch.zeros(2, count, 1, 1, 1)
        if "brightness" in augment:
            spread = (torch.rand(spread.shape, generator=generator) - 0.5) * 0.4
        gain, shift = (
            ((1 + spread[0]) / self.scale.sd).to(images.device),
            spread[1].to(images.device),
        )
        images = images.to(torch.float32, copy=True).mul_(gain).add_(shift - self.scale.mean * gain)
        labels = labels.float()
        if self.known is not None:
            labels[labels == _UNKNOWN] = -1
        if "elastic" in augment:
            return _elastic_warp(images, labels, generator)
        return images, labels


def _window(values: Tensor, z: int, y: int, x: int, depth: int, patch: int) -> Tensor:
    """``values[z : z + depth, y : y + patch, x : x + patch]``, in a third of the time."""
    steps = values.stride()
    corner = values.storage_offset() + z * steps[0] + y * steps[1] + x * steps[2]
    return values.as_strided((depth, patch, patch), steps, corner)


def _flips_and_turns(
    count: int, patch: int, augment: tuple[Augmentation, ...], generator: torch.Generator
) -> Tensor:
    """Flips and quarter turns as a choice of pixels: (count, patch²), where each comes from."""

    def draw(kind: Augmentation) -> Tensor:
        drawn = torch.randint(2, (count, 1, 1), generator=generator)
        return drawn if kind in augment else torch.zeros_like(drawn)

    upside_down, reversed_, transposed = draw("flip"), draw("flip"), draw("turn")
    if "flip" not in augment:  # else they are all eight symmetries of a square, turns among them
        half = torch.randint(2, (count, 1, 1), generator=generator)
        upside_down, reversed_ = half ^ transposed, half
    steps = torch.arange(patch)
    down = (steps[:, None] - (patch - 1) * upside_down).abs()
    right = (steps[None, :] - (patch - 1) * reversed_).abs()
    stride = 1 + (patch - 1) * transposed  # a transposition exchanges the strides
    return (down * (patch + 1 - stride) + right * stride).flatten(1)


def _gather_pixels(values: Tensor, places: Tensor) -> Tensor:
    """(N, C, patch, patch) with every channel's pixels taken from the same places, (N, patch²)."""
    count, channels = values.shape[:2]
    chosen = places[:, None].expand(count, channels, -1)
    return values.flatten(2).gather(2, chosen).view_as(values)


def _elastic_warp(
    images: Tensor, labels: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Each sample bent by a smooth random field, the same for all its slices.

    Displacements on a grid of 3 × 3, Gaussian and interpolated bicubically, as Ronneberger et al.
    2015 do; theirs have a standard deviation of 10 pixels on tiles of 512, ours the same share of
    the patch, 1/50. Image bilinear, labels nearest.
    """
    count, _, *size = images.shape
    coarse = torch.randn(count, 2, 3, 3, generator=generator).to(images.device)
    # grid_sample's unit is half a patch
    bend = nn.functional.interpolate(coarse * 2 / 50, size, mode="bicubic", align_corners=True)
    still = torch.eye(2, 3, device=images.device).expand(count, 2, 3)
    grid = nn.functional.affine_grid(still, [count, 1, *size], align_corners=True)
    grid = grid + bend.movedim(1, -1)

    def at(values: Tensor, mode: str) -> Tensor:
        return nn.functional.grid_sample(values, grid, mode, "reflection", align_corners=True)

    return at(images, "bilinear"), at(labels, "nearest")


@dataclass(frozen=True)
class SplitSubset:
    """Some stacks of a split, in that order."""

    split: Split
    chosen: Sequence[int]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.chosen)

    def __getitem__(self, part: slice) -> tuple[Tensor, Tensor]:
        """Return stacks and labels, as a split does."""
        return self.split.stacks_at(self.chosen[part])

    def labelled(self, part: slice) -> Tensor | None:
        """Return the pixels that have a label, as a split does."""
        return self.split.labelled_at(self.chosen[part])


def evenly_spaced(count: int, most: int) -> list[int]:
    """Return at most `most` indices of `count` things, evenly spaced from the first to the last.

    >>> evenly_spaced(9, 3), evenly_spaced(2, 5)
    ([0, 4, 8], [0, 1])
    """
    if most == 1:
        return [count // 2]
    spaced = np.linspace(0, count - 1, min(most, count)).round().astype(int)
    return [int(index) for index in spaced]


def read_splits(
    card: Card, volume: Volume, slices: int, border: Border
) -> tuple[Split, Split, Sections]:
    """Return the training and the test split of a volume, and the test split's plain sections.

    Raises `UserError` for a split without foreground or with nothing else, and for a training
    image of one grey level.
    """
    train, test = (volume.read(*card.split.train), volume.read(*card.split.test, instances=True))
    breaks = [
        tuple(place - start for place in volume.breaks if start < place < stop)
        for start, stop in (card.split.train, card.split.test)
    ]
    known = [
        None if card.task.ignore is None else volume.labelled(*ends)
        for ends in (card.split.train, card.split.test)
    ]
    for name, part, labelled in zip(("train", "test"), (train, test), known, strict=True):
        check_split(card, _share(part.foreground, labelled), name)
    if train.image.min() == train.image.max():
        raise UserError(
            f"The image of '{card.name}' is {train.image.flat[0]:g} everywhere in its train split: "
            "is it the right file?"
        )
    scale = Normalisation.from_image(train.image)
    made = [
        Split(
            _tensor(part.image),
            _tensor(part.foreground),
            scale,
            slices,
            border,
            first,
            None if labelled is None else torch.from_numpy(labelled),
            missing,
        )
        for part, (first, _), labelled, missing in zip(
            (train, test), (card.split.train, card.split.test), known, breaks, strict=True
        )
    ]
    for name, split in zip(("train", "test"), made, strict=True):
        if not split.centres:
            raise UserError(
                f"In the {name} split of '{card.name}' no {slices} sections follow each other by "
                "the numbers in the names of their files: where they are neighbours all the same, "
                "number them one after the other."
            )
    return made[0], made[1], test


def _share(foreground: np.ndarray, labelled: np.ndarray | None) -> float:
    """Return the foreground's part of the pixels that have a label; NaN where none has."""
    if labelled is None:
        return float(foreground.mean())
    count = int(labelled.sum())
    return int(foreground.sum()) / count if count else math.nan


def _tensor(values: np.ndarray) -> Tensor:
    if values.dtype == bool:
        values = values.view(np.uint8)
    # torch cannot index every kind of whole number; float32 holds 16 bits exactly
    return torch.from_numpy(
        values if values.dtype == np.uint8 else values.astype(np.float32, copy=False)
    )
