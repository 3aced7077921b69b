"""Interventions have kinds and an order, contradict each other, and come from plug-ins, too."""

from pathlib import Path

import pytest
import torch

from emsym.errors import UserError
from emsym.models.architectures import create_model
from emsym.models.inits import init_source, parse_init
from emsym.models.interventions.registry import (
    INTERVENTIONS,
    list_interventions,
    order_of_action,
    register_intervention,
)
from emsym.plugins import load_plugin

KINDS = {
    "adapter": "initialisation",
    "mirror-tied": "initialisation",
    "shared-stem": "initialisation",
    "a3d": "initialisation",
    "zflip-augment": "training",
    "side-shuffle": "training",
    "slice-dropout": "training",
    "flip-loss": "training",
    "distil": "training",
    "flip-average": "inference",
}


def test_each_has_one_of_three_kinds_and_a_summary() -> None:
    assert {name: INTERVENTIONS.get(name).when for name in list_interventions()} == KINDS
    assert all(INTERVENTIONS.summary(name).endswith(".") for name in KINDS)


def test_they_are_named_in_the_order_in_which_they_act() -> None:
    assert order_of_action(sorted(KINDS)) == list(KINDS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rgb+mirror-tied+a3d", "'mirror-tied' and 'a3d' each make another thing of the stem"),
        ("rgb+shared-stem+a3d", "leave all but one of them out"),
        ("rgb+distil", "teach a network what it is itself"),
        ("rgb+flip-average+adapter", "Write the init .* as 'rgb\\+adapter\\+flip-average'"),
        ("rgb+flip-averag", "no intervention 'flip-averag'; did you mean 'flip-average'"),
        ("rgb+flip-average-1.5", "a number between 0 and 1, as in 'flip-average-0.25'"),
        ("rgb+flip-average-0.5", "one half is 'flip-average'"),
        ("rgb+flip-average+flip-average-0.25", "averages twice"),
        ("rgb+zflip-augment+side-shuffle", r"same stacks .* alone.*: leave 'zflip-augment' out"),
        ("rgb+side-shuffle+zflip-augment", r"same stacks .* alone.*: leave 'zflip-augment' out"),
        ("timm+distil", "teach a network what it is itself"),
    ],
)
def test_a_name_that_contradicts_itself_is_a_sentence(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_init(name)


def test_an_average_may_have_a_weight() -> None:
    (name,) = parse_init("rgb+flip-average-0.25").interventions
    model = torch.nn.Conv2d(3, 1, 1)
    x = torch.rand(2, 3, 4, 4)
    average = INTERVENTIONS.get(name).function(model)
    torch.testing.assert_close(average(x), 0.75 * model(x) + 0.25 * model(x.flip(1)))


def test_what_it_acts_on_is_one_of_five_words() -> None:
    with pytest.raises(UserError, match="acts on one of network, stem, stacks, loss, answer, not"):
        register_intervention("mine", acts_on="weights")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"acts on one of .*, not on None"):
        register_intervention("mine")
    with pytest.raises(UserError, match="'mine' is no function: 5"):
        register_intervention("mine", acts_on="answer")(5)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="registered by its name"):
        register_intervention(lambda model: model, acts_on="answer")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("acts_on", "body", "message"),
    [
        (
            "network",
            "raise ValueError('boom')",
            r"intervention 'bad' fails: ValueError: boom \(.*:5\)",
        ),
        ("stem", "import sys; sys.exit(3)", "intervention 'bad' fails: SystemExit: 3"),
        ("network", "return None", "'bad' gives a NoneType instead of a network"),
        ("answer", "return 3", "'bad' gives a int instead of a network"),
        ("stacks", "return given[0][:, :1]", r"\(2, 1, 8, 8\) instead of stacks of the shape"),
        ("stacks", "return None", "gives a NoneType instead of stacks"),
        ("loss", "return 1.0", "gives a float instead of one number"),
    ],
)
def test_a_plug_in_that_breaks_its_promise_is_named(
    tmp_path: Path, acts_on: str, body: str, message: str
) -> None:
    file = tmp_path / "bad.py"
    file.write_text(
        "import emsym\n\n"
        f"@emsym.register_intervention('bad', acts_on='{acts_on}')\ndef bad(*given):\n    {body}\n"
    )
    assert load_plugin(file)
    try:
        with pytest.raises(UserError, match=message):
            INTERVENTIONS.get("bad").apply(torch.zeros(2, 3, 8, 8), None)
    finally:
        INTERVENTIONS._entries.pop("bad")


PLUGIN = '''
import emsym

@emsym.register_intervention("halved", acts_on="stem")
def halved(model, stem):
    """Halves the stem."""
    for tensor in emsym.models.stem.stem.stem_tensors(model, stem).values():
        tensor.div_(2)
'''


def test_a_plug_in_brings_one_and_its_source_is_part_of_the_key(tmp_path: Path) -> None:
    file = tmp_path / "halved.py"
    file.write_text("import emsym.models.stem.stem\n" + PLUGIN)
    assert load_plugin(file)
    try:
        plain, halved = (
            create_model("unet-tu-test_resnet", init) for init in ("rgb", "rgb+halved")
        )
        one, other = (next(model.parameters()) for model in (plain, halved))
        torch.testing.assert_close(other, one / 2)
        before = init_source("rgb+halved")
        assert before
        assert init_source("rgb") is None
        assert init_source("rgb+mirror-tied") is None
        file.write_text(file.read_text().replace("2)", "4)"))
        assert init_source("rgb+halved") != before
    finally:
        INTERVENTIONS._entries.pop("halved")
