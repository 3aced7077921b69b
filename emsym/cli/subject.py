"""NETWORK, VOLUME and how they are read, which `audit` and `sanity` take."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from emsym.run.progress import Bar

Command = TypeVar("Command", bound=Callable[..., Any])


def subject(sections: int, size: int) -> Callable[[Command], Command]:
    """Decorate a command with them; `sections` and `size` are its defaults."""
    parameters = [
        click.argument("network"),
        click.argument("volume"),
        click.option(
            "--architecture", help="Of a state dict, such as unet-resnet34, or a plug-in's."
        ),
        click.option("--labels", help="Images as VOLUME may be; what is not 0 is foreground."),
        click.option("--slices", type=int, help="How many the network reads; found by default."),
        click.option("--channel", type=click.IntRange(0), help="Which of several classes, from 0."),
        click.option(
            "--probabilities/--logits",
            default=None,
            help="What the network gives, where that is not plain.",
        ),
        click.option(
            "--target",
            type=click.Choice(["foreground", "true-foreground", "background", "all"]),
            help="The pixels that are explained; by default the labelled foreground, or the "
            "predicted.",
        ),
        click.option(
            "--sections", default=sections, show_default=True, help="At most, evenly spaced."
        ),
        click.option(
            "--size",
            default=size,
            show_default=True,
            help="Of the middle of a section, in pixels, at most.",
        ),
        click.option("--mean", type=float, help="That training normalised grey levels with."),
        click.option("--sd", type=float, help="That training normalised grey levels with."),
        click.option("--threshold", default=0.5, show_default=True, help="Of the probability."),
    ]

    def decorate(command: Command) -> Command:
        for parameter in reversed(parameters):
            command = parameter(command)
        return command

    return decorate


def following(bar: "Bar") -> Callable[[str, int, int], None]:
    """What tells a bar how much of a phase is done; each phase begins with 0."""
    so_far = 0

    def progress(phase: str, done: int, total: int) -> None:
        nonlocal so_far
        if done == 0:
            bar.phase(phase, total)
        for number in range(so_far, done):
            bar.advance(f"{number + 1}")
        so_far = done

    return progress
