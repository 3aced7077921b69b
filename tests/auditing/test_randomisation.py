"""A sanity check in Python: its words, and what it leaves out."""

import numpy as np
import pytest
import torch
from torch import nn

from emsym.auditing.randomisation import SanityReport, sanity
from emsym.errors import UserError
from emsym.scores.equivariance import Equivariance
from emsym.scores.randomisation import Redraws, Sanity, Similarity

IMAGE = np.random.default_rng(0).integers(0, 256, (9, 40, 50)).astype(np.uint8)

pytestmark = pytest.mark.usefixtures("one_thread")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))


def test_a_table_of_every_stage_and_a_verdict() -> None:
    report = sanity(network(), IMAGE, attribution=("saliency",), target="all", sections=2)
    lines = str(report).splitlines()
    assert lines[0].startswith("How alike the maps of Sequential are")
    assert any(
        line.startswith("saliency") and line.split()[-1] in ("passes", "fails") for line in lines
    )
    assert (report.sections, report.target) == (2, "all")
    assert {row.attribution for row in report.result.rows} == {"saliency"}
    assert report.mean_deviation("saliency") < 1e-6
    assert report.mean_deviation("lrp") is None


def report_of(random: tuple[float, ...], null: tuple[float, ...], values: int = 99) -> SanityReport:
    rows = [Similarity("edges", 1, "0", random[0], random[0], images=2, missing=0)]
    deviation = torch.tensor([0.25, torch.nan, 0.75])
    result = Sanity(rows, {"edges": Redraws(random, null, values)})
    return SanityReport(result, Equivariance({"edges": deviation}), "Net", "all", 3, [])


def test_a_mean_and_sd_in_other_units_are_told_first() -> None:
    torch.manual_seed(0)
    report = sanity(
        nn.Sequential(nn.Conv2d(3, 1, 3), nn.BatchNorm2d(1), nn.ZeroPad2d(1)),
        np.random.default_rng(0).integers(0, 256, (5, 32, 32)).astype(np.uint8),
        mean=0.5,
        sd=0.3,
        attribution="saliency",
        probabilities=False,
        sections=1,
        target="all",
    )
    caution = str(report).splitlines()[2]
    assert caution.startswith("Caution: The mean and sd that were given, 0.5 and 0.3, are far from")


@pytest.mark.parametrize(
    ("report", "line", "sentence"),
    [
        (report_of((0.8, 0.9), (0.85,)), "0.85 (0.80–0.90) 0.85 (0.85–0.85) 0.500 fails", None),
        (
            report_of((-0.1, 0.2), (0.0,)),
            "0.05 (−0.10 to 0.20) 0.00 (0.00–0.00) 0.500 passes",
            None,
        ),
        (
            report_of((0.8, 0.9), (0.95,)),
            "0.85 (0.80–0.90) 0.95 (0.95–0.95) 0.500 unknown",
            "Most of the map by edges comes from the image",
        ),
        (
            report_of((0.8, 0.9), (0.85,), values=3),
            "0.85 (0.80–0.90) 0.85 (0.85–0.85) 0.500 unknown",
            "has 3 different values",
        ),
    ],
)
def test_a_method_is_told_by_range_null_deviation_and_verdict(
    report: SanityReport, line: str, sentence: str | None
) -> None:
    lines = str(report).splitlines()
    (first, *_) = [" ".join(each.split()) for each in lines if each.startswith("edges")]
    assert first == f"edges {line}"
    assert ("The map by edges" in str(report) or "of the map by" in str(report)) == bool(sentence)
    assert sentence is None or sentence in str(report)
    assert max(map(len, lines[:20])) <= 100


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (network(), {"attribution": ("slice-shapley",)}, "take slice-occlusion"),
        (network(), {"attribution": ("salience",)}, "did you mean 'saliency'"),
        (lambda x: x[:, 1:2], {"slices": 3}, "shows no weights"),
        (network(), {"target": "foreground", "threshold": 0.999999}, "nothing to explain"),
    ],
)
def test_a_mistake_is_one_sentence(model, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        sanity(model, IMAGE, **options)
