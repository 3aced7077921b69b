"""One cell, walked through the house: data → model → training → scores → record."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from emsym.data.cards import Card
from emsym.data.stacks import Split, splits
from emsym.data.volume import check, open_volume
from emsym.errors import UserError
from emsym.models.architectures import build
from emsym.models.inits import ZFLIP, parse_init
from emsym.models.interventions import zflip
from emsym.protocol import Border, Protocol
from emsym.run.environment import environment, peak_memory_mb
from emsym.run.plan import Job
from emsym.run.record import Column, Record
from emsym.run.timing import timed
from emsym.scores import segmentation
from emsym.scores.attribution import saliency, target_mask
from emsym.scores.faithfulness import faithfulness_estimate
from emsym.scores.logits import DenseLogits, probabilities
from emsym.scores.symmetry import flip_error, mirror, symmetry
from emsym.train import Batch, train


@lru_cache(maxsize=4)
def load_splits(
    card: Card, slices: int, patch: int, border: Border
) -> tuple[Split, Split, np.ndarray]:
    """The training and the test split, and the true instances (N, H, W) of the test stacks.

    A worker runs many cells of one data set, so the last ones are kept.
    """
    volume = open_volume(card)
    check(card, volume, slices, patch)
    train_split, test_split, test = splits(card, volume, slices, border)
    stacked = slice(test_split.centres.start, test_split.centres.stop)
    foreground, rule = test.foreground[stacked], card.task.instances
    if test.instances is None:
        return train_split, test_split, segmentation.components(foreground, rule)
    instances = test.instances[stacked].copy()
    instances[foreground if rule == "between" else ~foreground] = 0
    return train_split, test_split, instances


def run_cell(job: Job) -> Record:
    """Train and score one cell. Whatever goes wrong in it is a failed record with its reason."""
    seconds: dict[str, float] = {}
    try:
        results = _measure(job, seconds)
    except (KeyboardInterrupt, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # the next cell must go on
        what = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        results = {"status": "failed", "error": what}
    return job.record(
        **results,
        seconds=seconds,
        peak_memory_mb=peak_memory_mb(),
        environment={**environment(), "threads": job.protocol.recipe.threads},
    )


def _measure(job: Job, seconds: dict[str, float]) -> dict[str, Any]:
    protocol, cell = job.protocol, job.cell
    recipe = protocol.recipe
    torch.set_num_threads(recipe.threads)
    torch.use_deterministic_algorithms(True)
    with timed(seconds, "data"):
        train_split, test_split, instances = load_splits(
            job.card, protocol.slices, recipe.patch, protocol.border
        )
    with timed(seconds, "model"):
        built = build(cell.architecture, cell.init, protocol.slices, job.weights, cell.seed)
    model = built.model
    with timed(seconds, "train"):
        # strategies that share a seed see the same batches, so that they compare in pairs
        generator = torch.Generator().manual_seed(cell.seed)
        reversals = torch.Generator().manual_seed(2**31 + cell.seed)  # not the batches' numbers
        torch.manual_seed(cell.seed)  # what dropout draws from
        zflips = ZFLIP in parse_init(cell.init).interventions

        def batch() -> Batch:
            images, labels = train_split.sample(
                recipe.batch_size, recipe.patch, recipe.augment, generator
            )
            return zflip(images, reversals) if zflips else images, labels

        curve = train(model, batch, recipe)
    columns = score_model(DenseLogits(model), test_split, instances, job.card, protocol, seconds)
    scores, missing = summarise(columns.images)
    return {
        "status": "done",
        "loaded": built.weights,
        "scores": {**scores, **columns.pooled},
        "missing": missing,
        "images": {"section": test_split.sections, **columns.images},
        "curve": curve,
    }


class Scores:
    """Scores of all test images: a column each, and those that are pooled over images."""

    def __init__(self) -> None:
        """Empty."""
        self.images: dict[str, Column] = {}
        self.pooled: dict[str, float | None] = {}

    def add(self, name: str, values: np.ndarray) -> None:
        """A column of floats in which NaN stands for a missing value."""
        self.images[name] = [None if math.isnan(value) else float(value) for value in values]


def score_model(
    dense: DenseLogits,
    test: Split,
    instances: np.ndarray,
    card: Card,
    protocol: Protocol,
    seconds: dict[str, float],
) -> Scores:
    """Everything that is scored of one network on the test split.

    `instances` are the true ones, (N, H, W) for the N test stacks. Wall times are added to
    `seconds`. Raises `ArithmeticError` where the network's output is not finite.
    """
    scores, scoring = Scores(), protocol.scoring
    stacks, labels = test.stacks()
    truth = labels.numpy().astype(bool)
    with timed(seconds, "segmentation"):
        probability = probabilities(dense, stacks)
        if not probability.isfinite().all():
            raise ArithmeticError("the network's output is not finite")
        for threshold in scoring.thresholds:
            predicted = probability.numpy() > threshold
            counts = [
                segmentation.Counts.of(ours, theirs)
                for ours, theirs in zip(predicted, truth, strict=True)
            ]
            whole = segmentation.pooled(counts)
            for name, value in (("dice", whole.dice), ("iou", whole.iou)):
                scores.images[f"{name}@{threshold}"] = [getattr(c, name) for c in counts]
                scores.pooled[f"{name}@{threshold}"] = value
        predicted = probability.numpy() > scoring.thresholds[0]
    with timed(seconds, "arand"):
        rule = card.task.instances
        flat = np.stack([segmentation.components(section, rule) for section in predicted])
        scores.images["arand_2d"] = segmentation.arand_2d(flat, instances)
        scores.pooled["arand_3d"] = segmentation.arand_3d(
            segmentation.components(predicted, rule), instances
        )
    with timed(seconds, "symmetry"):
        mirrored = mirror(stacks)
        scores.add(
            "flip_error",
            flip_error(probability.numpy(), probabilities(dense, mirrored).numpy()),
        )
        masks, attributions = {}, {}
        for target in dict.fromkeys((*scoring.targets, scoring.faithfulness.target)):
            mask = target_mask(target, torch.from_numpy(predicted), torch.from_numpy(truth))
            masks[target] = mask
            attributions[target] = saliency(dense, stacks, mask)
        for target in scoring.targets:
            back = saliency(dense, mirrored, masks[target])
            found = symmetry(attributions[target].numpy(), back.numpy())
            for index, column in enumerate(found.share.T):
                offset = index - protocol.slices // 2
                scores.add(f"{target}/slice_share[{offset:+d}]", column)
            for name in ("imbalance", "neighbour_asymmetry", "model_asymmetry", "data_asymmetry"):
                scores.add(f"{target}/{name}", getattr(found, name))
            scores.images[f"{target}/pixels"] = masks[target].sum((1, 2)).tolist()
    with timed(seconds, "faithfulness"):
        chosen = scoring.faithfulness
        few = np.unique(np.linspace(0, len(stacks) - 1, chosen.sections).round().astype(int))
        values = np.full(len(stacks), np.nan)
        values[few] = faithfulness_estimate(
            dense,
            stacks[few],
            masks[chosen.target][few],
            attributions[chosen.target][few],
            chosen.steps,
        )
        scores.add(f"{chosen.target}/faithfulness_estimate", values)
    return scores


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
