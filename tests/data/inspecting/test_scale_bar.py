import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from emsym.data.inspecting.scale_bar import SHARE, bar_length, draw_scale_bar, length_text


@given(st.floats(1e-3, 1e9))
def test_a_bar_is_short_enough_and_round(width: float) -> None:
    length = bar_length(width)
    assert SHARE * width / 2.5 < length * (1 + 1e-9) <= SHARE * width * (1 + 1e-9)
    assert f"{length:e}"[0] in "125"


@pytest.mark.parametrize(
    ("step", "pixel_nm", "text", "drawn"),
    [(1, 4.0, "100 nm", 25), (2, 4.0, "200 nm", 25), (1, 40.0, "1 µm", 25)],
)
def test_it_is_as_long_as_it_says(step: int, pixel_nm: float, text: str, drawn: float) -> None:
    axis = Figure().subplots()
    axis.imshow([[0.0] * 100] * 50)
    draw_scale_bar(axis, step, pixel_nm)
    x = axis.lines[0].get_xdata()
    assert x[1] - x[0] == pytest.approx(drawn)
    assert axis.texts[0].get_text() == text
    assert axis.get_xlim() == (-0.5, 99.5), "the picture is not moved"


def test_of_pixels_of_unknown_size_it_counts_pixels() -> None:
    axis = Figure().subplots()
    axis.imshow([[0.0] * 100] * 50)
    draw_scale_bar(axis, 2, None)
    x = axis.lines[0].get_xdata()
    assert (x[1] - x[0]) * 2 == 50
    assert axis.texts[0].get_text() == "50 pixels, of unknown size"


def test_lengths_are_told_in_the_unit_that_suits() -> None:
    assert [length_text(nm) for nm in (0.5, 500, 1000, 20_000)] == [
        "0.5 nm",
        "500 nm",
        "1 µm",
        "20 µm",
    ]
