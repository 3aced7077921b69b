"""Probing a network: how many slices it reads, and what it answers to one stack."""

import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from emsym.auditing.network import Called, Loaded
from emsym.errors import UserError, first_line, first_names
from emsym.models.stem.find import (
    CHANNELS,
    VOLUMES,
    check_initialised,
    find_stem,
    reads_volumes,
)
from emsym.scores.dense_logits import DenseLogits

_SAME = 1e-2
"""Two answers to one stack differ by at most that part of the largest value, by rounding, on any
device: half precision or TF32 inside a network gives 1e-3."""


def check_takes_stacks(model: nn.Module) -> None:
    """Raise `UserError` for a network that takes more than a stack, or has no weights yet."""
    check_initialised(model)
    called: Any = model.function if isinstance(model, Called) else model.forward
    try:
        parameters = inspect.signature(called).parameters.values()
    except (TypeError, ValueError):  # of what is written in C, which then is tried
        return
    needed = [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if len(needed) > 1:
        raise UserError(
            f"The network takes more than a stack ({first_names(needed)}): wrap it in a module "
            "whose forward(x) calls it, (N, S, H, W) → logits (N, C, H, W)."
        )


def slices_of(loaded: Loaded) -> int:
    """Return how many slices a network reads, found out where nobody says.

    A stack is followed through it, or else 3, 5, 7, 9 and 1 slices are tried.
    Raises `UserError` where it runs with none of them.
    """
    if loaded.slices is not None:
        return loaded.slices
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what a network is not meant to be shown
        try:
            return find_stem(loaded.model).slices
        except UserError as error:
            return _tried_slices(loaded.model, error)


def _tried_slices(model: nn.Module, error: UserError) -> int:
    device, reason = DenseLogits(model).device, ""
    for count in CHANNELS:
        try:
            with torch.no_grad():
                model(torch.zeros(1, count, 64, 64, device=device))
        except Exception as failure:  # whatever a stranger's network raises
            reason = reason or f"{type(failure).__name__} with {count}: {first_line(failure)}"
            continue
        return count
    if reads_volumes(model):
        raise UserError(VOLUMES) from error
    raise UserError(
        f"The network runs on no stack of {', '.join(map(str, CHANNELS))} slices of 64 × 64 "
        f"pixels ({reason}): say how many it reads with --slices."
    ) from error


@contextmanager
def at_rest(model: nn.Module) -> Iterator[None]:
    """Keep the network in eval mode and its parameters frozen; afterwards it is as it was."""
    # TorchScript that was frozen has no mode
    modes = {module: module.training for module in model.modules() if hasattr(module, "training")}
    asked = {parameter: parameter.requires_grad for parameter in model.parameters()}
    try:
        for module in modes:
            module.training = False
        for parameter in asked:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, training in modes.items():
            module.training = training
        for parameter, requires_grad in asked.items():
            parameter.requires_grad_(requires_grad)


def checked_output(dense: DenseLogits, x: Tensor) -> Tensor:
    """Return the network's answer to one stack (1, S, H, W), one map per class, (1, C, H, W).

    Whether the network is differentiable is noted in `dense`. Raises `UserError` where it does not
    run, gives something else, or answers otherwise when it is asked again, beside another stack.
    """
    slices, height, width = x.shape[1:]
    try:
        with torch.enable_grad():
            output = dense.outputs(x.detach().requires_grad_())
        with torch.no_grad():  # beside another, as far as passes may be of two
            beside = (
                x if dense.at_once(height * width) == 1 else torch.cat([x, x.new_zeros(x.shape)])
            )
            again = dense.outputs(beside)[:1]
    except UserError:
        raise
    except Exception as error:  # whatever a stranger's network raises
        if reads_volumes(dense.model):
            raise UserError(VOLUMES) from error
        raise UserError(
            f"The network does not run on a stack of {slices} slices of {height} × {width} pixels "
            f"({type(error).__name__}: {first_line(error)}): is --slices right, and are the "
            "sections as large as it needs?"
        ) from error
    if not output.is_floating_point():
        raise UserError(
            f"The network gives whole numbers ({str(output.dtype).removeprefix('torch.')}) instead "
            "of logits: leave the argmax or the threshold at its end out."
        )
    dense.differentiable = output.requires_grad
    output = output.detach()
    if output.isfinite().all() and (output - again).abs().max() > _SAME * output.abs().max():
        raise UserError(
            "The network answers the same stack differently each time: put it into eval mode, and "
            "leave dropout out."
        )
    return output
