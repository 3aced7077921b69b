"""Whether grey levels are normalised in the units in which a volume has them."""

from collections.abc import Mapping

import numpy as np

from emsym.data.stacks import Normalisation
from emsym.errors import first_names

_FACTORS = {"255": 255.0, "65535": 65535.0, "257": 257.0}
_FAR = 5
"""A normalised mean beyond is not that of what a network was trained with."""
_WIDE = 10
"""Nor is a normalised standard deviation above, or below its inverse."""


def note_on_units(given: Normalisation, read: Normalisation) -> list[str]:
    """Say that a mean and sd that were given are not in the units of what was read.

    >>> note_on_units(Normalisation(0.485, 0.229), Normalisation(137, 24))[0][-60:]
    'Are they in other units? × 255 they would be 123.7 and 58.4.'
    """
    if _fits(given, read, _FAR, _WIDE):
        return []
    fitting = [
        (sign, name, Normalisation(given.mean * factor, given.sd * factor))
        for name, by in _FACTORS.items()
        for sign, factor in (("×", by), ("÷", 1 / by))
    ]
    likely = [each for each in fitting if _fits(each[2], read, 2, 4)]
    hint = "Are they in the volume's units?"
    if likely:
        sign, name, scaled = likely[0]
        hint = (
            f"Are they in other units? {sign} {name} they would be {scaled.mean:.4g} and "
            f"{scaled.sd:.4g}."
        )
    return [
        f"The mean and sd that were given, {given.mean:.4g} and {given.sd:.4g}, are far from those "
        f"of the sections that were read, {read.mean:.4g} and {read.sd:.4g}: what the network saw "
        f"has a mean of {(read.mean - given.mean) / given.sd:.3g} and an sd of "
        f"{read.sd / given.sd:.3g}. {hint}"
    ]


def _fits(given: Normalisation, read: Normalisation, far: float, wide: float) -> bool:
    """Whether what was read has, normalised, a mean near 0 and a standard deviation near 1."""
    return abs(read.mean - given.mean) <= far * given.sd and 1 / wide <= read.sd / given.sd <= wide


def note_on_constant_sections(sections: Mapping[int, np.ndarray]) -> list[str]:
    """Say which sections, (H, W) by their numbers, are of one grey level in all that is looked at.

    >>> note_on_constant_sections({3: np.eye(2), 4: np.zeros((2, 2))})[0][:47]
    'Section 4 is of one grey level, as if it were m'
    """
    constant = [number for number, section in sections.items() if section.min() == section.max()]
    if not constant:
        return []
    numbers = first_names(map(str, constant))
    who, is_, it = ("Sections", "are", "they") if len(constant) > 1 else ("Section", "is", "it")
    return [
        f"{who} {numbers} {is_} of one grey level, as if {it} were missing or never written; "
        "stacks with such a section were looked at like the others, and count in every number."
    ]
