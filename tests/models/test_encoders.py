"""The table of encoders is complete, and each that it treats is symmetric once filled."""

import subprocess
import sys

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from emsym.models.encoder_survey import SLICES
from emsym.models.encoders import TIMM, WIDTH, encoder_summaries, encoders
from emsym.models.inits import INITS
from emsym.models.stem.fill import fill_stem
from emsym.models.stem.find import find_stem
from emsym.models.stem.traced_run import trace

FAMILIES = """
    resnet resnetv2 senet densenet efficientnet mobilenetv3 regnet convnext swin_transformer pvt_v2
    maxxvit nfnet hrnet vgg dpn xception xception_aligned inception_v3 inception_v4 byobnet ghostnet
    fastvit mix_transformer vision_transformer
    """.split()  # noqa: SIM905


NAMED = """
    resnext50_32x4d mobilenet_v2 mobileone_s0 tu-mobilenetv1_100 tu-mobilenetv2_100
    tu-mobilenetv3_small_100 tu-mobilenetv4_conv_small tu-mobileone_s0 tu-resnext50_32x4d
    tu-seresnet50 tu-maxvit_tiny_tf_224 tu-test_resnet tu-test_efficientnet
    """.split()  # noqa: SIM905


SMALL = """
    resnet18 mit_b0 efficientnet-b0 tu-test_resnet tu-test_vit tu-test_nfnet tu-test_mambaout
    tu-resnet10t tu-tresnet_m tu-crossvit_9_240 tu-convnext_atto tu-levit_128s tu-repvgg_a0
    """.split()  # noqa: SIM905
"""Of each kind of stem one; a slow test has more of those that are not large, and these two."""

EVERY = 6
"""A slow test tries every sixth encoder that is not large."""

LARGE = ["tu-naflexvit_base_patch16_gap", "tu-swin_tiny_patch4_window7_224"]


def _asymmetries(name: str) -> list[float]:
    """How far an encoder treats a stack and its mirror image differently: as it is, and filled.

    The greatest difference relative to the greatest value; filled for three slices and for five.
    """
    torch.manual_seed(0)
    if name.startswith(TIMM):
        network = timm.create_model(name.removeprefix(TIMM), num_classes=0)
    else:
        network = smp.encoders.get_encoder(name)
    network.double().eval()
    with torch.no_grad():
        for path, weight in network.named_parameters():  # lest biases or zeros hide the stack
            if path.endswith("bias"):
                weight.zero_()
            elif (weight == weight.flatten()[0]).all():
                weight.uniform_(0.5, 1)
    stem = find_stem(network, 3)
    size = trace(network, 3).size
    found = [_asymmetry(network, 3, size)]
    for slices in (3, 5):
        stem = fill_stem(network, stem, "uniform-green", INITS.get("uniform-green"), slices)
        found.append(_asymmetry(network, slices, size))
    return found


@torch.no_grad()
def _asymmetry(network: nn.Module, slices: int, size: int) -> float:
    generator = torch.Generator().manual_seed(0)
    stack = torch.randn(1, slices, size, size, dtype=torch.float64, generator=generator)
    one, other = (tree_leaves(network(given))[-1] for given in (stack, stack.flip(1)))
    return float((one - other).abs().max() / one.abs().max())


def test_it_holds_every_encoder_of_smp_and_every_family_of_timm() -> None:
    rows = encoders()
    assert set(smp.encoders.get_encoder_names()) <= set(rows)
    assert sum(name.startswith(TIMM) for name in rows) >= 60
    assert set(FAMILIES) <= {row.family for row in rows.values()}
    assert set(NAMED) <= set(rows)


def test_every_encoder_is_treated_or_refused_with_a_reason() -> None:
    for row in encoders().values():
        assert bool(row.stem) != bool(row.refused), row.name
        assert bool(row.slices) == bool(row.stem), row.name
        assert len(row.inputs) == len(row.stem.split("; ")) * bool(row.stem), row.name
    assert {row.slices for row in encoders().values() if row.stem} == {SLICES}


def test_reading_it_imports_nothing_slow() -> None:
    code = (
        "import sys\n"
        "from emsym.models.encoders import encoder_summaries as table\n"
        "assert table('resnet34')\n"
        "print({'torch', 'timm', 'numpy', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_lines_fit_a_terminal() -> None:
    lines = encoder_summaries()
    assert len(lines) == len(encoders())
    assert max(len(line) for _, line in lines) <= WIDTH
    assert max(len(name) for name, _ in lines) + 2 + WIDTH <= 100
    assert [name for name, _ in encoder_summaries("tu-csat*")] == ["tu-csatv2"]
    assert "refused: " in encoder_summaries("tu-csatv2")[0][1]


@pytest.mark.parametrize(
    "name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]
)
def test_a_filled_encoder_is_symmetric(name: str) -> None:
    before, *after = _asymmetries(name)
    assert before > 1e-5  # else it would tell nothing
    assert max(after) < 1e-3 * before  # it is rounding, about 1e-15


@pytest.mark.slow
def test_encoders_of_all_kinds_are_symmetric_once_filled() -> None:
    wrong = {}
    treated = [row for row in encoders().values() if row.stem and row.parameters < 25]  # millions
    for row in treated[::EVERY]:
        before, *after = _asymmetries(row.name)
        if before < 1e-5 or max(after) > 1e-3 * before:  # after is rounding, about 1e-15
            wrong[row.name] = before, after
    assert not wrong
