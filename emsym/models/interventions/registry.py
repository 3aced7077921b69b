"""The registry of interventions: what may follow a strategy's name after a ``+``.

There are three kinds. At **initialisation** an intervention changes the network: before its stem
is filled (`network`) or after (`stem`). In **training** it changes which stacks are shown
(`stacks`) or adds to the loss (`loss`). At **inference** it changes how the trained network
answers (`answer`). Importing this module imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from emsym.errors import UserError, error_with_place
from emsym.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

ActsOn = Literal["network", "stem", "stacks", "loss", "answer"]
"""In the order in which interventions act, and in which a name lists them."""

WHEN: dict[ActsOn, str] = {
    "network": "initialisation",
    "stem": "initialisation",
    "stacks": "training",
    "loss": "training",
    "answer": "inference",
}


@dataclass(frozen=True)
class TrainingBatch:
    """A step of training, as an intervention on the loss sees it."""

    model: nn.Module
    stacks: Tensor
    """(N, S, H, W), normalised, as the network was shown them."""
    logits: Tensor
    """(N, 1, H, W): its answer."""
    labels: Tensor
    """(N, 1, H, W): 1 for foreground, 0 for background, −1 for pixels without a label."""
    teacher: nn.Module | None = None
    """The trained network of the plain baseline, where the intervention asked for one."""


@dataclass(frozen=True)
class Intervention:
    """A function and what it acts on.

    ``network``: network → network, whose stem is filled afterwards.
    ``stem``: (network, its filled stem) → None, in place; the stem is an
    `emsym.models.stem.stem.Stem`, and `stem_tensors(network, stem)` gives its weights.
    ``stacks``: (stacks (N, S, H, W), CPU generator) → stacks.
    ``loss``: `TrainingBatch` → a number that is added to the loss.
    ``answer``: trained network → network.
    """

    acts_on: ActsOn
    function: Callable[..., Any]
    taught: bool = False
    """Whether it needs a teacher."""
    name: str = ""

    def apply(self, *arguments: Any) -> Any:
        """Call the function; raise `UserError`, by the name, where that of a plug-in fails.

        And where it gives something else than its kind must: a network, or stacks of one shape.
        """
        if self.function.__module__.partition(".")[0] == __name__.partition(".")[0]:
            return self.function(*arguments)
        try:
            made = self.function(*arguments)
        except UserError:
            raise
        except (Exception, SystemExit) as error:  # whatever a stranger's function raises
            raise UserError(
                f"The intervention '{self.name}' fails: {error_with_place(error)}."
            ) from error
        if fault := self._fault(made, *arguments):
            raise UserError(f"The intervention '{self.name}' gives {fault}.")
        return made

    def _fault(self, made: Any, *arguments: Any) -> str:
        """Say what a function gives instead of what its kind must, or nothing."""
        from torch import Tensor, nn

        kind = type(made).__name__
        if self.acts_on in ("network", "answer") and not isinstance(made, nn.Module):
            return f"a {kind} instead of a network"
        if self.acts_on == "stacks" and (
            not isinstance(made, Tensor) or made.shape != arguments[0].shape
        ):
            given = tuple(made.shape) if isinstance(made, Tensor) else f"a {kind}"
            return f"{given} instead of stacks of the shape {tuple(arguments[0].shape)}"
        if self.acts_on == "loss" and (not isinstance(made, Tensor) or made.numel() != 1):
            return f"a {kind} instead of one number, a tensor of shape ()"
        return ""

    @property
    def when(self) -> str:
        """The kind: ``initialisation``, ``training`` or ``inference``."""
        return WHEN[self.acts_on]


def _weighted_average(name: str) -> Intervention | None:
    """Return ``flip-average-0.25``, say, which gives the reversed stack a quarter of the weight."""
    if not name.startswith("flip-average-"):
        return None
    match = re.fullmatch(r"flip-average-(0\.\d*[1-9])", name)
    if match is None or match[1] == "0.5":
        raise UserError(
            f"There is no intervention '{name}': the weight of the reversed stack is a number "
            "between 0 and 1, as in 'flip-average-0.25', and one half is 'flip-average'."
        )

    def average(model: nn.Module) -> nn.Module:
        from emsym.models.interventions.flip_average import MirrorAverage

        return MirrorAverage(model, float(match[1]))

    return Intervention("answer", average, name=name)


INTERVENTIONS: Registry[Intervention] = Registry(
    "intervention", group="emsym.interventions", resolve=_weighted_average
)


def register_intervention(
    name: str,
    *,
    acts_on: ActsOn | None = None,
    taught: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a function to register it as an intervention.

    `acts_on` says when it is called, with what, and what it returns:

    - ``network``: a network that reads (N, 3, H, W) → a network, whose stem is filled afterwards.
    - ``stem``: (the network, its filled stem) → None, in place;
      `emsym.models.stem.stem.stem_tensors(network, stem)` gives the weights by their names.
    - ``stacks``: (training stacks (N, S, H, W), a generator of the CPU) → stacks of that shape.
    - ``loss``: a `TrainingBatch` → one number, a tensor of shape (), that is added to the loss.
    - ``answer``: the trained network → the network that is used.

    `taught` has the plain baseline of the same cell trained first, as a teacher. Raises `UserError`
    when the name is taken, or `acts_on` is none of its words.
    """
    if not isinstance(name, str):
        raise UserError(
            'An intervention is registered by its name: @register_intervention("my-name", '
            'acts_on="stacks").'
        )
    if acts_on is None or acts_on not in list(WHEN):
        raise UserError(
            f"The intervention '{name}' acts on one of {', '.join(get_args(ActsOn))}, not on "
            f"{acts_on!r}."
        )

    kind = acts_on

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        if not callable(function):
            raise UserError(f"The intervention '{name}' is no function: {function!r}.")
        summary = (function.__doc__ or "").strip().split("\n")[0]
        intervention = Intervention(kind, function, taught, name)
        INTERVENTIONS.add(name, intervention, summary=summary, depth=2)
        return function

    return register


def list_interventions(pattern: str = "*") -> list[str]:
    """Return the names of the interventions that match a shell pattern.

    >>> list_interventions("flip-*")
    ['flip-average', 'flip-loss']
    """
    return INTERVENTIONS.names(pattern)


def order_of_action(names: list[str]) -> list[str]:
    """Return names of interventions in the order in which they act; emsym's before plug-ins'."""
    kinds = list(WHEN)
    own = INTERVENTIONS.own_names()

    def place(name: str) -> tuple[int, int, str]:
        kind = kinds.index(INTERVENTIONS.get(name).acts_on)
        return kind, own.index(name) if name in own else len(own), name

    return sorted(names, key=place)


def check_together(init: str, names: list[str]) -> None:
    """Raise `UserError` where interventions of one name undo or repeat each other."""
    averages = [name for name in names if name.startswith("flip-average")]
    if len(averages) > 1:
        raise UserError(
            f"The init '{init}' averages twice, {' and '.join(map(repr, averages))}: leave one out."
        )
    if {"zflip-augment", "side-shuffle"} <= set(names):
        # a shuffle of both sides is as random after a reversal as without one
        raise UserError(
            f"The init '{init}' shows the same stacks as 'side-shuffle' does alone, which reverses "
            "them at random, too: leave 'zflip-augment' out."
        )
    on_stem = [name for name in names if INTERVENTIONS.get(name).acts_on == "stem"]
    if len(on_stem) > 1:
        raise UserError(
            f"The init '{init}' contradicts itself: {' and '.join(map(repr, on_stem))} each make "
            "another thing of the stem; leave all but one of them out."
        )
