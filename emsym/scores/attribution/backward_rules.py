"""Attributions that change the way back through a network at its modules.

The rules and the numbers are captum's, whose hooks guided backprop uses; DeepLIFT and LRP put
multipliers in their stead (`multipliers`), which take a fraction of the memory.

Who changes a module sees it and nothing else: what a network computes in between, with a function
instead of a module, passes the plain gradient; a tensor that a module shares with another path is
taken for its own; and of two hooks on one tensor, as where a ReLU feeds a pooling, one is lost. So
each pass gets a copy of the network, which shares the weights, in which every module that is
changed has its own input and a copy of itself for each of its calls; and what a forward pass does
elsewhere is looked at first, and refused by name where the method is not defined on it.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from captum.attr import GuidedBackprop
from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR
from captum.attr._core.lrp import SUPPORTED_LAYERS_WITH_RULES, SUPPORTED_NON_LINEAR_LAYERS
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from emsym.errors import UserError, first_names
from emsym.models.stem.slice_tracer import MOVES
from emsym.scores.attribution.low_memory import Lean
from emsym.scores.attribution.multipliers import Conserve, rescaling, size_pair
from emsym.scores.chunks import shared
from emsym.scores.dense_logits import DenseLogits

CONSERVES = MOVES | {"clone", "_to_copy", "upsample_nearest2d", "empty_like", "zeros_like"}
"""Operations with one source for each value, so that what comes back to it needs no dividing up."""
LINEAR = CONSERVES | frozenset(
    """
    convolution native_batch_norm cudnn_batch_norm _native_batch_norm_legit_no_training
    batch_norm_with_update add sub rsub neg mul div sum mean avg_pool2d adaptive_avg_pool2d
    _adaptive_avg_pool2d upsample_bilinear2d _upsample_bilinear2d_aa upsample_bicubic2d
    upsample_nearest_exact2d _upsample_nearest_exact2d mm addmm bmm linear
    """.split()  # noqa: SIM905
)
"""Operations that are linear in x, but for a constant, where one argument alone depends on x."""
SUMS = frozenset(["add", "sub", "rsub", "cat", "stack"])
RECTIFIERS = frozenset(["relu", "threshold", "clamp_min"])


@dataclass(frozen=True)
class Operation:
    """Something that a forward pass does to what depends on x."""

    name: str
    """As ATen calls it, without the underscore of one in place."""
    path: str
    """The innermost module that does it, as the network names it."""
    module: nn.Module
    linear: bool
    """In x, but for a constant."""
    rectifies: bool


@dataclass(frozen=True)
class Method:
    """A method of captum's, and the modules for which it is right."""

    name: str
    covers: Callable[[nn.Module], bool]
    """Whether it knows a module, and the way back through it is then the right one."""
    wrong: Callable[[Operation], bool]
    """Whether an operation in any other module is one that it is not defined on."""
    instead: str
    """The advice that a refusal ends with."""
    prepared: Callable[[nn.Module], nn.Module]
    """A module that it covers → what stands in its stead, which computes the same."""
    apart: bool
    """Whether each call of such a module needs one of its own, as it keeps what it saw."""
    attribute: Callable[["_Explained", Tensor], Tensor]
    """(network, x (n, S, H, W)) → A (n, S, H, W)."""


def guided_backprop(dense: DenseLogits, x: Tensor, mask: Tensor) -> Tensor:
    """∂T/∂x in which ReLUs pass no negative gradient, (N, S, H, W), with its sign.

    Springenberg et al. 2015, arXiv 1412.6806, as captum's `GuidedBackprop`. A ReLU6 is taken as a
    ReLU that is cut off at 6. Every other activation passes its plain gradient: of a network that
    has ReLUs in its decoder alone, only these are guided.

    Raises `UserError` where no module of the network is a ReLU, and where one is applied by a
    function instead of a module. A ReLU6 or a maximum that a function applies is not told from
    other activations.
    """
    return _attribute(dense, x, mask, GUIDED)


def deeplift(dense: DenseLogits, x: Tensor, mask: Tensor) -> Tensor:
    """Contributions of the differences from the training mean, (N, S, H, W): Σ A = T(x) − T(0).

    The rescale rule of Shrikumar et al. 2017, arXiv 1704.02685, as captum's `DeepLift`. It covers
    ReLU, ELU, LeakyReLU, Sigmoid, Tanh, Softplus and MaxPool2d as modules, with whatever is linear
    in between. Windows of a max pooling that overlap, where captum keeps one contribution of
    several and so loses part of T, are pooled one by one.

    Raises `UserError`, naming the modules, for all else, which would pass the plain gradient:
    SiLU, GELU, Hardswish, ReLU6, layer and group normalisation, products of two feature maps
    (squeeze and excitation, attention) and activations that are applied by a function.
    """
    return _attribute(dense, x, mask, DEEPLIFT)


def lrp(dense: DenseLogits, x: Tensor, mask: Tensor) -> Tensor:
    """Layer-wise relevance propagation, (N, S, H, W), the ε rule in its limit ε → 0.

    Bach et al. 2015, doi 10.1371/journal.pone.0130140, eq. 58: the numbers of captum's `LRP`, whose
    ε is 1e-9; the relevance of T is Σ of the masked logits. It covers Conv2d, Linear, BatchNorm2d,
    MaxPool2d, AvgPool2d, AdaptiveAvgPool2d, ReLU, Tanh and Dropout, with skip connections that are
    concatenated. A relevance by its value is then a gradient (Ancona et al. 2018, arXiv 1711.06104,
    prop. 2), in which tanh counts as tanh(x) / x: where all activations are ReLUs, LRP is input ×
    gradient.

    Raises `UserError`, naming the modules, for all else: sums of two feature maps, as in residual
    blocks and LinkNet decoders, through which captum would send the relevance twice, transposed
    convolutions, other activations and normalisations, and parametrised layers.
    """
    return _attribute(dense, x, mask, LRP_EPSILON)


def _attribute(dense: DenseLogits, x: Tensor, mask: Tensor, method: Method) -> Tensor:
    made = torch.empty_like(x)

    def run(part: slice) -> Tensor:
        copy = _like(dense, _prepared(dense.model, calls, method))
        return method.attribute(_Explained(copy, mask[part]), x[part].clone().requires_grad_())

    pixels = x.shape[-1] * x.shape[-2]
    with warnings.catch_warnings(), _any_algorithm():
        calls = _calls(dense, x, method)
        warnings.filterwarnings("ignore", "Setting .*hooks", UserWarning)
        for part, attribution in dense.in_chunks(run, len(x), pixels):
            made[part] = attribution.detach()
    return made


@contextmanager
def _any_algorithm() -> Iterator[None]:
    """PyTorch calls captum's unpooling not deterministic, for windows that overlap; ours do not."""
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode(0)
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)


class _Explained(nn.Module):
    """x (n, S, H, W) → T (n,), over n masks; or over each of them several times, one after all."""

    def __init__(self, dense: DenseLogits, mask: Tensor) -> None:
        super().__init__()
        self.dense = dense
        self.total = _Total(mask)

    def forward(self, x: Tensor) -> Tensor:
        return self.total(self.dense(x))


class _Total(nn.Module):
    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, logits: Tensor) -> Tensor:
        again = len(logits) // len(self.mask)
        return (logits * self.mask.repeat(again, 1, 1)).sum((1, 2))


class _Apart(nn.Module):
    """A module that each of its calls has a copy of."""

    def __init__(self, copies: list[nn.Module]) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copies)
        self.turn = 0

    def forward(self, x: Tensor) -> Tensor:
        copy = self.copies[self.turn % len(self.copies)]
        self.turn += 1
        return copy(x)


def _cut_off(relu: nn.Module) -> nn.Module:
    """A ReLU6 as a ReLU and what is no ReLU."""
    return nn.Sequential(nn.ReLU(), nn.Hardtanh(0, 6)) if isinstance(relu, nn.ReLU6) else relu


def _rescaled(module: nn.Module) -> bool:
    if isinstance(module, nn.MaxPool2d):
        return size_pair(module.dilation) == (1, 1) and not module.ceil_mode
    # captum's rule of softmax mixes the images of a batch
    return type(module) in SUPPORTED_NON_LINEAR and not isinstance(module, nn.Softmax)


def _relevant(module: nn.Module) -> bool:
    return type(module) in {*SUPPORTED_LAYERS_WITH_RULES, *SUPPORTED_NON_LINEAR_LAYERS}


def _guided(network: "_Explained", x: Tensor) -> Tensor:
    with Lean():
        attribution: Tensor = GuidedBackprop(network).attribute(x)
    return attribution


def _deeplift(network: "_Explained", x: Tensor) -> Tensor:
    with torch.no_grad():
        network.dense(torch.zeros_like(x[:1]))  # the reference, which is that of every stack
    return _multiplied(network, x)


def _multiplied(network: "_Explained", x: Tensor) -> Tensor:
    """x by what comes back to it."""
    with torch.enable_grad(), Lean():
        total = network(x)
    (multipliers,) = torch.autograd.grad(total.sum(), x)
    return (x * multipliers).detach()


GUIDED = Method(
    "guided-backprop",
    lambda module: isinstance(module, nn.ReLU | nn.ReLU6),
    lambda operation: operation.rectifies,
    "make each a module nn.ReLU, or take saliency",
    _cut_off,
    True,
    _guided,
)
DEEPLIFT = Method(
    "deeplift",
    _rescaled,
    lambda operation: not operation.linear,
    "take integrated-gradients, which adds up to T likewise",
    rescaling,
    True,
    _deeplift,
)
LRP_EPSILON = Method(
    "lrp",
    _relevant,
    lambda operation: operation.name not in CONSERVES,
    "take input-x-gradient, which is the same where all activations are ReLUs",
    lambda module: Conserve() if isinstance(module, nn.Tanh) else module,
    False,
    _multiplied,
)


def _calls(dense: DenseLogits, x: Tensor, method: Method) -> Counter[str]:
    """How often a forward pass calls each module; `UserError` where the method is not defined."""
    watch = _OperationRecorder(shared(dense.model))
    network = _like(dense, watch.model)
    with torch.no_grad(), watch:  # a gradient would keep what a section that is large fills
        network(watch.follow(x[:1].detach().clone()))
    wrong = [
        f"{each.name} in {each.path or 'the network'} ({type(each.module).__name__})"
        for each in watch.operations
        if method.wrong(each) and not method.covers(each.module)
    ]
    if wrong:
        raise UserError(
            f"{method.name} is not defined on {first_names(dict.fromkeys(wrong))} of this network: "
            f"{method.instead}."
        )
    if method is GUIDED and not any(method.covers(each.module) for each in watch.operations):
        raise UserError(f"{method.name} needs ReLUs, and this network has none: take saliency.")
    return watch.calls


class _OperationRecorder(TorchDispatchMode):
    """Notes what a forward pass does, and in which modules."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.calls: Counter[str] = Counter()
        self.operations: list[Operation] = []
        self._inside: list[tuple[str, nn.Module]] = [("", model)]
        self._depends = WeakTensorKeyDictionary()
        for path, module in model.named_modules():
            if not isinstance(module, torch.jit.ScriptModule):
                module.register_forward_pre_hook(partial(self._enter, path))
                module.register_forward_hook(self._leave)

    def follow(self, x: Tensor) -> Tensor:
        """The same tensor, from now on the one that all else is asked to depend on."""
        self._depends[x] = True
        return x

    def _enter(self, path: str, module: nn.Module, inputs: object) -> None:
        self.calls[path] += 1
        self._inside.append((path, module))

    def _leave(self, module: nn.Module, inputs: object, outputs: object) -> None:
        self._inside.pop()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        from_x = [each for each in tensors if each in self._depends]
        if from_x:
            for each in tree_leaves(made):
                if isinstance(each, Tensor):
                    self._depends[each] = True
            name = func._schema.name.partition("::")[2].removesuffix("_")
            linear = name in LINEAR and (len(from_x) == 1 or name in SUMS)
            if name == "div":
                linear = linear and from_x[0] is args[0]
            if "batch_norm" in name:  # with the batch's own statistics, as in instance norm, or not
                linear = linear and args[5] is not True
            floor = name == "clamp" and isinstance(args[1], int | float) and args[1] == 0
            self.operations.append(
                Operation(name, *self._inside[-1], linear, floor or name in RECTIFIERS)
            )
        return made


def _prepared(model: nn.Module, calls: Counter[str], method: Method) -> nn.Module:
    """A copy in which modules are out of place, and those that the method covers as it wants."""
    copy = nn.Sequential(shared(model))
    instead: dict[nn.Module, nn.Module] = {}
    for path, module in copy[0].named_modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
        if method.covers(module):
            instead[module] = (
                _Apart([method.prepared(shared(module)) for _ in range(calls[path])])
                if method.apart
                else method.prepared(module)
            )
    for parent in list(copy.modules()):
        for name, child in parent._modules.items():
            if child in instead:
                parent._modules[name] = instead[child]
    return copy


def _like(dense: DenseLogits, model: nn.Module) -> DenseLogits:
    """Another network, seen the same way."""
    other = DenseLogits(model, dense.channel)
    other.reversed, other.channels_last = dense.reversed, dense.channels_last
    return other
