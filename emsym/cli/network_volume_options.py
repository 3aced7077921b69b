"""NETWORK, VOLUME and how they are read, which `audit` and `sanity` take."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from emsym.run.display import RunDisplay

Command = TypeVar("Command", bound=Callable[..., Any])


def subject(sections: int, size: int) -> Callable[[Command], Command]:
    """Decorate a command with them; `sections` and `size` are its defaults."""
    parameters = [
        click.argument("network"),
        click.argument("volume"),
        click.option(
            "--architecture",
            help="Which network a state dict belongs to: unet-resnet34, say, or a plug-in's.",
        ),
        click.option("--labels", help="Images as VOLUME may be, not 0 where there is foreground."),
        click.option("--slices", type=int, help="How many slices it reads; found by default."),
        click.option(
            "--channel", type=click.IntRange(0), help="Which of several classes, counted from 0."
        ),
        click.option(
            "--probabilities/--logits",
            default=None,
            help="What the network gives, where that cannot be told.",
        ),
        click.option(
            "--target",
            type=click.Choice(["foreground", "true-foreground", "background", "all"]),
            help="The pixels that are explained: the predicted foreground, the labelled one "
            "(true-foreground), … By default the labelled one where there are labels.",
        ),
        click.option(
            "--sections",
            default=sections,
            show_default=True,
            help="How many sections are looked at, at most; evenly spaced.",
        ),
        click.option(
            "--size",
            default=size,
            type=click.IntRange(32),
            show_default=True,
            help="How many pixels square of the middle of each, at most.",
        ),
        click.option(
            "--mean",
            type=float,
            help="Mean grey level of the training data, in the units of VOLUME; goes with --sd. By "
            "default that of a data set's training split, else of the sections looked at.",
        ),
        click.option("--sd", type=float, help="Standard deviation of the training data."),
        click.option(
            "--threshold",
            default=0.5,
            show_default=True,
            help="Of the probability, above which a pixel is predicted to be foreground.",
        ),
    ]

    def decorate(command: Command) -> Command:
        for parameter in reversed(parameters):
            command = parameter(command)
        return command

    return decorate


def following(watch: "RunDisplay") -> Callable[[str, int, int], None]:
    """What tells who watches how much of a phase is done; each phase begins with 0."""
    so_far = 0

    def progress(phase: str, done: int, total: int) -> None:
        nonlocal so_far
        if done == 0:
            watch.phase(phase, [1.0] * total)
        for number in range(so_far, done):
            watch.advance(f"{number + 1}", 1.0)
        so_far = done

    return progress
