"""The scores of a network: after its training, and while it lasts."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from emsym.data.cards import Card
from emsym.data.stacks import Split, SplitSubset, evenly_spaced
from emsym.protocol import Protocol, Scoring
from emsym.run.store.record import Column, OverTrainingResult
from emsym.run.timing import timed
from emsym.scores import segmentation
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.faithfulness.metrics import faithfulness
from emsym.scores.measure import Measurement, measure
from emsym.scores.optional.compute import Surroundings, optional_scores, scored_sections


class ScoresOverTraining:
    """Looks at a network while it is trained: is the bias still there at the end?"""

    def __init__(self, dense: DenseLogits, test: Split, protocol: Protocol) -> None:
        """Nothing is measured until it is called."""
        settings = protocol.scoring.over_training
        self.steps = settings.steps if settings else ()
        chosen = evenly_spaced(len(test), settings.sections if settings else 1)
        self.found = OverTrainingResult(sections=[test.sections[index] for index in chosen])
        self._dense, self._scoring, self._some = dense, protocol.scoring, SplitSubset(test, chosen)

    def __call__(self, step: int) -> None:
        """Measure now, after so many steps."""
        scoring, scores = self._scoring, Scores()
        threshold = scoring.thresholds[0]
        for measured in measure(
            self._dense, self._some, scoring.targets, scoring.attributions, threshold
        ):
            scores.extend(measured.columns)
        self.found.steps.append(step)
        for name, column in scores.images.items():
            self.found.images.setdefault(name, []).append(column)


class Scores:
    """Scores of all test images: a column each, those pooled over images, and of which counts."""

    def __init__(self) -> None:
        """Empty."""
        self.images: dict[str, Column] = {}
        self.counts: dict[str, Column] = {}
        self.pooled: dict[str, float | None] = {}

    def extend(self, columns: Mapping[str, np.ndarray]) -> None:
        """Go on with columns of floats in which NaN stands for a missing value."""
        for name, values in columns.items():
            known = [None if math.isnan(value) else float(value) for value in values]
            self.images.setdefault(name, []).extend(known)


def score_model(
    dense: DenseLogits,
    test: Split,
    instances: np.ndarray,
    card: Card,
    protocol: Protocol,
    seconds: dict[str, float],
) -> Scores:
    """Score one network on the test split.

    `instances` are the true ones, (N, H, W) for the N test stacks. Wall times are added to
    `seconds`. Raises `ArithmeticError` where the network's output is not finite.
    """
    scores, scoring = Scores(), protocol.scoring
    counts: dict[float, list[segmentation.Counts]] = {each: [] for each in scoring.thresholds}
    predicted: list[np.ndarray] = []
    faithful = FaithfulnessScorer(test, scoring)
    with timed(seconds, "symmetry"):
        targets = tuple(dict.fromkeys((*scoring.targets, scoring.faithfulness.target)))
        for measured in measure(dense, test, targets, scoring.attributions, scoring.thresholds[0]):
            assert measured.truth is not None
            truth = measured.truth.numpy(force=True)
            known = np.True_ if measured.labelled is None else measured.labelled.numpy(force=True)
            for threshold, several in counts.items():
                predictions = (measured.probability > threshold) & known
                pairs = zip(predictions, truth & known, strict=True)
                several += [segmentation.Counts.of(ours, theirs) for ours, theirs in pairs]
            predicted.append(measured.predicted)
            scores.extend(measured.columns)
            around = Surroundings(
                dense,
                card.known_voxel_size or (math.nan, math.nan, math.nan),
                card.task.instances,
                instances[measured.part],
                test.slice_truth(measured.part),
            )
            if scoring.scores:
                sections = scored_sections(measured, scoring.thresholds[0], around)
                scores.extend(optional_scores(sections, scoring.scores))
            faithful.keep(measured)
    for threshold, several in counts.items():
        whole = segmentation.pooled(several)
        for name, value in (("dice", whole.dice), ("iou", whole.iou)):
            scores.images[f"{name}@{threshold}"] = [getattr(c, name) for c in several]
            scores.pooled[f"{name}@{threshold}"] = value
        for name, column in zip(whole._fields, zip(*several, strict=True), strict=True):
            scores.counts[f"{name}@{threshold}"] = [float(pixels) for pixels in column]
    with timed(seconds, "arand"):
        rule, volume = card.task.instances, np.concatenate(predicted)
        flat = np.stack([segmentation.components(section, rule) for section in volume])
        scores.images["arand_2d"] = segmentation.arand_2d(flat, instances)
        scores.pooled["arand_3d"] = None
        if scoring.sections is None and scoring.arand_3d in ("all", rule):
            joined = segmentation.components(volume, rule)
            scores.pooled["arand_3d"] = segmentation.arand_3d(joined, instances)
    with timed(seconds, "faithfulness"):
        scores.extend(faithful.scores(dense))
    return scores


class FaithfulnessScorer:
    """The faithfulness of the attributions of some test sections, kept while all are looked at."""

    def __init__(self, test: Split, scoring: Scoring) -> None:
        """Nothing is kept yet."""
        self._settings, self._names, self._count = scoring.faithfulness, scoring.maps, len(test)
        self._chosen = evenly_spaced(len(test), scoring.faithfulness.sections)
        self._kept: list[tuple[Tensor, ...]] = []

    def keep(self, measured: Measurement) -> None:
        """Keep what is needed of those sections that were chosen."""
        target = self._settings.target
        for index in self._chosen:
            if measured.part.start <= index < measured.part.stop:
                one = index - measured.part.start
                maps = (measured.maps[name, target] for name in self._names)
                # copies, that do not hold what the others of the group took
                few = (each[one].clone() for each in (measured.x, measured.masks[target], *maps))
                self._kept.append(tuple(few))

    def scores(self, dense: DenseLogits) -> dict[str, np.ndarray]:
        """A column for each attribution and metric, NaN for the sections that were not chosen."""
        settings = self._settings
        x, mask, *maps = (torch.stack(each) for each in zip(*self._kept, strict=True))
        results = faithfulness(
            dense,
            x,
            mask,
            dict(zip(self._names, maps, strict=True)),
            settings.metrics,
            settings.steps,
        )
        columns = {}
        for (name, metric), values in results.items():
            column = np.full(self._count, np.nan)
            column[self._chosen] = values
            columns[f"{name}/{settings.target}/{metric}"] = column
        return columns


def summarise(images: dict[str, Column]) -> tuple[dict[str, float | None], dict[str, int]]:
    """Each column's mean over the images that have a value, and how many have none, if any.

    >>> summarise({"dice": [0.5, None, 1.0]})
    ({'dice': 0.75}, {'dice': 1})
    """
    scores: dict[str, float | None] = {}
    missing: dict[str, int] = {}
    for name, column in images.items():
        values = [value for value in column if value is not None]
        scores[name] = math.fsum(values) / len(values) if values else None
        if len(values) < len(column):
            missing[name] = len(column) - len(values)
    return scores, missing
