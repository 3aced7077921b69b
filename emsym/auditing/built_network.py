"""Weights of a file in the network that they belong to."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from emsym.errors import UserError, first_names
from emsym.models.architectures import SmpFactory
from emsym.models.inits import parse_init
from emsym.models.interventions.mirror_tied import mirror_parametrisations
from emsym.models.pretrained.tensor_names import match_tensors, network_prefixes
from emsym.models.stem.fill import fill_stem
from emsym.models.stem.find import find_stem
from emsym.models.stem.stem import Stem, stem_tensors
from emsym.models.user_network import build_user_network

_TIED = re.compile(r"\.parametrizations\.(\w+)\.original$")
_HEAD = "segmentation_head."
_AUXILIARY = re.compile(r"(classification_head|aux_classifier|auxiliary_head|aux_head)\.")
"""Modules that a segmentation network has beside its own head, for the time of its training."""


def build_network(
    state: Mapping[str, Tensor], path: Path, architecture: str, factory: Callable[[], Any]
) -> tuple[nn.Module, int | None, list[str]]:
    """Return the network with weights, how many slices it reads, where found, and notes.

    It gets as many slices and classes as the weights have. What wraps all their names is left out,
    an auxiliary head that the network does not have, too, and weights that were saved mirror-tied
    become plain ones. Raises `UserError` where they do not fit.
    """
    model = build_user_network(architecture, factory).float()
    weights = {_TIED.sub(r".\1", f".{name}")[1:]: value for name, value in state.items()}
    tied = {name for name in weights if name not in state}
    prefix = _prefix(weights, model, path, architecture)
    weights = {name[len(prefix) :]: v for name, v in weights.items() if name.startswith(prefix)}
    tied = {name.removeprefix(prefix) for name in tied}
    weights = _single(weights, model.state_dict())
    if isinstance(factory, SmpFactory) and (classes := _classes(model, weights)) != 1:
        model = factory(classes)
    stem = _stem_of(model)
    if stem is not None:
        stem = _with_slices_of(model, stem, weights, path, architecture)
        for name, tie in mirror_parametrisations(stem).items():
            if name in tied:
                weights[name] = tie(weights[name])
                tied.remove(name)
    unexpected = weights.keys() - model.state_dict().keys()
    left_out = {name for name in unexpected if _AUXILIARY.match(name)}
    fit = match_tensors(model.state_dict(), weights, unexpected - left_out)
    if fit.mismatches or tied:
        differences = fit.mismatch_text() or f"{first_names(sorted(tied))} parametrised"
        raise UserError(f"{path} does not hold the weights of {architecture}: {differences}.")
    model.load_state_dict(fit.values)
    heads = sorted({name.partition(".")[0] for name in left_out})
    notes = [f"The weights of {head} were left out: the segmentation has none." for head in heads]
    return model.eval(), None if stem is None else stem.slices, notes


def _single(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in float32; in their own type where the network has whole numbers."""
    whole = {name for name, value in own.items() if not value.is_floating_point()}
    return {
        name: value.float() if value.is_floating_point() and name not in whole else value
        for name, value in weights.items()
    }


def _prefix(given: Mapping[str, Tensor], model: nn.Module, path: Path, architecture: str) -> str:
    """Return the prefix of the network's own names in a file, such as ``module.``."""
    first = next(iter(model.state_dict()))
    prefixes = network_prefixes(model.state_dict(), given, first)
    if not prefixes:
        raise UserError(
            f"{path} does not hold the weights of {architecture}: there is no '{first}'. Without "
            "--architecture and --model, it is told whose they may be."
        )
    if len(prefixes) > 1:
        raise UserError(
            f"{path} holds {len(prefixes)} networks, under "
            f"{first_names(prefix.rstrip('.') for prefix in prefixes)}: say which with "
            "--weights-key, or save the state dict of one alone."
        )
    return prefixes[0]


def _classes(model: nn.Module, given: Mapping[str, Tensor]) -> int:
    """Return how many classes a file's weights give: as many as the head's last bias has values."""
    biases = [name for name, own in model.state_dict().items() if own.ndim == 1]
    last = next((name for name in reversed(biases) if name.startswith(_HEAD)), None)
    return len(given[last]) if last and last in given and given[last].ndim == 1 else 1


def _stem_of(model: nn.Module) -> Stem | None:
    try:
        return find_stem(model)
    except UserError:  # of a plug-in's network, which is then taken as it is
        return None


def _with_slices_of(
    model: nn.Module, stem: Stem, given: Mapping[str, Tensor], path: Path, architecture: str
) -> Stem:
    """Make the network read as many slices as the weights do, and return its stem."""
    read = stem.reads[0]
    own = stem_tensors(model, stem)[read.path]
    weight = given.get(read.path)
    if weight is None or weight.ndim != own.ndim or weight.shape == own.shape:
        return stem
    more, each = weight.shape[read.dim] - own.shape[read.dim], read.slots.count(0)
    slices = stem.slices + more // each
    if more % each or slices < 1 or slices % 2 == 0:
        raise UserError(
            f"The weights of {path} read {slices} slices, and a slice stack has an odd number."
        )
    differ = (
        f"The weights of {path} are of {slices} slice{'s' * (slices > 1)}, and the network of "
        f"'{architecture}' is of {stem.slices}"
    )
    if stem.slices != 3:
        raise UserError(f"{differ}: let it be built for {slices}.")
    try:
        return fill_stem(model, stem, "rgb", parse_init("rgb").strategy, slices)
    except UserError as error:
        raise UserError(f"{differ}. {error}") from error
