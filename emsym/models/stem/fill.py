"""Filling a stem: an init strategy makes its weights for S slices."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from emsym.errors import UserError, error_with_place
from emsym.models.inits import ORDERS, PRESERVE, Init, InitStrategy, preserve_norms
from emsym.models.stem.find import wider_stem
from emsym.models.stem.slice_tracer import Read
from emsym.models.stem.stem import Stem, slice_inputs, slice_planes, stem_tensors, submodule


def fill_stem(model: nn.Module, stem: Stem, name: str, strategy: InitStrategy, slices: int) -> Stem:
    """Fill the stem for `slices` slices by the strategy `name`, in place; the stem afterwards.

    Raises `UserError` as `wider_stem` and `filled_tensors` do; the network is then as it was.
    """
    after = wider_stem(model, stem, slices)
    assign_tensors(model, filled_tensors(stem_tensors(model, stem), stem, after, name, strategy))
    return after


def filled_tensors(
    tensors: Mapping[str, Tensor], stem: Stem, after: Stem, name: str, strategy: InitStrategy
) -> dict[str, Tensor]:
    """Return the tensors of `stem`, filled by the strategy `name` for the slices of `after`.

    The strategy gets each weight as (O, 3, kH, kW), its three planes what read the first, second
    and third slice; where a slice comes as several channels (space-to-depth) or features
    (unfolded patches) they lie along kH. Channels that no slice fills are kept. Where a strategy
    leaves the weights as they are, it leaves the constants, too; else each slice gets their mean.

    Raises `UserError` where the stem does not read three slices (other than leaving it as it is),
    and where the strategy fails, changes the weights that it is given, or gives another shape or
    dtype than it must or values that are not finite.
    """
    if stem.slices != 3:
        if name == "rgb" and after.slices == stem.slices:
            return dict(tensors)
        raise UserError(
            f"The network reads {stem.slices} slice{'s' * (stem.slices > 1)}, and the init "
            f"'{name}' starts from weights for red, green and blue: take 'rgb', which leaves as "
            "many slices as they are, as in 'rgb+mirror-tied'."
        )
    if after.slices == 1 and name.removesuffix(PRESERVE) in ORDERS:
        raise UserError(
            f"The init '{name}' puts red, green and blue in an order, which means nothing to a "
            "single slice: take 'rgb', which adds them up."
        )
    made = {}
    for old, new in zip(stem.reads, after.reads, strict=True):
        weight = tensors[old.path]
        made[old.path] = _scatter(
            weight,
            old,
            new,
            _strategy_weights(name, strategy, slice_planes(weight, old), after.slices),
        )
    kept = after.slices == 3 and all(torch.equal(made[path], tensors[path]) for path in made)
    for constant in stem.constants:
        value = tensors[constant.name]
        mean = value.mean(constant.dim, keepdim=True)
        wide = mean.repeat_interleave(after.slices, constant.dim)
        made[constant.name] = value if kept else wide
    return made


def assign_tensors(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors in the place of a network's own; one that keeps its shape keeps its identity."""
    for name, tensor in tensors.items():
        owner, _, own = name.rpartition(".")
        module = submodule(model, owner)
        old = getattr(module, own)
        if old.shape == tensor.shape:
            with torch.no_grad():
                old.copy_(tensor)
            continue
        new = nn.Parameter(tensor, old.requires_grad) if isinstance(old, nn.Parameter) else tensor
        for sharing in model.modules():  # by another name, which it keeps
            held: tuple[dict, ...] = (sharing._parameters, sharing._buffers)
            for kept in held:
                kept.update({key: new for key, value in kept.items() if value is old})
        for width in ("in_channels", "in_features", "num_features", "num_channels"):
            if hasattr(module, width):
                wider = sum(tensor.shape) - sum(old.shape)
                setattr(module, width, getattr(module, width) + wider)
                break


def shape_fault(chosen: Init, slices: int) -> str:
    """Say what a strategy gives instead of weights for S slices, tried on made-up filters.

    Nothing where they are right, and where it fails, which other filters may not make it do.
    """
    rgb = torch.linspace(-1, 1, 64 * 3 * 7 * 7).reshape(64, 3, 7, 7)
    try:
        made = chosen.strategy.at(1.0, chosen.name).fill(rgb.clone(), slices)
    except (Exception, SystemExit):  # whatever a stranger's function raises
        return ""
    return _fault(chosen.strategy_name, made, rgb, slices)


def _fault(name: str, made: object, rgb: Tensor, slices: int) -> str:
    """Say that a strategy gives something else than weights of the shape that it should."""
    expected = (rgb.shape[0], slices, *rgb.shape[2:])
    if isinstance(made, Tensor) and made.shape == expected and made.dtype == rgb.dtype:
        return ""
    described = (
        f"{tuple(made.shape)} {made.dtype}" if isinstance(made, Tensor) else type(made).__name__
    )
    return f"The init '{name}' gives {described} instead of {expected} {rgb.dtype}."


def _strategy_weights(name: str, strategy: InitStrategy, rgb: Tensor, slices: int) -> Tensor:
    """Return what the strategy makes of W, if it keeps its promises."""
    if rgb.is_meta or not rgb.isfinite().all():
        fault = "without values, on the meta device" if rgb.is_meta else "that are not finite"
        raise UserError(f"The stem has weights {fault}: load good ones first.")
    given = rgb.clone()
    try:
        made = strategy.fill(given, slices)
    except (Exception, SystemExit) as error:  # whatever a stranger's function raises
        raise UserError(f"The init '{name}' fails: {error_with_place(error)}.") from error
    if not torch.equal(given, rgb):
        raise UserError(
            f"The init '{name}' changes the weights that it is given: let it begin with "
            "`rgb = rgb.clone()`."
        )
    if fault := _fault(name, made, rgb, slices):
        raise UserError(fault)
    if not made.isfinite().all():
        raise UserError(f"The init '{name}' gives values that are not finite.")
    return preserve_norms(made, rgb) if strategy.gain == "preserve" else made


def _scatter(weight: Tensor, old: Read, new: Read, made: Tensor) -> Tensor:
    """Return the weight with the planes (O, S, kH, kW) where a stack of S slices is read."""
    before = weight.movedim(old.dim, 1)
    inputs = slice_inputs(new)
    after = before.new_empty(before.shape[0], len(new.slots), *before.shape[2:])
    after[:, inputs] = made.reshape(before.shape[0], *inputs.shape, *before.shape[2:])
    kept, keep = (torch.tensor(read.slots) < 0 for read in (new, old))
    after[:, kept] = before[:, keep]
    return after.movedim(1, new.dim).contiguous()
