"""Peak memory of each method on one section of 1024², on a CPU, in a process of its own.

Asked: under 3 GB for every method, PyTorch and the network included, in which a section that is
larger than a chunk goes through the network alone. What a pass takes does not depend on how many
there are, so that there are fewer here than a method has: `FEW` of the points of integrated
gradients, SmoothGrad and gradient SHAP (of whose noise there is as much), patches of 512², and two
steps of a metric. Not measured where a method is not defined on the network: the reason is printed.
"""

import subprocess
import sys
from collections.abc import Callable

import pytest

from emsym.protocol import SHAPLEY
from emsym.scores.attribution.methods import list_attributions
from emsym.scores.faithfulness.metrics import list_metrics

SIZE, FEW, THREADS = 1024, 3, 2
NETWORKS = ["unet-resnet34", "unet-tu-mobilenetv2_100", "unet-vgg11"]  # LRP covers the last alone

CHILD = """
import sys
from dataclasses import replace

import torch

from emsym import create_model
from emsym.errors import UserError
from emsym.scores.attribution import gradients, occlusion
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.faithfulness.metrics import faithfulness, list_metrics
from emsym.scores.measure import measure

network, name, size, few, threads = *sys.argv[1:3], *map(int, sys.argv[3:])
torch.set_num_threads(threads)
gradients.POINTS = {
    key: replace(points, count=min(few, points.count)) for key, points in gradients.POINTS.items()
}
occlusion.PATCH = size // 2


class One:
    def __len__(self):
        return 1

    def __getitem__(self, part):
        return x, None


x = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
dense = DenseLogits(create_model(network, "random", seed=0).eval())
try:
    if name in list_metrics():
        mask = torch.ones(1, size, size, dtype=torch.bool)
        faithfulness(dense, x, mask, {"x": x}, [name], 2)
    else:
        list(measure(dense, One(), ["all", "foreground"], [name]))
except UserError as error:
    sys.exit(str(error))
with open("/proc/self/status") as status:  # getrusage would count what the parent had, too
    print(next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM")))
"""


def peak(network: str, name: str) -> float | str:
    """Of a fresh process, in GB; or why it has none."""
    words = [network, name, SIZE, FEW, THREADS]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD, *map(str, words)],
        capture_output=True,
        text=True,
    )
    refused = "is not defined on" in done.stderr
    assert done.returncode == 0 or refused, done.stderr
    return done.stderr.strip() if refused else int(done.stdout) / 1e9


@pytest.mark.parametrize("name", [*list_attributions(), SHAPLEY, *list_metrics()])
@pytest.mark.parametrize("network", NETWORKS)
def test_one_large_section(say: Callable[[str], None], network: str, name: str) -> None:
    found = peak(network, name)
    told = found if isinstance(found, str) else f"{found:.2f} GB"
    say(f"{name}, one section of {SIZE}² through {network}: {told}")
