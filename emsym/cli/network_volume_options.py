"""NETWORK, VOLUME and how they are read: the arguments and options of `audit` and `sanity`."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field
from types import UnionType
from typing import TYPE_CHECKING, Any, ForwardRef, Literal, TypeVar, Union, get_args, get_origin

import click
import cloup

from emsym.auditing.inputs import NetworkOnVolume, described_fields

if TYPE_CHECKING:
    from emsym.run.display import RunDisplay

Command = TypeVar("Command", bound=Callable[..., Any])

_FLAGS = {
    "probabilities": "--probabilities/--logits",
    "factory": "--model",
}
"""Options that are not called as their fields are."""
_TYPES = {"channel": click.IntRange(0), "size": click.IntRange(32)}
"""The types of options that not every value of a field's type is right for."""

_LOOKED_AT = "What is looked at"
_GROUPS = {
    "Which network": (
        *("architecture", "factory", "weights_key", "slices", "descending", "flip_average"),
        *("output_key", "upsample", "activation", "channel", "probabilities"),
    ),
    "Which volume": ("labels", "axes", "ignore", "mean", "sd", "voxel_size"),
    _LOOKED_AT: (),
}
"""The headings of a command's help and the fields below them, the last those of no other."""


def network_volume_options(inputs: type[NetworkOnVolume]) -> Callable[[Command], Command]:
    """Decorate a command with an option for each described field; `inputs` has their defaults."""
    headings = {name: heading for heading, names in _GROUPS.items() for name in names}
    options = defaultdict(list)
    for field, kind, text in described_fields(inputs):
        if field.default is not MISSING:
            heading = headings.get(field.name, _LOOKED_AT)
            options[heading].append(_option(field, kind, text))
    parameters = [click.argument("network"), click.argument("volume")]
    parameters += [cloup.option_group(heading, *options[heading]) for heading in _GROUPS]

    def decorate(command: Command) -> Command:
        for parameter in reversed(parameters):
            command = parameter(command)
        return command

    return decorate


def _option(field: Field[Any], kind: Any, text: str) -> Callable[[Command], Command]:
    """Return the option of a field by its type; that of a network or volume is its path."""
    if get_origin(kind) in (Union, UnionType):
        kind = get_args(kind)[0]  # beside None
    several = get_origin(kind) is Sequence
    if get_origin(kind) is tuple:
        kind = get_args(kind)  # as many values follow the option
    if get_origin(kind) is Literal:
        kind = click.Choice(get_args(kind))
    elif several or isinstance(kind, ForwardRef):
        kind = str
    return click.option(
        _FLAGS.get(field.name, f"--{field.name.replace('_', '-')}"),
        field.name,
        type=_TYPES.get(field.name, kind),
        is_flag=kind is bool,
        default=field.default,
        multiple=several,
        show_default=field.default is not None and not several,
        help=text,
    )


def following(watch: "RunDisplay") -> Callable[[str, int, int], None]:
    """Return a function that shows how much of a phase is done; each phase begins with 0."""
    so_far = 0

    def progress(phase: str, done: int, total: int) -> None:
        nonlocal so_far
        if done == 0:
            watch.phase(phase, [1.0] * total)
        for number in range(so_far, done):
            watch.advance(f"{number + 1}", 1.0)
        so_far = done

    return progress
