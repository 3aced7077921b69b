"""The `pretext` weights: an encoder pretrained on a handful of photographs, made on the spot.

A fresh machine may reach no model hub, so `--protocol quick` needs colour-dependent weights that
the package can make by itself. The photographs ship inside scikit-image and scikit-learn. The
task is dense: tell the colour of each pixel's surroundings (a k-means cluster in CIELAB) from a
noisy crop, so that filters must use red, green and blue, and use them differently. It is not
ImageNet and is never called so.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
import pooch
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter
from skimage import color, data
from sklearn.cluster import KMeans
from sklearn.datasets import load_sample_images
from torch import Tensor

from emsym import SCORING_VERSION

STEPS, BATCH, PATCH, COLOURS, NOISE = 400, 8, 64, 16, 0.15
LEARNING_RATE = 3e-3


def cache_folder() -> Path:
    """Where what emsym makes once per machine is kept: ``EMSYM_DATA_DIR``, or the user's cache."""
    return Path(os.environ.get("EMSYM_DATA_DIR") or pooch.os_cache("emsym"))


def pretext_weights(encoder: str) -> Path:
    """The weights file of an encoder, trained at the first call and cached.

    `encoder` is a name of segmentation-models-pytorch, such as ``tu-test_resnet``. The file holds
    the state dict of that encoder with three input channels.
    """
    path = cache_folder() / f"pretext-{SCORING_VERSION}-{encoder}.safetensors"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            partial = Path(folder) / path.name
            save_file(train_pretext(encoder), partial)
            partial.replace(path)  # so that nobody ever reads half a file
    return path


def photographs() -> list[np.ndarray]:
    """The photographs, each (H, W, 3) float32 in 0..1."""
    images = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    images += [*data.stereo_motorcycle()[:2], *load_sample_images().images]
    return [image.astype(np.float32) / 255 for image in images]


def colour_labels(images: list[np.ndarray]) -> list[np.ndarray]:
    """Cluster the smoothed colours of all photographs: (H, W) int64 in 0..COLOURS−1 for each."""
    lab = [color.rgb2lab(gaussian_filter(image, (2, 2, 0))) for image in images]
    sample = np.concatenate([image[::7, ::7].reshape(-1, 3) for image in lab])
    clusters = KMeans(COLOURS, n_init=1, random_state=0).fit(sample)
    return [
        clusters.predict(image.reshape(-1, 3)).reshape(image.shape[:2]).astype(np.int64)
        for image in lab
    ]


def train_pretext(encoder: str) -> dict[str, Tensor]:
    """Train an encoder on the pretext task and return its state dict; the same every time."""
    images = photographs()
    scale = np.concatenate([image.reshape(-1, 3) for image in images])
    mean, sd = scale.mean(0), scale.std(0)
    tensors = [torch.from_numpy((image - mean) / sd).movedim(-1, 0) for image in images]
    labels = [torch.from_numpy(label) for label in colour_labels(images)]

    torch.manual_seed(0)
    model = smp.Unet(
        encoder, encoder_weights=None, classes=COLOURS, decoder_channels=(64, 48, 32, 24, 16)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, STEPS)
    generator = torch.Generator().manual_seed(0)

    def draw(below: int) -> int:
        return int(torch.randint(below, (), generator=generator))

    def crop() -> tuple[Tensor, Tensor]:
        which = draw(len(tensors))
        image, label = tensors[which], labels[which]
        y, x = draw(image.shape[1] - PATCH), draw(image.shape[2] - PATCH)
        window = (..., slice(y, y + PATCH), slice(x, x + PATCH))
        dims = [dim for dim in (-1, -2) if draw(2)]
        return image[window].flip(dims), label[window].flip(dims)

    for _ in range(STEPS):
        crops, targets = zip(*(crop() for _ in range(BATCH)), strict=True)
        batch = torch.stack(crops)
        batch = batch + NOISE * torch.randn(batch.shape, generator=generator)
        optimizer.zero_grad(set_to_none=True)
        error = torch.nn.functional.cross_entropy(model(batch), torch.stack(targets))
        error.backward()
        optimizer.step()
        schedule.step()
    return {name: value.contiguous() for name, value in model.encoder.state_dict().items()}
