"""The layers of a section's maps: their numbers, names, limits, and what is said of them."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from emsym.auditing.result import SectionExample
from emsym.napari.map_layers import map_layers, map_origin, map_sentence

GENERATOR = np.random.default_rng(0)


def example(attribution: np.ndarray | None = None, section: int = 4) -> SectionExample:
    if attribution is None:
        attribution = GENERATOR.normal(size=(3, 8, 6)) * np.array([3, 2, 1]).reshape(3, 1, 1)
    answers = GENERATOR.random((2, *attribution.shape[1:]))
    return SectionExample(section, np.zeros_like(attribution), attribution, *answers, None)


def audited(crop: tuple[int, int, int, int] = (0, 8, 0, 6)) -> Any:
    data = SimpleNamespace(crop=crop, shape=(10, 8, 6))
    return SimpleNamespace(headline="saliency/foreground", slices=3, data=data)


def test_there_is_a_layer_for_each_slice_the_flip_error_and_the_probability() -> None:
    section = example()
    layers = {layer.key: layer for layer in map_layers(section, audited())}
    assert list(layers) == ["probability", "flip error", "z−1", "z", "z+1"]
    for index, name in enumerate(("z−1", "z", "z+1")):
        np.testing.assert_allclose(
            layers[name].data[0], np.abs(section.attribution[index]), rtol=1e-6
        )
    apart = np.abs(section.probability - section.mirrored)
    np.testing.assert_allclose(layers["flip error"].data[0], apart, rtol=1e-6)
    assert {layer.data.shape for layer in layers.values()} == {(1, 8, 6)}


def test_slices_are_as_bright_as_they_count() -> None:
    attribution = np.ones((3, 8, 6)) * np.array([3, 4, 1]).reshape(3, 1, 1)
    *_, before, centre, after = map_layers(example(attribution), audited())
    assert before.contrast_limits == centre.contrast_limits == after.contrast_limits == (0, 4)
    assert [layer.name for layer in (before, centre, after)] == [
        "z−1 counts 38% (saliency)",
        "z counts 50% (saliency)",
        "z+1 counts 12% (saliency)",
    ]
    assert before.colour != after.colour
    assert (before.visible, centre.visible, after.visible) == (True, False, True)


def test_a_flip_error_next_to_nothing_stays_dark() -> None:
    section = example()
    same = SectionExample(4, section.stack, section.attribution, *[section.probability] * 2, None)
    flip = map_layers(same, audited())[1]
    assert flip.contrast_limits == (0, pytest.approx(0.1))
    assert flip.name == "flip error, 0 on average"


def test_a_section_without_attribution_has_dark_maps_and_it_is_said() -> None:
    nothing = example(np.zeros((3, 8, 6)))
    assert map_layers(nothing, audited())[-1].contrast_limits == (0, 1)
    assert map_layers(nothing, audited())[-1].name == "z+1 counts – (saliency)"
    assert "nothing in it is explained" in map_sentence(nothing, audited(), 4)


def test_what_is_shown_is_said() -> None:
    assert map_sentence(example(), audited(), 4) == "The layers are of section 4, counted from 0."
    cut = map_sentence(example(section=1), audited((2, 6, 1, 5)), 0)
    assert "of the 4 × 4 pixels in its middle" in cut
    assert "section 0 was shown, which has no whole stack" in cut
    assert map_origin(audited((2, 6, 1, 5)), 7) == (7, 2, 1)


def test_the_more_it_counts_the_more_opaque_it_is_and_no_slice_hides_another() -> None:
    _, flip, *slices = map_layers(example(), audited())
    assert flip.look["colormap"][:, 3].tolist() == [0, 1]
    assert {each.look["blending"] for each in slices} == {"additive"}  # in any order the same
