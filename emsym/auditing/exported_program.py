"""Programs of `torch.export`, run without `torch.export.load`.

That function unpickles whatever a file holds (sample inputs, constants), evaluates its symbolic
expressions as Python and loads compiled code. Here the graph is read as the JSON that it is and
walked node by node: each node calls one of PyTorch's own operators on tensors, and there is nothing
else that a node could do. See torch/_export/serde/schema.py for the format, version 8.
"""

import json
import math
import operator
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emsym.errors import UserError, first_line, first_names

FORMAT = 8
"""The major version of the schema."""

Values = dict[str, Any]
"""The values that the graph has computed so far, by name."""

_TYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
_LAYOUTS = {1: torch.contiguous_format, 2: torch.channels_last, 4: torch.preserve_format}
_ARITHMETIC = ("add", "sub", "mul", "floordiv", "truediv", "mod", "neg")
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_SYMBOLIC = ("sym_int", "sym_float", "sym_max", "sym_min", "sym_not")
_SCALARS = {
    **{f"_operator.{n}": getattr(operator, n) for n in ("getitem", *_ARITHMETIC, *_COMPARISONS)},
    **{f"math.{name}": getattr(math, name) for name in ("ceil", "floor", "trunc")},
    **{f"torch.{name}": getattr(torch, name) for name in _SYMBOLIC},
}
"""Arithmetic of sizes: the only calls that are not operators on tensors."""


def _symbol(value: Any, known: Values) -> Any:
    """``{"as_name": …}`` or ``{"as_int": …}``."""
    [(kind, given)] = value.items()
    return known[given] if kind == "as_name" else given


def _optional(value: Any, known: Values) -> Any:
    return known[value["as_tensor"]["name"]] if "as_tensor" in value else None


def _single(given: torch.dtype) -> torch.dtype:
    """float32 for every floating type: a network in half precision is run in full."""
    return torch.float32 if given.is_floating_point else given


_PLAIN = ("int", "ints", "bool", "bools", "string", "strings", "int_lists")
_READERS: dict[str, Callable[[Any, Values], Any]] = {
    **{f"as_{name}": lambda value, known: value for name in _PLAIN},
    "as_none": lambda value, known: None,
    "as_float": lambda value, known: float(value),  # which may be "Infinity"
    "as_floats": lambda value, known: [float(each) for each in value],
    "as_tensor": lambda value, known: known[value["name"]],
    "as_tensors": lambda value, known: [known[each["name"]] for each in value],
    "as_optional_tensor": _optional,
    "as_optional_tensors": lambda value, known: [_optional(each, known) for each in value],
    **{f"as_sym_{name}": _symbol for name in ("int", "float", "bool")},
    **{
        f"as_sym_{name}": lambda value, known: [_symbol(each, known) for each in value]
        for name in ("ints", "floats", "bools")
    },
    "as_scalar_type": lambda value, known: _single(_TYPES[value]),
    "as_memory_format": lambda value, known: _LAYOUTS[value],
    "as_layout": lambda value, known: torch.strided,
    "as_device": lambda value, known: known[""].device,  # where the stack is, wherever it was
}
"""Functions that turn an argument of a node into its value, by the argument's kind."""


@dataclass(frozen=True)
class Node:
    """A call of one operator."""

    call: Callable[..., Any]
    inputs: list[tuple[str | None, str, Any]]
    """Keyword or None, kind, value."""
    outputs: list[str | None]
    several: bool
    """Whether the call gives a sequence, one value for each output."""
    done: list[str]
    """The values that no later node reads."""

    def run(self, known: Values) -> None:
        """Call the operator and note what it returns."""
        read = [(key, _READERS[kind](value, known)) for key, kind, value in self.inputs]
        result = self.call(
            *(value for key, value in read if key is None),
            **{key: value for key, value in read if key is not None},
        )
        for name, value in zip(self.outputs, result if self.several else [result], strict=True):
            if name is not None:
                known[name] = value
        for name in self.done:
            known.pop(name, None)


class Exported(nn.Module):
    """A program of `torch.export` as a module, (N, S, H, W) → what it gives; differentiable.

    `shape` is the program's input, (N, S, H, W), None where it is free. Of a fixed N any number of
    stacks is run all the same.
    """

    def __init__(
        self,
        nodes: list[Node],
        tensors: dict[str, tuple[str, Tensor]],
        output: str,
        stack: str,
        shape: tuple[int | None, ...],
    ) -> None:
        """`tensors` are what the graph reads besides the stack: by name, their path and value."""
        super().__init__()
        self.nodes, self.output, self.stack, self.shape = nodes, output, stack, shape
        self.paths = {name: path for name, (path, _) in tensors.items()}
        for path, tensor in tensors.values():
            _place(self, path, tensor)

    def forward(self, x: Tensor) -> Any:
        """Walk the graph. Raises `UserError` for stacks of a size that it was not exported for."""
        fits = zip(self.shape[1:], x.shape[1:], strict=True)
        if any(fixed not in (None, size) for fixed, size in fits):
            wanted = " × ".join("any" if side is None else str(side) for side in self.shape[1:])
            raise UserError(
                f"The exported program takes stacks of {wanted} (slices × height × width), not of "
                f"{' × '.join(map(str, x.shape[1:]))}: export it with dynamic height and width, "
                "multiples of 32."
            )
        batch = self.shape[0]
        if batch is None or len(x) == batch:
            return self._walk(x)
        outputs = []
        for part in x.split(batch):
            filled = torch.cat([part, part[-1:].expand(batch - len(part), -1, -1, -1)])
            output = self._walk(filled)
            if not isinstance(output, Tensor):
                return output
            outputs.append(output[: len(part)])
        return torch.cat(outputs)

    def _walk(self, x: Tensor) -> Any:
        own: Values = dict(self.named_parameters(remove_duplicate=False))
        own |= self.named_buffers(remove_duplicate=False)
        known = {name: own[path] for name, path in self.paths.items()} | {self.stack: x, "": x}
        for node in self.nodes:
            node.run(known)
        return known[self.output]


def is_exported(path: Path) -> bool:
    """Return whether a file is an archive of `torch.export.save`, of whatever version."""
    names = {name.rpartition("/")[2] for name in members(path)}
    return "archive_format" in names or "serialized_exported_program.json" in names


def members(path: Path) -> list[str]:
    """Return the names of a zip archive's members; none of a damaged file, or of another kind."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):  # as many as there are fields
        return []


def read_exported(path: Path) -> Exported:
    """Read the program in a file of `torch.export.save`; nothing in it is unpickled or evaluated.

    Numbers of all precisions become float32. Raises `UserError`, naming the file, for what is no
    such program, is of another version of the format, calls anything but operators of PyTorch
    itself, holds pickled or compiled code, has several inputs or outputs, or is in training mode.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _Reader(path, archive).program()
    except UserError:
        raise
    except Exception as error:  # a damaged file has as many faults as there are fields
        raise UserError(
            f"{path} is no program that torch.export.save of torch 2.9 or newer has written, or is "
            f"damaged ({type(error).__name__}: {first_line(error)}): export it again."
        ) from error


class _Reader:
    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path, self.archive = path, archive
        self.names = {name.partition("/")[2]: name for name in archive.namelist()}
        if any(each.compress_type != zipfile.ZIP_STORED for each in archive.infolist()):
            raise self._refused("is compressed, which torch does not expect")
        if any(name.startswith("data/aotinductor/") for name in self.names):
            raise self._refused("holds compiled machine code, which is not run here")

    def _refused(self, why: str, way: str = "export it again with torch.export.save") -> UserError:
        return UserError(f"{self.path} {why}: {way}.")

    def program(self) -> Exported:
        models = [name for name in self.names if name.startswith("models/")]
        if len(models) != 1:
            raise self._refused(
                f"holds {len(models)} programs of today's format, and must hold one",
                "export the network again with torch 2.9 or newer",
            )
        content = json.loads(self._bytes(models[0]))
        if content["schema_version"]["major"] != FORMAT:
            raise self._refused(f"is in a format other than version {FORMAT}")
        name = models[0].removeprefix("models/").removesuffix(".json")
        stored = self._tensors(f"data/weights/{name}_weights_config.json", "data/weights/")
        stored |= self._tensors(f"data/constants/{name}_constants_config.json", "data/constants/")
        module, graph = content["graph_module"], content["graph_module"]["graph"]
        stack, tensors = self._inputs(module["signature"]["input_specs"], stored)
        output = self._output(module["signature"]["output_specs"])
        sizes = graph["tensor_values"][stack]["sizes"]
        if len(sizes) != 4:
            raise self._refused("does not take stacks (N, S, H, W)")
        shape = tuple(size.get("as_int") for size in sizes)
        return Exported(self._nodes(graph["nodes"], output), tensors, output, stack, shape)

    def _bytes(self, name: str) -> bytes:
        return self.archive.read(self.names[name])

    def _tensors(self, config: str, folder: str) -> dict[str, Tensor]:
        tensors = {}
        for name, meta in json.loads(self._bytes(config))["config"].items():
            if meta["use_pickle"] or meta["tensor_meta"] is None:
                raise self._refused(
                    f"holds {first_names([name])} as a pickle, and is refused because unpickling "
                    "it runs code",
                    "export the network again with plain tensors alone",
                )
            data, layout = self._bytes(folder + meta["path_name"]), meta["tensor_meta"]
            size, stride = (
                [side["as_int"] for side in layout[key]] for key in ("sizes", "strides")
            )
            kind = _TYPES[layout["dtype"]]
            if not data and not math.prod(size):
                tensors[name] = torch.zeros(size, dtype=kind)
                continue
            flat = torch.frombuffer(bytearray(data), dtype=kind) if data else torch.zeros(0)
            if math.prod(size) > flat.numel():
                raise self._refused(f"claims more values of {first_names([name])} than it holds")
            tensor = flat.as_strided(size, stride, layout["storage_offset"]["as_int"])
            tensors[name] = tensor.to(_single(kind))
        return tensors

    def _inputs(
        self, specs: list[dict], stored: dict[str, Tensor]
    ) -> tuple[str, dict[str, tuple[str, Tensor]]]:
        """The name of the stack, and the tensors by theirs."""
        stacks, tensors = [], {}
        for spec in specs:
            [(kind, argument)] = spec.items()
            if kind == "user_input":
                stacks.append(argument["arg"]["as_tensor"]["name"])
            elif kind in ("parameter", "buffer", "tensor_constant"):
                path = argument[f"{kind}_name"]
                value = stored[path]
                tensors[argument["arg"]["name"]] = (
                    path,
                    nn.Parameter(value) if kind == "parameter" else value,
                )
            else:
                raise self._refused(f"takes a {first_names([kind])} as an input", "export tensors")
        if len(stacks) != 1:
            raise self._refused(
                f"takes {len(stacks)} inputs", "export a network that takes one stack (N, S, H, W)"
            )
        return stacks[0], tensors

    def _output(self, specs: list[dict]) -> str:
        if len(specs) != 1 or "as_tensor" not in specs[0].get("user_output", {}).get("arg", {}):
            raise self._refused(
                f"gives {len(specs)} values instead of the logits",
                "wrap the network in a module that returns them alone and export that",
            )
        return specs[0]["user_output"]["arg"]["as_tensor"]["name"]

    def _nodes(self, given: list[dict], output: str) -> list[Node]:
        nodes, later = [], {output}
        for description in reversed(given):
            inputs = []
            for each in description["inputs"]:
                [(kind, value)] = each["arg"].items()
                if kind not in _READERS:
                    raise self._refused(
                        f"hands {first_names([kind.removeprefix('as_')])} to an operator",
                        "export a network without such",
                    )
                inputs.append((each["name"] if each["kind"] == 2 else None, kind, value))
                if each["name"] in ("train", "training") and value is True:
                    raise self._refused(
                        "was exported in training mode",
                        "call model.eval() before torch.export.export",
                    )
            read = set(_names([value for _, _, value in inputs]))
            outputs, several = _outputs(description["outputs"])
            call = self._operator(description["target"])
            nodes.append(Node(call, inputs, outputs, several, sorted(read - later)))
            later |= read
        return nodes[::-1]

    def _operator(self, target: str) -> Callable[..., Any]:
        if target in _SCALARS:
            return _SCALARS[target]
        parts = target.split(".")
        if parts[:3] == ["torch", "ops", "aten"] and len(parts) == 5:
            overload = getattr(getattr(torch.ops.aten, parts[3], None), parts[4], None)
            # two operators of PyTorch itself read and write files
            if isinstance(overload, torch._ops.OpOverload) and not any(
                "filename" in argument.name for argument in overload._schema.arguments
            ):
                return overload
        raise self._refused(
            f"calls {first_names([target])}, and only PyTorch's own operators on tensors are run",
            "export a network without custom operators and control flow",
        )


def _outputs(specs: list[dict]) -> tuple[list[str | None], bool]:
    """Names of what a node gives, and whether that is a sequence."""
    names: list[str | None] = []
    for each in specs:
        [(kind, value)] = each.items()
        if kind == "as_tensors":
            return [tensor["name"] for tensor in value], True
        names.append(next(_names([value]), None) if kind != "as_none" else None)
    return names, len(names) > 1


def _names(values: Any) -> Any:
    """The names that arguments refer to."""
    for value in values if isinstance(values, list) else [values]:
        if isinstance(value, list):
            yield from _names(value)
        elif isinstance(value, dict):
            for key, inner in value.items():
                if key in ("name", "as_name"):
                    yield inner
                else:
                    yield from _names(inner)


def _place(module: nn.Module, path: str, tensor: Tensor) -> None:
    """Give a module a tensor under its path, as ``encoder.conv1.weight``."""
    *owners, name = path.split(".")
    for owner in owners:
        if not isinstance(inner := module._modules.get(owner), nn.Module):
            inner = nn.Module()
            module.add_module(owner, inner)
        module = inner
    if isinstance(tensor, nn.Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)
