"""TIFF files of every writer are read page by page, and unlike pages are refused."""

import numpy as np
import pytest
import tifffile
from stored_arrays import BOX, IMAGE, WRITERS, refusal

from emsym.data.reading.readers import find_files, open_array
from emsym.errors import UserError


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


def ome_file(path, image, z, names):
    """A section of an OME set, whose XML gives the file of each section and its own as `z`."""
    planes = "".join(
        f'<TiffData IFD="0" FirstZ="{at}" PlaneCount="1"><UUID FileName="{name}">urn:uuid:'
        f"00000000-0000-0000-0000-{at:012d}</UUID></TiffData>"
        for at, name in enumerate(names)
    )
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/'
        f'OME/2016-06" UUID="urn:uuid:00000000-0000-0000-0000-{z:012d}"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="36" SizeY="40" '
        f'SizeZ="{len(names)}" SizeC="1" SizeT="1"><Channel ID="Channel:0:0"/>{planes}</Pixels>'
        "</Image></OME>"
    )
    tifffile.imwrite(path, image, description=xml, metadata=None)


@pytest.mark.parametrize("renamed", [False, True])
def test_files_of_an_ome_set_are_each_read_once(tmp_path, renamed):
    names = [f"s_{z}.ome.tif" for z in range(4)]
    for z, name in enumerate(names):
        ome_file(tmp_path / (f"r{z}.tif" if renamed else name), IMAGE[z], z, names)
    files = find_files(tmp_path, "*.tif")
    assert len(files) == 4
    for z, name in enumerate(sorted(path.name for path in tmp_path.iterdir())):
        with open_array(tmp_path / name) as array:
            np.testing.assert_array_equal(np.squeeze(array[BOX[-2:]]), IMAGE[z][BOX[-2:]])


def test_no_pixel_comes_from_a_file_that_ome_xml_names(tmp_path):
    tifffile.imwrite(tmp_path / "secret.tif", IMAGE[0], compression="zlib")
    given = tmp_path / "given"
    given.mkdir()
    ome_file(given / "a.ome.tif", np.full_like(IMAGE[0], 7), 1, ["../secret.tif"])
    with open_array(given / "a.ome.tif") as array:
        assert (array[BOX[-2:]] == 7).all()


INVERTED = np.stack([np.arange(256, dtype=np.uint16)[::-1] * 257] * 3)
COLOURS = np.stack([np.arange(256, dtype=np.uint16) * 257, *np.zeros((2, 256), np.uint16)])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_palette_of_greys_in_another_order_is_asked_about(tmp_path, compression):
    """As in a picture: the numbers are not what the file shows."""
    path = tmp_path / "0.tif"
    shape = {"photometric": "palette", "compression": compression}
    tifffile.imwrite(path, IMAGE, colormap=INVERTED, **shape)
    with pytest.raises(UserError, match="palette gives shades of grey in another order"):
        open_array(path).__enter__()
    tifffile.imwrite(path, IMAGE, colormap=INVERTED[:, ::-1], **shape)
    with open_array(path) as array:
        assert array.notes == ()
        np.testing.assert_array_equal(array[:, :, :], IMAGE)
    tifffile.imwrite(path, IMAGE, colormap=COLOURS, **shape)
    with open_array(path) as array:
        assert array.notes == ("The numbers of the palette were read, not its colours.",)
        np.testing.assert_array_equal(array[:, :, :], IMAGE)
