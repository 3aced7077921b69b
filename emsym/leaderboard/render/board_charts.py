"""The numbers of a leaderboard's charts on the page: where marks, curves and bars lie."""

import math
from typing import Any

import numpy as np
import pandas as pd

from emsym import wording
from emsym.leaderboard.board import Board, Column
from emsym.leaderboard.recommendation import bias_columns
from emsym.leaderboard.render import sentences, svg_charts
from emsym.leaderboard.render.row_texts import TONES
from emsym.leaderboard.tiers import (
    column_tiers,
    in_tiers,
    mean_of_data_sets,
    pairs_of_data_sets,
    tiers_of_data_sets,
)

LEVELS = 9
"""The steps of the heat map's colour above nothing."""


def share_bars(means: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return the slices' bars of each strategy, in thousandths; charts.js does the same.

    The middle of the centre slice is in the middle, and the longer side of all reaches an end, so
    that a row whose sides count alike is its own mirror image.
    """
    table = means.fillna(0).to_numpy()
    centre = table.shape[1] // 2
    middle = table[:, centre] / 2 if table.shape[1] else np.zeros(len(table))
    before = table[:, :centre].sum(1) + middle
    longest = max((before.max(initial=0), (table.sum(1) - before).max(initial=0)))
    scale = 500 / longest if longest else 0
    found = {}
    for name, row, shown, reach in zip(means.index, table, means.to_numpy(), before, strict=True):
        ends = 500 + scale * (np.cumsum([0, *row]) - reach)
        found[str(name)] = [
            {
                "x": round(float(ends[at]), 1),
                "width": round(float(scale * row[at]), 1),
                "side": "centre" if at == centre else "before" if at < centre else "after",
                "text": wording.number(float(shown[at]), 2),
            }
            for at in range(len(row))
        ]
    return found


def pareto_chart(board: Board) -> dict[str, Any] | None:
    """Return the marks of Dice against the bias, and their axes; None where one is not known."""
    dice, bias = board.column("dice"), board.column("model_asymmetry")
    if dice is None or bias is None or not board.ranked:
        return None
    ends = ["mean", "low", "high"]
    x, y = svg_charts.axes(
        bias.summary[ends].to_numpy().ravel().tolist(),
        dice.summary[ends].to_numpy().ravel().tolist(),
        from_zero=False,
    )
    across_term, up_term = (sentences.score_term(board, column) for column in (bias, dice))
    found = column_tiers(board, board.lead)
    marks: list[dict[str, Any]] = []
    for name in board.ranked:
        across, up = bias.summary.loc[name, ends], dice.summary.loc[name, ends]
        if across.isna()["mean"] or up.isna()["mean"]:
            continue
        front = bool(board.front.loc[name, "front"])
        marks.append(
            {
                "name": name,
                "number": board.names.index(name),
                "x": x(across["mean"]),
                "y": y(up["mean"]),
                "across": None if pd.isna(across["low"]) else (x(across["low"]), x(across["high"])),
                "up": None if pd.isna(up["low"]) else (y(up["low"]), y(up["high"])),
                "front": front,
                "tone": TONES.get(found.get(name, ""), "neutral"),
                "text": f"{name}: {across_term} {_interval(bias, name)}, {up_term} "
                f"{_interval(dice, name)}{', on the front' * front}",
            }
        )
    heights = svg_charts.labels({mark["name"]: (mark["x"], mark["y"]) for mark in marks})
    for mark in marks:
        mark["label"] = heights[mark["name"]]
    return {"marks": marks, "x": x, "y": y, "across": across_term, "up": up_term}


def _interval(column: Column, name: str) -> str:
    mean, low, high = column.summary.loc[name, ["mean", "low", "high"]]
    return wording.interval(mean, low, high, column.score.digits)


def training_chart(board: Board, names: list[str]) -> dict[str, Any] | None:
    """Return the curves of the bias while networks were trained; None where there are none."""
    drawn = svg_charts.curves(board.over_training, [n for n in names if n in board.ranked])
    if drawn is None:
        return None
    found = column_tiers(board, board.lead)
    tones = {name: TONES.get(found.get(name, ""), "neutral") for name in names}
    return {"lines": drawn[0], "x": drawn[1], "y": drawn[2], "tones": tones}


def heat_map(board: Board) -> dict[str, Any] | None:
    """Return the first measure of the bias on every data set; the script shows the others."""
    sets = list(pairs_of_data_sets(board.shared))
    measures = bias_columns(board) or [board.lead]
    if len(sets) < 2 or board.lead.score.better is None:
        return None
    column = measures[0]
    means, found = mean_of_data_sets(column, board), tiers_of_data_sets(board, column)
    most = float(np.nanmax(np.abs(means.to_numpy()))) if means.notna().any(axis=None) else 1.0
    rows = []
    for name in in_tiers(board):
        cells = []
        for dataset in sets:
            value = float(means.loc[name, dataset]) if name in means.index else math.nan
            level = 0 if math.isnan(value) or not most else round(LEVELS * abs(value) / most)
            tier = found.get(dataset, {}).get(name, "")
            text = wording.number(value, column.score.digits)
            cells.append({"text": text, "level": level, "tier": tier})
        rows.append({"name": name, "cells": cells})
    keys = [
        (str(list(board.columns).index(each.key)), sentences.score_term(board, each))
        for each in measures
    ]
    return {"sets": sets, "rows": rows, "measures": keys, "term": keys[0][1]}
