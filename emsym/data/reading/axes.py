"""Which of an array's stored axes are z, y and x: named by its file, told by its user, or plain.

Where none of these says it, `find_layout` asks, in a sentence with the option that answers.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import numpy as np

from emsym.data.reading.registry import Array

Shape = tuple[int, ...]

AXES_PATTERN = r"(?:[A-Za-z]=\d+|[A-Za-z]+)(?:,(?:[A-Za-z]=\d+|[A-Za-z]+))*"
UNKNOWN = "?"
_WORDS = {
    **dict.fromkeys(("z", "depth", "plane", "slice", "section"), "z"),
    **dict.fromkeys(("y", "row", "height"), "y"),
    **dict.fromkeys(("x", "col", "column", "width"), "x"),
    **dict.fromkeys(("c", "channel", "channels", "band"), "c"),
    **dict.fromkeys(("t", "time", "frame"), "t"),
}
_FEW = 4
"""So few arrays in each of several files may as well be channels."""
_ALIKE = 1.25
"""Two sides that differ by no more than that factor may be those of a section."""


class Layout(NamedTuple):
    """The part of a stored array that is the volume, or a section of it."""

    picks: tuple[int | None, ...]
    """For each stored axis the one element that is meant, or None where the axis is kept."""
    axes: str
    """The names of those that are kept, in stored order: a permutation of ``zyx`` or ``yx``."""
    notes: tuple[str, ...] = ()
    """Assumptions, a sentence each."""


class NamedArray:
    """An array with the names of its axes, and what is to be said of how it was read."""

    def __init__(self, array: Any, axes: Sequence[str] = "", notes: Iterable[str] = ()) -> None:
        """`axes` are letters, ``?`` for one that is not known; none where nothing is known."""
        self.axes, self.notes, self._array = "".join(axes), tuple(notes), array

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._array, name)

    def __getitem__(self, box: Any) -> Any:
        return self._array[box]


class View:
    """The part of an array that a layout keeps."""

    def __init__(self, array: Array, picks: tuple[int | None, ...]) -> None:
        """`picks` are those of a `Layout`."""
        self._array, self._picks = array, picks
        self.shape, self.dtype = self._kept(tuple(array.shape)), array.dtype
        stored = getattr(array, "shards", None) or getattr(array, "chunks", None)
        self.chunks = self._kept(tuple(stored)) if stored else None
        self.notes = getattr(array, "notes", ())

    def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
        """Read a box: a slice for each axis that is kept."""
        sides = iter(box)
        whole = tuple(
            next(sides) if pick is None else slice(pick, pick + 1) for pick in self._picks
        )
        dropped = tuple(axis for axis, pick in enumerate(self._picks) if pick is not None)
        return np.asarray(self._array[whole]).squeeze(dropped)

    def _kept(self, sizes: Shape) -> Shape:
        return tuple(size for size, pick in zip(sizes, self._picks, strict=True) if pick is None)


def axis_letter(name: object) -> str:
    """Return the letter of an axis that a file calls by a word, ``?`` where it says nothing.

    >>> [axis_letter(name) for name in ("Z", "row", "channel", None, "dim_0", "angle")]
    ['z', 'y', 'c', '?', '?', 'a']
    """
    word = str(name or "").strip().lower()
    if re.fullmatch(r"|dim_?\d+|phony_dim_\d+|none", word):
        return UNKNOWN
    return _WORDS.get(word, word[0] if word[0].isalpha() else UNKNOWN)


def split_axes(text: str) -> list[tuple[str, int | None]]:
    """Split what a user says of the axes, in stored order; an index means one element of an axis.

    Raises `ValueError` where what is left is no section and no volume.

    >>> split_axes("t=0,c=1,zyx")
    [('t', 0), ('c', 1), ('z', None), ('y', None), ('x', None)]
    """
    axes: list[tuple[str, int | None]] = []
    if not re.fullmatch(AXES_PATTERN, text):
        raise ValueError(f"'{text}' is no order of axes, such as zyx or c=1,z,y,x")
    for part in text.lower().split(","):
        letter, _, index = part.partition("=")
        axes += [(letter, int(index))] if index else [(each, None) for each in part]
    kept = "".join(letter for letter, index in axes if index is None)
    if sorted(kept) not in (sorted("xyz"), sorted("xy")):
        raise ValueError(
            f"'{text}' must name z, y and x once each (of single sections y and x), and of every "
            "other axis the one element that is meant, as c=1,z,y,x"
        )
    return axes


def find_layout(
    shape: Shape,
    named: str = "",
    told: str | None = None,
    *,
    sections: bool = False,
    trusted: bool = False,
) -> Layout:
    """Find which stored axes are z, y and x.

    `named` are the letters that the file gives, `told` what the user says, which counts more. With
    `sections` the array is one of several files. With `trusted` the order z, y, x was agreed on,
    and is asked about no more. Raises `ValueError`, with half a sentence to follow the name of what
    was opened, where nothing tells.
    """
    if told is not None:
        return _told_layout(shape, named, told, sections)
    letters = named if len(named) == len(shape) else UNKNOWN * len(shape)
    picks = _without_single(shape, letters, 2 if sections else 3)
    kept = [axis for axis, pick in enumerate(picks) if pick is None]
    names, sizes = [letters[axis] for axis in kept], tuple(shape[axis] for axis in kept)
    if len(names) < 2 or (len(names) == 2 and not sections):
        raise ValueError(
            f"is {len(shape)}-dimensional, {shape}; it must be (Z, Y, X): "
            "give a stack of sections, or a folder with a file for each"
        )
    missing = [axis for axis in "zyx"[-len(names) :] if axis not in names]
    if len(names) > 3 or len(missing) != names.count(UNKNOWN):
        time = " (or z in the place of t, where the steps are sections)" if "t" in names else ""
        raise ValueError(
            f"is {len(shape)}-dimensional, {_sizes(shape, letters)}: say with --axes (in a "
            "card: axes) which is which, in the order in which they are stored, and of every other "
            f"one which element is meant, counted from 0, such as --axes {_example(names)}{time}"
        )
    axes = "".join(missing.pop(0) if name == UNKNOWN else name for name in names)
    plain = trusted or UNKNOWN not in names or len(names) == 2
    return Layout(picks, axes, () if plain else _doubts(sizes, axes, sections))


def _without_single(shape: Shape, letters: str, least: int) -> tuple[int | None, ...]:
    """Drop axes of one element: those of another name than z, y and x, then those of none."""
    picks: list[int | None] = [None] * len(shape)
    for axis, size in enumerate(shape):
        if size == 1 and letters[axis] not in "zyx" + UNKNOWN:
            picks[axis] = 0
    for axis, size in enumerate(shape):
        if size == 1 and letters[axis] == UNKNOWN and picks.count(None) > least:
            picks[axis] = 0
    return tuple(picks)


def _told_layout(shape: Shape, named: str, text: str, sections: bool) -> Layout:
    """The layout that a user tells; axes of one element need not be told, nor z of sections.

    What is said of an image holds for its labels, which may lack the axes that have an index.
    """
    axes = split_axes(text)
    orders = [axes, [axis for axis in axes if axis[1] is None]]
    if sections:
        orders = [each for order in orders for each in (order, [a for a in order if a[0] != "z"])]
    whole = range(len(shape))
    wide = [axis for axis in whole if shape[axis] > 1]
    for places in (whole, wide):
        for order in orders:
            if len(order) == len(places):
                return _placed(shape, named, order, places)
    raise ValueError(
        f"has the axes {_sizes(shape, named)}, and --axes {text} (in a card: axes) names "
        f"{len(axes)}: name each of them, in the order in which they are stored"
    )


def _placed(
    shape: Shape, named: str, order: list[tuple[str, int | None]], places: Sequence[int]
) -> Layout:
    picks: list[int | None] = [0] * len(shape)
    for axis, (letter, index) in zip(places, order, strict=True):
        if index is not None and index >= shape[axis]:
            raise ValueError(
                f"has {shape[axis]} elements along {letter}, from {letter}=0 on: there is no "
                f"{letter}={index}"
            )
        picks[axis] = index
    kept = "".join(letter for letter, index in order if index is None)
    own = "".join(name for name, pick in zip(named, picks, strict=False) if pick is None)
    if len(named) == len(shape) and own != kept and sorted(own) == sorted(kept):
        note = f"The file calls its axes {', '.join(own)}; they were read as {', '.join(kept)}."
        return Layout(tuple(picks), kept, (note,))
    return Layout(tuple(picks), kept)


def _example(names: Sequence[str]) -> str:
    """An answer that fits: the axes without a name that come last are those that are missing.

    >>> _example("cyx"), _example("??yx"), _example("????")
    ('c=0,y,x', 'c=0,z,y,x', 'c=0,z,y,x')
    """
    spare = [axis for axis in "zyx" if axis not in names]
    if names.count(UNKNOWN) < len(spare):
        spare.remove("z")  # single sections
    words = []
    for number, name in enumerate(names):
        if name == UNKNOWN:
            left = list(names[number:]).count(UNKNOWN)
            words.append(spare.pop(0) if left <= len(spare) else "c=0")
        else:
            words.append(name if name in "zyx" else f"{name}=0")
    return ",".join(words)


def _sizes(shape: Shape, named: str) -> str:
    """The stored axes in words.

    >>> _sizes((2, 40, 36), "?yx"), _sizes((40, 36), "")
    ('? × y × x = 2 × 40 × 36', '40 × 36')
    """
    numbers = " × ".join(map(str, shape))
    known = len(named) == len(shape) and set(named) != {UNKNOWN}
    return f"{' × '.join(named)} = {numbers}" if known else numbers


def _doubts(sizes: Shape, axes: str, sections: bool) -> tuple[str, ...]:
    """Ask where the order of axes without names is not plain; a note where it may be another."""
    z, y, x = (sizes[axes.index(axis)] for axis in "zyx")
    numbers = " × ".join(map(str, sizes))
    if sections and z <= _FEW:
        raise ValueError(
            f"is one of several files and holds {z} planes of {y} × {x}, which may be sections or "
            "channels: say with --axes (in a card: axes) zyx where they are sections, or else "
            "which one is meant, counted from 0, such as --axes c=0,y,x"
        )
    thin = min(y, x) * 2 <= z and max(y, x) > _ALIKE * min(y, x)
    if thin or z == y != x or z == x != y:
        raise ValueError(
            f"is stored as {numbers}, and nothing says which axis is which: say it with --axes (in "
            'a card: axes = "…"), zyx where z comes first, yxz or xyz where it comes last'
        )
    return order_notes((z, y, x))


def sections_come_last(shape: Shape) -> bool:
    """Return whether the last of three axes looks like that of sections: two alike, and a short.

    >>> sections_come_last((512, 480, 30)), sections_come_last((200, 64, 40))
    (True, False)
    """
    low, high = sorted(shape[:2])
    return high <= _ALIKE * low and 2 * shape[2] <= low


def order_notes(shape: Shape) -> tuple[str, ...]:
    """Say that z was taken to come first, where it is not the shortest of z, y and x."""
    if shape[0] <= min(shape[1:]):
        return ()
    return (
        f"That the first of the axes {' × '.join(map(str, shape))} is z was taken for granted, "
        "though it is not the shortest; where it is another, say with --axes which axis is which.",
    )


@contextmanager
def open_view(
    opened: AbstractContextManager[Array], picks: tuple[int | None, ...]
) -> Iterator[Array]:
    """The part that a layout keeps of an array, which is open meanwhile."""
    with opened as array:
        yield array if all(pick is None for pick in picks) else View(array, picks)
