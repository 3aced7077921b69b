"""Pretrained weights: ``pretext``, ``imagenet``, any name of timm, or a file; whole or an error.

A record names them by `LoadedWeights`. Planning imports this module, so it imports no torch.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pooch

from emsym.errors import UserError, first_names
from emsym.models.pretrained.checkpoint import SUFFIXES, read_state_dict
from emsym.models.pretrained.hub import IMAGENET, published_weights

if TYPE_CHECKING:
    from torch import Tensor, dtype, nn

PRETEXT = "pretext"
ORIGINS = {
    PRETEXT: "encoders pretrained by emsym on a handful of photographs; not ImageNet",
    IMAGENET: "ImageNet, as published with timm or segmentation-models-pytorch",
}
TIMM_NAME = re.compile(r"[a-z0-9_]+\.[a-z0-9_]+")
"""What timm calls weights, ``resnet50.a1_in1k``: told by its form, for planning imports no timm."""
WRAPPERS = ("module", "_orig_mod", "model", "encoder")
"""What DataParallel, `torch.compile` and networks that hold an encoder put before its names."""
CLASSIFIERS = ("fc.", "_fc.", "last_linear.", "classifier.", "linear.", "head.")
"""Where the networks that segmentation-models-pytorch takes its encoders from classify."""
COUNTER = "num_batches_tracked"
"""BatchNorm counts its batches here; files from before torch 0.4.1 do not have it."""


@dataclass(frozen=True)
class LoadedWeights:
    """What a network got.

    `tag` is ``pretext``, timm's ``architecture.tag``, ``repository@revision`` for
    segmentation-models-pytorch, or a file's name. `digest` is that of the encoder's tensors
    (`state_digest`), the same whichever way they came.
    """

    tag: str
    digest: str


def weights_path(weights: str, folder: Path) -> Path:
    """The file that `weights` names, relative to `folder`. Raises `UserError` if there is none."""
    path = folder / weights
    if path.suffix not in SUFFIXES or not path.is_file():
        raise UserError(
            f"There are no weights '{weights}', nor is there a file {path}: give 'pretext', "
            "'imagenet', a name of timm such as 'resnet50.a1_in1k', or the path of a .safetensors, "
            ".pt or .pth file."
        )
    return path


def weights_identity(weights: str, folder: Path) -> str:
    """What a record calls the weights' content: a file's SHA-256, or the name of others."""
    if _is_name(weights, folder):
        return weights
    return f"sha256:{pooch.file_hash(weights_path(weights, folder))}"


def load_weights(
    model: nn.Module, weights: str, folder: Path = Path(), offline: bool = False
) -> LoadedWeights:
    """Load RGB weights into the encoder of a network, or into a network that has no `encoder`.

    Every tensor of the encoder gets its value and every tensor of the file has its place, or it is
    a `UserError` that names the first ones that do not fit, and the network stays as it was. Left
    out are a classifier's tensors, layers behind the last feature map of a timm encoder, and the
    other parts of a segmentation network. Names are stripped of what wraps them all.

    Raises `UserError` also for weights that cannot be had or read or that are not finite. With
    `offline`, published weights must lie in a cache.
    """
    if weights == PRETEXT:
        from emsym.models.pretrained.pretext import pretext_weights

        tag, path = PRETEXT, pretext_weights(_encoder_name(model))
    elif _is_name(weights, folder):
        tag, path = published_weights(_encoder_name(model), weights, offline)
    else:
        path = weights_path(weights, folder)
        tag = path.name
    told = f"'{tag}'" if _is_name(weights, folder) else f"of {path}"
    fit = _best_fit(model, read_state_dict(path))
    if fit.mismatches:
        tied = any(".parametrizations." in name for name in chain(*fit.mismatches.values()))
        way = "; they are parametrised: save them after emsym.mirror_untie(model)" if tied else ""
        raise UserError(f"The weights {told} do not fit the encoder: {fit.told()}{way}.")
    bad = [name for name, value in fit.values.items() if not bool(value.isfinite().all())]
    if bad:
        raise UserError(
            f"The weights {told} are not finite in {first_names(bad)}: the training that they come "
            "from diverged; take other ones."
        )
    encoder = _encoder(model)
    encoder.load_state_dict({**encoder.state_dict(), **fit.values})
    got = encoder.state_dict()
    return LoadedWeights(tag, state_digest({name: got[name] for name in fit.values}))


def state_digest(state: dict[str, Tensor]) -> str:
    """``sha256:…`` over names, dtypes, shapes and bytes of tensors, in the order of the names."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()}"


@dataclass(frozen=True)
class Fit:
    """Tensors for a network, by its own names, and the names that do not fit, by their fault."""

    values: dict[str, Tensor]
    mismatches: dict[str, list[str]]

    def told(self) -> str:
        """The mismatches in words: how many of each kind, and the first three."""
        return ", ".join(
            f"{len(names)} tensor{'s' * (len(names) > 1)} {fault} ({first_names(names)})"
            for fault, names in self.mismatches.items()
        )


def _best_fit(model: nn.Module, state: dict[str, Tensor]) -> Fit:
    """The way of reading the names that fits, or else that with the fewest mismatches."""
    encoder = _encoder(model)
    own = encoder.state_dict()
    if _is_timm(encoder):  # a whole vision transformer, whose classifier is never asked
        own = {k: v for k, v in own.items() if not k.startswith(_classifiers(encoder))}
    others = tuple(f"{name}." for name, part in model.named_children() if part is not encoder)
    tried = []
    for inside, outside in _unwrapped(state, others):
        for arrange in (_plain_names, _timm_names) if _is_timm(encoder) else (_plain_names,):
            given, left = arrange(encoder, own, inside)
            fit = match_tensors(own, given, [*left, *outside])
            if not fit.mismatches:
                return fit
            tried.append(fit)
    return min(tried, key=lambda fit: sum(map(len, fit.mismatches.values())))


def _unwrapped(
    state: dict[str, Tensor], others: tuple[str, ...]
) -> Iterator[tuple[dict[str, Tensor], list[str]]]:
    """The state dict within each wrapper, and the names outside that belong nowhere.

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
    """Tensors by the encoder's names, and the names of those that have no place in it.

    The weights of DenseNets were published before `norm.1` could not be a module's name any more.
    """
    dots = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
    given = {dots.sub(r"\1\2", name): value for name, value in state.items()}
    if len(given) < len(state):  # both names in one file: neither may be lost
        given = state
    classifiers = _classifiers(encoder)
    return given, [k for k in given.keys() - own.keys() if not k.startswith(classifiers)]


def _classifiers(encoder: Any) -> tuple[str, ...]:
    """What the names of an encoder's or its whole network's classifier begin with."""
    return _heads(encoder.model, "model.") if _is_timm(encoder) else CLASSIFIERS


def _heads(model: Any, prefix: str = "") -> tuple[str, ...]:
    """The same for a timm model; nothing for one that is just features."""
    heads = model.pretrained_cfg.get("classifier") or ()
    return tuple(f"{prefix}{head}." for head in ([heads] if isinstance(heads, str) else heads))


def _timm_names(
    encoder: Any, own: dict[str, Tensor], state: dict[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """As `_plain_names` for the weights of a whole timm model, published ones or a file's.

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
    """A whole timm model without memory for its weights, and what timm does to those it loads.

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


def match_tensors(
    own: dict[str, Tensor], given: dict[str, Tensor], left: Iterable[str] = ()
) -> Fit:
    """Hold tensors against those of an encoder, by its names; `left` have no place in it."""
    values: dict[str, Tensor] = {}
    missing, shapes, types = [], [], []
    for name, place in own.items():
        if name not in given:
            if name.endswith(COUNTER):
                values[name] = place.new_zeros(place.shape)
            else:
                missing.append(name)
        elif (value := given[name]).shape != place.shape:
            shapes.append(f"{name} is {tuple(value.shape)} and must be {tuple(place.shape)}")
        elif not _is_exact(value.dtype, place.dtype):
            types.append(f"{name} is {_type(value)} and must be {_type(place)}")
        else:
            values[name] = value
    unexpected = sorted(name for name in left if not name.endswith(COUNTER))
    mismatches = {
        "missing": missing,
        "of another shape": shapes,
        "of another type": types,
        "unexpected": unexpected,
    }
    return Fit(values, {fault: names for fault, names in mismatches.items() if names})


def _is_exact(given: dtype, own: dtype) -> bool:
    """Whether every value of one type is also one of the other: else loading would change it."""
    import torch

    return given == own or (own == torch.float32 and given in (torch.float16, torch.bfloat16))


def _is_name(weights: str, folder: Path) -> bool:
    """Whether it names weights rather than a file."""
    if weights in ORIGINS:
        return True
    path = folder / weights
    return bool(TIMM_NAME.fullmatch(weights)) and path.suffix not in SUFFIXES and not path.exists()


def _encoder(model: nn.Module) -> nn.Module:
    return getattr(model, "encoder", model)


def _is_timm(encoder: nn.Module) -> bool:
    from segmentation_models_pytorch.encoders import TimmUniversalEncoder, TimmViTEncoder

    return isinstance(encoder, (TimmUniversalEncoder, TimmViTEncoder))


def _encoder_name(model: nn.Module) -> str:
    """The encoder's name as segmentation-models-pytorch's `create_model` takes it."""
    from segmentation_models_pytorch.encoders import encoders

    encoder = _encoder(model)
    if _is_timm(encoder):
        return f"tu-{encoder.name}"
    name = str(getattr(model, "name", "")).partition("-")[2]  # of "u-resnet34"
    if name not in encoders:
        raise UserError(
            "'pretext' and published weights fit the encoders of segmentation-models-pytorch "
            "alone: give the path of a weights file for another network."
        )
    return name


def _type(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
