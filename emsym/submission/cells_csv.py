"""``cells.csv``: a line per cell, what it is and its scores, in full precision."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from emsym.errors import UserError, first_line, first_names
from emsym.files import validation_message
from emsym.submission.schema import COST, FIELDS, LARGEST, MAX_CELLS, Row, ScoreName

MAX_SCORES = 500
_NUMBERS = re.compile(r"[0-9.e+,-]*")
"""Numbers with commas between: no NaN, no infinity, no words of Python's."""
_ROW, _SCORES = TypeAdapter(Row), TypeAdapter(list[ScoreName])


def write_rows(rows: list[Row], names: list[str], scores: np.ndarray) -> bytes:
    """The file's bytes; `scores` is (rows, names), NaN where a cell has none."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*FIELDS, *names])
    for row, values in zip(rows, scores.tolist(), strict=True):
        facts = ["" if fact is None else fact for fact in row.model_dump().values()]
        writer.writerow([*facts, *("" if value != value else repr(value) for value in values)])
    return stream.getvalue().encode()


def read_rows(path: Path) -> tuple[list[Row], list[str], np.ndarray]:
    """Read what `write_rows` wrote. Raises `UserError`, naming the line, where it is damaged."""
    line = 0  # that was read whole
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            head = next(lines, [])
            fields = FIELDS if COST[0] in head else FIELDS[: -len(COST)]
            names = head[len(fields) :]
            if tuple(head[: len(fields)]) != fields or len(set(names)) < len(names):
                raise ValueError("its columns are not those of a submission")
            if len(names) > MAX_SCORES:
                raise ValueError(f"it has over {MAX_SCORES} scores")
            _SCORES.validate_python(names)
            line = lines.line_num
            rows: list[Row] = []
            scores: list[np.ndarray] = []
            for row, values in _read(lines, fields, len(names)):
                line = lines.line_num
                rows.append(row)
                scores.append(values)
    except ValidationError as error:
        raise UserError(
            f"{path}, line {line + 1}: {first_names([validation_message(error)])}."
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}, line {line + 1}: it is no text in UTF-8.") from error
    except (ValueError, csv.Error, OSError) as error:
        why = first_names([first_line(error)])
        raise UserError(f"{path}, line {line + 1}: {why}.") from error
    return rows, names, np.array(scores, np.float64).reshape(len(rows), len(names))


def _read(
    lines: Iterator[list[str]], fields: Sequence[str], count: int
) -> Iterator[tuple[Row, np.ndarray]]:
    for number, cells in enumerate(lines):
        if number >= MAX_CELLS:
            raise ValueError(f"it has over {MAX_CELLS:,} cells: make several submissions of it")
        if len(cells) != len(fields) + count:
            raise ValueError(f"it has {len(cells)} columns instead of {len(fields) + count}")
        facts = dict(zip(fields, (cell or None for cell in cells), strict=False))
        numbers = cells[len(fields) :]
        if not _NUMBERS.fullmatch(",".join(numbers)):
            raise ValueError("a score is no finite number")
        values = np.array([float(cell) if cell else np.nan for cell in numbers])
        if np.isinf(values).any():
            raise ValueError("a score is no finite number")
        if (np.abs(values) > LARGEST).any():
            raise ValueError(f"a score is beyond {LARGEST:g}")
        row = _ROW.validate_python(facts)
        if row.status != "done" and not np.isnan(values).all():
            raise ValueError("it has scores and is not done")
        yield row, values
