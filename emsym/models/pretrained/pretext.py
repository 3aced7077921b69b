"""The `pretext` weights: an encoder pretrained on a handful of photographs, made on the spot.

A fresh machine may reach no model hub, so `--protocol quick` needs colour-dependent weights that
the package can make by itself. The photographs ship inside scikit-image and scikit-learn. The
task is to clean a photograph: from a crop with a camera's noise, which is strongest in blue, tell
the clean colour of every pixel in CIELAB, where a distance is as large as people see it. So the
filters must use red, green and blue, and use them differently. It is not ImageNet and is never
called so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
from filelock import FileLock
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter
from skimage import color, data
from sklearn.datasets import load_sample_images
from torch import Tensor

from emsym.errors import UserError, first_line
from emsym.files import atomic_replacement
from emsym.models.stem.find import find_stem
from emsym.paths import data_dir
from emsym.version import SCORING_VERSION

STEPS, BATCH, PATCH = 400, 8, 64
LEARNING_RATE = 1e-2
"""The schedule's peak: high, because the network is small and the steps are few."""
NOISE = (0.56, 0.4, 1.7)
"""Sd of the noise in red, green and blue, in sds of the channel over all photographs: a dim room.
A sensor has two green pixels for one red and one blue, hence √2 : 1 : √2; and lamplight holds
little blue, which a camera's white balance amplifies about thrice, and the noise with it. It was
chosen so that the filters differ between the colours and the effect that emsym measures shows: its
size with these weights is no estimate of that with others."""
SMALL = 0.03
"""The stem starts at this part of a fresh one's scale, so that what it ends as is learned and not
the noise it started from; a BatchNorm undoes the scale."""


def pretext_weights(encoder: str) -> Path:
    """Return the weights file of an encoder, trained at the first call and cached.

    `encoder` is a name of segmentation-models-pytorch, such as ``tu-test_resnet``. The file holds
    the state dict of that encoder with three input channels. Of several processes that ask at
    once one trains, and the others wait for its file.
    """
    path = data_dir() / f"pretext-{SCORING_VERSION}-{encoder}.safetensors"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):  # the system frees it when its holder dies
            if not path.is_file():
                state = train_pretext(encoder)
                with atomic_replacement(path) as partial:  # so that nobody ever reads half a file
                    save_file(state, partial)
    return path


def photographs() -> list[np.ndarray]:
    """Return the photographs, each (H, W, 3) float32 in 0..1."""
    images = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    images += [*data.stereo_motorcycle()[:2], *load_sample_images().images]
    return [image.astype(np.float32) / 255 for image in images]


def clean_colours(images: list[np.ndarray]) -> list[np.ndarray]:
    """Return the targets of photographs (H, W, 3): their CIELAB colours, (H, W, 3) float32 each.

    Smoothed a little, for the photographs are not free of noise themselves. Less the mean and in
    sds of the lightness, the same for all three, so that distances stay as people see them.
    """
    lab = [color.rgb2lab(gaussian_filter(image, (1, 1, 0))) for image in images]
    pixels = np.concatenate([image.reshape(-1, 3) for image in lab])
    mean, sd = pixels.mean(0), pixels[:, 0].std()
    return [((image - mean) / sd).astype(np.float32) for image in lab]


def train_pretext(encoder: str) -> dict[str, Tensor]:
    """Train an encoder on the pretext task and return its state dict; the same every time."""
    with _fixed_seed_and_threads():
        return _train(encoder)


@contextmanager
def _fixed_seed_and_threads() -> Iterator[None]:
    """Seed 0 and one thread inside; the caller's random numbers and threads as they were after."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.set_num_threads(1)  # the number decides the order of additions
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _train(encoder: str) -> dict[str, Tensor]:
    images = photographs()
    pixels = np.concatenate([image.reshape(-1, 3) for image in images])
    mean, sd = pixels.mean(0), pixels.std(0)
    inputs = [torch.from_numpy((image - mean) / sd).movedim(-1, 0) for image in images]
    targets = [torch.from_numpy(target).movedim(-1, 0) for target in clean_colours(images)]
    noise = torch.tensor(NOISE).view(3, 1, 1)

    try:
        model = smp.Linknet(encoder, encoder_weights=None, classes=3)  # a light decoder: all of the
    except Exception as cause:  # each encoder that does not go with it has its own
        raise UserError(
            f"The 'pretext' weights cannot be made for the encoder '{encoder}' "
            f"({first_line(cause)}): take the weights 'imagenet' or a file, or another encoder."
        ) from cause
    stem = model.get_parameter(find_stem(model, 3).reads[0].path)  # time goes into the encoder
    fresh = stem.detach().norm()
    with torch.no_grad():
        stem.mul_(SMALL)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, STEPS)

    def draw(below: int) -> int:
        return int(torch.randint(below, ()))

    def crop() -> tuple[Tensor, Tensor]:
        which = draw(len(inputs))
        image, target = inputs[which], targets[which]
        y, x = draw(image.shape[1] - PATCH), draw(image.shape[2] - PATCH)
        window = (..., slice(y, y + PATCH), slice(x, x + PATCH))
        dims = [dim for dim in (-1, -2) if draw(2)]
        return image[window].flip(dims), target[window].flip(dims)

    for step in range(STEPS):
        if step == STEPS * 9 // 10:  # to a fresh stem's scale, lest fine-tuning soon overwrite it;
            with torch.no_grad():  # the BatchNorm behind it has the last steps to follow
                stem.mul_(fresh / stem.norm())
        crops, colours = zip(*(crop() for _ in range(BATCH)), strict=True)
        batch = torch.stack(crops)
        batch = batch + noise * torch.randn(batch.shape)
        optimizer.zero_grad(set_to_none=True)
        error = torch.nn.functional.smooth_l1_loss(model(batch), torch.stack(colours), beta=0.1)
        error.backward()
        optimizer.step()
        schedule.step()
    return {name: value.contiguous() for name, value in model.encoder.state_dict().items()}
