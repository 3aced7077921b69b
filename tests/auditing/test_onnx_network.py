"""An ONNX file is audited by forward passes, and gives what the same network gives in PyTorch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from emsym.auditing.audit import audit
from emsym.errors import UserError
from emsym.models.architectures import create_model

pytest.importorskip("onnxruntime", reason="onnxruntime is an optional extra")
onnxscript = pytest.importorskip("onnxscript", reason="torch.onnx needs onnxscript")
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning"),
]
METHODS = ("slice-occlusion", "patch-occlusion", "slice-shapley")


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    values = gaussian_filter(np.random.default_rng(0).normal(size=(10, 64, 64)), (1, 2, 2))
    return np.uint8(255 * (values - values.min()) / np.ptp(values))


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "methods"), [(1, METHODS), (2, METHODS[:1])])
def test_scores_are_those_of_the_network_in_pytorch(
    tmp_path: Path, volume, batch: int, methods: tuple[str, ...]
) -> None:
    model = create_model("linknet-tu-test_efficientnet", "random", seed=0).eval()
    path = tmp_path / "net.onnx"
    torch.onnx.export(model, (torch.zeros(batch, 3, 64, 64),), path, verbose=False)
    labels = np.uint8(volume > 128)
    options = {"sections": 2, "size": 64, "attribution": methods}
    here = audit(model, volume, labels, **options).audit
    there = audit(path, volume, labels, **options).audit
    assert there.network.kind == "ONNX"
    assert there.finding == here.finding
    assert there.dice == pytest.approx(here.dice, abs=1e-4)
    hidden = {"stem_flip", "bottleneck_flip"}  # a program shows no layers
    assert here.images.keys() - there.images.keys() == hidden
    for name, other in there.images.items():
        values = np.array(here.images[name], float)
        np.testing.assert_allclose(values, np.array(other, float), atol=1e-4, err_msg=name)


def test_gradient_methods_are_refused_by_name(tmp_path: Path, volume) -> None:
    path = tmp_path / "net.onnx"
    torch.onnx.export(
        nn.Conv2d(3, 1, 3, padding=1), (torch.zeros(1, 3, 64, 64),), path, verbose=False
    )
    with pytest.raises(UserError, match="no gradients, which saliency, deeplift may need"):
        audit(path, volume, sections=2, size=64, attribution=("saliency", "deeplift"))


def test_what_is_no_such_network_is_told(tmp_path: Path, volume) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"bad\.onnx cannot be read by onnxruntime"):
        audit(tmp_path / "bad.onnx", volume)
    torch.onnx.export(nn.Linear(3, 1), (torch.zeros(2, 3),), tmp_path / "flat.onnx", verbose=False)
    with pytest.raises(UserError, match="an audit shows one stack"):
        audit(tmp_path / "flat.onnx", volume)
