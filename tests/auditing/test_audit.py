"""Audits: what is known beforehand is found, whatever the network comes in, and said in words."""

import copy
import json
import shlex
import sys
import warnings
from html import escape
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import emsym
from emsym.auditing.audit import AuditReport
from emsym.auditing.inputs import AuditInputs
from emsym.auditing.report import html
from emsym.auditing.result import Audit, Interval
from emsym.auditing.verdict import ratio
from emsym.cli import main
from emsym.data.cards import load_card
from emsym.data.phantoms import generate_phantom
from emsym.data.stacks import read_splits
from emsym.data.volume import open_volume
from emsym.errors import UserError
from emsym.models.architectures import ARCHITECTURES
from emsym.protocol import SHAPLEY
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.measure import measure

pytestmark = [pytest.mark.numerical, pytest.mark.usefixtures("one_thread")]


class Weighted(nn.Module):
    """Σ_s tanh(w_s · slice s): how much each slice counts is known."""

    def __init__(self, *weights: float) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x * self.weights).sum(1, keepdim=True)


PHANTOM = generate_phantom("neurites", (12, 64, 96), 0)
VOLUME, LABELS = PHANTOM.image, PHANTOM.semantic == 1


def audited(model: object, **options: object) -> Audit:
    return emsym.audit(model, VOLUME, **{"attribution": ("saliency",), **options}).audit


def shares(found: Audit, attribution: str = "saliency") -> list[float]:
    row = next(each for each in found.symmetry if each.attribution == attribution)
    return [each.value for each in row.share]


# --- known answers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "said", "expected", "asymmetry"),
    [
        ((1.0, 0, 0), "Only z−1 counts", [1, 0, 0], -1),
        ((0.0, 0, 1), "Only z+1 counts", [0, 0, 1], 1),
    ],
)
def test_a_network_that_looks_at_one_side(
    weights: tuple, said: str, expected: list, asymmetry: float
) -> None:
    found = audited(Weighted(*weights), attribution=("saliency", SHAPLEY))
    assert found.finding == "biased"
    assert said in found.verdict
    assert shares(found) == shares(found, SHAPLEY) == expected
    assert [part.value for part in found.shapley] == pytest.approx(expected)
    row = found.symmetry[0]
    assert row.model_asymmetry == Interval(value=asymmetry, low=asymmetry, high=asymmetry)
    assert row.neighbour_asymmetry.value == asymmetry


def test_a_linear_network_counts_by_its_weights() -> None:
    model = nn.Conv2d(3, 1, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([3.0, 2.0, 1.0]).view(1, 3, 1, 1))
    found = audited(model)
    assert shares(found) == pytest.approx([1 / 2, 1 / 3, 1 / 6])
    assert found.symmetry[0].ratio.value == pytest.approx(3)
    assert found.verdict == (
        "z−1 counts 3.000 × as much as z+1 (95 % interval 3.000–3.000 over 10 sections "
        "of this network)."
    )
    assert found.stem.share == pytest.approx([1 / 2, 1 / 3, 1 / 6])


def test_a_mirror_symmetric_network() -> None:
    model = ARCHITECTURES.get("unet-tu-test_resnet")()
    emsym.symmetrize(model, "rgb+mirror-tied")
    found = audited(model, attribution=("saliency", SHAPLEY))
    assert found.finding == "symmetric"
    assert "exactly alike" in found.verdict
    assert any(note.startswith("Where the shares of the two sides differ") for note in found.notes)
    assert found.flip_error.value < 1e-6
    for row in found.symmetry:
        assert abs(row.model_asymmetry.value) < 1e-4
        assert row.ratio.value == pytest.approx(1, abs=1e-4)


def test_a_network_that_looks_at_the_centre_alone_is_symmetric() -> None:
    found = audited(Weighted(0, 1, 0))
    assert (found.finding, found.flip_error.value) == ("symmetric", 0)
    assert "Only the central slice counts" in found.verdict
    assert found.symmetry[0].ratio is None


def test_sides_that_count_alike_for_different_things_are_not_called_symmetric() -> None:
    found = audited(Weighted(1, 1, -1), sections=8)
    assert found.finding == "unclear"
    assert "not for the same" in found.verdict
    assert found.flip_error.value > 0.05
    # no more sections would make them the same
    assert not any("more sections" in each.text for each in found.advice)


class Stepped(nn.Module):
    """The centre, and z−1 by a step, which has no gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 1:2] + 2 * (x[:, :1] > 0)


def test_a_side_that_no_gradient_shows_is_not_called_symmetric() -> None:
    found = audited(Stepped())
    assert found.symmetry[0].model_asymmetry is None
    assert found.finding == "unclear"
    assert found.verdict.startswith("Over the target only the central slice counts, but reversing")
    assert not any("more sections" in each.text for each in found.advice)


def test_shapley_parts_keep_their_sign() -> None:
    """Over the predicted background a network lowers its logits, by every slice of this one."""
    model = nn.Conv2d(3, 1, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([3.0, 2.0, 1.0]).view(1, 3, 1, 1))
    above, below = (
        [part.value for part in audited(model, target=t, attribution=("saliency", SHAPLEY)).shapley]
        for t in ("foreground", "background")
    )
    assert min(above) > 0 > max(below)
    assert sum(above) == pytest.approx(1)
    assert sum(below) == pytest.approx(-1)


def test_shapley_parts_of_nothing_are_missing_with_a_reason() -> None:
    """Grey levels are normalised: over whole sections what a linear network adds up to is 0."""
    model = nn.Conv2d(3, 1, 1, bias=False)
    found = audited(model, target="all", attribution=("saliency", SHAPLEY))
    assert found.shapley is None
    assert any("cannot be told from 0" in note for note in found.notes)
    assert found.symmetry[1].share is not None


def test_swapping_the_sides_turns_the_verdict_round() -> None:
    # over the same pixels; each network's own prediction would be another's
    one, other = (
        audited(Weighted(*weights), labels=LABELS) for weights in ((2, 1, 0.5), (0.5, 1, 2))
    )
    there, back = (found.symmetry[0].model_asymmetry for found in (one, other))
    assert there.value == pytest.approx(-back.value, abs=1e-6)
    assert one.verdict.startswith("z−1 counts")
    assert other.verdict.startswith("z+1 counts")
    assert one.symmetry[0].ratio.value == pytest.approx(1 / other.symmetry[0].ratio.value, rel=1e-5)


def test_five_slices_and_one() -> None:
    found = audited(Weighted(3, 2, 1, 1, 1))
    assert found.verdict.startswith("The slices before the centre count")
    assert len(found.symmetry[0].share) == 5
    alone = audited(Weighted(1), slices=1)
    assert alone.finding == "unmeasurable"
    assert "one slice" in alone.verdict
    assert alone.advice == []


def test_more_slices_than_shapley_values_can_be_had_of() -> None:
    found = audited(Weighted(*range(9)), attribution=("saliency", SHAPLEY))
    assert found.shapley is None
    assert any("No Shapley values" in note for note in found.notes)


@settings(max_examples=50, deadline=None)
@given(st.floats(-0.999, 0.999), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_ratio_holds_its_interval_in_order(m: float, below: float, above: float) -> None:
    found = ratio(Interval(value=m, low=max(m - below, -1), high=min(m + above, 1)))
    assert found.low <= found.value * (1 + 1e-12)
    assert found.high is None or found.value <= found.high * (1 + 1e-12)


# --- the volume -----------------------------------------------------------------------------------


def test_with_labels_both_targets_are_measured() -> None:
    found = audited(Weighted(2, 1, 1), labels=LABELS)
    assert found.headline == "saliency/true-foreground"
    assert [row.target for row in found.symmetry] == ["true-foreground", "foreground"]
    assert 0 <= found.dice <= 1
    # the phantom's membranes are dark, and this network answers where it is bright
    assert any("The labels look inverted" in note for note in found.notes) == (found.dice < 0.5)
    without = audited(Weighted(2, 1, 1))
    assert without.headline == "saliency/foreground"
    assert (without.dice, without.iou, without.data.labels) == (None, None, False)
    other = audited(Weighted(2, 1, 1), labels=LABELS, target="all")
    assert other.headline == "saliency/all"


def test_what_was_left_out_is_told() -> None:
    found = audited(Weighted(2, 1, 1), sections=3, size=32)
    assert found.data.sections == [1, 5, 10]
    assert found.data.available == 10
    assert found.data.crop == (16, 48, 32, 64)
    assert "3 of 10 sections" in found.looks.sentence
    assert any("middle 32 × 32 of 64 × 96" in note for note in found.notes)
    assert any("Of 3 sections with a value, fewer than 10" in note for note in found.notes)
    assert "over only 3 sections of this network)" in found.verdict
    whole = audited(Weighted(2, 1, 1))
    assert not any("fewer than 10" in note for note in whole.notes)
    assert "over 10 sections of this network)" in whole.verdict
    assert any("10 sections share slices" in note and "4 blocks" in note for note in whole.notes)
    assert not any("share slices" in note for note in found.notes)
    assert not any("middle" in note for note in whole.notes)
    assert whole.looks.sentence == "All 10 sections with all their neighbours were looked at."
    assert whole.looks.level == 0.95


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    audited(Weighted(2, 1, 1), progress=lambda done, total: told.append((done, total)))
    assert told[0] == (0, 10)
    assert told[-1] == (10, 10)
    assert [done for done, _ in told] == sorted({done for done, _ in told})


# --- when it stops --------------------------------------------------------------------------------

DEEP = generate_phantom("neurites", (42, 32, 32), 0)
PLAIN = {"attribution": ("saliency", SHAPLEY)}


def deep(model: nn.Module, **options: object) -> Audit:
    return emsym.audit(model, DEEP.image, DEEP.semantic == 1, **{**PLAIN, **options}).audit


class Unlike(nn.Module):
    """z−1 counts more than z+1, by how much varies with the image."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(2 * x[:, :1]) + x[:, 1:2] + torch.tanh(0.3 * x[:, 2:])


@pytest.mark.parametrize(
    ("model", "finding"),
    [
        (Unlike(), "biased"),
        (Weighted(1, 2, 1.02), "symmetric"),
        (Weighted(1, 2, 1), "symmetric"),
    ],
)
def test_a_finding_that_is_decided_early_is_that_of_the_full_audit(
    model: nn.Module, finding: str
) -> None:
    early, full = deep(model), deep(model, sections=20)
    assert early.finding == full.finding == finding
    assert len(early.data.sections) in (5, 8, 13)
    assert len(full.data.sections) == 20
    assert set(early.data.sections) < set(full.data.sections)
    assert early.verdict.partition(" count")[0] == full.verdict.partition(" count")[0]
    assert "in random order: the finding was then decided" in early.looks.sentence
    assert f"{len(early.data.sections)} of 40 sections" in early.looks.sentence
    assert (early.looks.most, full.looks.ends) == (20, [20])
    assert any("98.75 %" in note for note in early.notes)
    assert not any("98.75 %" in note for note in full.notes)


def test_sections_have_the_same_numbers_whenever_they_are_looked_at() -> None:
    early, full = deep(Unlike()), deep(Unlike(), sections=20)
    assert early.data.sections == sorted(early.data.sections)
    places = [full.data.sections.index(section) for section in early.data.sections]
    assert early.images.keys() == full.images.keys()
    for name, values in early.images.items():
        expected = [full.images[name][place] for place in places]
        np.testing.assert_allclose(
            np.array(values, float), np.array(expected, float), rtol=1e-4, atol=1e-6, err_msg=name
        )


def test_the_same_audit_gives_the_same_numbers() -> None:
    one, other = (deep(Unlike()) for _ in range(2))
    same = {"seconds", "environment"}
    assert one.model_dump(exclude=same) == other.model_dump(exclude=same)


def test_what_is_not_decided_goes_on_to_the_most() -> None:
    told: list[tuple[int, int]] = []
    found = deep(Weighted(1, 1, -1), progress=lambda done, total: told.append((done, total)))
    assert found.finding == "unclear"
    assert len(found.data.sections) == 20
    assert "fewer did not decide" in found.looks.sentence
    assert told[-1] == (20, 20)
    deep(Unlike(), progress=lambda done, total: told.append((done, total)))
    assert told[-1] in ((5, 20), (8, 20), (13, 20))


@pytest.mark.parametrize("count", [1, 7, 12, 40, 99])
def test_as_many_sections_as_are_asked_for_are_looked_at(count: int) -> None:
    found = deep(Unlike(), sections=count, attribution=("saliency",))
    assert len(found.data.sections) == min(count, 40)
    assert found.looks.level == 0.95
    spacing = np.diff(found.data.sections)
    assert len(spacing) == 0 or np.ptp(spacing) <= 1


def test_all_of_a_few_sections_are_looked_at() -> None:
    found = emsym.audit(Unlike(), DEEP.image[:5], **PLAIN).audit
    assert found.data.sections == [1, 2, 3]
    assert found.looks.sentence == "All 3 sections with all their neighbours were looked at."
    assert (found.looks.ends, found.looks.level) == ([3], 0.95)


def test_examples_are_of_sections_that_were_looked_at() -> None:
    report = emsym.audit(Unlike(), DEEP.image, **PLAIN)
    shown = [each.section for each in report.pictures.examples]
    assert len(shown) == 3
    assert {*shown} <= {*report.audit.data.sections}
    assert shown == sorted(shown)
    for each in report.pictures.examples:
        grey = DEEP.image[each.section - 1 : each.section + 2].astype(float)
        assert np.corrcoef(each.stack.ravel(), grey.ravel())[0, 1] > 0.9999
    text, page = str(report), html(report.audit, report.pictures)
    assert report.audit.looks.sentence in text
    assert report.audit.looks.sentence in page


def test_numbers_of_an_older_audit_are_read() -> None:
    numbers = json.loads(deep(Unlike(), sections=3).model_dump_json())
    del numbers["looks"]
    assert Audit.model_validate(numbers).looks is None


def test_a_cards_test_split_gives_the_numbers_of_its_cell(tiny: Path) -> None:
    card = load_card(str(tiny.with_name("tiny-a.toml")))
    _, split, _ = read_splits(card, open_volume(card), 3, "skip")
    torch.manual_seed(0)
    model = ARCHITECTURES.get("linknet-tu-test_efficientnet")().eval()
    methods = ("saliency", "input-x-gradient", SHAPLEY)
    found = emsym.audit(model, tiny.with_name("tiny-a.toml")).audit
    for part in measure(DenseLogits(model), split, ("true-foreground", "foreground"), methods):
        for name, values in part.columns.items():
            ours = [np.nan if v is None else v for v in found.images[name][part.part]]
            np.testing.assert_allclose(ours, values, rtol=1e-6, err_msg=name)
    assert found.data.sections == split.sections
    assert (found.data.mean, found.data.sd) == (split.scale.mean, split.scale.sd)


def test_an_array_gives_the_numbers_of_the_card_that_holds_it(tiny: Path) -> None:
    card = load_card(str(tiny.with_name("tiny-a.toml")))
    test = open_volume(card).read(*card.split.test)
    model = Weighted(-2, -1, -1)  # membranes are dark
    one = emsym.audit(model, tiny.with_name("tiny-a.toml")).audit
    given = {"mean": one.data.mean, "sd": one.data.sd, "voxel_size": card.voxel_size_nm}
    other = emsym.audit(model, test.image, test.foreground, **given).audit
    # which a card alone has, whose neighbouring sections are labelled
    assert one.images.keys() - other.images.keys() == {"answer_offset"}
    assert {name: one.images[name] for name in other.images} == other.images
    assert one.verdict == other.verdict


# --- the network ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    torch.manual_seed(3)
    model = ARCHITECTURES.get("unet-tu-test_resnet")().train()
    with torch.no_grad():
        model(torch.randn(4, 3, 64, 64))
    return model.eval()


HIDDEN = {"stem_flip", "bottleneck_flip"}
"""The scores of layers, which programs and functions do not show."""


@pytest.mark.parametrize("kind", ["state dict", "TorchScript", "torch.export", "fixed size"])
def test_every_kind_of_file_gives_the_numbers_of_the_module(
    kind: str, trained: nn.Module, tmp_path: Path
) -> None:
    options: dict = {"sections": 3, "size": 64}
    expected = audited(trained, **options)
    path, x = tmp_path / "net.pt2", torch.randn(2, 3, 64, 64)
    if kind == "state dict":
        path = tmp_path / "net.pt"
        torch.save(trained.state_dict(), path)
        options["architecture"] = "unet-tu-test_resnet"
    elif kind == "TorchScript":
        path = tmp_path / "net.pt"
        torch.jit.trace(trained, x).save(path)
    else:
        n = torch.export.Dim("n")
        shapes = ({0: n},) if kind == "torch.export" else None
        torch.export.save(torch.export.export(trained, (x,), dynamic_shapes=shapes), path)
        del options["size"]  # the program tells
    found = audited(path, **options)
    assert found.network.kind == kind.replace("fixed size", "torch.export")
    assert found.network.digest.startswith("sha256:")
    hidden = set() if kind == "state dict" else HIDDEN
    assert expected.images.keys() - found.images.keys() == hidden
    for name, values in expected.images.items():
        if name in hidden:
            continue
        np.testing.assert_allclose(
            np.array(found.images[name], float), np.array(values, float), rtol=1e-3, atol=1e-5
        )
    assert found.stem is None or found.stem.share == pytest.approx(expected.stem.share)
    assert "audit again" not in found.advice[0].text
    way = " ".join(f"{each.text} {each.command}" for each in found.advice)
    assert ("before it is" in way) == (kind != "state dict")
    assert (f"emsym-bench symmetrize {path}" in way) == (kind == "state dict")


def test_the_advised_command_makes_a_symmetric_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = ARCHITECTURES.get("unet-tu-test_resnet")()
    with torch.no_grad():  # a stem that leans
        model.encoder.model.conv1[0].weight.mul_(torch.tensor([4.0, 1, 0.2]).view(1, 3, 1, 1))
    torch.save({"state_dict": model.state_dict()}, tmp_path / "my net.pt")
    options: dict = {"architecture": "unet-tu-test_resnet", "sections": 4}
    found = audited(tmp_path / "my net.pt", **options)
    assert found.finding == "biased"
    [command] = [a.command for a in found.advice if "emsym-bench" in (a.command or "")]
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with pytest.raises(SystemExit) as done:
        main()
    assert not done.value.code
    assert audited(tmp_path / "my net-mirrored.pt", **options).finding == "symmetric"


def test_a_function_is_audited_as_the_module_it_calls(trained: nn.Module) -> None:
    one = audited(trained, sections=3)
    other = audited(lambda x: trained(x), sections=3)
    assert {n: v for n, v in one.images.items() if n not in HIDDEN} == other.images
    assert other.network.kind == "callable"
    assert other.stem is None
    assert other.stem_note


def test_a_network_is_left_as_it_was_even_when_the_audit_fails(trained: nn.Module) -> None:
    model = copy.deepcopy(trained).train()
    before = copy.deepcopy(model.state_dict())
    audited(model, sections=2)
    with pytest.raises(UserError):
        audited(model, channel=7)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


class Classes(nn.Module):
    """Three classes, of which the last looks at z−1 alone."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, 1:2], x[:, 1:2] * 0.5 + x[:, 2:], x[:, :1]], 1)


def test_one_of_several_classes() -> None:
    found = audited(Classes(), channel=2, target="all")
    assert (found.network.classes, found.network.channel) == (3, 2)
    assert shares(found) == pytest.approx([1, 0, 0])
    with pytest.raises(UserError, match="3 classes: say with --channel"):
        audited(Classes())
    with pytest.raises(UserError, match="no class 3"):
        audited(Classes(), channel=3)


def test_labels_of_several_classes_are_their_numbers() -> None:
    numbers = PHANTOM.semantic.astype(np.uint8) % 2
    numbers[:, :20] = 2
    found = audited(Classes(), channel=2, labels=numbers)
    expected = audited(Classes(), channel=2, labels=numbers == 2)
    assert found.images == expected.images
    assert any("foreground is what is 2 in the labels" in note for note in found.notes)
    assert not any("in the labels" in note for note in expected.notes)
    of_one = audited(Weighted(2, 1, 1), labels=numbers)  # instances, for all that one can know
    assert of_one.images == audited(Weighted(2, 1, 1), labels=numbers != 0).images


# --- networks that do not keep still --------------------------------------------------------------


class Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(nn.functional.dropout(self.first(x), 0.2, True))


def test_a_network_that_answers_differently_each_time_is_told_so() -> None:
    training = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1)).train()
    for network in (Dropping(), lambda x: training(x)):
        with pytest.raises(UserError, match="same stack differently each time: put it into eval"):
            audited(network, slices=3)
    assert audited(training, sections=2).slices == 3  # of a module the audit does so itself


def test_probabilities_are_told_from_logits() -> None:
    logits = Weighted(2, 1, 1)

    def probabilities(x: Tensor) -> Tensor:
        return logits(x).sigmoid()

    with pytest.raises(UserError, match="looks like probabilities"):
        audited(probabilities)
    found, expected = audited(probabilities, probabilities=True), audited(logits)
    assert shares(found) == pytest.approx(shares(expected), rel=1e-3)
    assert found.flip_error.value == pytest.approx(expected.flip_error.value, rel=1e-4)
    assert audited(probabilities, probabilities=False).finding == "biased"  # believed
    with pytest.raises(UserError, match="no probabilities"):
        audited(logits, probabilities=True)
    commands = [[each.command or "" for each in one.advice] for one in (found, expected)]
    assert "p = (net(x) + net(x.flip(1))) / 2" in commands[0]
    assert "p = (net(x).sigmoid() + net(x.flip(1)).sigmoid()) / 2" in commands[1]


def test_softmax_over_classes_is_told_too() -> None:
    def softmax(x: Tensor) -> Tensor:
        return Classes()(x).softmax(1)

    with pytest.raises(UserError, match="looks like probabilities"):
        audited(softmax, channel=2)
    found = audited(softmax, channel=2, probabilities=True)
    expected = audited(Classes(), channel=2)
    assert found.flip_error.value == pytest.approx(expected.flip_error.value, rel=1e-4)


# --- bad input ------------------------------------------------------------------------------------


def test_a_target_that_is_empty_everywhere_is_missing_not_zero() -> None:
    found = audited(
        Weighted(2, 1, 1), labels=np.zeros_like(LABELS), attribution=("saliency", SHAPLEY)
    )
    assert found.finding == "unmeasurable"
    assert "labels have no foreground" in found.verdict
    for row in found.symmetry[::2]:
        assert row.share is row.ratio is row.model_asymmetry is None
        assert row.missing == 10
    assert found.shapley is None
    assert set(found.images["saliency/true-foreground/model_asymmetry"]) == {None}
    assert any("empty in 10 of 10 sections" in note for note in found.notes)
    assert found.symmetry[1].share is not None  # of the prediction there are some


def test_a_target_that_is_empty_in_some_sections_is_counted() -> None:
    labels = LABELS.copy()
    labels[:5] = False
    report = emsym.audit(Weighted(2, 1, 1), VOLUME, labels, attribution=("saliency",))
    found, page = report.audit, html(report.audit, report.pictures)
    assert found.symmetry[0].missing == 4
    assert "mean over 6 sections" in page
    assert "Mean of |A| over 6 sections" in page
    assert any("empty in 4 of 10 sections" in note for note in found.notes)


def test_constant_predictions_and_attributions_of_zero() -> None:
    found = audited(Weighted(0, 0, 0), labels=LABELS)
    assert found.finding == "unmeasurable"
    assert "attribution is zero everywhere or not finite in every section" in found.verdict
    assert found.symmetry[0].share is None
    assert any("zero everywhere or not finite in 10 of the 10" in note for note in found.notes)


class Rooted(nn.Module):
    """The gradient is not finite where the middle of z+1 is below its mean."""

    def forward(self, x: Tensor) -> Tensor:
        low = x[:, 2:, 32:33, 48:49]
        return x[:, :1] * 2 + x[:, 1:2] + (low * (low > 0)).sqrt() + x[:, 2:]


def test_attributions_that_are_not_finite_are_missing_and_leave_the_mean_map() -> None:
    report = emsym.audit(Rooted(), VOLUME, attribution=("saliency",), slices=3, target="all")
    found, missing = report.audit, report.audit.symmetry[0].missing
    assert 0 < missing < 10
    assert any(f"zero everywhere or not finite in {missing} of" in note for note in found.notes)
    assert np.isfinite(report.pictures.mean_map).all()
    assert report.pictures.mean_map.any()
    assert f"Mean of |A| over {10 - missing} sections" in html(found, report.pictures)


def test_the_answer_that_more_sections_would_tell_is_given_where_there_are_more() -> None:
    random = np.random.default_rng(0)
    volume = random.normal(size=(40, 16, 16)).astype(np.float32)

    class Wavering(nn.Module):
        """Which side counts more depends on the centre, so on nothing but chance."""

        def forward(self, x: Tensor) -> Tensor:
            side = (x[:, 1:2, :1, :1] > 0) * 2.0
            return x[:, :1] * side + x[:, 2:] * (2 - side)

    some, every = (
        emsym.audit(Wavering(), volume, attribution=("saliency",), sections=n, target="all").audit
        for n in (6, 38)
    )
    assert some.finding == every.finding == "unclear"
    assert "more sections would tell" in some.verdict
    assert any("Look at more sections: 6 of 38" in each.text for each in some.advice)
    assert "this volume does not tell" in every.verdict
    assert not any("more sections" in each.text for each in every.advice)


def test_a_single_section_gives_no_interval() -> None:
    found = audited(Weighted(2, 1, 1), sections=1)
    assert found.finding == "unclear"
    assert found.symmetry[0].share[0].low is None
    assert any("--sections 10" in each.text for each in found.advice)


class Gives(nn.Module):
    def __init__(self, what: object) -> None:
        super().__init__()
        self.what = what

    def forward(self, x: Tensor) -> object:
        y = x.mean(1, keepdim=True)
        return {
            "tuple": (y, y),
            "dict": {"out": y},
            "one number": y.mean((2, 3)),
            "half the size": y[..., ::2, ::2],
            "nan": y * float("nan"),
            "no gradient": y.detach(),
            "classes as numbers": (y > 0).long(),
        }[self.what]


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("tuple", "a tuple of several maps, 0, 1: say with --output-key"),
        ("one number", "instead of one logit per pixel"),
        ("half the size", "maps of 32 × 48 pixels .* --upsample"),
        ("nan", "NaN or infinite"),
        ("no gradient", "gives no gradients, which saliency may need"),
        ("classes as numbers", "whole numbers"),
    ],
)
def test_what_a_network_may_not_give(what: str, told: str) -> None:
    with pytest.raises(UserError, match=told) as error:
        audited(Gives(what))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"slices": 5}, "does not run on a stack of 5 slices"),
        ({"slices": 4}, "odd number"),
        ({"slices": 13}, "fewer than the 13"),
        ({"threshold": 1.5}, "between 0 and 1"),
        ({"target": "true-foreground"}, "needs labels"),
        ({"target": "membrane"}, "no target 'membrane': take one of foreground"),
        ({"attribution": ("salience",)}, "did you mean 'saliency'"),
        ({"attribution": (SHAPLEY,)}, "gives maps"),
        ({"mean": 3.0}, "both --mean and --sd"),
        ({"sections": 0}, "--sections must be 1"),
    ],
)
def test_a_mistake_is_one_sentence(options: dict, told: str) -> None:
    with pytest.raises(UserError, match=told) as error:
        audited(nn.Conv2d(3, 1, 1), **options)
    assert "\n" not in str(error.value)


def test_a_section_smaller_than_the_networks_stride() -> None:
    """It is padded up to 32; a network that needs more says so in one sentence."""
    model = ARCHITECTURES.get("unet-tu-test_resnet")()
    assert audited(model, size=20).data.crop == (22, 42, 38, 58)
    deep = nn.Sequential(nn.Conv2d(3, 1, 1), nn.AvgPool2d(64), nn.Upsample(scale_factor=64))
    with pytest.raises(UserError, match="of 20 × 20 pixels") as error:
        audited(deep, size=20)
    assert "\n" not in str(error.value)


# --- the report -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report() -> AuditReport:
    return emsym.audit(Weighted(2, 1, 1), VOLUME, LABELS)


def test_the_json_holds_everything_and_is_read_back(report: AuditReport, tmp_path: Path) -> None:
    page, numbers = report.write(tmp_path / "audit.html")
    assert page.read_text().lower().startswith("<!doctype html")
    assert Audit.model_validate_json(numbers.read_text()) == report.audit
    json.loads(numbers.read_text(), parse_constant=pytest.fail)  # no NaN


def test_a_report_is_never_written_over(report: AuditReport, tmp_path: Path) -> None:
    (tmp_path / "audit.json").write_text("mine")
    with pytest.raises(UserError, match=r"audit\.json exists"):
        report.write(tmp_path / "audit.html")
    assert [path.name for path in tmp_path.iterdir()] == ["audit.json"]
    with pytest.raises(UserError, match=r"end in \.html"):
        report.write(tmp_path / "audit.txt")


def test_a_notebook_shows_the_verdict_and_the_numbers(report: AuditReport) -> None:
    shown = report._repr_html_()
    assert escape(report.audit.verdict) in shown
    assert "<th>flip error</th>" in shown
    assert len(shown) < 10_000


def test_printing_it_tells_the_verdict_and_the_numbers(report: AuditReport) -> None:
    told = str(report)
    assert told.splitlines()[0] == report.audit.verdict
    for word in ("share of z−1", "share of z ", "share of z+1", "flip error", "Dice"):
        assert word in told
    assert f"{report.audit.symmetry[0].share[0].value:.3f}" in told
    lines = told.splitlines()
    assert lines[1] == report.audit.effect.sentence
    place = lines.index("What to do:")
    assert place < next(i for i, line in enumerate(lines) if line.startswith("share of"))
    first = report.audit.advice[0]
    assert lines[place + 1 : place + 3] == [f"1. {first.text}", f"     {first.command}"]
    assert len(repr(report)) < 200


def test_pictures_are_of_the_sections_that_were_audited(report: AuditReport) -> None:
    shown = [example.section for example in report.pictures.examples]
    assert shown == [1, 5, 10]
    assert report.pictures.mean_map.shape == (3, 64, 96)
    share = np.abs(report.pictures.mean_map).sum((1, 2))
    assert share.argmax() == 0


def test_inverted_labels_are_told() -> None:
    model = Weighted(1, 2, 1)
    right = emsym.audit(model, VOLUME, attribution=("saliency",)).pictures.examples[0]
    assert right.truth is None
    seen = np.zeros(VOLUME.shape, np.uint8)
    for z in range(1, len(VOLUME) - 1):
        window = VOLUME[z - 1 : z + 2].astype(np.float32)
        x = torch.from_numpy((window - VOLUME.mean()) / VOLUME.std())[None]
        with torch.no_grad():
            seen[z] = (model(x)[0, 0] > 0).numpy()
    notes = emsym.audit(model, VOLUME, 1 - seen, attribution=("saliency",)).audit.notes
    assert any("look inverted" in note for note in notes)
    notes = emsym.audit(model, VOLUME, seen, attribution=("saliency",)).audit.notes
    assert not any("inverted" in note for note in notes)


def test_sections_that_were_filled_up_are_told() -> None:
    notes = emsym.audit(Weighted(1, 2, 1), VOLUME[:, :20, :20]).audit.notes
    assert any("filled up to 32 × 32" in note for note in notes)
    assert not any(
        "filled up" in note for note in emsym.audit(Weighted(1, 2, 1), VOLUME).audit.notes
    )


def test_grey_levels_in_other_units_are_cautioned_of_beside_the_verdict() -> None:
    report = emsym.audit(
        Weighted(2, 1, 1), VOLUME, attribution=("saliency",), target="all", mean=0.5, sd=0.2
    )
    (caution,) = report.audit.cautions
    assert report.audit.notes[0] == caution
    assert "Are they in other units?" in caution
    assert f"Caution: {caution}" in str(report).splitlines()[:3]
    assert not audited(Weighted(2, 1, 1)).cautions


def test_a_prediction_that_is_nearly_empty_is_cautioned_of() -> None:
    found = audited(Weighted(2, 1, 1), labels=LABELS, threshold=1 - 1e-7)
    assert found.cautions[0].startswith("The prediction is ")
    assert not any("Dice is" in note for note in found.notes)


def test_labels_of_three_values_are_told() -> None:
    labels = np.arange(VOLUME.size).reshape(VOLUME.shape) % 3
    found = audited(Weighted(2, 1, 1), labels=labels)
    assert any("The labels hold 0, 1, 2: all but 0 counts" in note for note in found.notes)
    told = audited(Weighted(2, 1, 1), labels=labels, ignore=2)
    assert not any("all but 0 counts" in note for note in told.notes)


def test_a_function_of_numpy_arrays_is_audited_by_forward_passes() -> None:
    def middle(x: Tensor) -> np.ndarray:
        return 3 * x.numpy()[:, 1:2] + np.asarray(x)[:, :1] - 5

    found = audited(middle, attribution=AuditInputs.attribution)
    assert {row.attribution for row in found.symmetry} == {"slice-occlusion", SHAPLEY}
