"""Following the raw stack through a network: a label for every value, the slice it came from.

Whatever only moves values about moves the labels with them (crops, patches, space-to-depth,
reordered channels); whatever works on each value alone keeps them (input normalisation). The first
weights that a labelled tensor meets read the stack.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

NO_SLICE = -1.0
"""The label of padding and of channels that the network makes itself."""

MOVES = frozenset(
    """
    view _unsafe_view reshape _reshape_alias expand permute transpose t slice select unsqueeze
    squeeze cat stack split split_with_sizes chunk unbind alias detach flip roll rot90 index
    index_select unfold im2col pixel_unshuffle pixel_shuffle channel_shuffle constant_pad_nd
    reflection_pad2d replication_pad2d repeat lift_fresh movedim narrow
    """.split()  # noqa: SIM905 (a column of 37 strings is no easier to read)
)
"""Operations that move values about without changing one."""
KEEPS_ORDER = frozenset(
    """
    view _unsafe_view reshape _reshape_alias expand unsqueeze squeeze alias detach lift_fresh
    """.split()  # noqa: SIM905
)
"""Those of them that leave values in their order, if they leave any out."""
TURNS = frozenset(["t", "transpose", "permute"])
"""Those of them that a matrix multiplication may need."""
RESAMPLES = (
    "upsample_",
    "_upsample_",
    "avg_pool2d",
    "max_pool2d",
    "_adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "grid_sampler_2d",
    "native_batch_norm",
    "_native_batch_norm_legit",
    "_batch_norm",
    "cudnn_batch_norm",
)
"""Beginnings of the names of operations that work on each channel alone."""
REDUCTIONS = ("mean", "sum", "amax", "amin", "max", "min", "std", "var", "var_mean", "std_mean")
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "linear")


@dataclass(frozen=True)
class Read:
    """A weight that met the raw stack.

    `slots` has for each index of the weight's dimension `dim` the slice that it reads, or -1.
    `refused` says why the weight cannot be treated, where it cannot.
    """

    module: str
    kind: str
    parameter: str
    dim: int
    slots: tuple[int, ...]
    refused: str = ""

    @property
    def path(self) -> str:
        """The weight's name in the network's state dict."""
        return f"{self.module}.{self.parameter}".lstrip(".")

    @property
    def where(self) -> str:
        """``encoder.conv1 (Conv2d)``, for messages."""
        return f"{self.module or 'the network itself'} ({self.kind})"


@dataclass(frozen=True)
class Constant:
    """A parameter or buffer with a value for each slice, met on the way to a weight."""

    name: str
    dim: int


class SliceTracer(TorchDispatchMode):
    """Follows the labels of the raw stack, and what constants are made of, through every step."""

    def __init__(
        self, modules: dict[str, nn.Module], tensors: Mapping[str, Tensor], stack: Tensor
    ) -> None:
        """Take a network's modules and tensors by their names, and the stack that it is to read."""
        super().__init__()
        self.modules = modules
        self.paths = {id(module): path for path, module in self.modules.items()}
        self.running: list[nn.Module] = []
        self.slices = stack.shape[1]
        self.labels = WeakTensorKeyDictionary()
        order = torch.arange(float(self.slices)).view(1, -1, 1, 1)
        self.labels[stack] = order.expand(stack.shape)
        self.origins = WeakTensorKeyDictionary()
        self.moved = WeakTensorKeyDictionary()
        self.computed = WeakTensorKeyDictionary()  # from the slices, behind the first weights
        self.tensors = tensors
        for name, tensor in tensors.items():  # the same tensor may have several names
            self.origins[tensor] = (*self.origins.get(tensor, ()), name)
        self.reads: list[Read] = []
        self.constants: list[Constant] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if any(tensor in self.labels for tensor in given):
            self._follow(func, args, kwargs, given, result, made)
        else:
            origins = dict.fromkeys(o for tensor in given for o in self.origins.get(tensor, ()))
            known = given and all(tensor in self.origins for tensor in given)
            moved = frozenset[str]().union(*(self.moved.get(tensor, ()) for tensor in given))
            if (name := _name(func)) in MOVES - KEEPS_ORDER:
                moved |= {name}
            for tensor in made if known else ():
                self.origins[tensor] = tuple(origins)
                self.moved[tensor] = moved
        if not _makes_shapes(_name(func)) and any(
            tensor in self.labels or tensor in self.computed for tensor in given
        ):
            self.computed |= {tensor: True for tensor in made if tensor not in self.labels}
        return result

    def _follow(
        self,
        func: Any,
        args: Any,
        kwargs: Any,
        given: list[Tensor],
        result: Any,
        made: list[Tensor],
    ) -> None:
        name = _name(func)
        if name in ("convolution", "_convolution"):  # the latter in TorchScript
            self._convolution(*args[:3], *args[6:9:2])
        elif name in PRODUCTS:
            self._product(given)
        elif name in MOVES:
            self._move(func, name, args, kwargs, result)
        elif torch.Tag.pointwise in func.tags or name in ("clone", "_to_copy"):
            self._pointwise(name, given, made)
        elif name.startswith(RESAMPLES):
            self._channelwise(given, made[0])
        elif name in ("native_group_norm", "native_layer_norm"):
            self._normalise(name, args, made[0])
        elif name == "copy":
            self._write(*args[:2])
        elif name in REDUCTIONS:
            self._reduce(name, args, given, made)
        elif not made or _makes_shapes(name):
            pass  # nothing of the values is in it
        else:
            self._refuse(f"passes the slices through '{name}', which cannot be followed")

    def _move(self, func: Any, name: str, args: Any, kwargs: Any, result: Any) -> None:
        def label(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            if leaf in self.labels:
                return self.labels[leaf]
            if "index" not in name:
                return torch.full(leaf.shape, NO_SLICE)
            if leaf.is_meta:
                raise RuntimeError("an index without values leads nowhere")
            return leaf.cpu()

        if "view" in name or "reshape" in name:  # labels lie in memory in another way than values
            self.labels[result] = self.labels[args[0]].reshape(result.shape)
            return
        if name == "constant_pad_nd":
            args, kwargs = (*args[:2], NO_SLICE), {}
        moved = func(*tree_map(label, args), **kwargs)
        if isinstance(result, Tensor):
            self.labels[result] = moved
        else:
            for tensor, labels in zip(result, moved, strict=True):
                self.labels[tensor] = labels

    def _pointwise(self, name: str, given: list[Tensor], made: list[Tensor]) -> None:
        raw = [self.labels[tensor] for tensor in given if tensor in self.labels]
        shape = made[0].shape
        labels = raw[0].expand(shape)
        if any(not torch.equal(other.expand(shape), labels) for other in raw[1:]):
            return self._refuse(f"mixes slices by '{name}' before any weight")
        if name not in ("clone", "_to_copy") and len(_slices_in(labels)) < self.slices:
            return self._refuse(f"changes some slices alone by '{name}'")
        for tensor in given if name not in ("clone", "_to_copy") else ():
            if tensor not in self.labels:
                self._constant(tensor, labels)
        for tensor in made:
            self.labels[tensor] = labels
        return None

    def _channelwise(self, given: list[Tensor], made: Tensor) -> None:
        labels = self.labels.get(given[0])
        channels = None if labels is None else _labels_along(labels, 1)
        if channels is None:
            return self._refuse("normalises or resamples the slices, but not each alone")
        along = channels.view(1, -1, *[1] * (made.ndim - 2))
        self._constants_of_channels(given[1:], along)
        self.labels[made] = along.expand(made.shape)
        return None

    def _constants_of_channels(self, given: Iterable[Tensor | None], labels: Tensor) -> None:
        """Note those of the tensors (C,) that have a value for each slice of (N, C, …)."""
        for tensor in given:
            if tensor is not None and tensor.ndim == 1 and tensor in self.origins:
                per_channel = tensor.view(1, -1, *[1] * (labels.ndim - 2))
                self.origins[per_channel] = self.origins[tensor]
                self._constant(per_channel, labels)

    def _normalise(self, name: str, args: Any, made: Tensor) -> None:
        """Group and layer normalisation: values keep their slices if the statistics are fair."""
        labels = self.labels.get(args[0])
        if labels is None:
            return self._refuse("normalises by the slices what is not of them")
        if name == "native_group_norm":  # (stack, weight, bias, N, C, H · W, groups, eps)
            sets, dims = labels.reshape(len(labels), args[6], -1), [2]
        else:  # (stack, shape, weight, bias, eps)
            sets, dims = labels, list(range(-len(args[1]), 0))
        if not torch.equal(sets.amin(dims), sets.amax(dims)) and not self._is_balanced(sets, dims):
            return self._refuse("normalises some slices alone together")
        if name == "native_group_norm":
            self._constants_of_channels(args[1:3], labels)
        for tensor in args[2:4] if name == "native_layer_norm" else ():
            if tensor is not None:
                self._constant(tensor, labels)
        self.labels[made] = labels
        return None

    def _write(self, target: Tensor, source: Tensor) -> None:
        """Label the whole of a tensor of which a part is written, as circular padding does."""
        whole = target if target._base is None else target._base
        memory = torch.full([whole.untyped_storage().nbytes() // whole.element_size()], NO_SLICE)

        def part(of: Tensor) -> Tensor:
            return memory.as_strided(of.shape, of.stride(), of.storage_offset())

        if whole in self.labels:
            part(whole).copy_(self.labels[whole])
        part(target).copy_(self.labels.get(source, torch.tensor(NO_SLICE)))
        for tensor in (target, whole):
            self.labels[tensor] = part(tensor)

    def _is_balanced(self, labels: Tensor, dims: Any) -> bool:
        """Return whether what is over `dims` has as much of each slice as of the one opposite."""
        counts = [(labels == s).sum(dims) for s in range(self.slices)]
        return all(torch.equal(a, b) for a, b in zip(counts, counts[::-1], strict=True))

    def _reduce(self, name: str, args: Any, given: list[Tensor], made: list[Tensor]) -> None:
        """Label a statistic of each slice; one that reversal does not change belongs to none."""
        labels = self.labels[given[0]]
        dims = args[1] if len(args) > 1 and isinstance(args[1], (list, tuple, int)) else None
        dims = list(range(labels.ndim)) if dims in (None, [], ()) else dims
        keep = made[0].ndim == labels.ndim
        low, high = labels.amin(dims, keepdim=keep), labels.amax(dims, keepdim=keep)
        if torch.equal(low, high) and low.shape == made[0].shape:
            for tensor in made:
                self.labels[tensor] = low
            return None
        if not self._is_balanced(labels, dims):
            return self._refuse(f"reduces some slices alone by '{name}'")
        if not all(tensor.is_floating_point() for tensor in made):
            return self._refuse(f"tells by '{name}' which slice is the largest or smallest")
        return None

    def _constant(self, tensor: Tensor, labels: Tensor) -> None:
        """Note a tensor that meets the slices if it has a value for each."""
        varying = [dim for dim in range(labels.ndim) if _labels_along(labels, dim) is not None]
        if tensor.ndim == 0 or len(varying) != 1 or len(_slices_in(labels)) < 2:
            return None
        dim = varying[0] - labels.ndim  # as broadcasting counts
        if -dim > tensor.ndim or tensor.shape[dim] == 1:
            return None
        if tensor in self.computed:
            return self._refuse(
                "adds to each slice values that the network computes from all of them (as where "
                "a block adds its input to its output), which differ between the sides"
            )
        count = tensor.shape[dim]
        names = self.origins.get(tensor, ())
        constants = [
            Constant(name, self.tensors[name].shape.index(count))
            for name in names
            if self.tensors[name].shape.count(count) == 1
        ]
        if not constants or count != self.slices:
            return self._refuse(
                "meets the slices with values of their own that are neither parameters nor buffers "
                "(use register_buffer), or have no dimension that is clearly theirs"
            )
        self.constants += constants
        return None

    def _convolution(
        self, stack: Tensor, weight: Tensor, bias: Tensor | None, transposed: bool, groups: int
    ) -> None:
        if stack not in self.labels:
            return self._refuse("makes its weights from the slices")
        if transposed:
            return self._refuse("is a transposed convolution", weight)
        if groups != 1:
            return self._refuse("is a grouped convolution: it sees no two slices together", weight)
        return self._read(self.labels[stack], 1, weight, convolves=True)

    def _product(self, given: list[Tensor]) -> None:
        left, right = given[-2:]  # addmm's bias comes first
        if left in self.labels and right in self.labels:
            return self._refuse("multiplies slices with each other")
        if left in self.labels:
            return self._read(self.labels[left], left.ndim - 1, right)
        return self._read(self.labels[right], right.ndim - 2, left)

    def _read(self, labels: Tensor, axis: int, weight: Tensor, convolves: bool = False) -> None:
        """Note that a weight meets what has these labels; their `axis` runs over its inputs.

        What it is computed from besides may scale its filters, but not tell the slices apart.
        """
        slots = _labels_along(labels, axis)
        name = self._parameter(weight)
        if slots is None:
            return self._refuse("sees slices along an axis that is not its input channels", weight)
        if name is None:
            return self._refuse("uses weights that are not parameters")
        owner, _, parameter = name.rpartition(".")
        module = self.modules[owner]
        shape = self.tensors[name].shape
        filters = weight.numel() // len(slots)
        moved = set(self.moved.get(weight, ()))
        dims = [dim for dim in range(min(2, len(shape))) if shape[dim] == len(slots)]
        if convolves:
            filters, dims = weight.shape[0], [1]
            moved |= {"reshape"} if weight.shape != shape else set()
        else:
            moved -= TURNS
            dims = [1] if isinstance(module, nn.Linear) else dims
        if moved:
            return self._refuse("rearranges its weights before it uses them", weight)
        for other in self.origins[weight]:
            own = self.tensors[other]
            alike = own.numel() == filters and (filters != len(slots) or own.ndim > 1)
            if own is not self.tensors[name] and own.numel() != 1 and not alike:
                return self._refuse(f"computes its weights from '{other}' as well", weight)
        if len(dims) != 1:
            return self._refuse("multiplies by a matrix whose inputs cannot be told", weight)
        slices = tuple(int(slot) for slot in slots)
        self.reads.append(Read(owner, type(module).__name__, parameter, dims[0], slices))
        return None

    def _parameter(self, weight: Tensor) -> str | None:
        """Return the parameter or buffer that a weight is, or is computed from, value by value."""
        for name in self.origins.get(weight, ()):
            if self.tensors[name].numel() == weight.numel():
                return name
        return None

    def _refuse(self, why: str, weight: Tensor | None = None) -> None:
        name = None if weight is None else self._parameter(weight)
        owner, _, parameter = (name or "").rpartition(".")
        module = self.running[-1] if self.running else self.modules[""]
        path = owner if name else self.paths.get(id(module), "")
        kind = type(self.modules.get(path, module)).__name__
        self.reads.append(Read(path, kind, parameter, 1, (), why))


def _name(func: Any) -> str:
    """``sub`` for aten::sub_.Tensor."""
    name = func._schema.name.removeprefix("aten::")
    return name if name.startswith("_") else name.rstrip("_")


def _makes_shapes(name: str) -> bool:
    """Return whether an operation takes the shape of a tensor alone, and none of its values."""
    return name.endswith("_like") or name.startswith("new_")


def _slices_in(labels: Tensor) -> set[float]:
    """Return which slices are in it."""
    return set(labels.unique().tolist()) - {NO_SLICE}


def _labels_along(labels: Tensor, dim: int) -> Tensor | None:
    """Return the labels along one dimension, None where they vary along another; padding aside."""
    rows = labels.movedim(dim, 0).flatten(1)
    high = rows.amax(1)
    same = (rows == high[:, None]) | (rows == NO_SLICE)
    return high if bool(same.all()) else None
