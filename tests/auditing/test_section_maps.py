"""The maps of one section are those that an audit of it shows, whatever the section holds."""

from dataclasses import replace

import dask
import dask.array
import numpy as np
import pytest
from torch import nn

from emsym.auditing.audit import audit
from emsym.auditing.inputs import AuditInputs
from emsym.auditing.result import SectionExample
from emsym.auditing.section_maps import nearest_whole_stack, section_maps
from emsym.data.phantoms import generate_phantom
from emsym.errors import UserError

PHANTOM = generate_phantom("neurites", (9, 64, 64), 0)


def audited(inputs: AuditInputs):
    words = {name: getattr(inputs, name) for name in ("sections", "size", "attribution")}
    return audit(inputs.model, inputs.volume, inputs.labels, **words)


def require_same(one: SectionExample, other: SectionExample) -> None:
    assert one.section == other.section
    for name in ("stack", "attribution", "probability", "mirrored", "truth"):
        found, expected = getattr(one, name), getattr(other, name)
        if expected is None:
            assert found is None
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("labels", [None, PHANTOM.semantic])
def test_they_are_those_of_the_audit(model: nn.Module, labels: np.ndarray | None) -> None:
    inputs = AuditInputs(
        model, PHANTOM.image, labels, sections=3, size=48, attribution=("input-x-gradient",)
    )
    report = audited(inputs)
    for example in report.pictures.examples:
        require_same(section_maps(inputs, report.audit, example.section), example)


def test_labels_of_a_section_are_read_as_those_of_all(model: nn.Module) -> None:
    """255 is no label, though one section has nothing but 0 and 255 and would not tell."""
    labels = PHANTOM.semantic.copy()
    labels[4] = np.where(labels[4] > 0, 255, 0)
    inputs = AuditInputs(model, PHANTOM.image, labels, sections=3, attribution=("saliency",))
    report = audited(inputs)
    assert report.audit.data.unlabelled_values == [255]
    example = section_maps(inputs, report.audit, 4)
    assert example.truth is not None
    assert not example.truth.any()
    assert not example.attribution.any()


def test_only_the_stack_of_the_section_is_read(model: nn.Module) -> None:
    inputs = AuditInputs(model, PHANTOM.image, sections=1, attribution=("saliency",))
    report = audited(inputs)

    def block(block_info: dict) -> np.ndarray:
        (start, stop), *_ = block_info[None]["array-location"]
        read.append(start)
        return PHANTOM.image[start:stop]

    read: list[int] = []
    lazy = dask.array.map_blocks(
        block, chunks=((1,) * 9, (64,), (64,)), dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8)
    )
    read.clear()
    with dask.config.set(scheduler="synchronous"):
        example = section_maps(replace(inputs, volume=lazy), report.audit, 5)
    assert set(read) == {4, 5, 6}
    require_same(example, section_maps(inputs, report.audit, 5))


def test_a_section_without_neighbours_is_refused_with_those_that_have_them(
    model: nn.Module,
) -> None:
    inputs = AuditInputs(model, PHANTOM.image, sections=1, attribution=("saliency",))
    report = audited(inputs)
    with pytest.raises(UserError, match=r"Section 0 has no 3 slices around it: take one of 1 to 7"):
        section_maps(inputs, report.audit, 0)
    assert nearest_whole_stack(0, report.audit.slices, 9) == 1
