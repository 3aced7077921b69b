"""The subject of an audit or a sanity check: a network that runs on the sections it is shown."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import get_args

from torch import Tensor

from emsym.auditing.adapters import (
    DescendingSlices,
    FromProbabilities,
    OneChannel,
    PickedOutput,
    adds_up_to_1,
    in_unit_interval,
    look_scaled,
)
from emsym.auditing.inputs import NetworkOnVolume
from emsym.auditing.network import Loaded, load_network
from emsym.auditing.probe import at_rest, check_takes_stacks, checked_output, slices_of
from emsym.auditing.volume import Chosen, choose_sections
from emsym.errors import UserError
from emsym.models.interventions.flip_average import MirrorAverage
from emsym.models.stem.find import check_slices
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
    """The targets that are explained: the headline's target, and the others that are measured."""
    notes: list[str]
    """Assumptions, a sentence each."""

    @property
    def from_probabilities(self) -> bool:
        """Whether the logits were taken back from probabilities."""
        model = self.dense.model
        model = model.model if isinstance(model, MirrorAverage) else model
        return isinstance(model, FromProbabilities)


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
    inputs, described = _described_inputs(inputs, loaded)
    check_takes_stacks(loaded.model)
    with at_rest(loaded.model):
        reads = slices_of(loaded) if inputs.slices is None else inputs.slices
        check_slices(reads)
        if loaded.slices not in (None, reads):
            raise UserError(
                f"The network reads {loaded.slices} slice{'s' * (loaded.slices > 1)}, not {reads}: "
                "leave --slices out."
            )
        height, width = (fixed or inputs.size for fixed in loaded.size)
        chosen = choose_sections(inputs, reads, (height, width), loaded.seed)
        with _cautioned(chosen.cautions):
            targets = _targets(target, chosen.data.labels)
            dense, classes, notes = _dense(loaded, chosen, inputs)
            notes = [*described, *notes]
            chosen = chosen.marking(classes, dense.channel)
            yield Subject(loaded, dense, classes, chosen, targets, notes)


@contextmanager
def _cautioned(cautions: Sequence[str]) -> Iterator[None]:
    """Say in a `UserError`, too, what may mislead, for it may be the reason."""
    try:
        yield
    except UserError as error:
        if cautions:
            raise UserError(" ".join([str(error), *cautions])) from error
        raise


def _described_inputs(inputs: NetworkOnVolume, loaded: Loaded) -> tuple[NetworkOnVolume, list[str]]:
    """Return the inputs with what the network's package says where the user says nothing; notes.

    Raises `UserError` for what the package leaves open and the user must say.
    """
    defaults = {field.name: field.default for field in fields(inputs)}
    notes = []
    for option in loaded.options:
        if any(getattr(inputs, name) != defaults[name] for name in option.values):
            continue
        if option.required:
            raise UserError(option.sentence)
        inputs = replace(inputs, **option.values)
        notes += [option.sentence] if option.sentence else []
    return inputs, notes


def _targets(target: Target | None, labels: bool) -> list[Target]:
    """Return the headline's target, and the others that are measured."""
    if target == "true-foreground" and not labels:
        raise UserError("The target true-foreground needs labels: give them with --labels.")
    measured: list[Target] = ["true-foreground", "foreground"] if labels else ["foreground"]
    return list(dict.fromkeys([target, *(measured if labels else [])])) if target else measured


def _dense(
    loaded: Loaded, chosen: Chosen, inputs: NetworkOnVolume
) -> tuple[DenseLogits, int, list[str]]:
    """Return the network with the class that is looked at, how many it gives, and notes."""
    model, notes = loaded.model, list(loaded.notes)
    if inputs.descending:
        model = DescendingSlices(model)
        notes.append("The network was shown the slices from the last to the first.")
    picked = PickedOutput(model, inputs.output_key, inputs.upsample)
    dense = DenseLogits(picked)
    answer = checked_output(dense, chosen[:1][0].to(dense.device))
    model, classes = picked if picked.is_needed else model, answer.shape[1]
    if picked.taken:
        notes.append(f"Of the network's outputs '{picked.taken}' was looked at.")
    if picked.joined:
        notes.append(
            "The network gives masks of queries: of these a map of each class was made, as "
            "Transformers' post-processing for semantic segmentation does."
        )
    if picked.enlarged:
        notes.append(f"{picked.enlarged} were brought to the size of the section, bilinearly.")
    activation = _activation(answer, inputs)
    independent = classes > 1 and (
        activation == "sigmoid" or (activation == "none" and not adds_up_to_1(answer))
    )
    channel = _channel(inputs.channel, classes, independent)
    if channel != inputs.channel and classes > 1:
        notes.append(
            "Of the two classes number 1 was taken for the foreground; --channel 0 is the other."
        )
    if classes > 1:
        notes.append(
            f"Channel {channel} was taken for one of {classes} independent sigmoids."
            if independent
            else f"The {classes} channels were taken for classes that exclude each other."
        )
    if independent:
        model, channel = OneChannel(model, channel), 0
    if activation == "none":
        if float(answer.min()) < 0 or float(answer.max()) > 1:
            raise UserError("The network gives no probabilities: its output is not in 0 to 1.")
        model = FromProbabilities(model)
        notes.append(
            "The logits were taken back from probabilities; where these are rounded to 0 or 1, "
            "attributions are 0."
        )
    if not dense.differentiable:
        notes.append(
            "The network gives no gradients: it was explained by forward passes alone, with whole "
            "slices or patches replaced by the training mean."
        )
    if inputs.flip_average:
        model = MirrorAverage(model)
        notes.append(
            "The network that was looked at is the mean of two passes: of the logits for each "
            "stack and for the stack reversed."
        )
    dense = DenseLogits(model, channel, differentiable=dense.differentiable)
    return dense, 1 if independent else classes, notes


def _channel(channel: int | None, classes: int, independent: bool) -> int:
    """Return the channel that is looked at. Raises `UserError` where it must be told."""
    if channel is None and (classes > 2 or independent):
        raise UserError(
            f"The network gives {classes} {'channels' if independent else 'classes'}: say with "
            "--channel which one to look at, counted from 0."
        )
    if channel is not None and not 0 <= channel < classes:
        raise UserError(
            f"There is no class {channel}: the network gives {classes} of them, counted from 0."
        )
    return classes - 1 if channel is None else channel


def _activation(answer: Tensor, inputs: NetworkOnVolume) -> str | None:
    """Return what makes probabilities of the answer; None for logits of nobody said what.

    Raises `UserError` where the answer looks like something else than logits, and nobody said.
    """
    if inputs.activation is not None:
        return inputs.activation
    if inputs.probabilities is not None:
        return "none" if inputs.probabilities else None
    if look_scaled(answer):
        raise UserError(
            f"The network gives {float(answer.min()):.3g} to {float(answer.max()):.3g}, as "
            "probabilities times 255 do: let it give the logits, or say --logits if these are."
        )
    if not in_unit_interval(answer):
        return None
    if answer.shape[1] > 1 and not adds_up_to_1(answer):
        raise UserError(
            f"The network gives {answer.shape[1]} channels in 0 to 1 that do not add up to 1, as "
            "several sigmoids do: say --activation none if they are probabilities of their own, "
            "sigmoid if they are logits of such, or softmax if they are logits of classes."
        )
    raise UserError(
        "The network's output looks like probabilities, and an audit needs the logits before "
        "them: leave the last sigmoid or softmax out, or say --probabilities, or "
        "--logits if they are logits all the same."
    )
