"""Verdicts on claims: each is a sentence with the test that decides it on the cells of a board.

Claims are data, in a TOML file; `benchmark/claims.toml` says what the tests are.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from emsym.errors import UserError
from emsym.files import read_toml
from emsym.leaderboard.board import Board, Column
from emsym.leaderboard.estimates import Estimates
from emsym.leaderboard.intervals import difference_intervals, intervals, ratio_intervals
from emsym.paths import claims_file
from emsym.protocol import Strict
from emsym.scores.catalogue import MARGIN
from emsym.scores.score import ALIKE, BASELINE
from emsym.wording import interval

Verdict = Literal["held", "failed", "undecided", "not tried"]
Test = Literal["biased", "persists", "symmetric", "no-loss", "more-dice", "equal-dice", "answers"]
Pairs = list[tuple[str, str]]

EVEN = (ALIKE - 1) / (ALIKE + 1)
"""The asymmetry of sides of which one counts a tenth more than the other."""
MOST = 1000
"""More seeds than so many are not told apart."""
HALF = 50.0
"""The part of the baseline's flip error, in %, that must be gone for the answer to follow."""
_MORE, _LESS = (
    f"an asymmetry {how} {EVEN:.3f}, as of sides a tenth apart" for how in ("above", "below")
)
ASKED: dict[Test, str] = {
    "biased": _MORE,
    "persists": _MORE,
    "symmetric": _LESS,
    "no-loss": f"no loss of {MARGIN} or more",
    "more-dice": "a gain above 0",
    "equal-dice": f"a difference within ±{MARGIN}, and less bias",
    "answers": f"by exact values {_LESS}, and at least {HALF:.0f} % less flip error",
}
"""The side that a whole interval has to be on for a claim to hold, by its test."""


class Claim(Strict):
    """A sentence, and what decides it."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9]{1,8}$")]
    sentence: Annotated[str, Field(max_length=300)]
    source: Annotated[str, Field(max_length=120)]
    test: Test
    strategy: Annotated[str, Field(min_length=1, max_length=100)]
    baseline: Annotated[str, Field(min_length=1, max_length=100)] = BASELINE
    each: Literal["all", "architecture", "dataset"] = "all"

    @model_validator(mode="after")
    def _two_strategies(self) -> Self:
        if self.test not in _ALONE and self.strategy == self.baseline:
            raise ValueError(f"compares '{self.strategy}' with itself: name another baseline")
        return self


class ClaimsFile(Strict):
    """The file of claims."""

    claims: Annotated[tuple[Claim, ...], Field(min_length=1, max_length=100)]


@dataclass(frozen=True)
class Finding:
    """A verdict on some pairs of data set and architecture, and the number that it rests on."""

    verdict: Verdict
    text: str
    seeds: float = math.nan
    """About how many seeds would decide it, if what is found stays as it is; NaN where decided."""


@dataclass(frozen=True)
class Judged:
    """A claim's verdict, and the findings that it comes from."""

    claim: Claim
    verdict: Verdict
    findings: dict[str, Finding]
    """By what was asked, such as ``saliency`` or ``saliency, isbi2012``."""
    cells: int
    one_seed: bool = False
    """Whether some pair of data set and architecture has one seed alone."""

    @property
    def power(self) -> str:
        """Say how many seeds would decide it; nothing where it is decided, or nobody knows."""
        if self.verdict != "undecided":
            return ""
        if math.isnan(self.seeds):
            return "a single seed a pair decides nothing" if self.one_seed else ""
        count = f"about {self.seeds:.0f}" if self.seeds <= MOST else f"more than {MOST}"
        return f"{count} seeds a pair would decide it, if numbers stay as they are"

    @property
    def seeds(self) -> float:
        """About how many seeds a pair would decide all of it; NaN where it is decided."""
        return max((f.seeds for f in self.findings.values() if f.seeds > 0), default=math.nan)


def load_claims(path: Path | None = None) -> tuple[Claim, ...]:
    """Return the claims of a file, or those that ship with emsym; raise `UserError` as reading."""
    file = read_toml(path or claims_file(), ClaimsFile)
    names = [claim.id for claim in file.claims]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{path}: two claims have the id '{twice}'; give each its own.")
    return file.claims


def claim_columns(board: Board) -> list[tuple[str, list[str]]]:
    """Return the table of the verdicts on the claims that ship with emsym: heads with texts.

    Empty where the board has the cells for none of them.
    """
    judged = judge_claims(board, load_claims())
    if all(each.verdict == "not tried" for each in judged):
        return []
    numbers = [
        "; ".join(f"{what} {f.text}".strip() for what, f in each.findings.items())
        for each in judged
    ]
    return [
        ("claim", [f"({each.claim.id}) {each.claim.sentence}" for each in judged]),
        ("verdict", [each.verdict for each in judged]),
        ("numbers", numbers),
        ("if undecided", [each.power for each in judged]),
    ]


def judge_claims(board: Board, claims: tuple[Claim, ...]) -> list[Judged]:
    """Return a verdict on each claim; ``not tried`` where the board lacks the strategies.

    The verdict is by the headline's attribution, which the claims are about; findings by exact
    Shapley values and by flip error stand beside it. Intervals are of 95 %, each by itself.
    """
    return [_judge(board, claim) for claim in claims]


def _judge(board: Board, claim: Claim) -> Judged:
    needed = {claim.strategy} | ({claim.baseline} if claim.test not in _ALONE else set())
    if not needed <= set(board.ranked):
        lacking = ", ".join(sorted(needed - set(board.ranked)))
        return Judged(claim, "not tried", {"": Finding("not tried", f"no cells of {lacking}")}, 0)
    findings, deciding = {}, []
    parts = list(_parts(board, claim))
    if claim.each != "all" and len(parts) < 2:
        alone = Finding("not tried", f"there is one {claim.each} alone, {parts[0][0]}")
        return Judged(claim, "not tried", {"": alone}, 0)
    for where, pairs in parts:
        for what, finding in _TESTS[claim.test](board, claim, pairs):
            findings[", ".join(filter(None, (what, where)))] = finding
            if not what.startswith("("):
                deciding.append(finding.verdict)
    if not findings:
        unmeasured = Finding("not tried", "its cells have no asymmetry")
        return Judged(claim, "not tried", {"": unmeasured}, 0)
    cells = int(board.seeds.loc[board.shared].sum()) * len(needed)
    return Judged(claim, _together(deciding), findings, cells, board.lead.shared.alone)


def _parts(board: Board, claim: Claim) -> Iterator[tuple[str, Pairs]]:
    if claim.each == "all":
        yield "", board.shared
        return
    at = ("dataset", "architecture").index(claim.each)
    for name in dict.fromkeys(pair[at] for pair in board.shared):
        yield name, [pair for pair in board.shared if pair[at] == name]


def _together(verdicts: list[Verdict]) -> Verdict:
    """Return ``held`` where all are, ``failed`` where one is, else ``undecided``."""
    if "failed" in verdicts:
        return "failed"
    return "held" if verdicts and set(verdicts) == {"held"} else "undecided"


Asked = Iterator[tuple[str, Finding]]
"""Each question with its finding; one in brackets decides nothing."""


def _sizes(board: Board, claim: Claim, pairs: Pairs, high: bool) -> Asked:
    """Ask whether the asymmetry is above, or below, that of sides that differ by a tenth."""
    for column in _asymmetries(board):
        estimates = column.shared.take(pairs, _names(column))
        row = intervals(estimates, column.score.compared_bounds).loc[claim.strategy]
        finding = _beyond(row, EVEN, high, estimates, column.score.digits)
        name = _method(column)
        yield name if column.key.startswith(board.headline) else f"({name})", finding


def _biased(board: Board, claim: Claim, pairs: Pairs) -> Asked:
    yield from _sizes(board, claim, pairs, high=True)


def _symmetric(board: Board, claim: Claim, pairs: Pairs) -> Asked:
    yield from _sizes(board, claim, pairs, high=False)


def _persists(board: Board, claim: Claim, pairs: Pairs) -> Asked:
    yield from _sizes(board, claim, pairs, high=True)
    looks = board.over_training
    if len(looks) and claim.strategy in looks:
        values = looks[claim.strategy]
        text = (
            f"{values.iloc[0]:.3f} before and {values.iloc[-1]:.3f} after {looks.index[-1]} steps"
        )
        yield "(over training)", Finding("undecided", text)


def _no_loss(board: Board, claim: Claim, pairs: Pairs) -> Asked:
    row, estimates = _dice(board, claim, pairs)
    yield "Dice", _beyond(row, -MARGIN, True, estimates, 3)


def _more_dice(board: Board, claim: Claim, pairs: Pairs) -> Asked:
    row, estimates = _dice(board, claim, pairs)
    yield "Dice", _beyond(row, 0.0, True, estimates, 3)


def _equal_dice(board: Board, claim: Claim, pairs: Pairs) -> Asked:
    row, estimates = _dice(board, claim, pairs)
    yield "Dice, not below", _beyond(row, -MARGIN, True, estimates, 3)
    yield "Dice, not above", _beyond(row, MARGIN, False, estimates, 3)
    for column in _asymmetries(board):
        ours = column.shared.take(pairs, _names(column))
        less = difference_intervals(ours, claim.baseline).loc[claim.strategy]
        finding = _beyond(less, 0.0, False, ours, column.score.digits)
        name = _method(column)
        lead = column.key.startswith(board.headline)
        yield f"{name}, less" if lead else f"({name}, less)", finding


def _answers(board: Board, claim: Claim, pairs: Pairs) -> Asked:
    sizes = list(_sizes(board, claim, pairs, high=False))
    if not sizes:
        return
    (lead, first), *others = sizes
    yield f"({lead})", first
    if first.verdict == "failed":
        return  # what is not symmetric by it tells nothing of what is
    for what, finding in others:
        yield what.strip("()"), finding
    flip = board.column("flip_error")
    if flip is not None:
        estimates = flip.shared.take(pairs, _names(flip))
        row = ratio_intervals(estimates, claim.baseline).loc[claim.strategy]
        finding = _beyond(row, HALF, True, estimates, 0)
        yield "flip error", Finding(finding.verdict, f"{finding.text} % less", finding.seeds)


_ALONE = ("biased", "persists", "symmetric")
"""The tests that need no other strategy."""
_TESTS: dict[Test, Callable[[Board, Claim, Pairs], Asked]] = {
    "biased": _biased,
    "persists": _persists,
    "symmetric": _symmetric,
    "no-loss": _no_loss,
    "more-dice": _more_dice,
    "equal-dice": _equal_dice,
    "answers": _answers,
}


def _asymmetries(board: Board) -> list[Column]:
    """Return the columns of asymmetries, that by the headline's attribution first."""
    named = [c for c in board.columns.values() if c.score.name == "model_asymmetry"]
    return sorted(named, key=lambda column: not column.key.startswith(board.headline))


def _names(column: Column) -> list[str]:
    return list(column.shared.point.columns)


def _method(column: Column) -> str:
    method = column.key.partition("/")[0]
    return "exact values" if method == "slice-shapley" else method


def _dice(board: Board, claim: Claim, pairs: Pairs) -> tuple[dict[str, float], Estimates]:
    dice = board.column("dice")
    assert dice is not None, "every cell has a Dice"
    estimates = dice.shared.take(pairs, _names(dice))
    return difference_intervals(estimates, claim.baseline).loc[claim.strategy], estimates


def _beyond(
    row: dict[str, float], limit: float, high: bool, estimates: Estimates, digits: int
) -> Finding:
    """Judge whether a value is above a limit, or below it, by its interval."""
    mean, low, top = (float(row[name]) for name in ("mean", "low", "high"))
    text = interval(mean, low, top, digits)
    if not low <= top:  # of one seed nothing is known
        return Finding("undecided", text)
    above, below = low > limit, top < limit
    if above or below:
        return Finding("held" if above == high else "failed", text)
    # an interval's half width falls with the root of the seeds; it has to reach the limit
    wide = (mean - low) if mean > limit else (top - mean)
    distance = abs(mean - limit)
    seeds = float(np.mean(estimates.seeds)) * (wide / distance) ** 2 if distance else math.inf
    return Finding("undecided", text, math.ceil(seeds) if math.isfinite(seeds) else math.inf)
