"""The architecture that weights are likely of, for a sentence that asks for it.

It is proposed and not taken: networks with the same tensors may still compute something else, as
those do that pad or dilate their convolutions in another way.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from emsym.errors import first_three
from emsym.models.architectures import SmpFactory
from emsym.models.encoders import DECODERS, Encoder, encoders
from emsym.models.pretrained.inert_pickle import Inert
from emsym.models.pretrained.tensor_names import COUNTER

if TYPE_CHECKING:
    from torch import Tensor

    from emsym.models.pretrained.checkpoint import Checkpoint

_ENCODER, _HEAD = "encoder.", "segmentation_head."
_SETTINGS = ("hyper_parameters", "hparams", "args", "config", "cfg")
"""Where Lightning, timm and others keep the arguments of a network."""
_PREFIXES = 4
"""So many names may stand before the encoder's before no more are tried."""
_BUFFERS = ("running_mean", "running_var", COUNTER)
_NEAR = 0.03
"""A part of its parameters by which an encoder may seem to differ from its row in the table."""
_DEPTH = 3
"""How many dictionaries within each other are looked into for settings."""

Shapes = dict[str, tuple[int, ...]]


def architecture_option(checkpoint: Checkpoint) -> str:
    """Return ``--architecture`` with what is known of its value, as the middle of a sentence."""
    names, encoder = _by_tensors(checkpoint.state)
    if names:
        alike = "have the same names and shapes" if len(names) == 1 else "fit all of these"
        return f"--architecture {' or '.join(names)}, as its tensors {alike}"
    source = "tensors"
    for settings in _SETTINGS:
        words = [*_words(checkpoint.content, settings)]
        told_encoder, told_decoder = _one(words, encoders()), _one(words, DECODERS)
        if told_encoder and told_decoder:
            return f"--architecture {told_decoder}-{told_encoder}, as its '{settings}' say"
        if told_encoder and not encoder:
            encoder, source = told_encoder, f"'{settings}'"
    if encoder:
        return (
            f"--architecture DECODER-{encoder}, an encoder that its {source} tell (decoders are "
            f"{first_three(list(DECODERS))})"
        )
    return "--architecture, such as unet-resnet34"


def _by_tensors(state: Mapping[str, Tensor]) -> tuple[list[str], str]:
    """Return the architectures whose tensors have all these names and shapes, and the encoder.

    The encoder is told alone where no decoder fits; it is "" where none or several do.
    """
    from emsym.models.encoder_survey import shared_encoders

    prefixes = sorted({name.partition(_ENCODER)[0] for name in state if _ENCODER in name})
    for prefix in prefixes[:_PREFIXES]:
        inside = {
            name.removeprefix(prefix): tuple(value.shape)
            for name, value in state.items()
            if name.startswith(prefix)
        }
        with shared_encoders(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of encoders that a decoder takes all the same
            fits = [fit for row in _near_rows(inside) for fit in _fits(row, inside)]
        if whole := [f"{decoder}-{encoder}" for decoder, encoder, fit in fits if fit]:
            return whole, ""
        if len(rows := {encoder for _, encoder, _ in fits}) == 1:
            return [], rows.pop()
    return [], ""


def _near_rows(shapes: Shapes) -> Iterator[Encoder]:
    """Yield the encoders of the table that have such a stem, and about as many parameters."""
    count = sum(
        _product(shape)
        for name, shape in shapes.items()
        if name.startswith(_ENCODER) and not name.endswith(_BUFFERS)
    )
    for row in encoders().values():
        near = abs(count / 1e6 - row.parameters) <= _NEAR * row.parameters + 0.01
        if near and not row.refused and _stem_weights(row) <= shapes.keys():
            yield row


def _fits(row: Encoder, shapes: Shapes) -> Iterator[tuple[str, str, bool]]:
    """Yield the decoders with which an encoder's tensors fit, and whether the whole network does.

    The number of slices and of classes is free.
    """
    from emsym.models.encoder_survey import build_on_meta

    free = {_HEAD, *_stem_weights(row)}
    for decoder in row.decoders:
        try:
            network = build_on_meta(SmpFactory(decoder, row.name))
        except Exception:  # as many kinds as there are libraries
            continue
        own = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        if not _alike(_part(own, _ENCODER), _part(shapes, _ENCODER), free):
            return
        yield decoder, row.name, _alike(own, shapes, free)


def _alike(own: Shapes, given: Shapes, free: Iterable[str]) -> bool:
    """Return whether tensors have the same names and shapes; of `free` beginnings names alone."""
    names = [{name for name in each if not name.endswith(COUNTER)} for each in (own, given)]
    if names[0] != names[1]:
        return False
    return all(own[name] == given[name] or name.startswith(tuple(free)) for name in names[0])


def _part(shapes: Shapes, prefix: str) -> Shapes:
    return {name: shape for name, shape in shapes.items() if name.startswith(prefix)}


def _stem_weights(row: Encoder) -> set[str]:
    """Return the names of the weights that read the stack, ``encoder.conv1.weight``."""
    paths = [part.partition(" (")[0] for part in row.stem.split("; ") if " (" in part]
    return {f"{_ENCODER}{path}.weight" for path in paths}


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _words(content: Any, settings: str) -> Iterator[str]:
    """Yield the texts among the settings of a file, which may name anything."""

    def walk(value: Any, depth: int) -> Iterator[str]:
        value = value.state if isinstance(value, Inert) else value  # such as a Namespace
        if isinstance(value, str) and len(value) < 100:
            yield value
        elif isinstance(value, Mapping) and depth:
            for each in value.values():
                yield from walk(each, depth - 1)

    if isinstance(content, Mapping):
        yield from walk(content.get(settings), _DEPTH)


def _one(words: Iterable[str], known: Iterable[str]) -> str:
    """Return the one known name that is among words in any spelling; "" for none or several.

    >>> _one(["DeepLabV3+", "AdamW"], DECODERS), _one(["unet", "fpn"], DECODERS)
    ('deeplabv3plus', '')
    """
    spelled = {_plain(name): name for name in known}
    named = {spelled[word] for word in map(_plain, words) if word in spelled}
    return named.pop() if len(named) == 1 else ""


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("+", "plus"))
