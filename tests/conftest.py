"""A protocol so small that a cell takes a second, over everything that a real one has."""

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("emsym", deadline=None)  # the first example may import torch
hypothesis.settings.load_profile("emsym")

pytest_plugins = ["made_records"]  # in tests/fixtures

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"

CARD = """
name = "{name}"
title = "A tiny phantom"
modality = "synthetic"
voxel_size_nm = [30, 6, 6]
licence = "CC0-1.0"

[phantom]
kind = "neurites"
shape = [12, 48, 48]
seed = {seed}

[tasks.membranes]
labels = "semantic"
classes = {{ inside = "== 0", membrane = "== 1" }}
foreground = "membrane"
instances = "between"
ids = "instances"

[split]
train = [0, 7]
test = [7, 12]
"""

PROTOCOL = """
name = "tiny"
version = "1"
description = "For tests."
datasets = ["tiny-a.toml"]
architectures = ["linknet-tu-test_efficientnet"]
inits = ["rgb", "uniform-green"]
seeds = [0, 1]
weights = "encoder.safetensors"

[recipe]
steps = 2
batch_size = 2
patch = 32
learning_rate = 1e-3

[scoring]
faithfulness = {metrics = ["faithfulness-estimate", "slice-removal"], steps = 4, sections = 2}
over_training = {steps = [0, 2], sections = 2}
"""


@pytest.fixture(scope="session")
def encoder_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights for the encoder of the tiny protocol: those it is initialised with."""
    import torch
    from safetensors.torch import save_file

    from emsym.models.architectures import ARCHITECTURES

    torch.manual_seed(0)
    encoder = ARCHITECTURES.get("linknet-tu-test_efficientnet")().encoder
    path = tmp_path_factory.mktemp("weights") / "encoder.safetensors"
    save_file(encoder.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def tiny_files(encoder_weights: Path) -> dict[str, bytes]:
    """The tiny protocol with its card and weights: names and contents."""
    return {
        "tiny.toml": PROTOCOL.encode(),
        "tiny-a.toml": CARD.format(name="tiny-a", seed=0).encode(),
        "encoder.safetensors": encoder_weights.read_bytes(),
    }


@pytest.fixture
def tiny(tmp_path: Path, tiny_files: dict[str, bytes]) -> Path:
    """The path of the tiny protocol, with its card and weights beside it."""
    for name, content in tiny_files.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path / "tiny.toml"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and weights."""
    if not SHARED.is_dir():
        pytest.skip("the real images and weights of ../shared are not here")
    return SHARED


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Tiny networks are fastest on one thread."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
