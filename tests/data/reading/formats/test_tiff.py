"""TIFF files of every writer are read page by page, and unlike pages are refused."""

import numpy as np
import pytest
import tifffile
from stored_arrays import BOX, IMAGE, WRITERS, refusal

from emsym.data.reading.readers import open_array


@pytest.mark.parametrize("kind", ["contiguous", "compressed", "imagej", "big-endian", "appended"])
def test_16_bits_of_tiff_survive(tmp_path, kind):
    image = IMAGE.astype(np.uint16) * 257
    WRITERS[kind][1](tmp_path / "image.tif", image)
    with open_array(tmp_path / "image.tif") as array:
        np.testing.assert_array_equal(array[BOX], image[BOX])


@pytest.mark.parametrize("compression", ["lzw", "deflate", "zstd", "packbits"])
def test_compressed_tiff_is_read(tmp_path, compression):
    tifffile.imwrite(tmp_path / "image.tif", IMAGE, compression=compression)
    with open_array(tmp_path / "image.tif") as array:
        np.testing.assert_array_equal(array[BOX], IMAGE[BOX])


def test_pages_of_several_kinds_are_several_images(tmp_path):
    with tifffile.TiffWriter(tmp_path / "image.tif") as file:
        file.write(IMAGE[0])
        file.write(IMAGE[1].astype(np.uint16) * 300)
    assert "2 images, 40 × 36 uint8, 40 × 36 uint16; say which" in refusal(tmp_path / "image.tif")
    with open_array(tmp_path / "image.tif", "1") as array:
        np.testing.assert_array_equal(array[:, :], IMAGE[1] * np.uint16(300))
    assert "from 0 to 1" in refusal(tmp_path / "image.tif", "2")
