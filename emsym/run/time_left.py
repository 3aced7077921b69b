"""How long pieces of work take side by side: each is begun by the worker that is free first."""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

EXACT = 1000
"""The last pieces that are dealt out one by one; what comes before is shared out evenly."""


def makespan(seconds: Sequence[float], workers: int, busy: Sequence[float] = ()) -> float:
    """Return when the last of some pieces ends, which are begun in this order.

    `busy` says how many seconds workers still need for what they are at, one each.

    >>> makespan([60, 60, 60], 2), makespan([60, 60], 2, busy=[10])
    (120.0, 70.0)
    """
    before = sum(seconds[:-EXACT]) / workers
    ends = [float(each) + before for each in [*busy, *[0] * (workers - len(busy))]]
    heapify(ends)
    for each in seconds[-EXACT:]:
        heappush(ends, heappop(ends) + each)
    return max(ends)


def time_left(
    costs: Sequence[float], paid: float, took: float, ages: Sequence[float], workers: int
) -> float:
    """Return about how many seconds a phase of work will go on.

    `costs` are those of the pieces that have not ended, in any unit, and those that are being
    worked at come first; `ages` are the seconds since each of these was begun. The pieces that
    ended cost `paid`, which is not 0, within `took` seconds of that many `workers`; 0 workers are
    unknown ones, whose pace stays what it was.
    """
    spent = took * workers - sum(ages)  # by all workers, on what has ended
    if spent <= 0:
        return took / paid * sum(costs)
    second = spent / paid
    under_way = [
        # one that takes longer than others has about a tenth to go
        max(second * cost - age, second * cost / 10)
        for cost, age in zip(costs, sorted(ages, reverse=True), strict=False)
    ]
    waiting = [second * cost for cost in costs[len(under_way) :]]
    return makespan(waiting, workers, under_way)
