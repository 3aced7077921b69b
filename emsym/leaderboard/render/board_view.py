"""The texts and places of one leaderboard that the page's template shows."""

from typing import Any

from emsym import wording
from emsym.errors import UserError
from emsym.leaderboard.board import Board
from emsym.leaderboard.recommendation import recommend
from emsym.leaderboard.render import sentences
from emsym.leaderboard.render.answer import answer
from emsym.leaderboard.render.board_charts import (
    heat_map,
    pareto_chart,
    share_bars,
    training_chart,
)
from emsym.leaderboard.render.board_numbers import PAIRS
from emsym.leaderboard.render.questions import questions
from emsym.leaderboard.render.row_texts import Head, table_heads, table_rows
from emsym.leaderboard.render.strategy_texts import strategy_texts
from emsym.leaderboard.tiers import in_tiers
from emsym.leaderboard.verdicts import ASKED, Judged, judge_claims, load_claims
from emsym.paths import protocols_folder
from emsym.protocol import Protocol, list_protocols, load_protocol

CELLS = 5
"""The page tells of so many cells how each came about; cells.csv beside it tells it of all."""


def board_view(board: Board) -> dict[str, Any]:
    """Return what the template shows of a leaderboard, by the names that it has there."""
    names = in_tiers(board)
    heads = table_heads(board)
    means = board.share_means(board.shared)
    strategies = strategy_texts(names, int(board.first["slices"]))
    said = answer(board, lambda name: f"“{name}”")
    return {
        "id": board.stem,
        "title": board.title,
        "synthetic": _synthetic(board),
        "answer": said,
        "size": _size(board),
        "hero": _hero(board, said.strategy, names),
        "names": names,
        "numbers": {name: board.names.index(name) for name in board.names},
        "baseline": board.baseline,
        "conclusions": sentences.conclusions(board, lambda name: f"“{name}”"),
        "measured_on": sentences.measured_on(board),
        "about": _about(board),
        "by": next(iter(sentences.measures(board)), ""),
        "columns": [column.score for column in board.columns.values()],
        "heads": heads,
        "groups": _groups(heads, board.baseline),
        "rows": table_rows(board, heads),
        "strategies": strategies,
        "glyphs": {each.name: each for each in strategies},
        "shares": share_bars(means.loc[names]),
        "slices": [wording.slice_name(name) for name in board.shares],
        "pareto": pareto_chart(board),
        "heat": heat_map(board),
        "curves": training_chart(board, names),
        "datasets": list(dict.fromkeys(dataset for dataset, _ in board.pairs)),
        "architectures": list(dict.fromkeys(name for _, name in board.pairs)),
        "pairs": [_pair(board, pair) for pair in board.pairs[:PAIRS]],
        "left_out": max(0, len(board.pairs) - PAIRS),
        "recommendations": recommend(board),
        "questions": questions(board, lambda name: f"“{name}”"),
        "power": _power(board),
        "methods": _methods(board),
        "costs": sentences.cost_columns(board),
        "claims": _claims(board),
        "gaps": sentences.gaps(board),
        "apart": board.apart.head(500).to_dict("records"),
        "facts": sentences.facts(board),
        "protocol": _protocol_text(board),
        "data": sentences.data_sets(board).to_dict("records"),
        "cells": _cells(board),
        "more_cells": max(0, len(board.cells) - CELLS),
        "bibtex": sentences.bibtex(board),
        "comparisons": _comparisons(board, names),
    }


def _synthetic(board: Board) -> str:
    """Say which data were made up, if any."""
    data = sentences.data_sets(board)
    made = data[data["modality"].str.startswith("synthetic")]["dataset"].drop_duplicates()
    if board.is_synthetic:
        return (
            "A demonstration on synthetic data: volumes that a program made, no micrographs. It "
            "tells whether there is a bias and what changes it, and nothing of its size on yours."
        )
    if len(made):
        return f"Synthetic, made by a program, among real ones: {sentences.listed(list(made))}."
    return ""


def _size(board: Board) -> str:
    sets = len({dataset for dataset, _ in board.shared})
    kinds = len({name for _, name in board.shared})
    parts = [wording.counted(sets, "data set"), wording.counted(kinds, "architecture")]
    parts.append(wording.counted(int(board.seeds.max()), "seed"))
    parts.append(wording.counted(len(board.ranked), "strategy", "strategies"))
    return f"{wording.counted(len(board.done), 'trained network')}: {' × '.join(parts)}"


def _hero(board: Board, named: str | None, names: list[str]) -> list[dict[str, Any]]:
    """Return the slice shares of the baseline beside those of the strategy that is named."""
    if board.baseline is None or not board.shares:
        return []
    other = named or next((n for n in names if n in board.ranked and n != board.baseline), None)
    chosen = [name for name in (board.baseline, other) if name is not None]
    shares = share_bars(board.share_means(board.shared).loc[chosen])
    known = all(bar["text"] != wording.MISSING for bars in shares.values() for bar in bars)
    return [{"name": name, "bars": bars} for name, bars in shares.items()] if known else []


def _groups(heads: list[Head], baseline: str | None) -> list[tuple[str, int, bool]]:
    """Return the heads over heads: (text, columns, whether behind the switch)."""
    texts = {"bias": "bias: less is better, 0 is none", "cost": f"cost beside {baseline}"}
    groups: list[tuple[str, int, bool]] = []
    for head in heads:
        text = texts.get(head.group, "")
        if groups and groups[-1][::2] == (text, head.more):
            groups[-1] = (text, groups[-1][1] + 1, head.more)
        else:
            groups.append((text, 1, head.more))
    return groups


def _claims(board: Board) -> dict[str, Any] | None:
    """Return the claims by whose they are, with how many are held; None where none is tried."""
    judged = judge_claims(board, load_claims())
    tried = [each for each in judged if each.verdict != "not tried"]
    if not tried:
        return None
    words = ("held", "failed", "undecided")
    counts = [(word, sum(each.verdict == word for each in tried)) for word in words]
    told = [f"{number} {word}" for word, number in counts if number]
    return {
        "count": sentences.listed(told),
        "tried": [_claim(each) for each in tried],
        "others": [_claim(each) for each in judged if each.verdict == "not tried"],
    }


def _claim(each: Judged) -> dict[str, Any]:
    tones = {"held": "good", "failed": "bad", "undecided": "open", "not tried": "neutral"}
    return {
        "id": each.claim.id,
        "sentence": each.claim.sentence,
        "source": each.claim.source,
        "asked": ASKED[each.claim.test],
        "verdict": each.verdict,
        "tone": tones[each.verdict],
        "numbers": [f"{what} {f.text}".strip() for what, f in each.findings.items()],
        "power": each.power,
    }


def _pair(board: Board, pair: tuple[str, str]) -> dict[str, Any]:
    present = board.present.loc[pair]
    needed = int(present.max())
    columns = []
    for column in board.columns.values():
        digits = column.score.digits
        ends = column.of_pair(pair, board.order)
        columns.append(
            [
                (wording.number(m, digits), wording.bounds(low, high, digits))
                for m, low, high in ends
            ]
        )
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


def _comparisons(board: Board, names: list[str]) -> list[dict[str, Any]]:
    tables = []
    for column in board.columns.values() if board.baseline is not None else ():
        if column.score.baseline is None:
            continue
        rows = []
        for name in names:
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
        tables.append({"title": column.score.term, "rows": rows})
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


def _about(board: Board) -> str:
    """Return what a protocol that ships says of itself, else what was measured."""
    protocol = _shipped(board)
    if protocol is None or not protocol.description:
        return sentences.measured_on(board)
    one = f" The table is of the variant {protocol.name} alone."
    return protocol.description + one * (protocol.name not in list_protocols())


def _protocol_text(board: Board) -> str:
    """Return the file of a protocol that ships, where it is the one that was run; else nothing."""
    path = protocols_folder() / f"{board.first['protocol']}.toml"
    return path.read_text(encoding="utf-8") if _shipped(board) and path.is_file() else ""


def _shipped(board: Board) -> Protocol | None:
    """Return the protocol that ships by the board's name, where it is the one that was run."""
    try:
        protocol = load_protocol(str(board.first["protocol"]))
    except UserError:
        return None
    return protocol if protocol.digest == board.first["digest"] else None
