"""Architectures: decoder × encoder of segmentation-models-pytorch, or any plug-in network.

Names are ``decoder-encoder`` in the words of segmentation-models-pytorch, where ``tu-`` marks an
encoder of timm: ``unet-resnet34``, ``fpn-tu-convnext_tiny``. Of an encoder of timm the first
stages alone may be taken: ``linknet-tu-resnet18-depth4``. Listing them imports no torch.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from emsym.errors import UserError, first_line
from emsym.models.encoders import DECODERS, SMALLEST, TIMM, encoders
from emsym.models.inits import INITS, PRESERVE, Init, parse_init
from emsym.models.interventions.registry import INTERVENTIONS
from emsym.registry import Registry

if TYPE_CHECKING:
    from torch import nn

    from emsym.models.pretrained.weights import LoadedWeights
    from emsym.models.stem.stem import Stem

Factory = Callable[[], "nn.Module"]
DEPTH = 5
"""The stages of an encoder that networks have unless their names say otherwise."""
_STAGES = re.compile(rf"({TIMM}.+)-depth(\d+)")
"""An encoder of timm, whose later stages are then not there at all, and how many are taken."""
_WIDTHS_BY_STAGE, _WIDTHS = ("unet", "unetplusplus", "manet"), (256, 128, 64, 32, 16)
"""Decoders that must be told the width of each of their stages, and the widths they have else."""
_RANDOM_STATE_LOCK = threading.RLock()
"""Held while a network is drawn, for the state of random numbers is the process's."""


@dataclass(frozen=True)
class SmpFactory:
    """A factory of networks of segmentation-models-pytorch, for one decoder and one encoder."""

    decoder: str
    encoder: str
    depth: int = DEPTH
    """How many of the encoder's stages, each of which halves the image, are taken."""

    @property
    def name(self) -> str:
        """The architecture's name."""
        stages = "" if self.depth == DEPTH else f"-depth{self.depth}"
        return f"{self.decoder}-{self.encoder}{stages}"

    def __call__(self, classes: int = 1) -> nn.Module:
        """Return the network for three slices, nothing pretrained.

        Raises `UserError` for an unknown encoder and one that does not go with the decoder.
        """
        import segmentation_models_pytorch as smp

        name = self.name
        check_encoder(self.encoder, name)
        options: dict[str, Any] = {} if self.depth == DEPTH else {"encoder_depth": self.depth}
        if options and self.decoder in _WIDTHS_BY_STAGE:
            options["decoder_channels"] = _WIDTHS[: self.depth]
        try:
            return smp.create_model(
                self.decoder,
                self.encoder,
                encoder_weights=None,
                in_channels=3,
                classes=classes,
                **options,
            )
        except Exception as error:  # each encoder that does not go with a decoder has its own
            tried = encoders().get(self.encoder)
            others = ", ".join(tried.decoders) if tried else ""
            way = f"these go with the encoder: {others}" if others else "take another encoder"
            raise UserError(
                f"The architecture '{name}' cannot be built ({first_line(error)}): {way}."
            ) from error

    def redraw(self, model: nn.Module) -> None:
        """Draw all of such a network but its encoder anew, as its constructor does."""
        for part, child in model.named_children():
            for module in child.modules() if part != "encoder" else ():
                if callable(reset := getattr(module, "reset_parameters", None)):
                    reset()
        if not self.decoder.startswith("deeplab"):  # which are left as PyTorch draws them
            cast(Any, model).initialize()


def check_encoder(encoder: str, architecture: str) -> None:
    """Raise `UserError` for an encoder that neither segmentation-models-pytorch nor timm has."""
    import segmentation_models_pytorch as smp
    import timm

    known = smp.encoders.get_encoder_names()
    if encoder.startswith(TIMM):
        known = [f"{TIMM}{name}" for name in timm.list_models()]
    if encoder not in known:
        near = get_close_matches(encoder, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "see its documentation."
        raise UserError(
            f"There is no encoder '{encoder}' for the architecture '{architecture}'; {hint}"
        )


def _smp_factory(name: str) -> SmpFactory | None:
    """Return a factory for a name that follows the pattern, or None.

    Raises `UserError` for a number of stages that no encoder may be cut to.
    """
    decoder, _, encoder = name.partition("-")
    depth = DEPTH
    if stages := _STAGES.fullmatch(encoder):
        encoder, depth = stages[1], int(stages[2])
        if not 1 <= depth < DEPTH:
            raise UserError(
                f"The architecture '{name}' asks for the first {depth} stages of its encoder: take "
                f"1 to {DEPTH - 1}, as -depth{DEPTH - 1}, or all by leaving -depth{depth} out."
            )
    known = encoder in encoders() or encoder.startswith(TIMM)  # of which timm alone knows all
    return SmpFactory(decoder, encoder, depth) if decoder in DECODERS and known else None


def encoder_name(architecture: str) -> str:
    """Return the encoder in an architecture's name; of a plug-in network the whole name.

    >>> encoder_name("linknet-tu-resnet18-depth4"), encoder_name("my-net")
    ('tu-resnet18', 'my-net')
    """
    factory = _smp_factory(architecture)
    return factory.encoder if factory else architecture


ARCHITECTURES: Registry[Factory] = Registry(
    "architecture", group="emsym.architectures", resolve=_smp_factory
)

for _encoder in encoders().values():
    for _decoder, _size in _encoder.decoders.items() if not _encoder.refused else ():
        _summary = f"{_encoder.parameters:.1f} M parameters in the encoder"
        ARCHITECTURES.add(
            f"{_decoder}-{_encoder.name}",
            SmpFactory(_decoder, _encoder.name),
            summary=_summary if _size == SMALLEST else f"{_summary}; from {_size} pixels",
        )


def register_architecture(name: str) -> Callable[[Factory], Factory]:
    """Decorate a function () → network to register it as an architecture.

    The network reads (N, 3, H, W) and gives the logit of the foreground, (N, 1, H, W).
    Raises `UserError` when the name is taken.
    """
    if not isinstance(name, str):
        raise UserError(
            'An architecture is registered by its name: write @register_architecture("my-net").'
        )

    def register(factory: Factory) -> Factory:
        summary = (factory.__doc__ or "").strip().split("\n")[0]
        ARCHITECTURES.add(name, factory, summary=summary, depth=2)
        return factory

    return register


def architecture_name(name: str) -> str:
    """Return the name of an architecture as it is registered; its letters may be of either case.

    Raises `UserError` for one that there is not, and for a decoder without an encoder.

    >>> architecture_name("Unet-ResNet34")
    'unet-resnet34'
    """
    small = name.lower()
    known = {*ARCHITECTURES.names()}
    if name not in known and (small in known or _smp_factory(small)):
        return small
    decoder = small.replace("-", "")
    if name not in known and decoder in DECODERS:
        raise UserError(
            f"'{name}' is a decoder, and an architecture has an encoder, too: decoder-encoder, as "
            f"'{decoder}-resnet34'; `emsym-bench list architectures '{decoder}-*'` shows those "
            "that were tried."
        )
    ARCHITECTURES.entry(name)
    return name


def list_architectures(pattern: str = "*") -> list[str]:
    """Return the names of the architectures that match a shell pattern.

    >>> list_architectures("unet-tu-test_[er]*net")
    ['unet-tu-test_efficientnet', 'unet-tu-test_resnet']
    """
    return ARCHITECTURES.names(pattern)


@dataclass(frozen=True)
class BuiltModel:
    """A network, what reads its input, and the weights that it was given, if any."""

    model: nn.Module
    stem: Stem
    weights: LoadedWeights | None


def create_model(
    name: str,
    init: str = "rgb",
    slices: int = 3,
    weights: str | os.PathLike | None = None,
    seed: int = 0,
    spacing_nm: float | None = None,
) -> nn.Module:
    """Return a network from stacks (N, S, H, W) to the central slice's logits, (N, 1, H, W).

    `init` is a strategy, with interventions if need be: ``uniform-green+mirror-tied``.
    `weights` is ``pretext``, ``imagenet``, a tag of timm's such as ``resnet50.a1_in1k``, a file,
    a folder with a file for each encoder, or None for none; of ``imagenet``, a folder that
    EMSYM_WEIGHTS_DIR names is looked into before they are fetched. Whatever is not pretrained is
    initialised from `seed`, alike for all strategies, so that strategies can be compared in pairs.
    The global random numbers are left as they were, but not those that another thread draws
    meanwhile. `spacing_nm` is how far sections are apart, which `gaussian` and `triangular` need.
    What an intervention does in training or at inference is not in the network.

    Raises `UserError` for an unknown name, an even or non-positive `slices`, weights that do not
    fit or cannot be had, and a network whose stem cannot be filled.
    """
    from emsym.models.pretrained.chosen_weights import choose_weights

    if weights is not None:
        weights = choose_weights(os.fspath(weights), Path(), encoder_name(name)).source
    return build_model(name, init, slices, weights, seed, spacing_nm=spacing_nm).model


def build_model(
    name: str,
    init: str,
    slices: int,
    weights: str | os.PathLike | None,
    seed: int,
    offline: bool = False,
    spacing_nm: float | None = None,
) -> BuiltModel:
    """Return what `create_model` does, with its stem and its weights' identity; raise as it does.

    A network with its weights is built and loaded once in a process, and copied for each call.
    With `offline`, published weights must lie in a cache.
    """
    import torch

    from emsym.models.stem.fill import fill_stem
    from emsym.models.stem.find import find_stem

    chosen = parse_init(init)
    strategy = chosen.strategy.at(spacing_nm, chosen.strategy_name)
    changes = [INTERVENTIONS.get(each) for each in chosen.interventions]
    factory = ARCHITECTURES.get(name)
    with _RANDOM_STATE_LOCK, torch.random.fork_rng(devices=[]):
        if chosen.strategy.pretrained and weights is not None:
            weights = os.fspath(weights)
            prototype = _prototype(factory, weights, _file_version(weights), offline)
        else:
            prototype = _untrained_model(factory, seed)
        check_colours(chosen, prototype.weights)
        model = _seeded_copy(prototype, factory, seed)
        stem = prototype.stem
        for change in changes:
            if change.acts_on == "network":
                model = change.apply(model)
                stem = find_stem(model, 3)
        stem = fill_stem(model, stem, chosen.strategy_name, strategy, slices)
        for change in changes:
            if change.acts_on == "stem":
                change.apply(model, stem)
    return BuiltModel(model, stem, prototype.weights)


def check_colours(chosen: Init, weights: LoadedWeights | None) -> None:
    """Raise `UserError` where a strategy tells colours apart and the weights have one channel."""
    if weights is not None and weights.grey and chosen.strategy.colours:
        others = [n for n in INITS.own_names() if not INITS.get(n).colours and PRESERVE not in n]
        raise UserError(
            f"The weights '{weights.tag}' read one channel, and the init '{chosen.name}' takes "
            f"red, green and blue apart: take one of {', '.join(others)}."
        )


_PROTOTYPES: dict[tuple[object, ...], BuiltModel] = {}
CACHE_BYTES = 1_000_000_000
"""Bytes of networks that a process keeps, beside the one that it uses: some ten U-Nets."""


def _file_version(weights: str) -> tuple[object, ...]:
    """Return a key that changes when weights of the same name are others by now."""
    from emsym.paths import data_dir

    file = Path(weights)
    if not file.is_file():
        return (data_dir(),)
    status = file.stat()
    return file.resolve(), status.st_mtime_ns, status.st_size


def _prototype(
    factory: Factory, weights: str, stamp: tuple[object, ...], offline: bool
) -> BuiltModel:
    """Return a network with pretrained weights; what is not pretrained in it is drawn later.

    Networks are kept for as long as they and those asked for since take no more than `CACHE_BYTES`.
    """
    from emsym.models.pretrained.weights import load_weights
    from emsym.models.stem.find import find_stem

    key = (factory, weights, stamp)
    if (found := _PROTOTYPES.pop(key, None)) is None:
        model = factory()
        loaded = load_weights(model, weights, offline=offline)
        found = BuiltModel(model, find_stem(model, 3), loaded)
    _PROTOTYPES[key] = found  # the last asked for comes last
    sizes = {key: _bytes(built.model) for key, built in _PROTOTYPES.items()}
    for oldest in list(_PROTOTYPES)[:-1]:
        if sum(sizes[key] for key in _PROTOTYPES) > CACHE_BYTES:
            del _PROTOTYPES[oldest]
    return found


def _bytes(model: nn.Module) -> int:
    """Return how many bytes a network's parameters take."""
    return sum(weight.numel() * weight.element_size() for weight in model.parameters())


def _untrained_model(factory: Factory, seed: int) -> BuiltModel:
    """Return a network with nothing pretrained, drawn from a seed."""
    import torch

    from emsym.models.stem.find import find_stem

    torch.manual_seed(seed)
    model = factory()
    return BuiltModel(model, find_stem(model, 3), None)


def _seeded_copy(prototype: BuiltModel, factory: Factory, seed: int) -> nn.Module:
    """Return a copy of the prototype; what its weights do not give is drawn from a seed."""
    import torch

    torch.manual_seed(seed)
    model: Any = deepcopy(prototype.model) if prototype.weights else prototype.model
    if isinstance(factory, SmpFactory):
        factory.redraw(model)
    elif prototype.weights and hasattr(model, "encoder"):
        encoder = model.encoder.state_dict()
        model = factory()
        model.encoder.load_state_dict(encoder)
    return model
