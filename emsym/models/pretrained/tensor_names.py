"""Matching the names of stored tensors with those of an encoder, whoever wrote them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from emsym.errors import first_names

if TYPE_CHECKING:
    from torch import Tensor, dtype, nn


WRAPPERS = ("module", "_orig_mod", "model", "net", "network", "backbone", "unet", "encoder")
"""The prefixes that DataParallel, `torch.compile` and networks that hold an encoder put before its
names."""


CLASSIFIERS = ("fc.", "_fc.", "last_linear.", "classifier.", "linear.", "head.")
"""Where the networks that segmentation-models-pytorch takes its encoders from classify."""


COUNTER = "num_batches_tracked"
"""BatchNorm counts its batches here; files from before torch 0.4.1 do not have it."""


@dataclass(frozen=True)
class TensorMatch:
    """Tensors for a network, by its own names, and the names that do not fit, by their fault."""

    values: dict[str, Tensor]
    mismatches: dict[str, list[str]]
    grey: bool = False
    """Whether the stem's weights had one channel, which then stands in all three."""

    def mismatch_text(self) -> str:
        """Return the mismatches in words: how many of each kind, and the first three."""
        return ", ".join(
            f"{len(names)} tensor{'s' * (len(names) > 1)} {fault} ({first_names(names)})"
            for fault, names in self.mismatches.items()
        )


def best_match(model: nn.Module, state: dict[str, Tensor]) -> TensorMatch:
    """Return the way of reading the names that fits, or else that with the fewest mismatches."""
    encoder = encoder_of(model)
    own = encoder.state_dict()
    if is_timm_encoder(encoder):  # a whole vision transformer, whose classifier is never asked
        own = {k: v for k, v in own.items() if not k.startswith(_classifiers(encoder))}
    others = tuple(f"{name}." for name, part in model.named_children() if part is not encoder)
    tried = []
    for inside, outside in _unwrapped(state, others):
        for arrange in (_plain_names, _timm_names) if is_timm_encoder(encoder) else (_plain_names,):
            given, left = arrange(encoder, own, inside)
            wide = {name: _three_channels(given[name], own[name]) for name in given.keys() & own}
            fit = match_tensors(own, {**given, **wide}, [*left, *outside])
            fit = replace(fit, grey=any(each is not given[name] for name, each in wide.items()))
            if not fit.mismatches:
                return fit
            tried.append(fit)
    return min(tried, key=lambda fit: sum(map(len, fit.mismatches.values())))


def _three_channels(value: Tensor, place: Tensor) -> Tensor:
    """Return weights (O, 1, kH, kW) as a third of themselves for each of red, green and blue.

    So a section that is shown in all three is answered as one was in the single channel. Weights
    of any other shape than (O, 3, kH, kW) for one channel are left as they are.
    """
    shape = tuple(place.shape)
    if len(shape) == 4 and shape[1] == 3 and tuple(value.shape) == (shape[0], 1, *shape[2:]):
        return value.expand(shape) / 3
    return value


def _unwrapped(
    state: dict[str, Tensor], others: tuple[str, ...]
) -> Iterator[tuple[dict[str, Tensor], list[str]]]:
    """Yield the state dict within each wrapper, and the names outside that belong nowhere.

    `others` are prefixes of a segmentation network's other parts, which lie beside its encoder.
    """
    prefixes = {""}
    for name in state:
        prefix = ""
        for word in name.split(".", 4)[:-1]:
            if word not in WRAPPERS:
                break
            prefix += f"{word}."
            prefixes.add(prefix)
    for prefix in sorted(prefixes, key=len):
        inside = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        network, _, rest = prefix.rpartition("encoder.")
        beside = tuple(network + part for part in others) if prefix and not rest else ()
        outside = [k for k in state if not k.startswith(prefix) and not k.startswith(beside)]
        yield inside, outside


def _plain_names(
    encoder: nn.Module, own: dict[str, Tensor], state: dict[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """Return tensors by the encoder's names, and the names of those that have no place in it.

    The weights of DenseNets were published before `norm.1` could not be a module's name any more.
    """
    dots = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
    given = {dots.sub(r"\1\2", name): value for name, value in state.items()}
    if len(given) < len(state):  # both names in one file: neither may be lost
        given = state
    classifiers = _classifiers(encoder)
    return given, [k for k in given.keys() - own.keys() if not k.startswith(classifiers)]


def _classifiers(encoder: Any) -> tuple[str, ...]:
    """Return the prefixes of the names of an encoder's or its whole network's classifier."""
    return _heads(encoder.model, "model.") if is_timm_encoder(encoder) else CLASSIFIERS


def _heads(model: Any, prefix: str = "") -> tuple[str, ...]:
    """Return the same for a timm model; nothing for one that is just features."""
    heads = model.pretrained_cfg.get("classifier") or ()
    return tuple(f"{prefix}{head}." for head in ([heads] if isinstance(heads, str) else heads))


def _timm_names(
    encoder: Any, own: dict[str, Tensor], state: dict[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """Return what `_plain_names` does, for the weights of a whole timm model.

    timm takes its features out of the whole model, and so leaves out its last layers, puts one
    wrapper around the rest, and joins some names (``stages.0`` becomes ``stages_0``).
    """
    whole, rename = _timm_model(encoder.name)
    names = [name.removeprefix("model.") for name in own]
    wrappers = {name.partition(".")[0] for name in names}
    if wrappers in ({"body"}, {"model"}, {"graph_module"}):
        names = [name.partition(".")[2] for name in names]
    places = dict(zip(map(_joined, names), own, strict=True))
    elsewhere = set(map(_joined, whole.state_dict()))
    heads = _heads(whole)
    given: dict[str, Tensor] = {}
    left = []
    for name, value in rename(state).items():
        place = places.get(_joined(name))
        if place is not None and place not in given:
            given[place] = value
        elif place is not None or not (_joined(name) in elsewhere or name.startswith(heads)):
            left.append(name)
    return given, left


def _joined(name: str) -> str:
    return name.replace(".", "_")


_BUILDING = threading.Lock()


@lru_cache(maxsize=4)
def _timm_model(name: str) -> tuple[Any, Callable[[dict[str, Tensor]], dict[str, Tensor]]]:
    """Return a whole timm model without memory for its weights, and timm's renaming of weights.

    timm keeps the function that turns weights as their authors published them into its own ones
    to itself: it can be had only by looking on while timm would load some.
    """
    import timm
    import torch
    from timm.models import _builder

    load, builder = _builder.load_pretrained, threading.get_ident()
    filters: list[Any] = []

    def look_on(*args: Any, **kwargs: Any) -> None:
        if threading.get_ident() != builder:  # another thread is at work with timm
            load(*args, **kwargs)
        elif kwargs.get("filter_fn") is not None:
            filters.append(kwargs["filter_fn"])

    with _BUILDING, torch.random.fork_rng(devices=[]), torch.device("meta"):
        _builder.load_pretrained = look_on
        try:
            model = timm.create_model(name, pretrained=True)
        finally:
            _builder.load_pretrained = load

    def rename(state: dict[str, Tensor]) -> dict[str, Tensor]:
        for function in filters:
            try:
                try:
                    state = function(dict(state), model)
                except TypeError:  # some take the weights alone
                    state = function(dict(state))
            except Exception:  # not made for weights of another network; these are told below
                return state
        return state

    return model, rename


def network_prefixes(own: Collection[str], given: Iterable[str], name: str) -> list[str]:
    """Return what may stand before a network's names in a file, told by one of them, `name`.

    A network that holds a part of itself under a second name, as nnU-Net's decoder holds the
    encoder, is one network all the same.

    >>> own = ["encoder.weight", "decoder.encoder.weight"]
    >>> network_prefixes(own, ["module.encoder.weight", "module.decoder.encoder.weight"], own[0])
    ['module.']
    """

    def before(names: Iterable[str]) -> list[str]:
        return [each.removesuffix(name) for each in names if f".{each}".endswith(f".{name}")]

    prefixes, again = before(given), before(set(own) - {name})
    inside = {prefix + part for prefix in prefixes for part in again}
    return [prefix for prefix in prefixes if prefix not in inside]


def match_tensors(
    own: dict[str, Tensor], given: dict[str, Tensor], left: Iterable[str] = ()
) -> TensorMatch:
    """Hold tensors against those of an encoder, by its names; `left` have no place in it."""
    values: dict[str, Tensor] = {}
    missing, shapes, types, rounded = [], [], [], []
    for name, place in own.items():
        if name not in given:
            if name.endswith(COUNTER):
                values[name] = place.new_zeros(place.shape)
            else:
                missing.append(name)
        elif (value := given[name]).shape != place.shape:
            shapes.append(f"{name} is {tuple(value.shape)} and must be {tuple(place.shape)}")
        elif (exact := _in_type_of(place, value, counts=name.endswith(COUNTER))) is not None:
            values[name] = exact
        elif value.is_floating_point() and not place.is_floating_point():
            rounded.append(f"{name} is {_type(value)} and must be {_type(place)}")
        else:
            types.append(f"{name} is {_type(value)} and must be {_type(place)}")
    unexpected = sorted(name for name in left if not name.endswith(COUNTER))
    mismatches = {
        "missing": missing,
        "of another shape": shapes,
        "of another type": types,
        "of whole numbers that may be rounded, so cast floating-point tensors alone": rounded,
        "unexpected": unexpected,
    }
    return TensorMatch(values, {fault: names for fault, names in mismatches.items() if names})


def _in_type_of(place: Tensor, value: Tensor, counts: bool) -> Tensor | None:
    """Return a value in the type of its place, None where it may not be the number that it was.

    Whole numbers may have been cast to a floating-point type with all other tensors of a file. Of
    a `COUNTER`, which no answer depends on, they may be rounded, too; one that is infinite is 0.
    """
    import torch

    if _is_exact(value.dtype, place.dtype):
        return value
    if place.is_floating_point() or any(t.is_complex() or t.is_quantized for t in (place, value)):
        return None
    numbers, limit = value.double(), 2.0**53
    if counts:
        return numbers.where(numbers.abs() < limit, 0).to(place.dtype)
    if value.is_floating_point():
        limit = 2 / torch.finfo(value.dtype).eps  # larger ones are rounded to multiples of 2
    whole = numbers.to(place.dtype)
    return whole if bool(((numbers.abs() < limit) & (whole.double() == numbers)).all()) else None


def _is_exact(given: dtype, own: dtype) -> bool:
    """Return whether every value of one type is also one of the other, so that none changes."""
    import torch

    return given == own or (own == torch.float32 and given in (torch.float16, torch.bfloat16))


def encoder_of(model: nn.Module) -> nn.Module:
    """Return the encoder of a network, or the network where it has no `encoder`."""
    return getattr(model, "encoder", model)


def is_timm_encoder(encoder: nn.Module) -> bool:
    """Return whether segmentation-models-pytorch took an encoder from timm."""
    from segmentation_models_pytorch.encoders import TimmUniversalEncoder, TimmViTEncoder

    return isinstance(encoder, (TimmUniversalEncoder, TimmViTEncoder))


def _type(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
