"""Looks at an audit's finding: after how many sections it is judged, and which come first.

An audit that stops as soon as its finding is decided looks at its numbers several times, and each
look is another chance to be wrong. So its intervals are repeated confidence intervals (Jennison and
Turnbull 1989, J. R. Stat. Soc. B 51:305): all of them together hold in 95 of 100 audits, however
the audit stops. The .05 are spent evenly over the looks (Lan and DeMets 1983, Biometrika 70:659,
their spending function α t), and by Bonferroni's bound, which asks nothing about how looks depend
on each other: sections without a value, and blocks of several, tell unequally much. What the bound
leaves over pays for what Student's t misses in few blocks of neighbours that are alike:
`tests/auditing/test_looks.py` simulates how often the whole rule is wrong.

Sections are chosen evenly spaced and visited at random: each look adds one from each part of the
volume, as a stratified sample does. So whatever was seen is spread over the volume, and neighbours,
whose stacks share slices, mostly come at different looks. An interval's blocks are those of the
volume, of which looks fill more, and fill them more.
"""

from dataclasses import dataclass

import numpy as np

from emsym.auditing.intervals import LEVEL
from emsym.auditing.result import LooksResult

FIRST = 5
"""Sections of the first look: of fewer Student's t makes next to nothing."""
GROWTH = 1.6
"""How many times as many sections each further look has, but for the last, which has all."""
LEAST_GROWTH = 1.3
"""The last look has at least so many times as many as the one before it."""
ALL_TOGETHER = 10
"""So many sections are all looked at, and the finding is judged once."""
SEED = 0
"""The seed of the order, so that the same audit gives the same numbers."""


@dataclass(frozen=True)
class Looks:
    """The order in which sections are visited, and when the finding is judged."""

    ends: tuple[int, ...]
    """After how many sections; the last is all of them."""
    order: np.ndarray
    """(N,) int: which of the sections, counted along z, comes first, second, …"""

    as_asked: bool
    """Whether so many sections were asked for."""

    @property
    def level(self) -> float:
        """The level of each look's intervals: .95 of a single look."""
        return 1 - (1 - LEVEL) / len(self.ends)

    def result(self, looked_at: int, available: int) -> LooksResult:
        """Say after how many sections, of those with all their neighbours, it ended, and why."""
        sentence = f"{looked_at} of {available} sections with all their neighbours were looked at, "
        if looked_at == available:
            sentence = (
                f"All {available} sections with all their neighbours were looked at."
                if available > 1
                else "The only section with all its neighbours was looked at."
            )
        elif self.as_asked:
            sentence += "evenly spaced, as many as were asked for."
        elif looked_at < self.ends[-1]:
            sentence += (
                "in random order: the finding was then decided, so that more of them, up to "
                f"{self.ends[-1]}, would hardly change it."
            )
        else:
            sentence += "evenly spaced, the most by default: fewer did not decide the finding."
        return LooksResult(
            sentence=sentence, most=self.ends[-1], ends=list(self.ends), level=self.level
        )


def plan_looks(count: int, *, as_asked: bool) -> Looks:
    """Plan the looks at `count` sections; a single one where they are few, or were asked for.

    >>> plan_looks(20, as_asked=False).ends, plan_looks(8, as_asked=False).ends
    ((5, 8, 13, 20), (8,))
    """
    ends, end = list[int](), FIRST
    while not as_asked and count > ALL_TOGETHER and end * LEAST_GROWTH <= count:
        ends.append(end)
        end = round(end * GROWTH)
    ends.append(count)
    random, left, order = np.random.default_rng(SEED), np.arange(count), list[int]()
    for size in np.diff([0, *ends]):
        group = [int(random.choice(part)) for part in np.array_split(left, size)]
        left = np.setdiff1d(left, group)
        order += group
    return Looks(tuple(ends), np.array(order), as_asked)
