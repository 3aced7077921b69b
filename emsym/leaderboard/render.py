"""The leaderboard as Markdown, CSV and terminal tables, all from the same rows."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tabulate import tabulate

from emsym.files import write_atomically
from emsym.leaderboard.board import SUMMARY, Board, boards
from emsym.leaderboard.picture import draw
from emsym.leaderboard.table import BOARD, GROUP, Score, aggregate
from emsym.run.record import Record

WIDE = 160
"""Characters of a terminal that all columns fit in; the few at a glance fit in 80."""


def markdown(records: Iterable[Record]) -> str:
    """The leaderboard as a page for a code host."""
    parts = ["# Leaderboard", _LEGEND]
    for board in boards(records):
        parts.append(f"## {board.title}")
        parts.append(f"![Each strategy's slice shares, bias and accuracy]({board.picture})")
        parts.append("\n".join(f"- **{word}**: {text}" for word, text in board.facts()))
        for heading, rows in board.groups():
            parts += [f"### {heading}", _markdown_table(board, rows)]
    return "\n\n".join(parts) + "\n"


def csv(records: Iterable[Record]) -> str:
    """One line per data set, architecture and strategy: mean, sd and n of every score."""
    found = boards(records)
    tables = []
    for board in found:
        rows = aggregate(board.cells, [*BOARD, *GROUP, "data", "licence", "citation", "init"])
        rows.columns = [f"{score} {what}" for score, what in rows.columns]
        tables.append(rows.copy().reset_index())  # a copy has its columns in one piece
    return pd.concat(tables).to_csv(index=False, float_format="%.6g") if tables else ""


def write(records: list[Record], folder: Path) -> list[Path]:
    """Write ``leaderboard.md`` with its pictures, and ``leaderboard.csv``; returns both paths."""
    paths = [folder / "leaderboard.md", folder / "leaderboard.csv"]
    for path, text in zip(paths, (markdown(records), csv(records)), strict=True):
        write_atomically(path, text)
    for board in boards(records):
        write_atomically(folder / board.picture, draw(board))
    return paths


def show(records: Iterable[Record], console: Console) -> None:
    """Print the leaderboard's tables, as wide as the terminal allows."""
    for board in boards(records):
        console.print(f"\n[bold]Leaderboard: {escape(board.title)}[/bold]")
        for word, text in board.facts():
            console.print(f"[dim]{word}: {escape(text)}[/dim]", highlight=False)
        # the summary last: it is what stays on the screen
        for heading, rows in sorted(board.groups(), key=lambda group: group[0].startswith(SUMMARY)):
            console.print(_terminal_table(board, heading, rows, console.width))


def _columns(board: Board, rows: pd.DataFrame) -> Iterator[tuple[Score, list[str], pd.Series]]:
    """(score, its cells as text, which are best) for each score that the rows have."""
    for score in board.scores:
        if score.key in rows:
            mean, sd = rows[score.key, "mean"], rows[score.key, "sd"]
            texts = [_number(m, s, score.digits) for m, s in zip(mean, sd, strict=True)]
            yield score, texts, score.best(mean)


def _number(mean: float, sd: float, digits: int) -> str:
    if pd.isna(mean):
        return "–"
    text = f"{mean:.{digits}f}".replace("-", "−")
    return text if pd.isna(sd) else f"{text} ±{sd:.{digits}f}".replace("±0.", "±.")


def _share_texts(board: Board, rows: pd.DataFrame) -> list[str]:
    means = rows[board.shares].xs("mean", axis=1, level=1)
    return [
        " / ".join("–" if pd.isna(share) else f"{share:.2f}".removeprefix("0") for share in row)
        for row in means.to_numpy()
    ]


def _share_title(board: Board) -> str:
    first, last = board.shares[0], board.shares[-1]
    offsets = [name.partition("[")[2][:-1].replace("-", "−") for name in (first, last)]
    return f"share z{offsets[0]} … z{offsets[1]}"


def _markdown_table(board: Board, rows: pd.DataFrame) -> str:
    columns: dict[str, list[str]] = {"init": [f"`{name}`" for name in rows.index]}
    for score, texts, best in _columns(board, rows):
        title = score.title.replace("|", "\\|")
        columns[title] = [f"**{t}**" if b else t for t, b in zip(texts, best, strict=True)]
    columns[_share_title(board)] = _share_texts(board, rows)
    return tabulate(columns, headers="keys", tablefmt="pipe", disable_numparse=True)


def _terminal_table(board: Board, heading: str, rows: pd.DataFrame, width: int) -> Table:
    table = Table(
        title=escape(heading),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("init", no_wrap=True)
    columns = [[escape(str(name)) for name in rows.index]]
    for score, texts, best in _columns(board, rows):
        if score.glance or width >= WIDE:
            table.add_column(score.title, justify="right")
            columns.append(
                [f"[bold green]{t}[/]" if b else t for t, b in zip(texts, best, strict=True)]
            )
    table.add_column(_share_title(board), justify="right", no_wrap=True)
    columns.append(_share_texts(board, rows))
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    return table


_LEGEND = """\
Does a network that sees a stack of adjacent slices treat the slices on either side alike?
Values are mean ± sd over seeds; in a summary, over pairs of data set and architecture, each a mean
over its seeds. Rows are in the order of the summary's model asymmetry; the best of a column is
bold, however small the difference. A name with a #digest stood for something else in other rows.
Definitions are in the docstrings of `emsym.scores`.

- **model asym.**: |model asymmetry|, the network's own preference for the slices on one side,
  0 … 1; exactly 0 for a mirror-symmetric network. **flip error**: how far the predicted probability
  moves when the stack is reversed, 0 … 1.
- **neighbour asym.**: negative when the slices before the centre count more, positive when
  those after it do. **imbalance**: 0 when all slices count alike (the centre may deserve more).
- **Dice, IoU**: pooled over the test sections. **ARAND**: adapted Rand error of the instances.
- **faithfulness**: correlation of what the attribution names with what matters, −1 … 1.
- **share**: each slice's part of the attribution."""
