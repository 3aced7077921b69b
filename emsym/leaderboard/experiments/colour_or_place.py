"""Colour or place: the part of a slice's share that its filters' colour brings, and its place.

In the six orders of R, G and B each colour stands twice in each place. So the share of a slice is
taken as 1/3 + place + colour, and each effect is a mean of shares less 1/3: as the design is
balanced, the places of a colour average out, and the colours of a place.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from emsym.leaderboard.board import Board
from emsym.leaderboard.estimates import UNIT, Estimates, estimate_means
from emsym.leaderboard.experiments.report import Columns, Report, interval_texts
from emsym.leaderboard.experiments.shared_values import (
    methods,
    shared_cells,
    shared_sections,
    signed_estimates,
)
from emsym.leaderboard.intervals import intervals, pair_intervals
from emsym.wording import number

ORDERS = ("rgb", "rbg", "grb", "gbr", "brg", "bgr")
PLACES = (-1, 0, 1)
ASYMMETRY = "the model asymmetry of all orders (place)"


def colour_or_place(board: Board) -> Report | None:
    """Return the report of a leaderboard that ranks all six orders in stacks of three slices."""
    if board.first["slices"] != len(PLACES) or not set(ORDERS) <= set(board.ranked):
        return None
    estimates = {how: effects(board, prefix) for how, prefix in methods(board).items()}
    lines = []
    for how, prefix in methods(board).items():
        lines.append(_parts(board, how, prefix))
        if not estimates[how].alone:
            lines.append(_shown(how, estimates[how]))
    return Report("Colour or place", board, lines, [*_tables(estimates), _orders(board)])


def effects(board: Board, prefix: str) -> Estimates:
    """Return the contrasts of effects on slice shares, a column each, of every pair."""
    keys = {place: f"{prefix}/slice_share[{place:+d}]" for place in PLACES}
    asymmetry = f"{prefix}/model_asymmetry"
    sections = {place: shared_sections(board, key) for place, key in keys.items()}
    known = {place: each for place, each in sections.items() if each is not None}
    moves = shared_sections(board, asymmetry)
    return estimate_means(
        contrasts(
            {place: shared_cells(board, key) for place, key in keys.items()},
            shared_cells(board, asymmetry),
        ),
        contrasts(known, moves) if moves is not None and len(known) == len(PLACES) else None,
        block=len(PLACES),
    )


def contrasts(shares: Mapping[int, pd.DataFrame], asymmetry: pd.DataFrame) -> pd.DataFrame:
    """Return the contrasts of effects, a column each, from tables with a column per order.

    `shares` has a table for each place, −1, 0 and 1, and `asymmetry` is the model asymmetry.
    """
    place, colour = _effects(shares)
    return pd.DataFrame(
        {
            "the centre less the sides (place)": place[0] - (place[-1] + place[1]) / 2,
            "z−1 less z+1 (place)": place[-1] - place[1],
            "green less red and blue (colour)": colour["g"] - (colour["r"] + colour["b"]) / 2,
            "red less blue (colour)": colour["r"] - colour["b"],
            ASYMMETRY: asymmetry[list(ORDERS)].mean(axis=1),
        }
    )


def _effects(
    shares: Mapping[int, pd.DataFrame],
) -> tuple[dict[int, pd.Series], dict[str, pd.Series]]:
    """Return the mean share of each place, and that of each colour."""
    place = {at: shares[at][list(ORDERS)].mean(axis=1) for at in PLACES}
    colour = {
        letter: sum(shares[order.index(letter) - 1][order] for order in ORDERS) / len(ORDERS)
        for letter in "rgb"
    }
    return place, colour


def _parts(board: Board, how: str, prefix: str) -> str:
    """Say how far the two effects explain the mean shares of the six orders."""
    tables = {p: shared_cells(board, f"{prefix}/slice_share[{p:+d}]") for p in PLACES}
    means = {
        at: table.groupby(level=UNIT[:2]).mean().mean().to_frame().T for at, table in tables.items()
    }
    place, colour = (
        {name: float(each.iloc[0]) for name, each in part.items()} for part in _effects(means)
    )
    left = {
        (order, at): float(means[at][order].iloc[0]) - place[at] - colour[order[at + 1]] + 1 / 3
        for order in ORDERS
        for at in PLACES
    }
    squares = [
        len(ORDERS) * sum((value - 1 / 3) ** 2 for value in place.values()),
        len(ORDERS) * sum((value - 1 / 3) ** 2 for value in colour.values()),
        sum(value**2 for value in left.values()),
    ]
    whole = sum(squares)
    parts = [number(100 * each / whole, 0) if whole else number(np.nan, 0) for each in squares]
    return (
        f"Of the variance between the mean shares of slices by {how}, six orders of three, the "
        f"place has {parts[0]} %, the colour {parts[1]} %, and {parts[2]} % is in neither alone."
    )


def _shown(how: str, estimates: Estimates) -> str:
    table = intervals(estimates, (-1, 1))
    above, below = table["low"] > 0, table["high"] < 0
    parts = []
    for words, rows in (
        ("above 0", above),
        ("below 0", below),
        ("not shown to differ from 0", ~(above | below)),
    ):
        if names := list(table.index[rows]):
            parts.append(f"{words}: {', '.join(names)}")
    return f"By {how}, {'; '.join(parts)}."


def _orders(board: Board) -> Columns:
    """Return the signed asymmetry of each order: opposite orders should have opposite signs."""
    columns: Columns = [("order of z−1, z, z+1", list(ORDERS))]
    for how, prefix in methods(board).items():
        table = intervals(signed_estimates(board, f"{prefix}/model_asymmetry"), (-1, 1))
        texts = interval_texts(table.loc[list(ORDERS)], 3)
        columns.append((f"signed model asymmetry by {how}", texts))
    return columns


def _tables(estimates: Mapping[str, Estimates]) -> list[Columns]:
    tables = {how: intervals(each, (-1, 1)) for how, each in estimates.items()}
    first = next(iter(tables.values()))
    whole: Columns = [("effect on a slice's share", list(first.index))]
    for how, table in tables.items():
        whole.append((f"by {how}", interval_texts(table, 3)))
    made = [whole]
    for how, each in estimates.items():
        rows = pair_intervals(each, (-1, 1))
        columns: Columns = [(f"by {how}, in", [" · ".join(pair) for pair in each.point.index])]
        for name in each.point.columns:
            columns.append((name, interval_texts(rows.xs(name, level="init"), 3)))
        made.append(columns)
    return made
