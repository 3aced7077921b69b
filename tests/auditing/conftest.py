"""What tests of the audit share."""

from pathlib import Path

import pytest
from audited_networks import export, network
from torch import nn


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return network()


@pytest.fixture(scope="module")
def exported(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(model, tmp_path_factory.mktemp("exported") / "net.pt2")
