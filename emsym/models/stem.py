"""The stem: the convolution that reads the raw stack, and filling it for S slices."""

import traceback

import torch
from torch import Tensor, nn

from emsym.errors import UserError
from emsym.models.inits import InitStrategy

PROBE = 64
"""Height and width of the input that finds the stem, in pixels."""


def find_stem(model: nn.Module, channels: int = 3) -> nn.Conv2d:
    """The one convolution whose input is the network's input itself, found by watching it run.

    Raises `UserError` where another module, or more than one, reads the raw input.
    """
    readers: list[tuple[str, nn.Module]] = []
    device = next((parameter.device for parameter in model.parameters()), None)
    probe = torch.zeros(1, channels, PROBE, PROBE, device=device)

    def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def note(_: nn.Module, inputs: tuple) -> None:
            if inputs and isinstance(inputs[0], Tensor) and inputs[0] is probe:
                readers.append((name, module))

        return module.register_forward_pre_hook(note)

    leaves = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d) or not any(True for _ in module.children())
    ]
    hooks = [watch(name, module) for name, module in leaves]
    training = [(module, module.training) for module in model.modules()]
    try:
        with torch.no_grad():
            model.eval()(probe)
    finally:
        for module, mode in training:
            module.training = mode
        for hook in hooks:
            hook.remove()
    if len(readers) != 1 or not isinstance(readers[0][1], nn.Conv2d):
        told = ", ".join(f"{name} ({type(module).__name__})" for name, module in readers)
        raise UserError(
            f"The stem cannot be filled: the network's input is read by {told or 'no layer'}, "
            "and just one Conv2d is supported."
        )
    stem = readers[0][1]
    if stem.groups != 1:
        raise UserError(f"The stem cannot be filled: {readers[0][0]} is a grouped convolution.")
    return stem


def fill_stem(model: nn.Module, name: str, strategy: InitStrategy, slices: int) -> None:
    """Make the stem of an RGB network read `slices` slices, filled by the strategy `name`.

    Raises `UserError` where the strategy fails, or gives another shape or dtype than it must, or
    values that are not finite.
    """
    stem = find_stem(model)
    rgb = stem.weight.detach()
    try:
        filled = strategy.fill(rgb.clone(), slices)
    except Exception as error:  # whatever a stranger's function raises
        at = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__}: {error} ({at.filename}:{at.lineno})"
        raise UserError(f"The init '{name}' fails: {told}.") from error
    expected = (rgb.shape[0], slices, *rgb.shape[2:])
    if not isinstance(filled, Tensor) or filled.shape != expected or filled.dtype != rgb.dtype:
        told = (
            f"{tuple(filled.shape)} {filled.dtype}"
            if isinstance(filled, Tensor)
            else type(filled).__name__
        )
        raise UserError(f"The init '{name}' gives {told} instead of {expected} {rgb.dtype}.")
    if not filled.isfinite().all():
        raise UserError(f"The init '{name}' gives values that are not finite.")
    stem.weight = nn.Parameter(filled.contiguous())
    stem.in_channels = slices
