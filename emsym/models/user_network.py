"""The network that a function of a user's builds, to be given weights."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from emsym.errors import UserError, error_with_type
from emsym.models.architectures import ARCHITECTURES
from emsym.models.stem.find import has_lazy_layers


def build_user_network(name: str, build: Callable[[], Any]) -> nn.Module:
    """Return what the function, or the factory of the architecture, `name` builds.

    Layers that take their size from the first input take it from one stack of 3 slices.
    Raises `UserError` where the function fails or exits, or returns anything but a module.
    """
    try:
        model = build()
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # whatever a stranger's function raises
        raise UserError(
            f"The function '{name}' fails ({error_with_type(error)}): let it return the network."
        ) from error
    if not isinstance(model, nn.Module):
        raise UserError(_no_module(name, model))
    if has_lazy_layers(model):
        _run_once(name, model)
    return model


def _no_module(name: str, returned: object) -> str:
    """Say what a function returns, and what it must."""
    if isinstance(returned, type):
        what = f"the class {returned.__name__}"
        way = "a network of it, as by calling it"
    elif callable(returned) and name in ARCHITECTURES.names():
        return (
            f"'{name}' is a whole network, a function, which takes no weights: audit it by its "
            "name, without the file."
        )
    else:  # a function, too, which takes no weights
        what = "None" if returned is None else f"a {type(returned).__name__}"
        way = "the network alone, a torch.nn.Module"
    return f"The function '{name}' returns {what}, and no network: let it return {way}."


def _run_once(name: str, model: nn.Module) -> None:
    device = next(model.parameters()).device
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, 3, 64, 64, device=device))
    except Exception as error:  # whatever a stranger's network raises
        raise UserError(
            f"The network of '{name}' has layers that take their size from the first input, and "
            f"does not run on a stack of 3 slices of 64 × 64 pixels ({error_with_type(error)}): "
            "let the function run it once before it returns it."
        ) from error
