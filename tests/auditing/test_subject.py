"""A subject is what the inputs say, and its network is at rest meanwhile."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from emsym.auditing.inputs import AuditInputs
from emsym.auditing.subject import prepare
from emsym.errors import UserError

IMAGE = np.random.default_rng(0).integers(0, 256, (9, 40, 50)).astype(np.uint8)
LABELS = IMAGE > 128


@pytest.mark.parametrize(
    ("labels", "target", "targets"),
    [
        (None, None, ["foreground"]),
        (None, "all", ["all"]),
        (LABELS, None, ["true-foreground", "foreground"]),
        (LABELS, "all", ["all", "true-foreground", "foreground"]),
    ],
)
def test_targets_are_those_that_labels_allow(labels, target, targets) -> None:
    model = nn.Conv2d(5, 1, 1).train()
    with prepare(AuditInputs(model, IMAGE, labels, target=target, sections=2)) as subject:
        assert subject.targets == targets
        assert subject.chosen.slices == 5
        assert not model.training
        assert not model.weight.requires_grad
    assert model.training
    assert model.weight.requires_grad


def test_the_channel_is_the_class_that_is_looked_at() -> None:
    model = nn.Conv2d(3, 4, 1)
    with prepare(AuditInputs(model, IMAGE, channel=2, sections=2)) as subject:
        x = subject.chosen[:1][0]
        assert (subject.classes, subject.dense.channel) == (4, 2)
        assert subject.dense.outputs(x).shape[1] == 4


def test_a_mean_and_sd_in_other_units_may_be_why_the_answer_is_none() -> None:
    scaled = nn.Conv2d(3, 1, 1, bias=False)
    nn.init.constant_(scaled.weight, 0.1)
    with (
        pytest.raises(UserError, match=r"times 255 do: .* × 255 they would be 127\.5 and 76\.5"),
        prepare(AuditInputs(scaled, IMAGE, mean=0.5, sd=0.3, sections=2)),
    ):
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.0}, "between 0 and 1"),
        ({"target": "some"}, "no target 'some'"),
        ({"target": "true-foreground"}, "needs labels"),
        ({"channel": 1}, "no class 1"),
        ({"slices": 4}, "odd"),
    ],
)
def test_a_mistake_is_one_sentence(options: dict, message: str) -> None:
    torch.manual_seed(0)
    with (
        pytest.raises(UserError, match=message) as error,
        prepare(AuditInputs(nn.Conv2d(3, 1, 1), IMAGE, **options)),
    ):
        pass
    assert "\n" not in str(error.value)


def described(path: Path, **inputs: object) -> Path:
    """A package whose network gives, of two channels, the sigmoids' logits at a quarter."""
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AvgPool2d(4))
    torch.jit.script(model).save(path / "net.pt")
    description = {
        "inputs": [{"axes": "bcyx", "preprocessing": [{"name": "scale_linear", **inputs}]}],
        "outputs": [{"axes": "bcyx", "postprocessing": [{"name": "sigmoid"}]}],
        "weights": {"torchscript": {"source": "net.pt"}},
    }
    (path / "rdf.yaml").write_text(yaml.safe_dump(description))
    return path


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_a_package_says_counts_where_the_user_says_nothing(tmp_path: Path) -> None:
    path = described(tmp_path, kwargs={"gain": 1 / 255})
    common = {"sections": 2, "size": 32, "channel": 1, "upsample": True}
    with prepare(AuditInputs(str(path), IMAGE, **common)) as subject:
        scale = subject.chosen.scale
        assert (scale.mean, scale.sd) == pytest.approx((0, 255))
        notes = " ".join(subject.notes)
        assert "as the package says, (g − 0) / 255" in notes
        assert "puts a sigmoid after the network" in notes
        assert "Channel 1 was taken for one of 2 independent sigmoids" in notes
        assert "Maps of 8 × 8 pixels were brought to the size of the section" in notes
    own = {"mean": 100, "sd": 50, "activation": "softmax"}
    with prepare(AuditInputs(str(path), IMAGE, **common, **own)) as subject:
        assert (subject.chosen.scale.mean, subject.classes) == (100, 2)
        assert "package says" not in " ".join(subject.notes)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_a_package_leaves_open_must_be_said(tmp_path: Path) -> None:
    path = described(tmp_path, kwargs={"gain": [1, 2, 3]})
    common = {"sections": 2, "size": 32, "channel": 1, "upsample": True}
    with (
        pytest.raises(UserError, match="say with --mean and --sd"),
        prepare(AuditInputs(str(path), IMAGE, **common)),
    ):
        pass
    with prepare(AuditInputs(str(path), IMAGE, mean=1, sd=2, **common)) as subject:
        assert subject.chosen.scale.sd == 2
