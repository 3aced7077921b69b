"""What is looked at: a network, the sections that it is shown, and the pixels that are explained.

An audit and a sanity check have it in common.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import get_args

from emsym.auditing import volume as volumes
from emsym.auditing.network import (
    FromProbabilities,
    Loaded,
    NetworkSource,
    ask,
    at_rest,
    load_network,
    slices_of,
)
from emsym.errors import UserError
from emsym.models.stem.stem import check_slices
from emsym.protocol import Target
from emsym.scores.dense_logits import DenseLogits

NOT_FINITE = (
    "The network's output is NaN or infinite on this volume: check its weights, and whether --mean "
    "and --sd are those of its training."
)


@dataclass(frozen=True)
class Subject:
    """A network that runs on the sections that were chosen."""

    loaded: Loaded
    dense: DenseLogits
    """It, with the class that is looked at, as logits."""
    classes: int
    """How many it gives."""
    chosen: volumes.Chosen
    targets: list[Target]
    """What is explained: the headline's target, and the others that are measured."""


@contextmanager
def prepare(
    model: NetworkSource,
    volume: volumes.VolumeSource,
    labels: volumes.VolumeSource | None,
    *,
    sections: int,
    size: int,
    threshold: float,
    architecture: str | None = None,
    slices: int | None = None,
    channel: int | None = None,
    probabilities: bool | None = None,
    target: Target | None = None,
    mean: float | None = None,
    sd: float | None = None,
) -> Iterator[Subject]:
    """Load and check what `emsym.audit` describes; the network is in eval mode meanwhile.

    Raises `UserError` for whatever of these is wrong, in one sentence.
    """
    if not 0 < threshold < 1:
        raise UserError("The threshold is a probability between 0 and 1.")
    if target is not None and target not in get_args(Target):
        raise UserError(
            f"There is no target '{target}': take one of {', '.join(get_args(Target))}."
        )
    loaded = load_network(model, architecture)
    with at_rest(loaded.model):
        reads = slices_of(loaded) if slices is None else slices
        check_slices(reads)
        if loaded.slices not in (None, reads):
            raise UserError(f"The network reads {loaded.slices} slices, not {reads}.")
        height, width = (fixed or size for fixed in loaded.size)
        chosen = volumes.choose_sections(volume, labels, reads, sections, (height, width), mean, sd)
        targets = _targets(target, chosen.data.labels)
        dense, classes = _dense(loaded, chosen, channel, probabilities)
        yield Subject(loaded, dense, classes, chosen.marking(classes, dense.channel), targets)


def _targets(target: Target | None, labels: bool) -> list[Target]:
    """The headline's target, and the others that are measured."""
    if target == "true-foreground" and not labels:
        raise UserError("The target true-foreground needs labels: give them with --labels.")
    given: list[Target] = ["true-foreground", "foreground"] if labels else ["foreground"]
    return list(dict.fromkeys([target, *(given if labels else [])])) if target else given


def _dense(
    loaded: Loaded, chosen: volumes.Chosen, channel: int | None, probabilities: bool | None
) -> tuple[DenseLogits, int]:
    """The network with the class that is looked at, and how many classes it gives."""
    dense = DenseLogits(loaded.model)
    given = ask(dense, chosen[:1][0].to(dense.device), probabilities)
    classes = given.shape[1]
    if channel is None and classes > 1:
        raise UserError(
            f"The network gives {classes} classes: say with --channel which one to look at, "
            "counted from 0."
        )
    if channel is not None and not 0 <= channel < classes:
        raise UserError(
            f"There is no class {channel}: the network gives {classes} of them, counted from 0."
        )
    model = loaded.model
    if probabilities:
        if float(given.min()) < 0 or float(given.max()) > 1:
            raise UserError("The network gives no probabilities: its output is not in 0 to 1.")
        model = FromProbabilities(model)
    return DenseLogits(model, channel or 0), classes
