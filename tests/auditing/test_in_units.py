"""The audit says how large a bias is, in nanometres where somebody says how large a voxel is."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import emsym
from emsym.auditing.in_units import UNITS, decoder_effect
from emsym.auditing.result import Interval, UnitScore
from emsym.data.phantoms import generate_phantom
from emsym.errors import UserError
from emsym.protocol import SHAPLEY

pytestmark = pytest.mark.usefixtures("one_thread")

PHANTOM = generate_phantom("neurites", (9, 64, 64), 0)
METHODS = ("saliency", SHAPLEY)


class Reads(nn.Module):
    """Calls what is dark in one slice of the stack a membrane."""

    def __init__(self, place: int, slices: int = 3) -> None:
        super().__init__()
        self.read = nn.Conv2d(slices, 1, 1, bias=False)
        nn.init.zeros_(self.read.weight)
        self.read.weight.data[0, place] = -1

    def forward(self, x: Tensor) -> Tensor:
        return 4 * (self.read(x) - 0.5)


def found(model: nn.Module, **options: object) -> dict[str, UnitScore]:
    given = {"labels": PHANTOM.semantic, "attribution": METHODS, **options}
    report = emsym.audit(model, PHANTOM.image, **given)
    return {each.score: each for each in report.audit.in_units}


def test_a_network_that_looks_at_the_next_slice_looks_one_section_off() -> None:
    scores = found(Reads(2), voxel_size=(50, 4, 4))
    assert scores["view_offset"].unit == scores["boundary_displacement"].unit == "nm"
    assert scores["view_offset"].value.value == pytest.approx(50)
    assert scores["boundary_displacement"].value.value > 4
    assert scores["dice_without_after"].value.value < scores["dice_without_before"].value.value
    assert scores["missing_asymmetry"].value.value > 0
    assert "answer_offset" not in scores, "nobody says that the neighbours are labelled"


def test_where_nobody_says_the_voxel_size_lengths_are_in_sections_and_pixels() -> None:
    scores, sized = found(Reads(0)), found(Reads(0), voxel_size=(50, 4, 4))
    assert scores["view_offset"].unit == "sections"
    assert scores["view_offset"].value.value == pytest.approx(-1)
    assert scores["boundary_displacement"].unit == "pixels"
    ratio = sized["boundary_displacement"].value.value / scores["boundary_displacement"].value.value
    assert ratio == pytest.approx(4)


def test_a_card_says_its_voxel_size_and_that_all_slices_are_labelled(tiny: Path) -> None:
    card = str(tiny.with_name("tiny-a.toml"))
    report = emsym.audit(Reads(2), card, attribution=METHODS)
    scores = {each.score: each.value.value for each in report.audit.in_units}
    assert set(scores) == set(UNITS)
    assert report.audit.data.voxel_size_nm == (30, 6, 6)
    assert scores["view_offset"] == pytest.approx(30)
    assert 3 < scores["answer_offset"] < 30, "as far as grey values tell labels"
    assert "view offset (nm)" in str(report)


def test_a_symmetric_network_is_off_by_nothing(tiny: Path) -> None:
    card = str(tiny.with_name("tiny-a.toml"))
    report = emsym.audit(Reads(1), card, attribution=METHODS)
    scores = {each.score: each.value.value for each in report.audit.in_units}
    for name in UNITS.keys() - {"dice_without_before", "dice_without_after"}:
        assert scores[name] == pytest.approx(0, abs=1e-4), name
    assert decoder_effect(report.audit.in_units).startswith("Nothing differs")


def test_scores_that_cannot_be_had_are_left_out() -> None:
    assert found(Reads(0, 1)) == {}
    without = found(Reads(2), labels=None, attribution=("saliency",))
    assert set(without) == {"boundary_displacement", "stem_flip", "bottleneck_flip", "answer_flip"}


def test_a_length_that_is_none_is_told() -> None:
    for wrong in ((0, 4, 4), (30, np.nan, 4)):
        with pytest.raises(UserError, match="three lengths in nm, each above 0"):
            found(Reads(2), voxel_size=wrong)


def test_every_layer_is_told_in_order() -> None:
    labels = {"labels": PHANTOM.semantic, "attribution": METHODS}
    shown = emsym.audit(Reads(2), PHANTOM.image, **labels).audit
    assert [layer.name for layer in shown.layers] == ["read", "logits"]
    assert {layer.size for layer in shown.layers} == {(64, 64)}
    read, logits = (layer.value.value for layer in shown.layers)
    assert read == pytest.approx(logits, rel=1e-4)
    assert 0.1 < read < 2
    assert emsym.audit(Reads(0, 1), PHANTOM.image, **labels).audit.layers == []


def layers(deep: float, answer: float, reach: float | None = 0.1) -> list[UnitScore]:
    def around(value: float) -> Interval:
        if reach is None:
            return Interval(value=value)
        return Interval(value=value, low=value - reach, high=value + reach)

    return [
        UnitScore(score="bottleneck_flip", unit="", value=around(deep)),
        UnitScore(score="answer_flip", unit="", value=around(answer)),
    ]


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (layers(0.8, 0.3), "heals some"),
        (layers(0.3, 0.8), "amplifies"),
        (layers(0.4, 0.5), "for sure"),
        (layers(0.4, 0.5, None), ""),
        (layers(0.8, 0.3)[:1], ""),
    ],
)
def test_what_the_decoder_does_is_said_where_intervals_tell(
    scores: list[UnitScore], said: str
) -> None:
    sentence = decoder_effect(scores)
    assert said in sentence
    assert bool(sentence) == bool(said)


def test_the_network_is_left_without_hooks() -> None:
    network = Reads(2)
    found(network)
    assert not any(module._forward_hooks for module in network.modules())
    assert torch.equal(network.read.weight[0, :, 0, 0], torch.tensor([0.0, 0, -1]))
