"""The bias by the value of what varies, such as the learning rate, and whether one heals it."""

import pandas as pd

from emsym.leaderboard.board import Board
from emsym.leaderboard.estimates import estimate_means
from emsym.leaderboard.experiments.families import Family
from emsym.leaderboard.experiments.report import Columns, Report, interval_texts
from emsym.leaderboard.experiments.shared_values import (
    methods,
    shared_cells,
    shared_sections,
    signed_estimates,
)
from emsym.leaderboard.intervals import intervals
from emsym.leaderboard.statistics import ALPHA, against
from emsym.scores.catalogue import score_of
from emsym.wording import MISSING, interval, p_value

DICE, FLIPS = "Dice", "flip error"


def varied(family: Family) -> Report:
    """Return the report of the leaderboards of a protocol's variants."""
    columns = _table(family)
    lines = []
    for name in family.strategies:
        for how, key in compared_scores(family).items():
            rows = against_base(family, name, key)
            if len(rows) and rows["p_holm"].notna().any():
                lines.append(_verdict(family, name, how, rows))
    title = f"{family.name}: the bias by {family.what}"
    return Report(title, list(family.boards.values())[-1], lines, [columns])


def compared_scores(family: Family) -> dict[str, str]:
    """Return the keys of the scores whose change is tested, by their words."""
    board = family.boards[family.base]
    keys = {
        f"model asymmetry by {how}": f"{prefix}/model_asymmetry"
        for how, prefix in methods(board).items()
    }
    return {**keys, FLIPS: "flip_error", DICE: f"dice@{board.threshold}"}


def against_base(family: Family, name: str, key: str) -> pd.DataFrame:
    """Return one strategy's score at each value less that at the family's base.

    A row per value, as `against` has it; paired over the cells that all of them have, and none
    where there is nothing to compare.
    """
    score = score_of(key)
    boards = {value: board for value, board in family.boards.items() if key in board.done}
    if family.base not in boards or len(boards) < 2:
        return pd.DataFrame()
    values = {value: shared_cells(board, key)[name] for value, board in boards.items()}
    cells = pd.concat(values, axis=1, join="inner")
    if not len(cells):
        return pd.DataFrame()
    moves = {value: shared_sections(board, key) for value, board in boards.items()}
    known = {value: each[name] for value, each in moves.items() if each is not None}
    sections = None
    if len(known) == len(boards):
        sections = pd.concat(known, axis=1)
        sections = sections[sections.index.droplevel("section").isin(cells.index)]
    estimates = estimate_means(
        cells,
        sections,
        squared=score.absolute,
        block=max(int(board.first["slices"]) for board in boards.values()),
        floor=score.floor,
    )
    return against(family.base, cells.abs() if score.absolute else cells, estimates)


def _verdict(family: Family, name: str, how: str, rows: pd.DataFrame) -> str:
    sure = rows[rows["p_holm"] < ALPHA]
    at = f"a {family.what} of {family.base}"
    digits = 4 if how == FLIPS else 3
    parts = [
        f"{interval(row['mean'], row['low'], row['high'], digits)} at {value}, "
        f"p {_equals(row['p_holm'])}"
        for value, row in sure.iterrows()
    ]
    if not parts:
        values = ", ".join(map(str, rows.index))
        return f"The {how} of {name} at {values} is not shown to differ from that at {at}."
    return f"The {how} of {name}, less that at {at}, is {'; '.join(parts)} (Holm)."


def _equals(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _table(family: Family) -> Columns:
    """Return a row per value and strategy: signed asymmetries, and the scores at a glance."""
    hows = methods(family.boards[family.base])
    rows: list[dict[str, str]] = []
    for value, board in family.boards.items():
        signed = {how: _signed(board, f"{prefix}/model_asymmetry") for how, prefix in hows.items()}
        for name in family.strategies:
            row = {family.what: value, "strategy": name}
            for how, table in signed.items():
                texts = interval_texts(table.loc[[name]], 3) if len(table) else [MISSING]
                row[f"signed asymmetry by {how}"] = texts[0]
            for column in board.columns.values():
                if column.score.glance:
                    texts = interval_texts(column.summary.loc[[name]], column.score.digits)
                    row[column.score.title] = texts[0]
            rows.append(row)
    heads = dict.fromkeys(head for row in rows for head in row)
    return [(head, [row.get(head, MISSING) for row in rows]) for head in heads]


def _signed(board: Board, key: str) -> pd.DataFrame:
    """Return the mean of an asymmetry with its sign; empty where cells have none."""
    return intervals(signed_estimates(board, key), (-1, 1)) if key in board.done else pd.DataFrame()
