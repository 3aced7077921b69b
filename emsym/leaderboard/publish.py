"""All renderings of the leaderboard, written to one folder from one set of tables."""

from collections.abc import Callable, Iterator
from pathlib import Path

from emsym.files import replacing, write_atomically
from emsym.leaderboard.board import boards
from emsym.leaderboard.markdown import markdown
from emsym.leaderboard.page import page
from emsym.leaderboard.picture import draw
from emsym.leaderboard.results import Results
from emsym.leaderboard.sheets import tidy, wide
from emsym.leaderboard.stored import Arrays, examples

MARKDOWN = "leaderboard.md"


def write(
    results: Results, folder: Path, look: Callable[[str], Arrays | None] = lambda key: None
) -> list[Path]:
    """Write the leaderboard's files and return their paths; `look` finds a cell's example.

    ``leaderboard.md`` with its pictures, ``index.html``, ``leaderboard.csv`` (a line per cell and
    score) and ``cells.csv`` (a line per cell). Raises `UserError` where one cannot be written.
    """
    found = boards(results)
    for board in found:
        write_atomically(folder / f"{board.stem}.png", draw(board))
    shown = [each for board in found for each in examples(board, look)]
    paths = [folder / name for name in (MARKDOWN, "index.html", "leaderboard.csv", "cells.csv")]
    write_atomically(paths[0], markdown(found))
    write_atomically(paths[1], page(found, shown))
    _stream(paths[2], tidy(results.cells))
    _stream(paths[3], wide(results.cells))
    return paths


def is_current(results: Results, folder: Path) -> bool:
    """Whether the folder's ``leaderboard.md`` is what these results give."""
    path = folder / MARKDOWN
    return path.is_file() and path.read_text(encoding="utf-8") == markdown(boards(results))


def _stream(path: Path, pieces: Iterator[str]) -> None:
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        for piece in pieces:
            file.write(piece)
