import pytest

from emsym.data.reading.formats.ome_xml import OmeImage, read_ome_images

PLANES = {"XYZCT": [0, 1, 2, 3, 4, 5], "XYCZT": [0, 2, 4, 1, 3, 5]}


def xml(planes: str = "<TiffData/>", order: str = "XYZCT", **sizes: int) -> str:
    size = " ".join(f'Size{k}="{v}"' for k, v in ({"Z": 3, "C": 2, "T": 1} | sizes).items())
    return (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="own"><Image>'
        f'<Pixels DimensionOrder="{order}" {size}>{planes}</Pixels></Image></OME>'
    )


@pytest.mark.parametrize("order", PLANES)
def test_pages_are_told_in_the_order_of_the_axes(order: str) -> None:
    slow, fast = (3, "Z"), (2, "C")
    axes = [fast, slow] if order == "XYZCT" else [slow, fast]
    assert read_ome_images(xml(order=order), 6) == [OmeImage([*range(6)], axes)]


def test_planes_may_lie_anywhere_in_the_file() -> None:
    planes = "".join(f'<TiffData IFD="{2 - z}" FirstZ="{z}"/>' for z in range(3))
    assert read_ome_images(xml(planes, C=1), 3) == [OmeImage([2, 1, 0], [(3, "Z")])]


def test_pages_of_other_files_are_left_out_and_told() -> None:
    planes = (
        '<TiffData IFD="0" PlaneCount="3"><UUID FileName="a">own</UUID></TiffData>'
        '<TiffData FirstC="1" IFD="0" PlaneCount="3"><UUID FileName="/b">other</UUID></TiffData>'
    )
    (image,) = read_ome_images(xml(planes), 3)
    assert (image.pages, image.axes) == ([0, 1, 2], [(3, "Z")])
    assert image.notes == ("Of a set of 6 planes this file holds 3; no other file was read.",)


def test_what_fills_no_grid_or_is_no_xml_tells_no_image() -> None:
    planes = '<TiffData IFD="0" FirstZ="0"/><TiffData IFD="1" FirstZ="1" FirstC="1"/>'
    assert read_ome_images(xml(planes), 2) == []
    assert read_ome_images("not <xml", 2) == []


def test_more_pages_than_there_are_is_an_error() -> None:
    with pytest.raises(ValueError, match="tells of 6 pages, not 5"):
        read_ome_images(xml('<TiffData IFD="0" PlaneCount="6"/>'), 5)
