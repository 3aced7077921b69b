"""Which weights read the raw stack: a network is run once, and its input followed to them.

The input is followed value by value (`emsym.models.stem.slice_tracer`): names, types and positions
of layers play no part. Where shapes suffice the network runs on PyTorch's meta device, which
computes nothing and holds nothing; else on the real one, once, on a small input.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from emsym.models.stem.slice_tracer import Constant, Read, SliceTracer

SIZES = (
    *(64, 224, 256, 384, 512, 518, 448, 336, 240, 299, 160, 192, 288, 378, 560, 1024),
    *(96, 128, 320, 480, 640, 768),
)
"""Heights and widths tried in turn, in pixels: some networks take one size alone."""
PATIENCE = 10
"""Seconds after which no other size is tried where shapes do not suffice."""
_RUN_LOCK = threading.RLock()
"""Held while a network runs, for hooks and the state of random numbers are the process's."""


@dataclass(frozen=True)
class Trace:
    """The weights and constants that the raw stack met in a network, in the order of its run."""

    reads: tuple[Read, ...]
    constants: tuple[Constant, ...]
    size: int
    """Height and width of the stack that it ran on, in pixels."""


def trace(
    model: nn.Module,
    channels: int,
    replaced: Mapping[str, Tensor] | None = None,
    sizes: Sequence[int] = SIZES,
) -> Trace:
    """Follow a stack (1, `channels`, H, W) through a network, which is left as it was.

    It is left as it was in its modules, parameters and buffers; forward hooks of its owner's do
    run, and a network that counts in a plain attribute, or writes into a parameter, counts on.

    `replaced` gives parameters and buffers that stand in for the network's own.
    Raises what the network raises where it runs on none of the `sizes`, in its own words.
    """
    model = getattr(model, "_orig_mod", model)  # what torch.compile has wrapped
    for meta in (True, False):
        errors: list[Exception] = []
        start = time.monotonic()
        for size in sizes:
            with _RUN_LOCK, torch.inference_mode(False), _undo_changes(model):
                for module in model.modules():  # not eval(), which some networks do not allow
                    module.training = False
                try:
                    return _run(model, channels, size, replaced or {}, meta)
                except Exception as error:  # whatever a stranger's network raises
                    errors.append(error)
            if isinstance(errors[-1], TypeError):
                break  # the size is not what is wrong
            if not meta and time.monotonic() - start > PATIENCE:
                break
    raise errors[0]


def _run(
    model: nn.Module, channels: int, size: int, replaced: Mapping[str, Tensor], meta: bool
) -> Trace:
    """Run a network that `_undo_changes` restores."""
    modules = dict(model.named_modules(remove_duplicate=False))
    tensors: dict[str, Tensor] = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
        **replaced,
    }
    if meta:  # one for each, so that what is shared stays so
        hollow = {
            id(tensor): torch.empty_like(tensor, device="meta") for tensor in tensors.values()
        }
        tensors = {name: hollow[id(tensor)] for name, tensor in tensors.items()}
    else:  # a network may count in its buffers
        own = {id(buffer): buffer.clone() for buffer in model.buffers()}
        tensors = {name: own.get(id(tensor), tensor) for name, tensor in tensors.items()}
    floats = [tensor for tensor in tensors.values() if tensor.is_floating_point()]
    stack = torch.zeros(
        1,
        channels,
        size,
        size,
        dtype=floats[0].dtype if floats else None,
        device="meta" if meta else (floats[0].device if floats else None),
    )
    for path, tensor in tensors.items():
        owner, _, name = path.rpartition(".")
        module = modules[owner]
        (module._parameters if name in module._parameters else module._buffers)[name] = tensor
    tracer = SliceTracer(modules, tensors, stack)
    with torch.no_grad(), _track_modules(tracer), tracer:
        model(stack)
    return Trace(tuple(tracer.reads), tuple(dict.fromkeys(tracer.constants)), size)


@contextmanager
def _track_modules(tracer: SliceTracer) -> Iterator[None]:
    """Tell `tracer` which module is running."""

    def enter(module: nn.Module, *_: Any) -> None:
        tracer.running.append(module)

    def leave(module: nn.Module, *_: Any) -> None:
        if tracer.running and tracer.running[-1] is module:
            tracer.running.pop()

    hooks = [
        nn.modules.module.register_module_forward_pre_hook(enter),
        nn.modules.module.register_module_forward_hook(leave),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _undo_changes(model: nn.Module) -> Iterator[None]:
    """Undo what running a network changes: modes, what modules keep, and torch's random state.

    Without it a network that caches a mask would keep one of the meta device.
    """
    before = [(module, module.training, dict(module.__dict__)) for module in model.modules()]
    tensors: Any  # of a scripted module no dictionary
    kept = [  # parameters and buffers among them
        (value, value.copy())
        for _, _, attributes in before
        for value in attributes.values()
        if type(value) in (dict, list, set, OrderedDict)
    ]
    elsewhere = [  # where TorchScript keeps its tensors
        (tensors, name, tensor)
        for module, *_ in before
        for tensors in (module._parameters, module._buffers)
        if type(tensors) not in (dict, OrderedDict)
        for name, tensor in tensors.items()
    ]
    devices = {tensor.device for tensor in model.parameters() if tensor.is_cuda}
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        for module, training, attributes in before:
            module.__dict__.clear()
            module.__dict__.update(attributes)
            module.training = training
        for value, content in kept:
            value.clear()
            (value.extend if isinstance(value, list) else value.update)(content)
        for tensors, name, tensor in elsewhere:
            tensors[name] = tensor
