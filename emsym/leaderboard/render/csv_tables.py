"""The leaderboard as CSV: every score of every cell, one to a line and one cell to a line.

Written by one template for each cell's numbers, for millions of them: `DataFrame.to_csv` takes
several times as long.
"""

import csv
import io
from collections.abc import Iterator

import pandas as pd

from emsym.leaderboard.results import FACTS, score_names

KEYS = ["submission", "protocol", "version", "dataset", "architecture", "init", "seed"]
_CHUNK = 2_000


def tidy(cells: pd.DataFrame) -> Iterator[str]:
    """In pieces: a line per cell and score: `KEYS`, `score`, `value`.

    Scores that no cell of a protocol's version has are no lines of it; those that some cells have
    are empty in the others.
    """
    yield ",".join([*KEYS, "score", "value"]) + "\r\n"
    done = cells[cells["status"] == "done"]
    for _, alike in done.groupby(["protocol", "version"], sort=False):
        names = [name for name in score_names(alike) if alike[name].notna().any()]
        lines = "".join(f"\0{_quoted(name)},%.6g\r\n" for name in names)
        for part in _chunks(alike):
            starts = _facts(part, KEYS)
            values = part[names].to_numpy(float).tolist()
            yield "".join(
                (lines % tuple(row)).replace(",nan\r", ",\r").replace("\0", start + ",")
                for start, row in zip(starts, values, strict=True)
            )


def wide(cells: pd.DataFrame) -> Iterator[str]:
    """In pieces: a line per cell, failed ones too: all that is known of it, then every score."""
    names = score_names(cells)
    header = io.StringIO()
    csv.writer(header).writerow([*FACTS, *names])
    yield header.getvalue()
    numbers = ",".join(["%.6g"] * len(names))
    for part in _chunks(cells):
        starts = _facts(part, FACTS)
        values = part[names].to_numpy(float).tolist()
        yield "".join(
            f"{start},{(numbers % tuple(row)).replace('nan', '')}\r\n"
            for start, row in zip(starts, values, strict=True)
        )


def _chunks(cells: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for start in range(0, len(cells), _CHUNK):
        yield cells.iloc[start : start + _CHUNK]


def _facts(cells: pd.DataFrame, names: list[str]) -> list[str]:
    text = io.StringIO()
    rows = zip(*(_column(cells[name]) for name in names), strict=True)
    csv.writer(text, lineterminator="\0").writerows(rows)
    return text.getvalue().split("\0")[:-1]


def _column(values: pd.Series) -> list[object]:
    """As they are written, each distinct one made once: most are the same in many cells."""
    codes, distinct = pd.factorize(values)
    texts = [f"{v:.6g}" if isinstance(v, float) else _harmless(v) for v in distinct.tolist()]
    return [texts[code] if code >= 0 else "" for code in codes.tolist()]


def _harmless(value: object) -> object:
    """A stranger's text that a spreadsheet would take for a formula, as text."""
    if isinstance(value, str):
        value = " ".join(value.replace("\0", "").split())
        if value.startswith(("=", "+", "-", "@")):
            return f"'{value}"
    return value


def _quoted(name: str) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([name])
    return line.getvalue().replace("%", "%%")
