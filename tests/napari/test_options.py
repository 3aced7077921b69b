"""The form asks for what the command line asks for, and reads what is written into it."""

import pytest

from emsym.auditing.inputs import AuditInputs, described_fields
from emsym.errors import UserError
from emsym.napari.options import Option, audit_options, read_options

OPTIONS = audit_options()


def written(**texts: str) -> dict[str, str]:
    return {option.name: option.default for option in OPTIONS} | texts


def test_every_option_is_there_but_what_layers_say() -> None:
    fields = {field.name for field, _, _ in described_fields(AuditInputs)}
    assert fields - {option.name for option in OPTIONS} == {"model", "volume", "labels", "axes"}


def test_a_form_as_it_begins_leaves_all_defaults() -> None:
    assert read_options(OPTIONS, written()) == {}
    assert AuditInputs("net.pt", "volume.tif", **read_options(OPTIONS, written())) == AuditInputs(
        "net.pt", "volume.tif"
    )


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("architecture", " unet-resnet34 ", "unet-resnet34"),
        ("channel", "2", 2),
        ("mean", "127.5", 127.5),
        ("threshold", "0.4", 0.4),
        ("size", "256", 256),
        ("descending", "yes", True),
        ("probabilities", "no", False),
        ("activation", "softmax", "softmax"),
        ("target", "all", "all"),
        ("attribution", "saliency, lrp", ["saliency", "lrp"]),
        ("voxel_size", "50 4 4", (50.0, 4.0, 4.0)),
    ],
)
def test_what_is_written_is_read_as_the_fields_type(name: str, text: str, value: object) -> None:
    assert read_options(OPTIONS, written(**{name: text})) == {name: value}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("channel", "red", "channel: write a whole number, and not 'red'."),
        ("mean", "1,5", "mean: write a number, and not '1,5'."),
        ("voxel_size", "4 4", "voxel size: write three numbers, z y x, and not '4 4'."),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(name: str, text: str, words: str) -> None:
    with pytest.raises(UserError) as error:
        read_options(OPTIONS, written(**{name: text}))
    assert str(error.value) == words


def test_an_option_that_is_emptied_is_the_default() -> None:
    assert read_options(OPTIONS, written(size="")) == {}


def test_choices_begin_with_the_default() -> None:
    by_name: dict[str, Option] = {option.name: option for option in OPTIONS}
    assert by_name["probabilities"].choices == {"by default": None, "no": False, "yes": True}
    assert by_name["descending"].default == "no"
    assert by_name["factory"].label == "model"  # as on the command line
