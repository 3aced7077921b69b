"""All renderings of the leaderboard, written to one folder from one set of tables."""

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from emsym.files import atomic_replacement, write_atomically
from emsym.leaderboard.board import Board, boards
from emsym.leaderboard.collection import Arrays, StoredResults, examples
from emsym.leaderboard.render.csv_tables import tidy, wide
from emsym.leaderboard.render.figure import draw_figure
from emsym.leaderboard.render.markdown import markdown
from emsym.leaderboard.render.page import page
from emsym.leaderboard.results import Results
from emsym.output_folder import OutputFolder

FindExample = Callable[[str], Arrays | None]
"""A function from a cell's key to what was kept of it to look at: `StoredResults.example`."""
_PICTURE = re.compile(r"^!\[[^\]]*\]\(([\w.+-]+-[0-9a-f]{8}\.png)\)$", re.MULTILINE)


EXAMPLES = 1
"""The most sections that a page shows: each is 63 kB, of the 1.5 MB that a page may have."""

DOCUMENTS = ("docs/index.html", "../docs/index.md")
"""Where the documents may be as seen from an output folder: on the site, and in a clone."""


def publish(output: OutputFolder) -> None:
    """Write the leaderboard of everything that an output folder holds, into the folder.

    Raises `UserError` as `StoredResults` and `write_leaderboard` do.
    """
    stored = StoredResults(output.path)
    write_leaderboard(stored.results, output.path, stored.example, stored.credits)


def write_leaderboard(
    results: Results,
    folder: Path,
    find_example: FindExample = lambda key: None,
    credits: Sequence[tuple[str, str]] = (),
    documents: str | None = None,
    leaderboards: Sequence[Board] | None = None,
) -> list[Path]:
    """Write the leaderboard's files and return their paths.

    ``leaderboard.md`` with its pictures, ``index.html``, ``leaderboard.csv`` (a line per cell and
    score) and ``cells.csv`` (a line per cell). `find_example` gives a cell's example,
    and `credits` says who made the submissions. The page leads to `documents`, an address as seen
    from the folder, by default the one of `DOCUMENTS` that is there. Pictures of the leaderboard
    that was there before are removed. `leaderboards` are those of the results, where they are made
    already. Raises `UserError` where a file cannot be written.
    """
    leaderboards = boards(results) if leaderboards is None else list(leaderboards)
    before = _pictures(folder)
    for board in leaderboards:
        write_atomically(folder / f"{board.stem}.png", draw_figure(board))
    if documents is None:
        documents = next((each for each in DOCUMENTS if (folder / each).is_file()), "")
    _write_texts(results, folder, leaderboards, find_example, credits, documents)
    for name in before - _pictures(folder):
        (folder / name).unlink(missing_ok=True)
    return list(OutputFolder(folder).texts)


def _write_texts(
    results: Results,
    folder: Path,
    leaderboards: list[Board],
    find_example: FindExample,
    credits: Sequence[tuple[str, str]],
    documents: str,
) -> None:
    every = (each for board in leaderboards for each in examples(board, find_example))
    shown = list(islice(every, EXAMPLES))  # lest pictures outweigh the page
    output = OutputFolder(folder)
    write_atomically(output.markdown, markdown(leaderboards, credits))
    links = [("Markdown", output.markdown.name)] + [("Documents", documents)] * bool(documents)
    write_atomically(output.page, page(leaderboards, shown, credits, links))
    _stream(output.scores_table, tidy(results.cells))
    _stream(output.cells_table, wide(results.cells))


def outdated(
    results: Results,
    folder: Path,
    find_example: FindExample = lambda key: None,
    credits: Sequence[tuple[str, str]] = (),
) -> list[str]:
    """The names of the leaderboard's texts in a folder that are not what these results give.

    The page may lead to documents or not: a folder may have been moved away from them.
    """
    there = OutputFolder(folder).page
    page = there.read_text(encoding="utf-8", errors="replace") if there.is_file() else ""
    documents = next((each for each in DOCUMENTS if f'href="{each}"' in page), "")
    with tempfile.TemporaryDirectory() as fresh:
        _write_texts(results, Path(fresh), boards(results), find_example, credits, documents)
        texts = zip(OutputFolder(folder).texts, OutputFolder(Path(fresh)).texts, strict=True)
        return [
            ours.name
            for ours, theirs in texts
            if not ours.is_file() or ours.read_bytes() != theirs.read_bytes()
        ]


def _pictures(folder: Path) -> set[str]:
    """The pictures that a folder's ``leaderboard.md`` shows."""
    path = OutputFolder(folder).markdown
    return set(_PICTURE.findall(path.read_text(encoding="utf-8"))) if path.is_file() else set()


def _stream(path: Path, pieces: Iterator[str]) -> None:
    with (
        atomic_replacement(path) as partial,
        partial.open("w", encoding="utf-8", newline="") as file,
    ):
        for piece in pieces:
            file.write(piece)
