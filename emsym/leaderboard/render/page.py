"""The leaderboard as one HTML file that needs nothing else; without a script it is tables.

Every text is escaped, and a content security policy lets nothing run or load but the page's own
script and style, which it names by their digests.
"""

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emsym import wording
from emsym.leaderboard.board import Board
from emsym.leaderboard.estimates import differences, own
from emsym.leaderboard.experiments.reports import reports
from emsym.leaderboard.recommendation import recommend
from emsym.leaderboard.render import sentences, svg_charts
from emsym.leaderboard.render.questions import questions
from emsym.leaderboard.verdicts import claim_columns
from emsym.scores.catalogue import MARGIN

Ends = tuple[float, float, float]
FOLDER = Path(__file__).parent
CELLS = 2_000
"""The page tells of so many cells how each came about; the tables beside it tell it of all."""

PAIRED = 200_000
"""The most paired variances in the page, per score."""

PAIRS = 60
"""The most pairs of data set and architecture that have a table of their own."""


@dataclass(frozen=True)
class CellExample:
    """Pictures of one section, side by side: grey levels 0..1 (H, W), by what they show."""

    caption: str
    pictures: dict[str, np.ndarray]


def page(
    boards: Sequence[Board],
    examples: Sequence[CellExample] = (),
    credits: Sequence[tuple[str, str]] = (),
) -> str:
    """The page of all leaderboards, with examples, and (name, who) of submissions."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script, style = (_text(FOLDER / name) for name in ("page.js", "page.css"))
    policy = (
        f"default-src 'none'; img-src data:; script-src '{_digest(script)}'; "
        f"style-src '{_digest(style)}'; base-uri 'none'; form-action 'none'"
    )
    # between < and > of a script element only </ and <!-- mean something
    made = reports(boards)
    data = json.dumps([_data(board) for board in boards], separators=(",", ":"), allow_nan=False)
    return environment.get_template("page.html").render(
        policy=policy,
        script=Markup(script),
        style=Markup(style),
        data=Markup(data.replace("<", "\\u003c").replace("&", "\\u0026")),
        boards=[
            {**_view(board), "experiments": [each for each in made if each.board is board]}
            for board in boards
        ],
        examples=[_example(example) for example in examples],
        credits=credits,
        method=[*sentences.METHOD.items(), *sentences.plugin_meanings(boards)],
        charts=svg_charts,
        MISSING=wording.MISSING,
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _view(board: Board) -> dict[str, Any]:
    """The texts and places of one leaderboard that the template shows."""
    names = board.order
    means = board.share_means(board.shared)
    shared = board.columns.values()
    return {
        "title": board.title,
        "names": names,
        "numbers": {name: board.names.index(name) for name in names},
        "baseline": board.baseline,
        "conclusions": sentences.conclusions(board, lambda name: f"“{name}”"),
        "measured_on": sentences.measured_on(board),
        "columns": [column.score for column in shared],
        "rows": [_row(board, name) for name in names],
        "shares": {name: _bars(means.loc[name].tolist()) for name in names},
        "slices": [wording.slice_name(name) for name in board.shares],
        "pareto": _pareto(board),
        "curves": svg_charts.curves(board.over_training(), [n for n in names if n in board.ranked]),
        "datasets": list(dict.fromkeys(dataset for dataset, _ in board.pairs)),
        "architectures": list(dict.fromkeys(name for _, name in board.pairs)),
        "pairs": [_pair(board, pair) for pair in board.pairs[:PAIRS]],
        "left_out": max(0, len(board.pairs) - PAIRS),
        "recommendations": recommend(board),
        "questions": questions(board, lambda name: f"“{name}”"),
        "power": _power(board),
        "methods": _methods(board),
        "costs": sentences.cost_columns(board),
        "claims": claim_columns(board),
        "gaps": sentences.gaps(board),
        "apart": board.apart.head(500).to_dict("records"),
        "facts": sentences.facts(board),
        "data": sentences.data_sets(board).to_dict("records"),
        "cells": _cells(board),
        "bibtex": sentences.bibtex(board),
        "comparisons": _comparisons(board),
    }


def _row(board: Board, name: str) -> dict[str, Any]:
    ranked = name in board.ranked
    lead = board.lead.summary
    row: dict[str, Any] = {"name": name, "ranked": ranked}
    row["rank"] = _rank(board, name)
    row["values"] = [
        _value(column.summary.loc[name] if ranked else None, column.score.digits)
        for column in board.columns.values()
    ]
    cut = lead.loc[name] if ranked and "cut" in lead else None
    row["cut"] = None if cut is None else _texts(cut["cut"], cut["cut_low"], cut["cut_high"], 0)
    dice = board.column("dice")
    less = dice.summary.loc[name] if ranked and dice is not None and board.baseline else None
    row["less"] = (
        None if less is None else _texts(less["less"], less["less_low"], less["less_high"], 3)
    )
    row["verdict"] = board.verdict.get(name, "")
    row["average"] = (
        _texts(float(lead.loc[name, "rank"]), math.nan, math.nan, 1)
        if ranked and "rank" in lead
        else None
    )
    row["cells"] = f"{board.has[name]} of {board.needed}"
    return row


def _rank(board: Board, name: str) -> str:
    lead = board.lead.summary
    if name not in lead.index or "first" not in lead:
        return wording.MISSING
    return wording.rank_range(lead.loc[name, "first"], lead.loc[name, "last"])


def _value(row: pd.Series | None, digits: int) -> dict[str, str] | None:
    return None if row is None else _texts(row["mean"], row["low"], row["high"], digits)


def _ends(row: pd.Series, mean: str = "mean", low: str = "low", high: str = "high") -> Ends:
    return float(row[mean]), float(row[low]), float(row[high])


def _texts(mean: float, low: float, high: float, digits: int) -> dict[str, str]:
    return {"mean": wording.number(mean, digits), "within": wording.bounds(low, high, digits)}


def _bars(values: list[float]) -> list[dict[str, Any]]:
    """The slices' bars of a strategy, in thousandths."""
    bars, left = [], 0.0
    for index, value in enumerate(values):
        width = 0.0 if math.isnan(value) else 1000 * value
        side = index - len(values) // 2
        bars.append(
            {
                "x": round(left, 1),
                "width": round(width, 1),
                "side": "centre" if side == 0 else "before" if side < 0 else "after",
                "text": wording.number(value, 2),
            }
        )
        left += width
    return bars


def _pareto(board: Board) -> dict[str, Any] | None:
    dice, bias = board.column("dice"), board.column("model_asymmetry")
    if dice is None or bias is None or not board.ranked:
        return None
    ends = ["mean", "low", "high"]
    x, y = svg_charts.axes(
        bias.summary[ends].to_numpy().ravel().tolist(),
        dice.summary[ends].to_numpy().ravel().tolist(),
        from_zero=False,
    )
    marks: list[dict[str, Any]] = []
    for name in board.ranked:
        across, up = bias.summary.loc[name, ends], dice.summary.loc[name, ends]
        if across.isna()["mean"] or up.isna()["mean"]:
            continue
        front = board.front.loc[name]
        marks.append(
            {
                "name": name,
                "number": board.names.index(name),
                "x": x(across["mean"]),
                "y": y(up["mean"]),
                "across": None if pd.isna(across["low"]) else (x(across["low"]), x(across["high"])),
                "up": None if pd.isna(up["low"]) else (y(up["low"]), y(up["high"])),
                "front": bool(front["front"]),
                "text": f"{name}: {bias.score.term} "
                f"{wording.interval(*_ends(across), bias.score.digits)}, {dice.score.term} "
                f"{wording.interval(*_ends(up), dice.score.digits)}, " + _on_front(front),
            }
        )
    heights = svg_charts.labels({mark["name"]: (mark["x"], mark["y"]) for mark in marks})
    for mark in marks:
        mark["label"] = heights[mark["name"]]
    return {"marks": marks, "x": x, "y": y, "across": bias.score.term, "up": dice.score.term}


def _on_front(row: pd.Series) -> str:
    place = "on the front" if row["front"] else "not on the front"
    return f"{place}, beaten beyond doubt" if row["beaten"] else place


def _pair(board: Board, pair: tuple[str, str]) -> dict[str, Any]:
    present = board.present.loc[pair]
    needed = int(present.max())
    columns = [
        [_texts(*ends, column.score.digits) for ends in column.of_pair(pair, board.order)]
        for column in board.columns.values()
    ]
    rows = [
        {"name": name, "seeds": f"{present[name]} of {needed}", "values": values}
        for name, values in zip(board.order, zip(*columns, strict=True), strict=True)
    ]
    return {"dataset": pair[0], "architecture": pair[1], "rows": rows}


def _power(board: Board) -> dict[str, Any] | None:
    table = board.power
    if not table.notna().any(axis=None):
        return None
    rows = [
        {"name": name, "values": [wording.number(value, 1) for value in row]}
        for name, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    return {"scores": list(table), "rows": rows}


def _methods(board: Board) -> list[dict[str, str]]:
    return [
        {
            "name": str(name),
            "rank": wording.number(row["rank"], 2),
            "sign": wording.number(100 * row["sign"], 0),
            "own": wording.significant(row["own"]),
            "cells": wording.number(row["rows"], 0),
        }
        for name, row in board.methods.iterrows()
    ]


def _comparisons(board: Board) -> list[dict[str, Any]]:
    tables = []
    for column in board.columns.values() if board.baseline is not None else ():
        if column.score.baseline is None:
            continue
        rows = []
        for name in board.order:
            if name in board.ranked and name != board.baseline:
                row = column.summary.loc[name]
                rows.append(
                    {
                        "name": name,
                        "less": wording.interval(
                            row["less"], row["less_low"], row["less_high"], column.score.digits
                        ),
                        "p": wording.p_value(row["p"]),
                        "p_holm": wording.p_value(row["p_holm"]),
                        "above": wording.number(100 * row["above"], 0),
                    }
                )
        tables.append({"title": column.score.title, "rows": rows})
    return tables


def _cells(board: Board) -> list[dict[str, Any]]:
    names = ["dataset", "architecture", "init", "seed", "status", "submission", "key"]
    names += ["scoring_version", "commit", "device", "minutes"]
    rows = board.cells.reindex(columns=names).head(CELLS)
    rows = rows.sort_values(["dataset", "architecture", "init", "seed"])
    shown = rows.assign(minutes=[wording.number(value, 1) for value in rows["minutes"]])
    commits = shown["commit"].astype("string")
    commit = (commits.str[:12] + commits.str.extract(r"(\+dirty)$")[0].fillna("")).fillna(
        wording.MISSING
    )
    return shown.assign(commit=commit, device=shown["device"].fillna(wording.MISSING)).to_dict(
        "records"
    )


def _example(example: CellExample) -> dict[str, Any]:
    from emsym.images import data_uri, shrink

    pictures = {name: data_uri(shrink(each, 288)) for name, each in example.pictures.items()}
    return {"caption": example.caption, "pictures": pictures}


def _data(board: Board) -> dict[str, Any]:
    """The numbers that the script computes with, by those of strategies and pairs."""
    pairs, names = board.pairs, board.names
    entered = board.entered.T.groupby(level=[0, 1], sort=False).any().loc[pairs, names]
    seeds = board.seeds.loc[pairs]
    shares = [board.share_means([pair]).loc[names].to_numpy() for pair in pairs[: 10 * PAIRS]]
    return {
        "names": names,
        "datasets": [dataset for dataset, _ in pairs],
        "architectures": [architecture for _, architecture in pairs],
        "baseline": names.index(board.baseline) if board.baseline else -1,
        "margin": MARGIN,
        "entered": entered.to_numpy().astype(int).tolist(),
        "seeds": seeds.tolist(),
        "present": np.minimum(board.present.loc[pairs, names], seeds.to_numpy()[:, None])
        .to_numpy()
        .tolist(),
        "shares": [_rounded(each) for each in shares] if len(pairs) <= 10 * PAIRS else [],
        "scores": [_numbers(board, key) for key in board.columns],
    }


def _numbers(board: Board, key: str) -> dict[str, Any]:
    column = board.columns[key]
    score, estimates = column.score, column.estimates.take(board.pairs, board.names)
    count = len(board.names)
    paired = score.glance and len(board.pairs) * count * (count - 1) <= PAIRED
    return {
        "name": score.name,
        "term": score.term,
        "better": score.better,
        "digits": score.digits,
        "bounds": [end if math.isfinite(end) else None for end in score.compared_bounds],
        "squared": estimates.squared,
        # squares are small, and have twice the decimals
        "mean": _rounded(estimates.point.to_numpy(), (1 + estimates.squared) * (score.digits + 4)),
        "seeds": [_variances(each, paired) for each in estimates.of_seeds],
        "both": [_variances(each, paired) for each in estimates.of_both],
        "sections": [
            {"pairs": each.pairs.tolist(), "moves": _rounded(each.moves)}
            for each in estimates.sections
        ],
        "paired": paired,
    }


def _variances(covariance: np.ndarray, paired: bool) -> dict[str, list]:
    """Those of K strategies and, where `paired`, of the differences of each from those after it."""
    variances = {"own": _rounded(own(covariance))}
    if paired:
        upper = np.triu_indices(len(covariance), 1)
        variances["paired"] = _rounded(differences(covariance)[upper])
    return variances


def _rounded(values: np.ndarray, digits: int | None = None) -> list:
    """As lists for JSON, of six significant digits or so many decimals; None for NaN."""
    if values.ndim > 1:
        return [_rounded(row, digits) for row in values]
    return [
        None
        if not math.isfinite(value)
        else float(f"{value:.6g}")
        if digits is None
        else round(float(value), digits)
        for value in values
    ]
