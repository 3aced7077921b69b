"""Repairing the stem of a network that is already built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from emsym.errors import UserError, first_names
from emsym.html_table import html_lines, html_table
from emsym.models.inits import PRESERVE, Init, parse_init
from emsym.models.interventions.registry import INTERVENTIONS
from emsym.models.interventions.shipped import FLIP_AVERAGE, MIRROR_TIED

if TYPE_CHECKING:
    from torch import Tensor, nn

    from emsym.models.stem.stem import Stem


SAME_NORM = 0.1
"""A stem whose norm changes by no more than this part of it is said to have kept it."""


@dataclass(frozen=True)
class Change:
    """One tensor of the stem, before and after.

    For a weight, the L2 norm of what each slice meets; for a constant, the slice's value, or the
    norm of its values.
    """

    name: str
    shape: tuple[int, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    weight: bool = True
    """Whether it is a weight, and no constant."""

    def __str__(self) -> str:
        size = "×".join(map(str, self.shape))
        values = f"{_numbers_text(self.before)} → {_numbers_text(self.after)}"
        return f"{first_names([self.name])} ({size}): {values}"


@dataclass(frozen=True)
class Changes:
    """The changes of `symmetrize`, made or planned, to the stem: tensor by tensor, slice by slice.

    `symmetric` says whether the stem now treats the slices on either side of the centre alike.
    `followed` says whether it was found by following a stack through the network, so that nothing
    else reads the slices; a stem that was told by its shape alone may not be all that does.
    """

    init: str
    changes: tuple[Change, ...]
    symmetric: bool
    followed: bool = True
    notes: tuple[str, ...] = ()
    """Sentences on the file that is written, where it is another kind than the one read."""

    def __str__(self) -> str:
        lines = [
            f"{self.init}: what each slice meets in the stem, first slice to last",
            *(f"  {change}" for change in self.changes),
            "(of weights the L2 norm, of constants the value)",
            *self._gain(),
            self._outcome(),
            *self.notes,
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Show a row for each tensor, in a notebook."""
        rows = [
            (
                change.name,
                "×".join(map(str, change.shape)),
                "L2 norm" if change.weight else "value",
                _numbers_text(change.before),
                _numbers_text(change.after),
            )
            for change in self.changes
        ]
        table = html_table(["in the stem", "shape", "of each slice", "before", "after"], rows)
        return (
            html_lines([self.init])
            + table
            + html_lines([*self._gain(), self._outcome(), *self.notes])
        )

    def _gain(self) -> list[str]:
        """Say that the stem answers weaker or stronger than before, and which variant does not."""
        kept = [change for change in self.changes if change.weight]
        before = math.hypot(*chain.from_iterable(change.before for change in kept))
        after = math.hypot(*chain.from_iterable(change.after for change in kept))
        if not before or PRESERVE in self.init or abs(after / before - 1) <= SAME_NORM:
            return []
        strategy, plus, intervention = self.init.partition("+")
        # tying averages different sides after the filters were scaled; `mirror` does so before
        base = "mirror" if strategy == "rgb" else strategy
        return [
            f"In all, the stem's weights have {after / before:.2f} × the norm that they had, and "
            f"later layers are used to the old one: {base}{PRESERVE}{plus}{intervention} keeps the "
            "norm of each filter."
        ]

    def _outcome(self) -> str:
        if not self.symmetric:
            return "The two sides of the centre are still treated differently."
        if self.followed:
            return "Both sides of the centre are treated alike now."
        return (
            "Its weights are alike on both sides of the centre now; whether other layers read the "
            "slices, too, only the network tells: name it with --architecture or --model."
        )


def symmetrize(
    model: nn.Module, init: str, slices: int | None = None, *, dry_run: bool = False
) -> Changes:
    """Fill the stem of a network anew, in place, whatever its origin; say what was changed.

    `init` is a strategy with interventions, such as ``uniform-green`` or ``rgb+mirror-tied``; the
    planes that it calls red, green and blue are what the first, second and third slice meet.
    `slices` is how many slices the network shall read, as many as now if None. Where that changes,
    parameters are replaced, so build the optimizer afterwards; and the new slices take red, green
    and blue as the strategy says, so that of a stack network the centre need not stay the centre.
    With `dry_run` nothing is changed.

    With `mirror-tied` the state dict holds the stem's weight under
    ``parametrizations.weight.original`` until `mirror_untie` makes it plain again: untie before
    weights are saved to share, or loaded from a network that is not tied.

    The stem is found by following one stack through the network, without computing anything where
    shapes suffice; nothing but the stem is copied.

    Raises `UserError` for an unknown name, for `random` (which starts a whole network from
    scratch), for interventions that change no weight, for a network whose
    stem cannot be treated, and for a strategy that breaks its promises; the network is then as it
    was.
    """
    from emsym.models.interventions.mirror_tied import mirror_tie
    from emsym.models.stem.fill import assign_tensors
    from emsym.models.stem.find import check_unscripted, find_stem, wider_stem
    from emsym.models.stem.stem import stem_tensors

    chosen = parse_repair_init(init)
    stem = find_stem(model)
    after = wider_stem(model, stem, stem.slices if slices is None else slices)
    if MIRROR_TIED in chosen.interventions:
        check_unscripted(model, after)
    before = stem_tensors(model, stem)
    made = repaired_tensors(before, stem, after, chosen)
    changes = describe_changes(chosen, before, stem, made, after)
    if not dry_run:
        assign_tensors(model, made)
        if MIRROR_TIED in chosen.interventions:
            mirror_tie(model, after)
    return changes


def mirror_untie(model: nn.Module) -> None:
    """Take `mirror-tied` back: plain weights under their plain names, symmetric as they are now."""
    from emsym.models.interventions import mirror_tied

    mirror_tied.mirror_untie(model)


def parse_repair_init(init: str) -> Init:
    """Return the parsed `init`. Raises `UserError` for one that does not repair a built network."""
    chosen = parse_init(init)
    if not chosen.strategy.pretrained:
        raise UserError(
            f"The init '{init}' starts a whole network from scratch: take 'random-stem' to draw "
            "the stem alone."
        )
    if chosen.strategy.spaced:
        raise UserError(
            f"The init '{init}' depends on how far sections are apart: build a network with it, by "
            "emsym.create_model(…, spacing_nm=…), and train that."
        )
    for name in chosen.interventions:
        if name != MIRROR_TIED:
            raise UserError(_cannot_repair(name))
    return chosen


def _cannot_repair(name: str) -> str:
    """Say why an intervention does not repair a built network, and what to do instead."""
    when = INTERVENTIONS.get(name).when
    summary = INTERVENTIONS.summary(name)
    if when == "initialisation":
        return (
            f"'{name}' builds another network, which must be trained: make it by "
            f"emsym.create_model(…, init='uniform-green+{name}')."
        )
    if when == "training":
        return (
            f"'{name}' changes nothing in a network, but how it is trained: it "
            f"{summary[:1].lower()}{summary[1:]}"
        )
    way = f": it {summary[:1].lower()}{summary[1:]}"
    if name == FLIP_AVERAGE:
        way = (
            ": take the mean of its logits for a stack and for the stack reversed, as "
            "emsym.models.interventions.flip_average.MirrorAverage(model) does."
        )
    return f"'{name}' changes nothing in a network, but how it is used{way}"


def repaired_tensors(
    tensors: Mapping[str, Tensor], stem: Stem, after: Stem, init: Init
) -> dict[str, Tensor]:
    """Return the stem's tensors as `init` makes them; raises as `filled_tensors` does."""
    from emsym.models.interventions.mirror_tied import mirror_parametrisations
    from emsym.models.stem.fill import filled_tensors

    made = filled_tensors(tensors, stem, after, init.strategy_name, init.strategy)
    if MIRROR_TIED in init.interventions:
        made = {name: tie(made[name]) for name, tie in mirror_parametrisations(after).items()}
    return made


def describe_changes(
    init: Init,
    before: Mapping[str, Tensor],
    stem: Stem,
    made: Mapping[str, Tensor],
    after: Stem,
) -> Changes:
    """Return the report of what was made of the tensors that were there before."""
    from emsym.models.interventions.mirror_tied import mirror_parametrisations

    old, new = _norms(before, stem), _norms(made, after)
    weights = {read.path for read in stem.reads}
    return Changes(
        init.name,
        tuple(
            Change(name, tuple(made[name].shape), old[name], new[name], name in weights)
            for name in made
        ),
        # up to the rounding of what a strategy computes for each side
        all(
            tie(made[name]).allclose(made[name], 1e-5)
            for name, tie in mirror_parametrisations(after).items()
        ),
    )


def _norms(tensors: Mapping[str, Tensor], stem: Stem) -> dict[str, tuple[float, ...]]:
    from emsym.models.stem.stem import slice_planes

    norms = {}
    for read in stem.reads:
        each = slice_planes(tensors[read.path], read).transpose(0, 1).flatten(1).norm(dim=1)
        norms[read.path] = tuple(each.tolist())
    for constant in stem.constants:
        rows = tensors[constant.name].movedim(constant.dim, 0)
        rows = rows.reshape(len(rows), -1)
        each = rows[:, 0] if rows.shape[1] == 1 else rows.norm(dim=1)
        norms[constant.name] = tuple(each.tolist())
    return norms


def _numbers_text(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.3g}" for value in values)
