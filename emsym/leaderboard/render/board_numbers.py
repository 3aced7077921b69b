"""The numbers of a leaderboard that the page's script computes with, as what JSON can hold."""

import base64
import math
from typing import Any

import numpy as np
import pandas as pd

from emsym.leaderboard.board import Board
from emsym.leaderboard.costs import cost_ratios
from emsym.leaderboard.estimates import differences, own
from emsym.leaderboard.render.row_texts import COSTS, SHARED_SCALES, tier_words
from emsym.leaderboard.render.sentences import score_term
from emsym.scores.catalogue import MARGIN

PAIRED = 200_000
"""The most paired variances in the page, per score."""

PAIRS = 60
"""The most pairs of data set and architecture that have a table of their own."""


def board_numbers(board: Board) -> dict[str, Any]:
    """Return the numbers, by those of strategies and pairs, which stand in lists of names."""
    pairs, names = board.pairs, board.names
    entered = board.entered.T.groupby(level=[0, 1], sort=False).any().loc[pairs, names]
    seeds = board.seeds.loc[pairs]
    shares = [board.share_means([pair]).loc[names].to_numpy() for pair in pairs[: 10 * PAIRS]]
    return {
        "id": board.stem,
        "names": names,
        "datasets": [dataset for dataset, _ in pairs],
        "architectures": [architecture for _, architecture in pairs],
        "baseline": names.index(board.baseline) if board.baseline else -1,
        "margin": MARGIN,
        "tierWords": tier_words(board),
        "entered": entered.to_numpy().astype(int).tolist(),
        "seeds": seeds.tolist(),
        "present": np.minimum(board.present.loc[pairs, names], seeds.to_numpy()[:, None])
        .to_numpy()
        .tolist(),
        "shares": [_rounded(each) for each in shares] if len(pairs) <= 10 * PAIRS else [],
        "scores": [_score(board, key) for key in board.columns],
        "costs": _costs(board),
    }


def _score(board: Board, key: str) -> dict[str, Any]:
    column = board.columns[key]
    score, estimates = column.score, column.estimates.take(board.pairs, board.names)
    count = len(board.names)
    paired = score.glance and len(board.pairs) * count * (count - 1) <= PAIRED
    return {
        "name": score.name,
        "term": score_term(board, column),
        "better": score.better,
        "digits": score.digits,
        "scale": SHARED_SCALES.get(score.name, score.name),
        "bounds": [end if math.isfinite(end) else None for end in score.compared_bounds],
        "squared": estimates.squared,
        # squares are small, and have twice the decimals
        "mean": _rounded(estimates.point.to_numpy(), (1 + estimates.squared) * (score.digits + 4)),
        "seeds": [_variances(each, paired) for each in estimates.of_seeds],
        "both": [_variances(each, paired) for each in estimates.of_both],
        "sections": [
            {
                "pairs": each.pairs.tolist(),
                "blocks": len(each.moves),
                "moves": _packed(each.moves),
            }
            for each in estimates.sections
        ],
        "paired": paired,
    }


def _costs(board: Board) -> list[list[Any]]:
    """Return a list per pair and strategy that knows its cost.

    It has the numbers of both, how many couples of cells there are, and of each of `COSTS` the mean
    of the logarithms of the ratios and the sum of their squared deviations from it.
    """
    rows = []
    groups = cost_ratios(board).groupby(["dataset", "architecture", "init"], sort=False)
    places = {pair: at for at, pair in enumerate(board.pairs)}
    for (dataset, architecture, name), part in groups:
        logs = part[list(COSTS)].dropna().to_numpy(float)
        mean = logs.mean(0) if len(logs) else np.zeros(len(COSTS))
        spread = np.square(logs - mean).sum(0)
        numbers = [places[dataset, architecture], board.names.index(name), len(logs)]
        each = zip(_rounded(mean, 8), _rounded(spread), strict=True)
        rows.append([*numbers, *(value for both in each for value in both)])
    return rows


def _variances(covariance: np.ndarray, paired: bool) -> dict[str, str]:
    """Those of K strategies and, where `paired`, of the differences of each from those after it."""
    variances = {"own": _packed(own(covariance))}
    if paired:
        upper = np.triu_indices(len(covariance), 1)
        variances["paired"] = _packed(differences(covariance)[upper])
    return variances


def _packed(values: np.ndarray) -> str:
    """Pack as float32, little-endian, in base64: half as long as digits, and more exact."""
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def _rounded(values: np.ndarray, digits: int | None = None) -> list:
    """As lists for JSON, of six significant digits or so many decimals; None for NaN."""
    if values.ndim > 1:
        return [_rounded(row, digits) for row in values]
    return [
        None
        if pd.isna(value)
        else float(f"{value:.6g}")
        if digits is None
        else round(float(value), digits)
        for value in values
    ]
