"""Repairing the stem of a network that is already built, or of a checkpoint of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emsym.errors import UserError, first_names
from emsym.models.inits import MIRROR_TIED, ZFLIP, Init, parse_init

if TYPE_CHECKING:
    from torch import Tensor, nn

    from emsym.models.stem.stem import Stem


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

    def __str__(self) -> str:
        size = "×".join(map(str, self.shape))
        values = f"{_numbers_text(self.before)} → {_numbers_text(self.after)}"
        return f"{first_names([self.name])} ({size}): {values}"


@dataclass(frozen=True)
class Changes:
    """What `symmetrize` changed, or would change: the stem, tensor by tensor, slice by slice.

    `symmetric` says whether the stem now treats the slices on either side of the centre alike.
    """

    init: str
    changes: tuple[Change, ...]
    symmetric: bool

    def __str__(self) -> str:
        lines = [
            f"{self.init}: what each slice meets in the stem, first slice to last",
            *(f"  {change}" for change in self.changes),
            "(of weights the L2 norm, of constants the value)",
            "Both sides of the centre are treated alike now."
            if self.symmetric
            else "The two sides of the centre are still treated differently.",
        ]
        return "\n".join(lines)


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
    scratch), for `zflip-augment` (which acts in training), for a network whose stem cannot be
    treated, and for a strategy that breaks its promises; the network is then as it was.
    """
    from emsym.models.interventions import mirror_tie
    from emsym.models.stem.fill import assign_tensors
    from emsym.models.stem.stem import check_unscripted, find_stem, stem_tensors, wider_stem

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
    from emsym.models import interventions

    interventions.mirror_untie(model)


def symmetrize_checkpoint(
    path: Path,
    init: str,
    output: Path | None,
    architecture: str | None = None,
    slices: int | None = None,
) -> Changes:
    """Fill the stem in a file of weights anew and write the whole to `output`; say what changed.

    With `architecture` the stem is found by running that network, and every tensor of it must be
    in the file. Without, it is the one tensor of the shape (O, 3, kH, kW). The file may hold more
    than the weights (an optimizer's state, an epoch), which is kept, and the names may have a
    prefix. `mirror-tied` makes the weights symmetric; a file cannot keep them so in training.
    `output` None writes nothing.

    Raises `UserError` as `symmetrize` does, for a file that is not a state dict, for one in which
    the stem is not found, and for an `output` that exists or cannot be written.
    """
    from emsym.models.pretrained.checkpoint import read_checkpoint, write_checkpoint
    from emsym.models.stem.stem import check_type, wider_stem

    chosen = parse_repair_init(init)
    if output is not None and output.exists():
        raise UserError(f"{output} exists: give another name, or remove it first.")
    checkpoint = read_checkpoint(path)
    if architecture is None:
        stem, prefix = _stem_by_shape(checkpoint.state, path), ""
        after = _convolution_stem(stem.reads[0].path, 3 if slices is None else slices)
    else:
        model = _meta_network(architecture)
        rgb, stem, prefix = _stem_by_running(model, checkpoint.state, path, architecture)
        after = stem if slices is None else wider_stem(model, rgb, slices)
    names = [read.path for read in stem.reads] + [constant.name for constant in stem.constants]
    before = {name: checkpoint.state[prefix + name] for name in names}
    for read in stem.reads:
        check_type(read, before[read.path])
    made = repaired_tensors(before, stem, after, chosen)
    if output is not None:
        write_checkpoint(checkpoint, {prefix + name: made[name] for name in names}, output)
    return describe_changes(chosen, before, stem, made, after)


def parse_repair_init(init: str) -> Init:
    """The parsed `init`. Raises `UserError` for one that does not repair a built network."""
    chosen = parse_init(init)
    if not chosen.strategy.pretrained:
        raise UserError(
            f"The init '{init}' starts a whole network from scratch: take 'random-stem' to draw "
            "the stem alone."
        )
    if ZFLIP in chosen.interventions:
        raise UserError(
            f"'{ZFLIP}' changes nothing in a network, but what it is shown in training: reverse "
            "each stack there with probability one half, as emsym.models.interventions.zflip does."
        )
    return chosen


def repaired_tensors(
    tensors: Mapping[str, Tensor], stem: Stem, after: Stem, init: Init
) -> dict[str, Tensor]:
    """The stem's tensors as `init` makes them; raises as `filled_tensors` does."""
    from emsym.models.interventions import mirror_parametrisations
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
    """The report of what was made of the tensors that were there before."""
    from emsym.models.interventions import mirror_parametrisations

    old, new = _norms(before, stem), _norms(made, after)
    return Changes(
        init.name,
        tuple(Change(name, tuple(made[name].shape), old[name], new[name]) for name in made),
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


def _convolution_stem(name: str, slices: int) -> Stem:
    """A stem of one plain convolution for `slices` slices, its weight called `name`."""
    from emsym.models.stem.slice_tracer import Read
    from emsym.models.stem.stem import Stem, check_slices

    check_slices(slices)
    module, _, parameter = name.rpartition(".")
    return Stem(slices, (Read(module, "convolution", parameter, 1, tuple(range(slices))),))


def _stem_by_shape(state: Mapping[str, Tensor], path: Path) -> Stem:
    found = [name for name, value in state.items() if value.ndim == 4 and value.shape[1] == 3]
    if len(found) != 1:
        seen = f"{len(found)} tensors ({first_names(found)})" if found else "no tensor"
        raise UserError(
            f"{path} has {seen} of the shape (filters, 3, height, width), so its stem cannot be "
            "told: say which network it belongs to with --architecture (a plug-in's, too), or call "
            "emsym.symmetrize(model, …) in Python."
        )
    return _convolution_stem(found[0], 3)


def _meta_network(architecture: str) -> nn.Module:
    """A network that has shapes, and no values in memory where it can do without."""
    import torch

    from emsym.models.architectures import ARCHITECTURES

    factory = ARCHITECTURES.get(architecture)
    try:
        with torch.device("meta"):
            return factory()
    except UserError:
        raise
    except Exception:  # a stranger's network that wants values while it is built
        return factory()


def _stem_by_running(
    model: nn.Module, state: Mapping[str, Tensor], path: Path, architecture: str
) -> tuple[Stem, Stem, str]:
    """The network's stem, the same for as many slices as the weights have, and their prefix."""
    from emsym.models.pretrained.weights import match_tensors
    from emsym.models.stem.stem import find_stem, wider_stem

    rgb = find_stem(model, 3)
    first = rgb.reads[0]
    prefixes = [key.removesuffix(first.path) for key in state if _ends_in(key, first.path)]
    wrong = f"{path} does not hold the weights of {architecture}: "
    if not prefixes and any(".parametrizations." in f".{key}" for key in state):
        raise UserError(
            f"{wrong}some are parametrised; save them after emsym.mirror_untie(model), or leave "
            "--architecture out."
        )
    if not prefixes:
        raise UserError(f"{wrong}there is no '{first.path}', which reads the slices there.")
    if len(prefixes) > 1:
        raise UserError(
            f"{path} holds {len(prefixes)} networks, under {first_names(prefixes)}: save the state "
            "dict of one alone."
        )
    given = {key[len(prefixes[0]) :]: v for key, v in state.items() if key.startswith(prefixes[0])}
    own = model.state_dict()
    dims = {read.path: read.dim for read in rgb.reads}
    dims |= {constant.name: constant.dim for constant in rgb.constants}
    for name, dim in dims.items():  # of which the number of slices decides
        if name in given and given[name].ndim == own[name].ndim:
            shape = list(own[name].shape)
            shape[dim] = given[name].shape[dim]
            own[name] = own[name].new_empty(shape)
    fit = match_tensors(own, given)
    if fit.mismatches:
        raise UserError(f"{wrong}{fit.told()}.")
    width = given[first.path].shape[first.dim] - first.slots.count(-1)
    return rgb, wider_stem(model, rgb, width // first.slots.count(0)), prefixes[0]


def _ends_in(key: str, path: str) -> bool:
    return f".{key}".endswith(f".{path}")
