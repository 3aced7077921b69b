"""The order of sections that are a file each, by the numbers in their names; and what is missing.

Names that do not tell an order are asked about: a wrong one would make other sections neighbours.
"""

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from emsym.errors import first_names

_WHOLE, _DECIMAL = re.compile(r"\d+"), re.compile(r"\d+(?:[.p]\d+)?")
_POINTS = (".", "p")
Column = list[Decimal]


def in_order(names: Sequence[str]) -> list[int]:
    """Return the places of names in the order of what they count.

    Raises `ValueError`, with half a sentence, where names are of several patterns, and where no
    number of theirs tells an order.

    >>> in_order(["z10.png", "z9.png"]), in_order(["z1p5.tif", "z-1.tif", "z0p5.tif"])
    ([1, 0], [1, 2, 0])
    """
    numbers = _count(names) if len(names) > 1 else []
    return sorted(range(len(names)), key=numbers.__getitem__) if numbers else [*range(len(names))]


class Gaps(NamedTuple):
    """The places where numbers of sections are missing."""

    places: list[int]
    """The sections, in order, before which some are missing."""
    notes: list[str]
    """A sentence where there are some, or where that cannot be told."""


def find_gaps(names: Sequence[str]) -> Gaps:
    """Find which numbers are left out between those of sections.

    >>> find_gaps(["s1.png", "s2.png", "s4.png"]).places
    [2]
    """
    try:
        numbers = sorted(_count(names)) if len(names) > 2 else []
    except ValueError:  # files that a card names one by one
        return Gaps([], [])
    steps = [after - before for before, after in pairwise(numbers)]
    if len({*steps}) < 2:
        return Gaps([], [])
    step = min(steps)
    if any(size % step for size in steps):
        return Gaps(
            [],
            [
                "The numbers in the names of sections are not evenly spaced, but the sections were "
                "taken to be."
            ],
        )
    missing = [
        before + step * count
        for before, size in zip(numbers, steps, strict=False)
        for count in range(1, min(int(size / step), 9))
    ]
    shown = first_names([f"{number.normalize():f}" for number in missing])
    note = (
        f"Of the numbers in the names of sections, {shown} {'is' if len(missing) == 1 else 'are'} "
        "missing: stacks that would reach across a gap are left out."
    )
    return Gaps([place + 1 for place, size in enumerate(steps) if size > step], [note])


def centres_of_whole_stacks(count: int, slices: int, breaks: Sequence[int]) -> Sequence[int]:
    """Return the sections of `count` that have all their neighbours, `slices` in all.

    `breaks` are the sections that do not follow the one before them.

    >>> centres_of_whole_stacks(9, 3, []), centres_of_whole_stacks(9, 3, [4])
    (range(1, 8), [1, 2, 5, 6, 7])
    """
    half = slices // 2
    centres = range(half, count - half)
    if not breaks:
        return centres
    return [z for z in centres if not any(z - half < place <= z + half for place in breaks)]


def _count(names: Sequence[str]) -> Column:
    """The number of each name that tells the order: of its numbers the one that varies."""
    columns = _columns(names)
    telling = [column for column in columns if len(set(column)) == len(column)]
    if len({tuple(sorted(range(len(c)), key=c.__getitem__)) for c in telling}) > 1:
        even = [column for column in telling if max(column) - min(column) == len(column) - 1]
        telling = even if len(even) == 1 else []
    if not telling:
        raise ValueError(
            f"are called {first_names(names)}, and no one number of their names tells their order: "
            "give a pattern that fits one series of them, with one number that counts sections"
        )
    return telling[0]


def _columns(names: Sequence[str]) -> list[Column]:
    """The numbers of names that differ by nothing else, by their place in the name."""
    plain = [unicodedata.normalize("NFKC", name).casefold().replace("−", "-") for name in names]
    for number in (_WHOLE, _DECIMAL):
        texts = [tuple(number.split(name)) for name in plain]
        numbers = [number.findall(name) for name in plain]
        if len(set(texts)) > 1:  # a sign that some have is one; one that all have is a dash
            signs = [["-" * text.endswith("-") for text in each[:-1]] for each in texts]
            texts = [(*(text.rstrip("+-") for text in each[:-1]), each[-1]) for each in texts]
            numbers = [
                [sign + digits for sign, digits in zip(*each, strict=True)]
                for each in zip(signs, numbers, strict=True)
            ]
        if len(set(texts)) == 1:
            columns = [list(column) for column in zip(*numbers, strict=True)]
            return _joined(columns, texts[0])
    kinds = [names[texts.index(text)] for text in dict.fromkeys(texts)]
    raise ValueError(
        f"are named in {len(kinds)} ways, {first_names(kinds)}: give a pattern that fits one of "
        "them, or names that differ by a number alone"
    )


def _joined(columns: list[list[str]], texts: tuple[str, ...]) -> list[Column]:
    """Numbers, of which two around a point are one."""
    made: list[Column] = []
    place = 0
    while place < len(columns):
        whole = columns[place]
        place += 1
        if place < len(columns) and texts[place] in _POINTS and len(set(columns[place])) > 1:
            made.append(_fractions(whole, columns[place]))
            place += 1
        else:
            made.append([Decimal(number.replace("p", ".")) for number in whole])
    return made


def _fractions(whole: list[str], parts: list[str]) -> Column:
    """Tell what points separate: decimals, or numbers of two levels, where 10 follows 9.

    Raises `ValueError` where that makes a difference and nothing tells.
    """
    longest = max(map(len, parts))
    pairs = list(zip(whole, parts, strict=True))
    decimals = [Decimal(f"{a}.{b}") for a, b in pairs]
    levels = [Decimal(f"{a}.{b.zfill(longest)}") for a, b in pairs]
    if len(set(map(len, parts))) == 1 or "0" in parts:
        return decimals
    if any(len(part) > 1 and part.endswith("0") for part in parts):
        return levels
    places = range(len(pairs))
    if sorted(places, key=decimals.__getitem__) == sorted(places, key=levels.__getitem__):
        return decimals
    raise ValueError(
        f"hold numbers such as {first_names(f'{a}.{b}' for a, b in pairs)}, which may be decimals "
        "or counts of two levels: write them with as many digits each"
    )
