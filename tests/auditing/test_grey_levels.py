import numpy as np
import pytest

from emsym.auditing.grey_levels import note_on_constant_sections, note_on_units
from emsym.data.stacks import Normalisation


def test_what_fits_needs_no_note() -> None:
    assert note_on_units(Normalisation(120, 30), Normalisation(137, 24)) == []


@pytest.mark.parametrize(
    ("given", "read", "hint"),
    [
        ((0.5, 0.2), (130, 50), "× 255 they would be 127.5 and 51"),
        ((127.5, 51), (0.5, 0.2), "÷ 255 they would be 0.5 and 0.2"),
        ((0.5, 0.2), (33000, 13000), "× 65535"),
        ((3, 1), (1e6, 1), "Are they in the volume's units?"),
    ],
)
def test_other_units_are_told_and_which_they_may_be(
    given: tuple[float, float], read: tuple[float, float], hint: str
) -> None:
    (note,) = note_on_units(Normalisation(*given), Normalisation(*read))
    assert hint in note
    assert f"{given[0]:.4g} and {given[1]:.4g}, are far from" in note


def test_a_deviation_alone_may_be_wrong() -> None:
    (note,) = note_on_units(Normalisation(100, 500), Normalisation(100, 5))
    assert "a mean of 0 and an sd of 0.01" in note


def test_sections_of_one_grey_level_are_named() -> None:
    plain = np.arange(12.0).reshape(3, 4)
    assert note_on_constant_sections({1: plain, 2: plain + 1}) == []
    (note,) = note_on_constant_sections({1: plain, 4: plain * 0, 7: plain * 0 + 9})
    assert note.startswith("Sections 4, 7 are of one grey level, as if they were missing")
