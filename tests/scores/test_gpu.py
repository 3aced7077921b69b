"""On a GPU: the same scores as on a CPU, and chunks that shrink where memory runs out.

python -m pytest -m gpu tests/scores
"""

import numpy as np
import pytest
import torch

from emsym import create_model
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.measure import measure
from emsym.scores.targets import Target

pytestmark = pytest.mark.gpu

TARGETS: tuple[Target, ...] = ("foreground", "all")
METHODS = ("saliency", "input-x-gradient", "integrated-gradients", "smoothgrad", "slice-shapley")


class InMemory:
    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def __getitem__(self, part):
        return self.x[part], None


def columns(model, x, chunk=None):
    dense = DenseLogits(model)
    dense.chunk = chunk or dense.chunk
    made = {}
    for found in measure(dense, InMemory(x), TARGETS, METHODS):
        for name, values in found.columns.items():
            made.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in made.items()}, dense


def test_a_gpu_gives_the_scores_of_a_cpu():
    torch.backends.cudnn.allow_tf32 = False
    model = create_model("unet-resnet34", "random").eval()
    x = torch.randn(6, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    here, _ = columns(model, x)
    there, _ = columns(model.cuda(), x)
    for name, values in here.items():
        np.testing.assert_allclose(there[name], values, rtol=1e-2, atol=1e-3, err_msg=name)


def test_chunks_shrink_where_memory_runs_out():
    model = create_model("unet-resnet34", "random").eval().cuda()
    x = torch.randn(4, 3, 512, 512)
    enough, _ = columns(model, x)
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(2 * 2**30 / total)
    try:
        little, dense = columns(model, x, chunk=2**24)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert dense.chunk < 2**24
    for name, values in enough.items():
        np.testing.assert_allclose(little[name], values, rtol=1e-2, atol=1e-3, err_msg=name)
