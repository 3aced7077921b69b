"""Axes are those that the file names or the user tells; others are asked about."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emsym.data.reading.axes import NamedArray, View, find_layout, split_axes


@pytest.mark.parametrize("axes", ["".join(order) for order in itertools.permutations("zyx")])
def test_names_count_and_told_ones_count_more(axes: str) -> None:
    assert find_layout((64, 48, 8), axes).axes == axes
    layout = find_layout((64, 48, 8), axes, "yxz")
    assert layout.axes == "yxz"
    assert bool(layout.notes) == (axes != "yxz")


@pytest.mark.parametrize(
    ("shape", "noted"),
    [((6, 64, 64), False), ((20, 30, 90), False), ((64, 64, 64), False), ((256, 128, 128), True)],
)
def test_plain_axes_need_no_names(shape: tuple[int, ...], noted: bool) -> None:
    layout = find_layout(shape)
    assert layout.axes == "zyx"
    assert bool(layout.notes) == noted


@pytest.mark.parametrize("shape", [(112, 96, 16), (112, 16, 96), (64, 64, 40), (64, 40, 64)])
def test_doubtful_axes_are_asked_about_unless_agreed_on(shape: tuple[int, ...]) -> None:
    for named in ("", "?yx"):
        with pytest.raises(ValueError, match="--axes"):
            find_layout(shape, named)
    assert find_layout(shape, trusted=True).axes == "zyx"
    assert find_layout(shape, told="xyz").axes == "xyz"


@pytest.mark.parametrize("named", ["", "tczyx", "?????"])
def test_axes_of_one_element_are_dropped(named: str) -> None:
    assert find_layout((1, 1, 6, 64, 64), named) == ((0, 0, None, None, None), "zyx", ())


@pytest.mark.parametrize(
    ("shape", "named"), [((2, 6, 9, 9), "czyx"), ((2, 6, 9, 9), ""), ((6, 9, 9), "tyx")]
)
def test_more_than_z_y_and_x_is_asked_about_with_an_answer_that_holds(
    shape: tuple[int, ...], named: str
) -> None:
    with pytest.raises(ValueError, match="--axes") as error:
        find_layout(shape, named)
    answer = str(error.value).partition("such as --axes ")[2].split()[0]
    assert find_layout(shape, named, answer, sections=True).picks.count(None) >= 2


def test_sections_are_two_dimensional_and_few_planes_of_each_are_asked_about() -> None:
    assert find_layout((9, 9), sections=True).axes == "yx"
    assert find_layout((9, 9), told="zyx", sections=True).axes == "yx"
    assert find_layout((3, 9, 9), "cyx", "c=1,z,y,x", sections=True) == ((1, None, None), "yx", ())
    for named in ("", "cyx"):
        with pytest.raises(ValueError, match="--axes"):
            find_layout((3, 9, 9), named, sections=True)
    with pytest.raises(ValueError, match=r"2-dimensional, \(9, 9\); it must be"):
        find_layout((9, 9))


def test_what_is_told_of_an_image_holds_for_labels_without_its_channels() -> None:
    assert find_layout((6, 9, 9), told="c=1,x,y,z").axes == "xyz"


@pytest.mark.parametrize("told", ["zy", "zyxx", "czyx", "zyx=1", "z,y", "", "z y x", "0"])
def test_what_are_no_axes_is_refused(told: str) -> None:
    with pytest.raises(ValueError, match=r"is no order|must name"):
        split_axes(told)


def test_an_element_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no c=2"):
        find_layout((2, 6, 9, 9), told="c=2,zyx")


@given(st.permutations("czyxt"), st.integers(0, 1), st.integers(0, 2))
def test_a_view_is_what_numpy_takes(order: list[str], c: int, t: int) -> None:
    sizes = {"c": 2, "t": 3, "z": 4, "y": 5, "x": 6}
    array = np.arange(720).reshape([sizes[axis] for axis in order])
    told = ",".join(
        axis if axis in "zyx" else f"{axis}={c if axis == 'c' else t}" for axis in order
    )
    layout = find_layout(array.shape, told=told)
    view = View(NamedArray(array), layout.picks)
    expected = array[tuple({"c": c, "t": t}.get(axis, slice(None)) for axis in order)]
    assert view.shape == expected.shape
    box = (slice(1, 3), slice(0, 4), slice(2, 4))
    np.testing.assert_array_equal(view[box], expected[box])
