"""The numbers and pictures that an audit keeps of its sections, group by group."""

from collections import defaultdict

import numpy as np

from emsym.auditing.result import Pictures, SectionExample
from emsym.auditing.volume import Chosen
from emsym.data.stacks import evenly_spaced
from emsym.scores.measure import Measurement
from emsym.scores.segmentation import Counts
from emsym.scores.targets import Target

EXAMPLES = 3
"""Sections that a report shows, at most."""


def example_of(
    group: Measurement, index: int, section: int, headline: tuple[str, Target]
) -> SectionExample:
    """Copy one section of a group out of it: its stack, its map by `headline`, its answers."""
    truth = None if group.truth is None else group.truth[index].numpy(force=True).copy()
    return SectionExample(
        section=section,
        stack=group.x[index].numpy(force=True).copy(),
        attribution=group.maps[headline][index].numpy(force=True).copy(),
        probability=group.probability[index].copy(),
        mirrored=group.mirrored[index].copy(),
        truth=truth,
    )


class Walk:
    """The numbers, maps and examples that are kept of each group of sections."""

    def __init__(self, chosen: Chosen, headline: tuple[str, Target], sure: int) -> None:
        """`headline` is the attribution and the target whose maps are kept.

        The first `sure` sections will be looked at in any case, of which examples are kept.
        """
        self.sections, self.headline = chosen.data.sections, headline
        self.columns: dict[str, list[np.ndarray]] = defaultdict(list)
        self.counts: list[Counts] = []
        self.inverse: list[Counts] = []
        """The counts if the labels meant the contrary."""
        self.reversed: list[Counts] = []
        """The counts of the predictions from reversed stacks."""
        self.averaged: list[Counts] = []
        """The counts of the predictions from the mean of both probabilities."""
        self.pixels = 0
        self.foreground = 0
        """The pixels among them that are predicted foreground."""
        self.examples: list[SectionExample] = []
        self._shown = evenly_spaced(sure, EXAMPLES)
        self._maps: list[tuple[int, np.ndarray]] = []

    def add(self, group: Measurement, more: dict[str, np.ndarray]) -> None:
        """Keep the numbers of a group, `more` beside, its mean map and whichever is an example."""
        for name, values in (group.columns | more).items():
            self.columns[name].append(values)
        self.pixels += group.predicted.size
        self.foreground += int(group.predicted.sum())
        maps = group.maps[self.headline].numpy(force=True)
        truth = None if group.truth is None else group.truth.numpy(force=True)
        if truth is not None:
            known = np.True_ if group.labelled is None else group.labelled.numpy(force=True)
            for counts, predicted, labels in (
                (self.counts, group.predicted, truth),
                (self.inverse, group.predicted, ~truth),
                (self.reversed, group.mirror_predicted, truth),
                (self.averaged, group.average_predicted, truth),
            ):
                counts += map(Counts.of, predicted & known, labels & known)
        there = np.isfinite(group.columns["/".join((*self.headline, "slice_share[+0]"))])
        if there.any():
            self._maps.append((int(there.sum()), np.abs(maps[there]).sum(0, dtype=np.float64)))
        for index in range(len(maps)):
            if group.part.start + index in self._shown:
                section = self.sections[group.part.start + index]
                self.examples.append(example_of(group, index, section, self.headline))

    def joined(self) -> dict[str, np.ndarray]:
        """Return each score of the sections that were added so far, (n,), in their order."""
        return {name: np.concatenate(parts) for name, parts in self.columns.items()}

    @property
    def predicted(self) -> float:
        """The predicted foreground's part of all pixels."""
        return self.foreground / self.pixels

    def pictures(self) -> Pictures:
        """The examples, and the mean map over all sections that have one; else one of zeros."""
        mean = np.zeros_like(self.examples[0].attribution)
        if self._maps:
            mean += sum(total for _, total in self._maps) / sum(count for count, _ in self._maps)
        return Pictures(self.examples, mean)
