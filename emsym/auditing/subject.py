"""The subject of an audit or a sanity check: a network that runs on the sections it is shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import get_args

from emsym.auditing.inputs import NetworkOnVolume
from emsym.auditing.network import (
    FromProbabilities,
    Loaded,
    ask,
    at_rest,
    load_network,
    slices_of,
)
from emsym.auditing.volume import Chosen, choose_sections
from emsym.errors import UserError
from emsym.models.stem.stem import check_slices
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.targets import Target

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
    chosen: Chosen
    targets: list[Target]
    """What is explained: the headline's target, and the others that are measured."""


@contextmanager
def prepare(inputs: NetworkOnVolume) -> Iterator[Subject]:
    """Load the network, read the sections and check both; the network is in eval mode meanwhile.

    Raises `UserError` for whatever of the inputs is wrong, in one sentence.
    """
    target = inputs.target
    if not 0 < inputs.threshold < 1:
        raise UserError("The threshold is a probability between 0 and 1.")
    if target is not None and target not in get_args(Target):
        raise UserError(
            f"There is no target '{target}': take one of {', '.join(get_args(Target))}."
        )
    loaded = load_network(inputs)
    with at_rest(loaded.model):
        reads = slices_of(loaded) if inputs.slices is None else inputs.slices
        check_slices(reads)
        if loaded.slices not in (None, reads):
            raise UserError(f"The network reads {loaded.slices} slices, not {reads}.")
        height, width = (fixed or inputs.size for fixed in loaded.size)
        chosen = choose_sections(inputs, reads, (height, width))
        targets = _targets(target, chosen.data.labels)
        dense, classes = _dense(loaded, chosen, inputs)
        yield Subject(loaded, dense, classes, chosen.marking(classes, dense.channel), targets)


def _targets(target: Target | None, labels: bool) -> list[Target]:
    """Return the headline's target, and the others that are measured."""
    if target == "true-foreground" and not labels:
        raise UserError("The target true-foreground needs labels: give them with --labels.")
    measured: list[Target] = ["true-foreground", "foreground"] if labels else ["foreground"]
    return list(dict.fromkeys([target, *(measured if labels else [])])) if target else measured


def _dense(loaded: Loaded, chosen: Chosen, inputs: NetworkOnVolume) -> tuple[DenseLogits, int]:
    """Return the network with the class that is looked at, and how many classes it gives."""
    dense, channel = DenseLogits(loaded.model), inputs.channel
    outputs = ask(dense, chosen[:1][0].to(dense.device), inputs.probabilities)
    classes = outputs.shape[1]
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
    if inputs.probabilities:
        if float(outputs.min()) < 0 or float(outputs.max()) > 1:
            raise UserError("The network gives no probabilities: its output is not in 0 to 1.")
        model = FromProbabilities(model)
    return DenseLogits(model, channel or 0), classes
