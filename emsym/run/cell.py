"""One cell, from beginning to end: data → model → training → scores → record."""

import math
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, lru_cache
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emsym.cuda_graph import NotCaptured
from emsym.data.cards import Card
from emsym.data.fetching.availability import locate_data
from emsym.data.fetching.data_digest import data_digest
from emsym.data.fetching.fetch import fetch
from emsym.data.stacks import Split, read_splits
from emsym.data.volume import check_volume, open_volume
from emsym.environment import environment, peak_memory_mb
from emsym.errors import UserError
from emsym.files import atomic_replacement
from emsym.images import middle
from emsym.models.architectures import build_model
from emsym.models.inits import parse_init
from emsym.models.interventions.mirror_tied import mirror_untie
from emsym.models.interventions.registry import INTERVENTIONS
from emsym.output_folder import OutputFolder
from emsym.protocol import Border, Recipe
from emsym.run.cost import StepClock, cost
from emsym.run.example import save_example
from emsym.run.fit import fit
from emsym.run.job import Job
from emsym.run.scoring import ScoresOverTraining, score_model, summarise
from emsym.run.store.record import Record, record_of
from emsym.run.timing import timed
from emsym.run.training_log import TrainingLog
from emsym.run.workers.notes import note
from emsym.scores import segmentation
from emsym.scores.dense_logits import DenseLogits
from emsym.train import LossCurve


@lru_cache(maxsize=4)
def load_splits(
    card: Card,
    slices: int,
    patch: int,
    border: Border,
    sections: int | None = None,
    size: int | None = None,
) -> tuple[Split, Split, np.ndarray]:
    """The training and the test split, and the true instances (N, H, W) of the test stacks.

    Of the test split so many `sections` at most are kept, evenly spaced, and of each the middle
    `size` × `size` pixels at most, where it is said.
    A worker runs many cells of one data set, so the last ones are kept.
    """
    volume = open_volume(card)
    check_volume(card, volume, slices, patch)
    train_split, test_split, test = read_splits(card, volume, slices, border)
    test_split = replace(test_split.middle(size), most=sections)
    centres = test_split.centres
    stacked = slice(centres.start, centres.stop) if isinstance(centres, range) else [*centres]
    foreground, rule = middle(test.foreground[stacked], size), card.task.instances
    if test.instances is None:
        instances = segmentation.components(foreground, rule)
    else:
        instances = middle(test.instances[stacked], size).copy()
        instances[foreground if rule == "between" else ~foreground] = 0
    if test_split.known is not None:
        instances[~test_split.known[stacked].numpy()] = 0
    return train_split, test_split, instances


def run_cell(
    job: Job,
    output: OutputFolder | None = None,
    keep_network: bool = False,
    training_log: bool = False,
    device: str = "cpu",
) -> Record:
    """Train and score one cell. Whatever goes wrong in it is a failed record with its reason.

    Where there is an `output`, what the network makes of one test section is kept in it and, where
    `keep_network` and `training_log` say so, the trained network, and the loss and learning rate of
    each step.
    """
    seconds: dict[str, float] = {}
    before = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    torch.set_num_threads(job.protocol.recipe.threads)
    # A GPU has no deterministic form of some operations: the record names those that were used.
    torch.use_deterministic_algorithms(True, warn_only=device != "cpu")
    chance: set[str] = set()
    uncaptured: set[str] = set()
    try:
        with _noting(chance, uncaptured):
            results = _measure(
                job, output, keep_network, training_log, torch.device(device), seconds
            )
    except KeyboardInterrupt:
        raise
    except (Exception, SystemExit) as error:  # the next cell must go on
        kind = "" if isinstance(error, UserError) else type(error).__name__
        what = ": ".join(part for part in (kind, str(error)) if part)
        results = {"status": "failed", "error": what}
    finally:
        torch.set_num_threads(before[0])
        torch.set_deterministic_debug_mode(before[1])
    return record_of(
        job,
        **results,
        seconds=seconds,
        peak_memory_mb=peak_memory_mb(),
        environment={
            **environment(),
            "device": _name(torch.device(device)),
            "threads": job.protocol.recipe.threads,
            "nondeterministic": ", ".join(sorted(chance)) or None,
            "uncaptured": "; ".join(sorted(uncaptured)) or None,
        },
    )


class _DownloadNotes:
    """A listener that makes a worker's notes of how a download goes."""

    def bytes(self, name: str, done: int, total: int | None) -> None:
        note("fetching", f"{name}, {done / 1e6:.0f} MB")

    def say(self, text: str) -> None:
        note("fetching", text)


@cache  # looking may mean to read all of it
def _require_data(card: Card, planned: str, offline: bool) -> None:
    """Fetch what this machine lacks. Raises `UserError` where it has other data than `planned`."""
    if locate_data(card) is None:
        fetch(card, _DownloadNotes(), offline=offline)
    if (digest := data_digest(card)) != planned:
        raise UserError(
            f"The data set '{card.name}' is another on this machine ({digest[:8]}) than where the "
            f"run was planned ({planned[:8]}): fetch it from the same source on both."
        )


def _progress(steps: int, clock: StepClock, log: TrainingLog) -> Callable[[LossCurve, float], None]:
    """Return a function that notes how far a training is, to be called after each step."""
    taken = count(1)

    def after_step(curve: LossCurve, rate: float) -> None:
        log.add(curve, rate, clock())
        known = "" if math.isnan(curve.last) else f", loss {curve.last:.2f}"
        note("step", f"{next(taken)} of {steps}{known}")

    return after_step


def _patch(test: Split, recipe: Recipe) -> Tensor:
    """Return a part of the first test stack, (1, S, H, W), of the size that was trained on."""
    return test.stacks_at([0])[0][:, :, : recipe.patch, : recipe.patch]


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return device.type


@contextmanager
def _noting(chance: set[str], uncaptured: set[str]) -> Iterator[None]:
    """Note operations that have no deterministic form, and why a CUDA graph could not be made."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for each in caught:
        if match := re.search(r"(\S+) does not have a deterministic impl", str(each.message)):
            chance.add(match[1])
        elif issubclass(each.category, NotCaptured):
            uncaptured.add(str(each.message))


def _measure(
    job: Job,
    output: OutputFolder | None,
    keep_network: bool,
    training_log: bool,
    device: torch.device,
    seconds: dict[str, float],
) -> dict[str, Any]:
    protocol, cell = job.protocol, job.cell
    recipe = protocol.recipe
    with timed(seconds, "data"):
        _require_data(job.card, job.data_digest, job.offline)
        train_split, test_split, instances = load_splits(
            job.card.of_seed(cell.seed),
            protocol.slices,
            recipe.patch,
            protocol.border,
            protocol.scoring.sections,
            protocol.scoring.size,
        )
    voxel = job.card.known_voxel_size
    with timed(seconds, "model"):
        built = build_model(
            *(cell.architecture, cell.init, protocol.slices, job.weights, cell.seed, job.offline),
            spacing_nm=voxel[0] if voxel else None,
        )
    model, train_split = built.model.to(device), train_split.to(device)
    changes = [INTERVENTIONS.get(name) for name in parse_init(cell.init).interventions]
    answering = model
    for change in changes:
        if change.acts_on == "answer":
            answering = change.apply(answering).eval()
    watch = ScoresOverTraining(DenseLogits(answering), test_split, protocol)
    clock = StepClock(device)
    with timed(seconds, "train"):
        networks = 1 + any(change.taught for change in changes)  # a teacher is trained, too
        log = TrainingLog()
        progress = _progress(networks * recipe.steps, clock, log)
        try:
            curve = fit(model, job, train_split, changes, progress, watch, watch.steps)
        finally:  # of one that fails, too
            if output is not None and training_log:
                log.write(job, output)
    dense = DenseLogits(answering)
    columns = score_model(dense, test_split, instances, job.card, protocol, seconds)
    if output is not None:
        save_example(
            output.example(job.key), dense, test_split, protocol.scoring, job.card.may_be_shown
        )
    if output is not None and keep_network:
        mirror_untie(model)  # plain weights, that fit any network of this architecture
        with atomic_replacement(output.network(job.key)) as partial:
            torch.save({name: each.cpu() for name, each in model.state_dict().items()}, partial)
    scores, missing = summarise(columns.images)
    return {
        "status": "done",
        "loaded": built.weights,
        "scores": {**scores, **columns.pooled},
        "missing": missing,
        "images": {"section": test_split.sections, **columns.images, **columns.counts},
        "curve": curve,
        "cost": cost(
            answering, model, _patch(test_split, recipe).to(device), clock.per_step_ms(recipe.steps)
        ),
        "over_training": watch.found if watch.steps else None,
    }
