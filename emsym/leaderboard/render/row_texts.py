"""The texts and bars of the leaderboard's table on the page, row by row and head by head."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from emsym import wording
from emsym.leaderboard.board import Board, Column
from emsym.leaderboard.costs import cost_table
from emsym.leaderboard.recommendation import bias_columns
from emsym.leaderboard.render.sentences import COST, METHOD, measures
from emsym.leaderboard.render.svg_charts import BarScale, bar_scale
from emsym.leaderboard.tiers import (
    Tier,
    column_tiers,
    in_tiers,
    mean_of_data_sets,
    tiers_of_data_sets,
)

COSTS = {"step_ms": "training step", "answer_ms": "answer"}
"""The costs that have a column, of which more than 1 is more than the baseline's."""

SHARED_SCALES = {"model_asymmetry": "asymmetry"}
"""The bars of scores by other methods stand on one scale."""

TONES: dict[str, str] = {
    "better": "good",
    "open": "open",
    "worse": "bad",
    "non-inferior": "good",
    "inconclusive": "open",
    "inferior": "bad",
}
"""The colour of what a test says: shown to be good, not settled, shown to be bad."""


HOLDS = "data sets where shown"
MEANINGS = {
    "shown": "by a test against the baseline at 5 %, corrected for all strategies (Holm): a tier "
    "is by the primary score, and a green or red mark by the score of its column.",
    HOLDS: "on how many data sets, each by itself, a test shows it to be less biased than the "
    "baseline, and on how many its mean alone is.",
}
"""The meanings of what the page alone has, by its words."""


@dataclass(frozen=True)
class Head:
    """A column of the table."""

    key: str
    """The place of a score in `Board.columns`, or ``less``, ``holds`` …: what is in the cells."""
    title: str
    group: str = ""
    more: bool = False
    """Whether it is among those behind the switch."""
    better: str = "low"
    """Which values stand first where it is sorted by."""
    meaning: str = ""

    @property
    def label(self) -> str:
        """The name of a value where no head stands over it."""
        return f"{self.group}: {self.title}" if self.group else self.title


def table_heads(board: Board) -> list[Head]:
    """Return the columns after the name: few that tell most, then the rest."""
    columns = list(board.columns)
    first = dict.fromkeys(column.key for column in bias_columns(board))
    hows = {column.key: how for how, column in measures(board).items()}
    if board.lead.key not in first:
        first = {board.lead.key: None, **first}
    if board.baseline is None or board.column("dice") is None:
        first |= {c.key: None for c in board.columns.values() if c.score.name == "dice"}
    heads = []
    for key in first:
        score = board.columns[key].score
        group = "bias" if key in hows else ""
        title = hows[key].removeprefix("by ") if key in hows else score.term
        heads.append(_score_head(columns, key, title, group, board))
    if board.baseline is not None:
        if board.column("dice") is not None:
            title = f"Dice − {board.baseline}"
            heads.append(Head("less", title, better="high", meaning=METHOD[title]))
        if len(cost_table(board)):
            costs = METHOD[COST]
            heads += [Head(k, f"{name}, ×", "cost", meaning=costs) for k, name in COSTS.items()]
        if len(tiers_of_data_sets(board, board.lead)) > 1:
            heads.append(Head("holds", HOLDS, better="high", meaning=MEANINGS[HOLDS]))
    heads.append(Head("rank", "rank", more=True))
    if board.baseline is not None:
        heads.append(Head("cut", f"% less than {board.baseline}", more=True, better="high"))
    for key in columns:
        if key not in first:
            heads.append(_score_head(columns, key, board.columns[key].score.term, "", board, True))
    return [*heads, Head("average", "average rank", more=True), Head("cells", "cells", more=True)]


def _score_head(
    columns: list[str], key: str, title: str, group: str, board: Board, more: bool = False
) -> Head:
    score = board.columns[key].score
    return Head(str(columns.index(key)), title, group, more, score.better or "low", score.meaning)


def tier_words(board: Board) -> dict[str, str]:
    """Return what a tier is called in a row, with the measure it is by, as others may disagree."""
    hows = {column.key: how for how, column in measures(board).items()}
    is_bias = board.lead.score.name == "model_asymmetry"
    good, bad = ("less biased", "more biased") if is_bias else ("better", "worse")
    by = hows.get(board.lead.key, f"by {board.lead.score.term}")
    return {
        "better": f"{good} {by}",
        "open": "not told apart",
        "worse": f"{bad} {by}",
        "baseline": "the reference",
        "unranked": "not ranked",
    }


def table_rows(board: Board, heads: Sequence[Head]) -> list[dict[str, Any]]:
    """Return a row per strategy: its name, tier, and a cell for each head."""
    numbers = _Numbers(board, heads)
    words, found = tier_words(board), column_tiers(board, board.lead)
    rows = []
    for name in in_tiers(board):
        tier = found.get(name, "baseline" if name == board.baseline else "")
        if name not in board.ranked:
            tier = "unranked"
        rows.append(
            {
                "name": name,
                "tier": tier,
                "tone": TONES.get(tier, "neutral"),
                "word": words.get(tier, "") if found else "",
                "ranked": name in board.ranked,
                "cells": [numbers.cell(head, name) for head in heads],
            }
        )
    return rows


class _Numbers:
    """All that rows need: tests, scales of bars and costs."""

    def __init__(self, board: Board, heads: Sequence[Head]) -> None:
        self.board = board
        self.columns = list(board.columns.values())
        self.costs = cost_table(board)
        self.by_set = tiers_of_data_sets(board, board.lead)
        self.means = mean_of_data_sets(board.lead, board) if self.by_set else pd.DataFrame()
        self.tiers: dict[str, dict[str, Tier]] = {}
        ends: dict[str, list[float]] = {}
        for head in heads:
            if head.more:
                continue
            if head.key.isdigit():
                self.tiers[head.key] = column_tiers(board, self.columns[int(head.key)])
            for name in board.ranked:
                values = self._ends(head, name) or ()
                # a cost may be known so badly that its interval would leave no room for others
                known = values[: 1 if head.key in COSTS else 3]
                ends.setdefault(self._scale(head), []).extend(known)
        self.scales: dict[str, BarScale] = {
            kind: bar_scale(kind, values) for kind, values in ends.items()
        }

    def _scale(self, head: Head) -> str:
        if head.key.isdigit():
            name = self.columns[int(head.key)].score.name
            return SHARED_SCALES.get(name, name)
        return "cost" if head.key in COSTS else head.key

    def _ends(self, head: Head, name: str) -> tuple[float, float, float] | None:
        """Return mean, low and high of a cell that has a bar."""
        board = self.board
        if head.key.isdigit():
            row = self.columns[int(head.key)].summary.loc[name]
            return row["mean"], row["low"], row["high"]
        if head.key == "less" and name != board.baseline:
            row = _dice(board).summary.loc[name]
            return row["less"], row["less_low"], row["less_high"]
        if head.key in COSTS and name in self.costs.index:
            row = self.costs.loc[name]
            return row[head.key], row[f"{head.key}_low"], row[f"{head.key}_high"]
        return None

    def cell(self, head: Head, name: str) -> dict[str, Any]:
        """Return the texts of a cell: `text`, `within`, `note`; its `bar` and `tone`."""
        board = self.board
        if name in board.ranked or head.key in (*COSTS, "cells"):
            if head.key in ("holds", "rank", "cut", "average", "cells"):
                return getattr(self, f"_{head.key}")(name)
            ends = self._ends(head, name)
            if ends is not None and not math.isnan(ends[0]):
                tone, note = self._tone(head, name)
                scale = None if head.more else self.scales[self._scale(head)]
                return _cell(ends, self._digits(head), tone, note, scale)
        return _plain(wording.MISSING)

    def _tone(self, head: Head, name: str) -> tuple[str, str]:
        if head.key == "less":
            verdict = str(self.board.verdict.get(name, ""))
            return TONES.get(verdict, "neutral"), verdict
        return TONES.get(self.tiers.get(head.key, {}).get(name, ""), "neutral"), ""

    def _digits(self, head: Head) -> int:
        if head.key.isdigit():
            return self.columns[int(head.key)].score.digits
        return 3 if head.key == "less" else 2

    def _holds(self, name: str) -> dict[str, Any]:
        """On how many data sets it is shown to be better, and on how many it is on average."""
        if name == self.board.baseline or not any(name in each for each in self.by_set.values()):
            return _plain(wording.MISSING)
        shown = sum(each.get(name) == "better" for each in self.by_set.values())
        apart = self.means.loc[name] - self.means.loc[self.board.baseline]
        ahead = int(((apart > 0) if self.board.lead.score.better == "high" else (apart < 0)).sum())
        return _plain(f"{shown} of {len(self.by_set)}", f"by mean alone {ahead}")

    def _rank(self, name: str) -> dict[str, Any]:
        lead = self.board.lead.summary
        if "first" not in lead:
            return _plain(wording.MISSING)
        return _plain(wording.rank_range(lead.loc[name, "first"], lead.loc[name, "last"]))

    def _cut(self, name: str) -> dict[str, Any]:
        row = self.board.lead.summary.loc[name]
        if pd.isna(row.get("cut", math.nan)):
            return _plain(wording.MISSING)
        return _cell((row["cut"], row["cut_low"], row["cut_high"]), 0)

    def _average(self, name: str) -> dict[str, Any]:
        lead = self.board.lead.summary
        return _plain(wording.number(lead.loc[name].get("rank", math.nan), 1))

    def _cells(self, name: str) -> dict[str, Any]:
        return _plain(f"{self.board.has[name]} of {self.board.needed}")


def _dice(board: Board) -> Column:
    dice = board.column("dice")
    assert dice is not None
    return dice


def _plain(text: str, note: str = "") -> dict[str, Any]:
    return {"text": text, "within": "", "note": note, "bar": None, "tone": "neutral"}


def _cell(
    ends: tuple[float, float, float],
    digits: int,
    tone: str = "neutral",
    note: str = "",
    scale: BarScale | None = None,
) -> dict[str, Any]:
    mean, low, high = ends
    return {
        "text": wording.number(mean, digits),
        "within": wording.bounds(low, high, digits),
        "note": note,
        "tone": tone,
        "bar": None if scale is None else scale.bar(mean, low, high),
    }
