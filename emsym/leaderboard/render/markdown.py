"""The leaderboard as a page for a code host: a summary first, details folded."""

import html
import math
import re
from collections.abc import Sequence

import pandas as pd
from tabulate import tabulate

from emsym import wording
from emsym.leaderboard.board import Board, Column
from emsym.leaderboard.experiments.report import Columns, Report
from emsym.leaderboard.experiments.reports import reports
from emsym.leaderboard.recommendation import recommend
from emsym.leaderboard.render import sentences
from emsym.leaderboard.render.questions import questions
from emsym.leaderboard.verdicts import claim_columns
from emsym.scores.score import Score


def markdown(boards: list[Board], credits: Sequence[tuple[str, str]] = ()) -> str:
    """All leaderboards, each with its picture beside the page, and (name, who) of submissions."""
    parts = ["# Leaderboard", _INTRODUCTION]
    made = reports(boards)
    for board in boards:
        parts += _board(board, [report for report in made if report.board is board])
    if credits:
        parts.append("## Submissions")
        parts.append("\n".join(f"- {_code(name)}: {_text(who)}" for name, who in credits))
    plugins = [(_text(t), _text(meaning)) for t, meaning in sentences.plugin_meanings(boards)]
    meanings = [f"- **{w}**: {t}" for w, t in (*sentences.METHOD.items(), *plugins)]
    parts.append(_folded("What the columns mean", meanings))
    return "\n\n".join(parts) + "\n"


def _board(board: Board, experiments: Sequence[Report]) -> list[str]:
    facts = [f"- **{word}**: {_text(text)}" for word, text in sentences.facts(board)]
    data = [_data_set(row) for row in sentences.data_sets(board).itertuples()]
    gaps = [f"- {_text(gap)}" for gap in sentences.gaps(board)]
    apart = [
        f"- {_code(row.init)} of {_text(row.submission)}, {wording.counted(row.cells, 'cell')}: "
        f"{_text(row.reason)}"
        for row in board.apart.itertuples()
    ]
    parts = [
        f"## {_text(board.title)}",
        "\n".join(
            f"- {line}"
            for line in (*sentences.conclusions(board, _code), _text(sentences.measured_on(board)))
        ),
        _grid(_summary(board)),
        f"![Each strategy's slice shares, bias and accuracy]({board.stem}.png)",
        *(part for report in experiments for part in _experiment(report)),
        *_recommendations(board),
        *_claims(board),
        *_questions(board),
        _folded("All scores", [_grid(_scores(board))]),
    ]
    if board.baseline is not None:
        parts.append(_folded(f"Against {board.baseline}", [_grid(t) for t in _against(board)]))
    pairs = [
        f"#### {_text(dataset)} · {_text(architecture)}\n\n"
        + _grid(_pair(board, (dataset, architecture)))
        for dataset, architecture in board.pairs[:60]
    ]
    if len(board.pairs) > 60:
        pairs.append(f"… and {len(board.pairs) - 60} more, in the tables beside this page.")
    parts.append(_folded("Each data set and architecture", pairs))
    if costs := sentences.cost_columns(board):
        names = [_code(name) for name in costs[0][1]]
        parts.append(
            _folded("What each strategy costs", [_grid([(costs[0][0], names), *costs[1:]])])
        )
    if board.power.notna().any(axis=None):
        parts.append(
            _folded("How well each data set tells strategies apart", [_grid(_power(board))])
        )
    if len(board.methods):
        parts.append(_folded("How attribution methods agree", [_grid(_methods(board))]))
    if gaps:
        parts.append(_folded("Missing and failed", ["\n".join(gaps)]))
    if apart:
        lines = apart[:200] + [f"- … and {len(apart) - 200} more"] * (len(apart) > 200)
        parts.append(_folded("Listed apart", ["\n".join(lines)]))
    parts.append(_folded("How it was made, licences, citations", ["\n".join(facts + data)]))
    return parts


def _experiment(report: Report) -> list[str]:
    tables = [
        [(_text(head), [_text(text) for text in texts]) for head, texts in columns]
        for columns in report.tables
    ]
    lines = "\n".join(f"- {_text(line)}" for line in report.lines)
    return [f"### {_text(report.title)}", lines, *map(_grid, tables)]


def _recommendations(board: Board) -> list[str]:
    lines = [
        f"- **{_text(each.situation)}**: {', '.join(map(_code, each.names)) or 'no strategy'} "
        f"({_text(each.reason)})"
        for each in recommend(board)
    ]
    return [_folded("Which strategy to take", lines)] if lines else []


def _claims(board: Board) -> list[str]:
    columns = [(head, [_text(each) for each in texts]) for head, texts in claim_columns(board)]
    return [_folded("Claims on trial", [_grid(columns)])] if columns else []


def _questions(board: Board) -> list[str]:
    answers = questions(board, _code)
    lines = [f"- **{question}** {answer}" for question, answer in answers]
    return [_folded("What a sceptical reader asks", lines)] if lines else []


def _summary(board: Board) -> Columns:
    lead, baseline = board.lead, board.baseline
    columns = [
        ("rank", [_rank(lead, name) for name in board.order]),
        ("strategy", [_code(name) for name in board.order]),
    ]
    for column in board.columns.values():
        if not column.score.glance:
            continue
        columns.append((_title(column.score), [_value(column, name) for name in board.order]))
        if "cut" in column.summary and column is lead:
            cuts = [
                _interval(column, name, "cut", "cut_low", "cut_high", digits=0)
                for name in board.order
            ]
            columns.append((f"less than {baseline}, %", cuts))
        if column.score.name == "dice" and baseline is not None:
            verdicts = [_verdict(board, column.summary, name) for name in board.order]
            columns.append((f"{column.score.title} − {baseline}", verdicts))
    if lead.score.better is not None:
        ranks = [
            wording.number(lead.summary["rank"].get(name, math.nan), 1) for name in board.order
        ]
        columns.append(("average rank", ranks))
    columns.append(("front", [_front(board, name) for name in board.order]))
    cells = [f"{board.has[name]} of {board.needed}" for name in board.order]
    return [*columns, ("cells", cells)]


def _rank(lead: Column, name: str) -> str:
    if name not in lead.summary.index or lead.score.better is None:
        return wording.MISSING
    return wording.rank_range(*lead.summary.loc[name, ["first", "last"]])


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
    if row["front"]:
        return "yes"
    return "no" if row["beaten"] else "not shown"


def _scores(board: Board) -> Columns:
    columns = [("strategy", [_code(name) for name in board.order])]
    for column in board.columns.values():
        columns.append((_title(column.score), [_value(column, name) for name in board.order]))
    if board.shares:
        means = board.share_means(board.shared)
        ends = [wording.slice_name(board.shares[at]) for at in (0, -1)]
        texts = [wording.shares(means.loc[name]) for name in board.order]
        columns.append((f"share {ends[0]} … {ends[1]}", texts))
    return columns


def _against(board: Board) -> list[Columns]:
    names = [n for n in board.order if n in board.ranked and n != board.baseline]
    return [
        _differences(column, names, str(board.baseline))
        for column in board.columns.values()
        if column.score.baseline is not None and names
    ]


def _differences(column: Column, names: list[str], baseline: str) -> Columns:
    """One score's differences of these strategies from the baseline."""
    rows, score = [column.summary.loc[name] for name in names], column.score
    differences = [
        wording.interval(row["less"], row["less_low"], row["less_high"], score.digits)
        for row in rows
    ]
    return [
        (f"{_text(score.title)} − {baseline}", [_code(name) for name in names]),
        ("difference", differences),
        ("p", [wording.p_value(row["p"]) for row in rows]),
        ("p (Holm)", [wording.p_value(row["p_holm"]) for row in rows]),
        ("cells above", [wording.number(100 * row["above"], 0) + " %" for row in rows]),
    ]


def _pair(board: Board, pair: tuple[str, str]) -> Columns:
    present = board.present.loc[pair]
    needed = int(present.max())
    columns = [
        ("strategy", [_code(name) for name in board.order]),
        ("seeds", [f"{present[name]} of {needed}" for name in board.order]),
    ]
    for column in board.columns.values():
        ends = column.of_pair(pair, board.order)
        texts = [wording.interval(*each, column.score.digits) for each in ends]
        columns.append((_title(column.score), texts))
    return columns


def _power(board: Board) -> Columns:
    table = board.power
    scores = [(_text(name), [wording.number(v, 1) for v in table[name]]) for name in table]
    return [(sentences.POWER, [_text(name) for name in table.index]), *scores]


def _methods(board: Board) -> Columns:
    table = board.methods
    return [
        (sentences.AGREEMENT, [_text(name) for name in table.index]),
        ("rank correlation", [wording.number(value, 2) for value in table["rank"]]),
        ("same sign, %", [wording.number(100 * value, 0) for value in table["sign"]]),
        ("own asymmetry", [wording.significant(value) for value in table["own"]]),
        ("cells", [wording.number(value, 0) for value in table["rows"]]),
    ]


def _value(column: Column, name: str) -> str:
    return _interval(column, name, "mean", "low", "high", digits=column.score.digits)


def _interval(column: Column, name: str, *ends: str, digits: int) -> str:
    if name not in column.summary.index:
        return wording.MISSING
    mean, low, high = (column.summary.loc[name, end] for end in ends)
    return wording.interval(mean, low, high, digits)


def _title(score: Score) -> str:
    return _text(score.title) + {"high": " ↑", "low": " ↓", None: ""}[score.better]


def _data_set(row: object) -> str:
    name = f"{row.dataset} ({row.modality}; {row.licence})"  # type: ignore[attr-defined]
    cite = f": {row.citation}" if row.citation else ""  # type: ignore[attr-defined]
    return f"- **Data**: {_text(name + cite)}"


def _grid(columns: Columns) -> str:
    heads = [head.replace("|", "\\|") for head, _ in columns]
    rows = zip(*(texts for _, texts in columns), strict=True)
    return tabulate(list(rows), headers=heads, tablefmt="pipe", disable_numparse=True)


def _folded(title: str, parts: list[str]) -> str:
    joint = "\n" if all(part.startswith("- ") for part in parts) else "\n\n"
    return f"<details><summary>{_text(title)}</summary>\n\n{joint.join(parts)}\n\n</details>"


def _code(name: str) -> str:
    """A name that a stranger may have chosen, as code: on one line, with nothing that ends it."""
    plain = re.sub(r"\s+", " ", str(name)).replace("`", "'").replace("|", "\\|")
    return f"`{plain}`"


def _text(value: object) -> str:
    """A stranger's text as text: no HTML, no links, no table's bars."""
    plain = html.escape(re.sub(r"\s+", " ", str(value)), quote=False)
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", plain)


_INTRODUCTION = """\
Does a network that sees a stack of adjacent slices treat the slices on either side alike, and what
does it cost to make it so? Values are means over seeds, and then over pairs of data set and
architecture, with 95 % intervals in brackets. Rows whose ranks overlap may stand in either order: a
test of all pairs of rows at once does not settle it. [The same as a page](index.html) that sorts
and filters."""
