"""The figures of the paper (arXiv 2505.14105) and its table, of anybody's own cells.

Figure 1 shows a section's saliency slice by slice, 2 the data with its labels, 3 predictions at the
paper's threshold, .85, and 4 the mean saliency of each slice. They are drawn of what was kept to
look at of each cell: the middle of one test section, with the headline's attribution.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tabulate import tabulate

from emsym.images import equalise
from emsym.leaderboard.board import Board
from emsym.wording import interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Arrays = Mapping[str, np.ndarray]
FindExample = Callable[[str], Arrays | None]

PAPER = "uniform-green"
"""The paper's strategy, which stands beside the baseline."""
THRESHOLD = 0.85
"""The paper's threshold of the probability, in its third figure."""
MOST = 6
"""The most data sets that are shown."""
FORMATS = ("svg", "pdf")


def draw_paper_figures(board: Board, find_example: FindExample) -> dict[str, "Figure"]:
    """Return the figures of a board by their names; empty where no example of it was kept."""
    kept = {
        (dataset, name): list(_examples(board, dataset, name, find_example))
        for dataset in dict.fromkeys(board.done["dataset"])
        for name in _shown(board)
    }
    kept = {where: examples for where, examples in kept.items() if examples}
    chosen = list(dict.fromkeys(dataset for dataset, _ in kept))[:MOST]
    kept = {where: examples for where, examples in kept.items() if where[0] in chosen}
    if not kept:
        return {}
    first = {where[0]: examples[0] for where, examples in reversed(kept.items())}
    return {
        "figure-1-saliency": _saliency(kept),
        "figure-2-data": _data(first),
        "figure-3-prediction": _prediction(kept),
        "figure-4-mean-saliency": _mean_saliency(kept),
    }


def figure_bytes(figure: "Figure", kind: str) -> bytes:
    """Return a figure as a file of one of `FORMATS`, the same bytes each time."""
    import matplotlib as mpl

    file = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "emsym"}):
        dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        figure.savefig(file, format=kind, metadata=dates[kind])
    return file.getvalue()


def paper_tables(board: Board) -> dict[str, str]:
    """Return the table of strategies and scores as ``md``, ``csv`` and ``tex``."""
    columns = [column for column in board.columns.values() if column.score.glance]
    heads = ["strategy", *(column.score.term for column in columns)]
    rows = []
    for name in (name for name in board.order if name in board.ranked):
        texts = [name]
        for column in columns:
            mean, low, high = column.summary.loc[name, list(_ENDS)]
            texts.append(interval(mean, low, high, column.score.digits))
        rows.append(texts)
    numbers = pd.concat(
        [column.summary[list(_ENDS)].add_prefix(f"{column.score.term} ") for column in columns],
        axis=1,
    ).loc[[row[0] for row in rows]]
    return {
        "md": tabulate(rows, headers=heads, tablefmt="pipe") + "\n",
        "csv": numbers.to_csv(index_label="strategy"),
        "tex": tabulate(rows, headers=heads, tablefmt="latex_booktabs") + "\n",
    }


_ENDS = ("mean", "low", "high")


def _shown(board: Board) -> list[str]:
    return [name for name in (board.baseline, PAPER) if name is not None and name in board.names]


def _examples(board: Board, dataset: str, name: str, find: FindExample) -> Iterator[Arrays]:
    cells = board.done[(board.done["dataset"] == dataset) & (board.done["init"] == name)]
    for key in cells.sort_values(["seed", "architecture"])["key"]:
        if (arrays := find(key)) is not None:
            yield arrays


def _grid(rows: list[str], heads: list[str]) -> tuple["Figure", np.ndarray]:
    """Return an empty figure of pictures with these labels, and its axes (rows, heads)."""
    from matplotlib.figure import Figure

    size = (1.2 + 1.7 * len(heads), 0.4 + 1.8 * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(rows), len(heads), squeeze=False)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    for axis, head in zip(axes[0], heads, strict=True):
        axis.set_title(head.replace("$", r"\$"), fontsize=9)
    for axis, row in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(row.replace("$", r"\$"), fontsize=8)
    return figure, axes


def _slices(count: int) -> list[str]:
    middle = count // 2
    return ["z" if s == middle else f"z{s - middle:+d}".replace("-", "−") for s in range(count)]


def _draw(axis: "Axes", picture: np.ndarray, map_name: str = "gray", most: float = 1) -> None:
    axis.imshow(picture, cmap=map_name, vmin=0, vmax=most, interpolation="nearest")


def _label(where: tuple[str, str]) -> str:
    return f"{where[0]}\n{where[1]}"


def _saliency(kept: Mapping[tuple[str, str], list[Arrays]]) -> "Figure":
    """The section and its saliency, slice by slice, equalised over the slices of a stack."""
    count = max(len(examples[0]["image"]) for examples in kept.values())
    figure, axes = _grid([_label(where) for where in kept], ["section", *_slices(count)])
    for row, examples in zip(axes, kept.values(), strict=True):
        one = examples[0]
        _draw(row[0], one["image"][len(one["image"]) // 2] / 255)
        for axis, part in zip(row[1:], equalise(one["attribution"].astype(float)), strict=True):
            _draw(axis, part, "viridis")
    return figure


def _data(first: Mapping[str, Arrays]) -> "Figure":
    figure, axes = _grid(list(first), ["section", "label"])
    for row, one in zip(axes, first.values(), strict=True):
        _draw(row[0], one["image"][len(one["image"]) // 2] / 255)
        _draw(row[1], one["truth"].astype(float))
    return figure


def _prediction(kept: Mapping[tuple[str, str], list[Arrays]]) -> "Figure":
    figure, axes = _grid(
        [_label(where) for where in kept], ["section", "label", f"probability > {THRESHOLD}"]
    )
    for row, examples in zip(axes, kept.values(), strict=True):
        one = examples[0]
        _draw(row[0], one["image"][len(one["image"]) // 2] / 255)
        _draw(row[1], one["truth"].astype(float))
        _draw(row[2], (one["probability"] / 255 > THRESHOLD).astype(float))
    return figure


def _mean_saliency(kept: Mapping[tuple[str, str], list[Arrays]]) -> "Figure":
    """The mean over all kept cells, each map as parts of its stack's whole; one scale a row."""
    count = max(len(examples[0]["image"]) for examples in kept.values())
    labels = [f"{_label(where)}\nmean of {len(examples)}" for where, examples in kept.items()]
    figure, axes = _grid(labels, _slices(count))
    for row, examples in zip(axes, kept.values(), strict=True):
        maps = [one["attribution"].astype(float) for one in examples]
        alike = [each / (each.sum() or 1) for each in maps if each.shape == maps[0].shape]
        mean = np.mean(alike, axis=0)
        for axis, part in zip(row, mean, strict=True):
            _draw(axis, part, "viridis", float(np.quantile(mean, 0.99)) or 1.0)
            axis.set_xlabel(f"share {part.sum():.2f}", fontsize=8)
    return figure
