"""Speed of the quick protocol's parts, on one thread as its cells run.

    python -m pytest benchmark/speed --benchmark-columns=median,iqr,rounds

Nothing here asserts a time: figures are printed, ratios are measured within one run.
"""

import importlib.util
from collections.abc import Callable
from types import ModuleType

import pytest
import torch

from emsym.data.cards import load_card
from emsym.protocol import Protocol, load_protocol
from emsym.run.cell import load_splits


def load_quick() -> Protocol:
    """The quick protocol, in a process of one thread."""
    torch.set_num_threads(1)
    return load_protocol("quick")


def load_neurites(quick: Protocol) -> tuple:
    """The splits of a phantom, and its true test instances."""
    card = load_card("phantom-neurites")
    return load_splits(card, quick.slices, quick.recipe.patch, quick.border)


quick = pytest.fixture(load_quick, scope="session", name="quick")
neurites = pytest.fixture(load_neurites, scope="session", name="neurites")


@pytest.fixture(scope="module")
def plain(request: pytest.FixtureRequest) -> ModuleType:
    """The plain script beside a benchmark: plain_x.py beside test_x.py."""
    path = request.path.with_name(request.path.name.replace("test_", "plain_"))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def say(capsys: pytest.CaptureFixture) -> Callable[[str], None]:
    """Print to the terminal whatever pytest captures."""

    def show(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}")

    return show
