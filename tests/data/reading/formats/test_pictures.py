"""Pictures are sections, grey whatever their channels; colour is refused."""

import numpy as np
import pytest
from PIL import Image
from stored_arrays import IMAGE

from emsym.data.reading.readers import open_array

SECTION = IMAGE[0]


PICTURES = {
    "8 bits": SECTION,
    "16 bits": SECTION.astype(np.uint16) * 257,
    "1 bit": SECTION > 99,
    "rgb": np.stack([SECTION] * 3, -1),
    "rgba": np.stack([SECTION] * 3 + [SECTION[::-1]], -1),
    "la": np.stack([SECTION, SECTION[::-1]], -1),
}


@pytest.mark.parametrize("name", PICTURES)
def test_grey_pictures_are_sections_whatever_their_channels(tmp_path, name):
    Image.fromarray(PICTURES[name]).save(tmp_path / "0.png")
    expected = PICTURES[name] if PICTURES[name].ndim == 2 else SECTION
    with open_array(tmp_path / "0.png") as array:
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array[:, :], expected)


def test_palette_of_greys_is_a_section(tmp_path):
    picture = Image.fromarray(SECTION).convert("P")
    picture.save(tmp_path / "0.png")
    assert Image.open(tmp_path / "0.png").mode == "P"
    with open_array(tmp_path / "0.png") as array:
        np.testing.assert_array_equal(array[:, :], SECTION)


def test_jpeg_is_a_section(tmp_path):
    Image.fromarray(np.full((32, 40), 99, np.uint8)).save(tmp_path / "0.jpg")
    with open_array(tmp_path / "0.jpg") as array:
        np.testing.assert_array_equal(array[:, :], np.full((32, 40), 99))
