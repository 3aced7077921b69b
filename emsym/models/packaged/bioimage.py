"""Packages of bioimage.io: a zip archive, a folder or the rdf.yaml in it.

Their TorchScript or ONNX file is what is read, never a stranger's Python. Axes, grey levels and the
last activation are taken from the description, of the formats 0.4 and 0.5.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import pooch
import pydantic
import yaml

from emsym.data.cards import is_inside
from emsym.errors import UserError, error_with_type, first_names
from emsym.files import validation_message
from emsym.models.packaged.archive import extract_member, member_names, read_member
from emsym.models.packaged.package import LARGEST_TEXT, DescribedOption, Package
from emsym.models.packaged.preprocessing import Step, acting_steps, grey_level_option

_DESCRIPTION = re.compile(r"(.*\.)?(rdf|bioimageio)\.ya?ml")
_PROGRAMS = ("torchscript", "onnx")
_STATE = "pytorch_state_dict"
_ONNX_VALUES = ".data"
"""The ending that torch.onnx puts behind the name of a file of ONNX to call that of its weights."""
_SHORT = pydantic.Field(max_length=16)
_ACTIVATIONS = ("sigmoid", "softmax")
_STACKS = ("bcyx", "bzyx")
"""The axes of stacks whose slices are channels, or are called what they are."""


class _Axis(pydantic.BaseModel):
    """An axis of the format 0.5."""

    type: str
    id: str = "x"
    channel_names: Annotated[list[str], pydantic.Field(max_length=1024)] = []

    def letter(self) -> str:
        return self.id if self.type == "space" else self.type[:1]


class _Tensor(pydantic.BaseModel):
    """An input or output."""

    axes: str | Annotated[list[_Axis], _SHORT]
    shape: Any = None
    data: Any = None
    data_range: Any = None
    preprocessing: Annotated[list[Step], _SHORT] = []
    postprocessing: Annotated[list[Step], _SHORT] = []

    def letters(self) -> str:
        """Return its axes as the format 0.4 writes them, such as bcyx."""
        return self.axes if isinstance(self.axes, str) else "".join(a.letter() for a in self.axes)

    def slices(self) -> int | None:
        """Return the length of its second axis, where that is told."""
        if not isinstance(self.axes, str):
            return len(self.axes[1].channel_names) or None
        shape = self.shape.get("min") if isinstance(self.shape, dict) else self.shape
        given = shape[1] if isinstance(shape, list) and len(shape) == 4 else None
        return given if isinstance(given, int) and given > 0 else None

    def in_unit_interval(self) -> bool:
        """Return whether the description says that its values are in 0 to 1."""
        given = self.data.get("range") if isinstance(self.data, dict) else self.data_range
        return isinstance(given, list) and given == [0, 1]


class _Weights(pydantic.BaseModel):
    source: str
    sha256: str | None = None


class _Description(pydantic.BaseModel):
    inputs: Annotated[list[_Tensor], _SHORT]
    outputs: Annotated[list[_Tensor], _SHORT]
    weights: dict[str, Any]


class _PlainLoader(yaml.SafeLoader):
    """YAML without merged mappings, which may grow beyond all memory."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise yaml.YAMLError("it merges mappings")


def bioimage_package(path: Path, own: bool, aside: Path) -> Package | None:
    """Return the network of a package; None for a file or folder that is none.

    Members of an archive are unpacked into the folder `aside`. `own` says that the user tells how
    to build the network, which the state dict then is read for. Raises `UserError` for a package
    that is damaged, holds no weights that can be read, or a network of other than slice stacks.
    """
    opened = _folder_or_description(path) or _archive(path, aside)
    if opened is None:
        return None
    place, text, fetch = opened
    described = _parsed(text, place)
    kind, weights = _chosen(described, place, own)
    file = _fetched(weights, place, fetch)
    if kind == _STATE:
        return Package(file)
    [stack] = described.inputs if len(described.inputs) == 1 else [None]
    if stack is None or stack.letters() not in _STACKS:
        raise UserError(_other_axes(described, place))
    if len(described.outputs) == 1 and described.outputs[0].letters() not in (*_STACKS, "byx"):
        raise UserError(
            f"{place} describes an output with the axes "
            f"{first_names([described.outputs[0].letters()])}, and emsym audits networks that give "
            "a map for each class (bcyx): give --model FILE.py:NAME, a function of yours that "
            "returns the network with its axes in that order."
        )
    options = (grey_level_option(stack.preprocessing, place), *_activation(described.outputs))
    notes = (f"Of the bioimage.io package {first_names([weights.source])} was taken.",)
    return Package(file, slices=stack.slices(), notes=notes, options=options)


Opened = tuple[str, bytes, Callable[[str], Path]]
"""A description's name, its content, and a function that returns a file by its path in it."""


def _folder_or_description(path: Path) -> Opened | None:
    if path.is_dir():
        name = _description_name([each.name for each in path.iterdir()])
        if name is None:
            return None
        path = path / name
    elif not _DESCRIPTION.fullmatch(path.name):
        return None
    if path.stat().st_size > LARGEST_TEXT:
        raise UserError(f"{path} is larger than any description of a network.")
    folder = path.parent

    def fetch(name: str) -> Path:
        file = folder / name
        if not file.resolve().is_relative_to(folder.resolve()) or not file.is_file():
            raise UserError(f"{path} names the file {first_names([name])}, which is not beside it.")
        return file

    return str(path), path.read_bytes(), fetch


def _archive(path: Path, aside: Path) -> Opened | None:
    if not path.is_file():
        return None
    names = member_names(path)
    name = _description_name([each for each in names if not each.startswith("__MACOSX/")])
    if name is None:
        return None
    inside = PurePosixPath(name).parent

    def fetch(name: str) -> Path:
        member, target = (inside / name).as_posix(), aside / PurePosixPath(name).name
        if (values := f"{member}{_ONNX_VALUES}") in names:
            extract_member(path, values, target.with_name(f"{target.name}{_ONNX_VALUES}"))
        return extract_member(path, member, target)

    return f"{path}", read_member(path, name, LARGEST_TEXT), fetch


def _description_name(names: list[str]) -> str | None:
    """Return the path of the one description among files; a plain name goes before others."""
    described = [name for name in names if _DESCRIPTION.fullmatch(PurePosixPath(name).name)]
    plain = [name for name in described if "." not in PurePosixPath(name).stem]
    return next((few[0] for few in (plain, described) if len(few) == 1), None)


def _parsed(text: bytes, place: str) -> _Description:
    try:
        content = yaml.load(text, _PlainLoader)
        return _Description.model_validate(content)
    except pydantic.ValidationError as error:
        raise UserError(f"{place} describes no network: {validation_message(error)}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{place} has no valid YAML ({error_with_type(error)}).") from error


def _chosen(described: _Description, place: str, own: bool) -> tuple[str, _Weights]:
    """Return the kind of the weights that are read, and where they are."""
    kind = next((k for k in ((_STATE,) if own else _PROGRAMS) if k in described.weights), None)
    if kind is None and own:
        raise UserError(f"{place} has no state dict: leave --model and --architecture out.")
    if kind is None and _STATE in described.weights:
        raise UserError(
            f"{place} has neither TorchScript nor ONNX, but a state dict, and its Python is not "
            "run: give --model FILE.py:NAME, a function of yours that returns the network."
        )
    if kind is None:
        raise UserError(
            f"{place} holds {first_names(described.weights)}, and emsym reads PyTorch and ONNX."
        )
    try:
        return kind, _Weights.model_validate(described.weights[kind])
    except pydantic.ValidationError as error:
        raise UserError(f"{place}: 'weights.{kind}': {validation_message(error)}.") from error


def _fetched(weights: _Weights, place: str, fetch: Callable[[str], Path]) -> Path:
    name = weights.source
    if "://" in name:
        raise UserError(
            f"{place} has its weights at an address, and nothing is fetched: download the whole "
            "package."
        )
    if not is_inside(name):
        raise UserError(f"{place} names the file {first_names([name])}, outside of it.")
    file = fetch(name)
    if weights.sha256 and pooch.file_hash(file) != weights.sha256.lower():
        raise UserError(
            f"{first_names([name])} of {place} is not the file that was described, by its SHA-256: "
            "fetch the package again."
        )
    return file


def _other_axes(described: _Description, place: str) -> str:
    axes = [tensor.letters() for tensor in described.inputs]
    volumes = len(axes) == 1 and {*"zyx"} <= {*axes[0]}
    turned = len(axes) == 1 and sorted(axes[0]) in (sorted("bcyx"), sorted("bzyx"))
    why, way = "a network of other input", "."
    if volumes and not turned:
        why = "a 3D network"
    elif turned:
        way = (
            ": give --model FILE.py:NAME, a function of yours that returns the network with its "
            "axes in that order."
        )
    return (
        f"{place} describes {why} (axes {first_names(axes)}), and emsym audits networks that read "
        f"slices as channels (bcyx){way}"
    )


def _activation(outputs: Sequence[_Tensor]) -> tuple[DescribedOption, ...]:
    """Return what is to be made of the only output."""
    if len(outputs) != 1:
        return ()
    steps = [step.called for step in acting_steps(outputs[0].postprocessing)]
    activation = next((step for step in steps if step in _ACTIVATIONS), None)
    if activation is not None:
        sentence = f"The package puts a {activation} after the network."
    elif not steps and outputs[0].in_unit_interval():
        activation = "none"
        sentence = "The package says that the network gives 0 to 1, taken for probabilities."
    else:
        return ()
    return (DescribedOption({"activation": activation, "probabilities": None}, sentence),)
