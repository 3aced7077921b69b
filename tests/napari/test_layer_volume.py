"""The volume of a layer, and where layers of maps lie; with a stand-in for napari's layers."""

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from emsym.errors import UserError
from emsym.napari.layer_volume import layer_volume, placed, shown_section

VOLUME = np.zeros((10, 8, 6), np.uint8)


class Affine:
    """A translation, as napari's transforms are called."""

    def __init__(self, by: float) -> None:
        self.by = by
        self.inverse = self.back

    def back(self, point: np.ndarray) -> np.ndarray:
        return point - self.by


def layer(data: Any = VOLUME, **facts: Any) -> Any:
    scale = np.array(facts.pop("scale", (1.0,) * 3))
    translate = np.array(facts.pop("translate", (0.0,) * 3))
    affine = Affine(facts.pop("moved", 0))
    stand_in = SimpleNamespace(
        data=data,
        name="raw",
        ndim=3,
        multiscale=False,
        rgb=False,
        scale=scale,
        units=("pixel",) * 3,
        rotate=np.eye(3),
        shear=np.zeros(3),
        affine=affine,
        data_to_world=lambda voxel: np.array(voxel) * scale + translate + affine.by,
        world_to_data=lambda point: (np.array(point) - affine.by - translate) / scale,
    )
    vars(stand_in).update(facts)
    return stand_in


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"rgb": True}, "is a colour image: choose one of grey levels"),
        ({"data": VOLUME[0]}, "is a single section: choose a volume"),
        ({"data": VOLUME[None]}, "has 4 axes, 1 × 10 × 8 × 6: choose a volume"),
    ],
)
def test_what_is_no_volume_is_refused_with_what_to_choose(facts: dict, words: str) -> None:
    with pytest.raises(UserError, match=f"The layer 'raw' {words}"):
        layer_volume(layer(**facts))


def test_of_several_resolutions_the_finest_is_taken() -> None:
    pyramid = layer([VOLUME, VOLUME[:, ::2, ::2]], multiscale=True)
    assert layer_volume(pyramid).array is VOLUME
    assert shown_section(pyramid, (7, 0, 0)) == 7


def test_nothing_is_read_of_a_layer_that_is_read_as_it_is_sliced() -> None:
    lazy = SimpleNamespace(shape=(10, 8, 6))
    assert layer_volume(layer(lazy)).array is lazy


@pytest.mark.parametrize(
    ("facts", "size", "words"),
    [
        ({}, None, "tells no voxel size"),
        ({"scale": (50, 4, 4)}, (50, 4, 4), "50 × 4 × 4 nm .* names no unit: nanometres"),
        ({"scale": (0.05, 0.004, 0.004), "units": ("micrometer",) * 3}, (50, 4, 4), "scale.$"),
        ({"units": ("nanometer",) * 3}, (1, 1, 1), "Voxels of 1 × 1 × 1 nm"),
        ({"units": ("second", "nanometer", "nanometer")}, None, "unit 'second' is no length"),
    ],
)
def test_the_voxel_size_is_that_of_the_scale_and_its_origin_is_said(
    facts: dict, size: tuple | None, words: str
) -> None:
    volume = layer_volume(layer(**facts))
    assert volume.voxel_size == (None if size is None else pytest.approx(size))
    assert re.search(words, volume.note)


@pytest.mark.parametrize(("world", "section"), [(-90, 0), (100, 0), (160, 1), (254, 3), (9e9, 9)])
def test_the_section_shown_is_the_nearest_of_the_layer(world: float, section: int) -> None:
    at = layer(scale=(50, 4, 4), translate=(100, 0, 0))
    assert shown_section(at, (5, 6, world, 0, 0)) == section  # the viewer may have more axes


def test_maps_lie_where_the_pixels_lie_that_they_are_of() -> None:
    image = layer(scale=(50, 4, 4), translate=(100, 8, 0), moved=1000)
    place = placed(image, (3, 2, 1))
    np.testing.assert_allclose(place["translate"], (250, 16, 4))
    np.testing.assert_allclose(place["scale"], image.scale)
    assert place["affine"] is image.affine  # which moves them on by 1000
