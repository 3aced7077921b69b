"""The leaderboard as a page for a code host: a summary first, details folded."""

import html
import re
from collections.abc import Sequence

import pandas as pd
from tabulate import tabulate

from emsym import wording
from emsym.leaderboard.board import Board, Column
from emsym.leaderboard.eligibility import Score
from emsym.leaderboard.render import sentences


def markdown(boards: list[Board], credits: Sequence[tuple[str, str]] = ()) -> str:
    """All leaderboards, each with its picture beside the page, and (name, who) of submissions."""
    parts = ["# Leaderboard", _INTRODUCTION]
    for board in boards:
        parts += _board(board)
    if credits:
        parts.append("## Submissions")
        parts.append("\n".join(f"- {_code(name)}: {_text(told)}" for name, told in credits))
    parts.append(
        _folded("What the columns mean", [f"- **{w}**: {t}" for w, t in sentences.METHOD.items()])
    )
    return "\n\n".join(parts) + "\n"


def _board(board: Board) -> list[str]:
    facts = [f"- **{word}**: {_text(told)}" for word, told in sentences.facts(board)]
    data = [_data_set(row) for row in sentences.data_sets(board).itertuples()]
    gaps = [f"- {_text(gap)}" for gap in sentences.gaps(board)]
    apart = [
        f"- {_code(row.init)} of {_text(row.submission)}, {row.cells} "
        f"{'cell' if row.cells == 1 else 'cells'}: {_text(row.reason)}"
        for row in board.apart.itertuples()
    ]
    found = [
        f"## {_text(board.title)}",
        "\n".join(
            f"- {line}"
            for line in (*sentences.conclusions(board, _code), _text(sentences.measured_on(board)))
        ),
        _grid(_summary(board)),
        f"![Each strategy's slice shares, bias and accuracy]({board.stem}.png)",
        _folded("All scores", [_grid(_scores(board))]),
    ]
    if board.baseline is not None:
        found.append(_folded(f"Against {board.baseline}", [_grid(t) for t in _against(board)]))
    pairs = [
        f"#### {_text(dataset)} · {_text(architecture)}\n\n"
        + _grid(_pair(board, (dataset, architecture)))
        for dataset, architecture in board.pairs[:60]
    ]
    if len(board.pairs) > 60:
        pairs.append(f"… and {len(board.pairs) - 60} more, in the tables beside this page.")
    found.append(_folded("Each data set and architecture", pairs))
    if gaps:
        found.append(_folded("Missing and failed", ["\n".join(gaps)]))
    if apart:
        lines = apart[:200] + [f"- … and {len(apart) - 200} more"] * (len(apart) > 200)
        found.append(_folded("Listed apart", ["\n".join(lines)]))
    found.append(_folded("How it was made, licences, citations", ["\n".join(facts + data)]))
    return found


def _summary(board: Board) -> pd.DataFrame:
    lead = board.columns[board.scores[0].key]
    rows = []
    for name in board.order:
        row = {"rank": wording.MISSING, "strategy": _code(name)}
        ranked = name in board.ranked
        if ranked and lead.score.better is not None:
            row["rank"] = sentences.place(*lead.summary.loc[name, ["first", "last"]])
        for column in board.columns.values():
            if not column.score.glance:
                continue
            row[_title(column.score)] = _value(column, name)
            if "cut" in column.summary and column is lead:
                title = f"less than {board.baseline}, %"
                row[title] = _interval(column, name, "cut", "cut_low", "cut_high", digits=0)
            if column.score.title == "Dice" and board.baseline is not None:
                row[f"Dice − {board.baseline}"] = _verdict(board, column.summary, name)
        if lead.score.better is not None:
            row["average rank"] = _interval(lead, name, "rank", "rank_low", "rank_high", digits=1)
        row["front"] = _front(board, name)
        row["cells"] = f"{board.has[name]} of {board.needed}"
        rows.append(row)
    return pd.DataFrame(rows)


def _verdict(board: Board, summary: pd.DataFrame, name: str) -> str:
    if name not in board.verdict:
        return wording.MISSING
    row = summary.loc[name]
    return f"{wording.interval(row['less'], row['less_low'], row['less_high'], 3)}, " + str(
        board.verdict[name]
    )


def _front(board: Board, name: str) -> str:
    if name not in board.front.index:
        return wording.MISSING
    row = board.front.loc[name]
    support = "" if pd.isna(row["support"]) else f" {100 * row['support']:.0f} %"
    return ("yes" if row["front"] else "no") + (f",{support}" if support else "")


def _scores(board: Board) -> pd.DataFrame:
    rows = {"strategy": [_code(name) for name in board.order]}
    for column in board.columns.values():
        rows[_title(column.score)] = [_value(column, name) for name in board.order]
    if board.shares:
        means = board.share_means(board.shared)
        title = (
            f"share {wording.slice_name(board.shares[0])} … {wording.slice_name(board.shares[-1])}"
        )
        rows[title] = [sentences.shares(means.loc[name]) for name in board.order]
    return pd.DataFrame(rows)


def _against(board: Board) -> list[pd.DataFrame]:
    tables = []
    for column in board.columns.values():
        if column.score.better is None:
            continue
        digits, rows = column.score.digits, []
        for name in board.order:
            if name in board.ranked and name != board.baseline:
                row = column.summary.loc[name]
                rows.append(
                    {
                        f"{column.score.title} − {board.baseline}": _code(name),
                        "difference": wording.interval(
                            row["less"], row["less_low"], row["less_high"], digits
                        ),
                        "p": sentences.chance(row["p"]),
                        "p (Holm)": sentences.chance(row["p_holm"]),
                        "Hedges' g": wording.number(row["effect"], 2),
                        "cells above": wording.number(100 * row["wins"], 0) + " %",
                    }
                )
        tables.append(pd.DataFrame(rows))
    return [table for table in tables if len(table)]


def _pair(board: Board, pair: tuple[str, str]) -> pd.DataFrame:
    present = board.present.loc[pair]
    needed = int(present.max())
    rows = {
        "strategy": [_code(name) for name in board.order],
        "seeds": [f"{present[name]} of {needed}" for name in board.order],
    }
    for column in board.columns.values():
        rows[_title(column.score)] = [
            wording.interval(*ends, column.score.digits)
            for ends in column.of_pair(pair, board.order)
        ]
    return pd.DataFrame(rows)


def _value(column: Column, name: str) -> str:
    return _interval(column, name, "mean", "low", "high", digits=column.score.digits)


def _interval(column: Column, name: str, *ends: str, digits: int) -> str:
    if name not in column.summary.index:
        return wording.MISSING
    mean, low, high = (column.summary.loc[name, end] for end in ends)
    return wording.interval(mean, low, high, digits)


def _title(score: Score) -> str:
    return score.title + {"high": " ↑", "low": " ↓", None: ""}[score.better]


def _data_set(row: object) -> str:
    told = f"{row.dataset} ({row.modality}; {row.licence})"  # type: ignore[attr-defined]
    cite = f": {row.citation}" if row.citation else ""  # type: ignore[attr-defined]
    return f"- **Data**: {_text(told + cite)}"


def _grid(rows: pd.DataFrame) -> str:
    texts = {name.replace("|", "\\|"): list(rows[name]) for name in rows}
    return tabulate(texts, headers="keys", tablefmt="pipe", disable_numparse=True)


def _folded(title: str, parts: list[str]) -> str:
    joint = "\n" if all(part.startswith("- ") for part in parts) else "\n\n"
    return f"<details><summary>{_text(title)}</summary>\n\n{joint.join(parts)}\n\n</details>"


def _code(name: str) -> str:
    """A name that a stranger may have chosen, as code: on one line, with nothing that ends it."""
    plain = re.sub(r"\s+", " ", str(name)).replace("`", "'").replace("|", "\\|")
    return f"`{plain}`"


def _text(told: object) -> str:
    """A stranger's text as text: no HTML, no links, no table's bars."""
    plain = html.escape(re.sub(r"\s+", " ", str(told)), quote=False)
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", plain)


_INTRODUCTION = """\
Does a network that sees a stack of adjacent slices treat the slices on either side alike, and what
does it cost to make it so? Values are means over seeds, and then over pairs of data set and
architecture, with 95 % intervals in brackets. Rows whose ranks overlap may stand in either order: a
test of all pairs of rows at once does not settle it. [The same as a page](index.html) that sorts
and filters."""
