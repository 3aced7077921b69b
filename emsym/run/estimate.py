"""How long a run takes and what it fills, from what its store has seen."""

import math
import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from emsym.run.job import Job
from emsym.run.store.store import Store
from emsym.run.time_left import makespan
from emsym.wording import counted, duration

SAMPLE = 12
"""Records that are read of each pair of data set and architecture."""
UNSEEN = 1.0
"""The spread, a share of the time itself, of a pair that nobody has run yet."""

Pair = tuple[str, str]


@dataclass(frozen=True)
class Seen:
    """The time and the room that one finished cell took."""

    seconds: float
    bytes: int


@dataclass(frozen=True)
class Estimate:
    """The time and the room that cells will take."""

    cells: tuple[float, ...]
    """The likely seconds of each, in the order in which they are run."""
    sd: float
    """The uncertainty of their sum: cells differ, and few may have been seen."""
    bytes: float
    seen: int
    """How many cells there are of which it is known what they took."""
    unseen: frozenset[Pair] = frozenset()
    """Pairs of data set and architecture of which it is not."""

    @property
    def seconds(self) -> float:
        """The time that they take one after the other."""
        return sum(self.cells)

    def at_once(self, workers: int) -> int:
        """How many run at once with so many workers: no more than there are."""
        return min(workers, len(self.cells))

    def wall(self, workers: int) -> tuple[float, float, float]:
        """The likely wall seconds with so many workers, and a 95 % interval."""
        middle, half = makespan(self.cells, workers), 1.96 * self.sd / self.at_once(workers)
        return middle, max(0.0, middle - half), middle + half


def pair_of(job: Job) -> Pair:
    """Return what decides most of a cell's time: its data set and architecture."""
    return job.cell.dataset, job.cell.architecture


def history(stored: Iterable[Job], store: Store) -> dict[Pair, list[Seen]]:
    """Return what some of the stored cells of each pair took."""
    keys: dict[Pair, list[str]] = defaultdict(list)
    for job in stored:
        keys[pair_of(job)].append(job.key)
    seen: dict[Pair, list[Seen]] = {}
    for which, those in keys.items():
        chosen = random.Random(0).sample(those, min(SAMPLE, len(those)))
        taken = []
        for key in chosen:
            if (record := store.load(key, set_aside=False)) is not None and record.seconds:
                size = store.path(key).stat().st_size
                taken.append(Seen(sum(record.seconds.values()), size))
        if taken:
            seen[which] = taken
    return seen


def estimate(missing: Iterable[Job], seen: Mapping[Pair, list[Seen]]) -> Estimate | None:
    """Estimate what the missing cells will take; None where no cell was seen.

    Of a pair that was not seen, the time of its architecture counts, else that of its data set,
    else that of all.
    """
    if not seen:
        return None
    pairs = [pair_of(job) for job in missing]
    means: dict[Pair, float] = {}
    size = variance = 0.0
    unseen = set()
    for which, count in Counter(pairs).items():
        known = seen.get(which)
        if known is None:
            unseen.add(which)
            known = _alike(which, seen)
        times = [each.seconds for each in known]
        means[which] = mean = statistics.fmean(times)
        spread = statistics.stdev(times) if len(times) > 1 else mean / 2
        if which in unseen:
            # one unknown that all cells of the pair share
            variance += (count * UNSEEN * mean) ** 2
        else:
            variance += count * spread**2 + (count * spread) ** 2 / len(times)
        size += count * statistics.fmean(each.bytes for each in known)
    cells = tuple(means[which] for which in pairs)
    known_cells = sum(map(len, seen.values()))
    return Estimate(cells, math.sqrt(variance), size, known_cells, frozenset(unseen))


def expected(seen: Mapping[Pair, list[Seen]]) -> Callable[[Job], float]:
    """Return a function that says about how many seconds a cell takes; 1 where nothing was seen."""

    def seconds(job: Job) -> float:
        if not seen:
            return 1.0
        known = seen.get(pair_of(job)) or _alike(pair_of(job), seen)
        return statistics.fmean(each.seconds for each in known)

    return seconds


def _alike(which: Pair, seen: Mapping[Pair, list[Seen]]) -> list[Seen]:
    for place in (1, 0):
        alike = [
            each for other, those in seen.items() if other[place] == which[place] for each in those
        ]
        if alike:
            return alike
    return [each for those in seen.values() for each in those]


def estimate_text(estimated: Estimate | None, workers: int) -> str:
    """Put an estimate into words."""
    if estimated is None:
        return (
            "How long is not known before the first cell is done; `plan --calibrate` tries each "
            "network on each data set for some steps, and `--tflops 20` reckons it for a device "
            "that sustains so many."
        )
    from rich.filesize import decimal

    middle, low, high = estimated.wall(workers)
    text = (
        f"About {duration(middle)} with {estimated.at_once(workers)} at once (95 %: "
        f"{duration(low)} to {duration(high)}) and {decimal(round(estimated.bytes))} of records, "
        f"by what {counted(estimated.seen, 'cell')} took."
    )
    if estimated.unseen:
        names = sorted(" · ".join(which) for which in estimated.unseen)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        text += f" Never run, so guessed after others: {', '.join(names[:3])}{more}."
    return text
