"""Building the networks of cells, and repairing one, beside the plain way."""

import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import load_file, save_file

from emsym import create_model, symmetrize
from emsym.models.architectures import _PROTOTYPES
from emsym.models.pretrained.weights import LoadedWeights, load_weights

CELLS = [
    (init, seed)
    for seed in range(2)
    for init in (
        "rgb",
        "uniform-red",
        "uniform-green",
        "uniform-blue",
        "uniform-mean",
        "uniform-luminance",
        "mirror",
        "random-stem",
        "uniform-green-preserve",
        "uniform-green+mirror-tied",
    )
]


def plain(decoder: str, encoder: str, path: Path, init: str, seed: int) -> torch.nn.Module:
    """What a script does for each cell: build, load, and overwrite the first convolution."""
    torch.manual_seed(seed)
    model = smp.create_model(decoder, encoder, encoder_weights=None)
    model.encoder.load_state_dict(load_file(path))
    first = next(m for m in model.modules() if isinstance(m, torch.nn.Conv2d))
    with torch.no_grad():
        first.weight[:] = first.weight[:, 1:2].clone()
    return model


@pytest.mark.parametrize("encoder", ["tu-test_resnet", "resnet34", "tu-convnext_tiny"])
def test_twenty_cells_of_one_architecture(
    say: Callable[[str], None], tmp_path: Path, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network is built and its weights are read once; each cell is a copy."""
    torch.set_num_threads(1)
    path = tmp_path / "encoder.safetensors"
    encoder_state = smp.create_model("unet", encoder, encoder_weights=None).encoder.state_dict()
    save_file(encoder_state, path)
    loaded = []

    def load(model: torch.nn.Module, weights: str) -> LoadedWeights:
        loaded.append(model)
        return load_weights(model, weights)

    monkeypatch.setattr("emsym.models.pretrained.weights.load_weights", load)
    _PROTOTYPES.clear()
    ours, theirs = [], []
    for init, seed in CELLS:  # in turn, so that the machine's drift touches both
        start = time.perf_counter()
        create_model(f"unet-{encoder}", init, weights=str(path), seed=seed)
        middle = time.perf_counter()
        plain("unet", encoder, path, init, seed)
        ours.append(middle - start)
        theirs.append(time.perf_counter() - middle)
    say(
        f"unet-{encoder}, {len(CELLS)} cells: {sum(ours):.2f} s ({len(loaded)} built; the first "
        f"{ours[0]:.2f} s, then {1e3 * statistics.median(ours[1:]):.0f} ms) against "
        f"{sum(theirs):.2f} s, {sum(theirs) / sum(ours):.1f} times as fast"
    )


@pytest.mark.parametrize("name", ["vit_large_patch16_224", "convnext_xlarge", "tresnet_xl"])
def test_symmetrize_beside_a_forward_pass(say: Callable[[str], None], name: str) -> None:
    """Asked for: no more than one forward pass on a small input, and no copy of the body."""
    model = timm.create_model(name).eval()
    size = model.pretrained_cfg["input_size"][-1] if "vit" in name else 64
    parameters = sum(p.numel() for p in model.parameters())
    stack = torch.zeros(1, 3, size, size)
    ours, forward = [], []
    grown = 0.0
    with torch.no_grad():
        for _ in range(6):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            start = time.perf_counter()
            symmetrize(model, "uniform-green")
            ours.append(time.perf_counter() - start)
            grown = max(grown, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
            start = time.perf_counter()
            model(stack)
            forward.append(time.perf_counter() - start)
    one, other = statistics.median(ours[1:]), statistics.median(forward[1:])
    say(
        f"{name}, {parameters / 1e6:.0f} M parameters: symmetrize {one:.2f} s, a forward pass at "
        f"{size}² {other:.2f} s, {one / other:.2f} of it; peak memory grew by {grown / 1e3:.0f} MB "
        f"(the network is {4 * parameters / 1e6:.0f} MB)"
    )
