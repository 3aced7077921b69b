"""Every option stands once: signatures, documentation and command line are made of the fields."""

import inspect
import subprocess
import sys

import pytest

import emsym
from emsym.auditing.inputs import AuditInputs, SanityInputs, called_with, described_fields
from emsym.errors import UserError
from emsym.protocol import SHAPLEY


@called_with(SanityInputs)
def checked(inputs: SanityInputs) -> SanityInputs:
    """Return the inputs."""
    return inputs


def test_a_function_of_inputs_is_called_with_their_fields() -> None:
    assert checked("net.pt", "em.tif", "labels.tif", channel=2) == SanityInputs(
        "net.pt", "em.tif", "labels.tif", channel=2
    )
    with pytest.raises(TypeError, match="unexpected keyword argument 'chanel'"):
        checked("net.pt", "em.tif", chanel=2)
    with pytest.raises(TypeError, match="positional"):
        checked("net.pt", "em.tif", None, "unet-resnet34")


def test_a_network_or_plug_in_that_exits_is_told_where() -> None:
    @called_with(SanityInputs)
    def leaving(inputs: SanityInputs) -> None:
        """Exit, as a network may while it runs."""
        sys.exit(0)

    with pytest.raises(UserError, match=r"by SystemExit: 0 \(.*test_inputs\.py:\d+\): let code"):
        leaving("net.pt", "em.tif")


def test_its_signature_is_that_of_plain_keywords() -> None:
    signature = inspect.signature(emsym.audit)
    assert list(signature.parameters)[:3] == ["model", "volume", "labels"]
    assert str(signature.parameters["labels"]) == "labels: 'VolumeSource | None' = None"
    assert str(signature.parameters["size"]) == "size: int = 512"
    assert inspect.signature(checked).parameters["size"].default == 256
    assert signature.return_annotation.__name__ == "AuditReport"


def test_its_documentation_tells_what_every_option_means() -> None:
    for field, _, text in described_fields(AuditInputs):
        assert f"\n{field.name}\n    {text[:20]}" in emsym.audit.__doc__
    undescribed = {"progress"}
    described = {field.name for field, _, _ in described_fields(AuditInputs)}
    assert set(inspect.signature(AuditInputs).parameters) - described == undescribed


def test_the_shapley_values_are_among_the_defaults() -> None:
    assert SHAPLEY in AuditInputs("net.pt", "em.tif").attribution


def test_the_name_that_attribution_had_is_still_taken() -> None:
    assert called_with(AuditInputs)(lambda inputs: inputs.attribution)(
        "net.pt", "em.tif", attributions=("lrp",)
    ) == ("lrp",)


def test_importing_the_inputs_is_quick() -> None:
    code = (
        "import sys, emsym.auditing.inputs; print({'torch', 'numpy', 'pydantic'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
