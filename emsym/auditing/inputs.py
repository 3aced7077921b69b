"""A user's words about a network, a volume and how they are read; each option stands here once.

The signatures of `emsym.audit` and `sanity`, their documentation and the options of the command
line are made of these fields. A new option is a field here, and a line where it is used: reading
the volume, loading the network and preparing both are given all the inputs.

Importing this module imports neither torch nor numpy.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, Field, dataclass, fields
from functools import wraps
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any, ForwardRef, Literal, ParamSpec, TypeVar, get_args

from emsym.errors import UserError, ended_by
from emsym.scores.targets import Target

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    NetworkSource = nn.Module | Callable[[Tensor], Tensor] | str | Path
    from emsym.data.reading.registry import Array

    VolumeSource = np.ndarray | Array | str | Path

P = ParamSpec("P")
I = TypeVar("I")  # noqa: E741
R = TypeVar("R")

MOST = 20
"""Sections that an audit looks at, at most, where nobody says how many."""

Size = Annotated[int, "How many pixels square of the middle of each, at most."]


@dataclass(frozen=True)
class NetworkOnVolume:
    """Which network, which volume, and how they are read.

    `Annotated` says what a field means, in words that hold in Python and on the command line.
    """

    model: Annotated[
        "NetworkSource",
        "A torch.nn.Module or a function of stacks, (N, S, H, W) → logits (N, C, H, W); a file (a "
        "state dict with its architecture, TorchScript, torch.export, ONNX); a folder of "
        "save_pretrained, a package of bioimage.io or a MONAI bundle; or the name of an "
        "architecture that a plug-in registers. It is put into eval mode meanwhile.",
    ]
    volume: Annotated[
        "VolumeSource",
        "An array (Z, Y, X), in memory or read as it is sliced, as one of Dask or Zarr; image "
        "files; or a dataset card, of which the test split is looked at.",
    ]
    labels: Annotated[
        "VolumeSource | None", "Images as the volume may be, not 0 where there is foreground."
    ] = None
    _: KW_ONLY
    axes: Annotated[
        str | None,
        "The axes as stored, such as xyz; of an axis that is none of x, y and z, the element that "
        "is meant, as c=1,z,y,x. By default as the files name them.",
    ] = None
    ignore: Annotated[
        int | None,
        "The value of labels that means no label. By default negative ones, and the largest of "
        "the type where it stands apart.",
    ] = None
    architecture: Annotated[
        str | None, "Which network a state dict belongs to: unet-resnet34, say, or a plug-in's."
    ] = None
    factory: Annotated[
        str | None,
        "FILE.py:NAME, a function of yours without arguments that returns the network that a state "
        "dict belongs to; it is run.",
    ] = None
    weights_key: Annotated[
        str | None,
        "Where in a checkpoint the weights lie, such as state_dict_ema; or what stands before the "
        "names of those that are meant, such as teacher.",
    ] = None
    slices: Annotated[int | None, "How many slices it reads; found by default."] = None
    descending: Annotated[bool, "The network reads the slices from the last to the first."] = False
    flip_average: Annotated[
        bool,
        "Look at the mean of the network's logits for a stack and for the stack reversed, which is "
        "exactly symmetric and takes twice the time.",
    ] = False
    output_key: Annotated[
        str | None, "Which output of a network with several: its name, or its number from 0."
    ] = None
    upsample: Annotated[
        bool, "Bring maps of a lower resolution to the size of the section, bilinearly."
    ] = False
    activation: Annotated[
        Literal["sigmoid", "softmax", "none"] | None,
        "What makes probabilities of the output: a sigmoid of each channel, which are then "
        "independent, a softmax over classes, or nothing, where it gives them. By default a "
        "softmax over several channels.",
    ] = None
    channel: Annotated[int | None, "Which of several classes, counted from 0."] = None
    probabilities: Annotated[bool | None, "What the network gives, where that cannot be told."] = (
        None
    )
    target: Annotated[
        Target | None,
        "The pixels that are explained: the predicted foreground, the labelled one "
        "(true-foreground), … By default the labelled one where there are labels.",
    ] = None
    sections: Annotated[
        int | None,
        "How many sections are looked at, evenly spaced. By default as many as it takes to decide "
        f"the finding, in random order, {MOST} at most.",
    ] = None
    size: Size
    mean: Annotated[
        float | None,
        "Mean grey level of the training data, in the units of the volume; goes with --sd. By "
        "default that of a data set's training split, else of the sections looked at.",
    ] = None
    sd: Annotated[float | None, "Standard deviation of the training data."] = None
    threshold: Annotated[
        float, "Of the probability, above which a pixel is predicted to be foreground."
    ] = 0.5


@dataclass(frozen=True, kw_only=True)
class AuditInputs(NetworkOnVolume):
    """The inputs of an audit."""

    size: Size = 512
    attribution: Annotated[
        Sequence[str] | str,
        "One or several of `emsym-bench list attributions`, or slice-shapley; the first is the "
        "headline. By default saliency, input-x-gradient and slice-shapley.",
    ] = ("saliency", "input-x-gradient", "slice-shapley")
    voxel_size: Annotated[
        tuple[float, float, float] | None,
        "Distance of sections, height and width of a pixel, in nm; by default a data set's. Where "
        "nobody says, offsets are in sections and boundary shifts in pixels.",
    ] = None
    progress: Callable[[int, int], object] = lambda done, total: None
    """Called with how many sections are done, and how many will be at most."""


@dataclass(frozen=True, kw_only=True)
class SanityInputs(NetworkOnVolume):
    """The inputs of a sanity check."""

    sections: Annotated[int, "How many sections are looked at, at most; evenly spaced."] = 4
    size: Size = 256
    attribution: Annotated[
        Sequence[str] | str,
        "One or several of `emsym-bench list attributions`; by default all but patch-occlusion, "
        "which takes by far the longest.",
    ] = ()
    progress: Callable[[str, int, int], object] = lambda phase, done, total: None
    """Called with a phase, how much of it is done, and how much there is."""


def attribution_names(attribution: Sequence[str] | str) -> list[str]:
    """Return the methods that are meant, each once.

    >>> attribution_names("saliency"), attribution_names(["lrp", "lrp"])
    (['saliency'], ['lrp'])
    """
    return list(dict.fromkeys([attribution] if isinstance(attribution, str) else attribution))


def described_fields(inputs: type[NetworkOnVolume]) -> Iterator[tuple[Field[Any], Any, str]]:
    """Yield each field that has a description, with its type, unions as they are, and that."""
    for field in fields(inputs):
        if len(annotation := get_args(field.type)) == 2 and isinstance(annotation[1], str):
            yield field, *annotation


def called_with(inputs: Callable[P, I]) -> Callable[[Callable[[I], R]], Callable[P, R]]:
    """Let a function of `inputs` be called with their fields instead, which its signature shows.

    Its docstring gets a section with what the fields mean.
    """

    def decorate(function: Callable[[I], R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if "attributions" in kwargs:  # as it was called before it was called as its option is
                kwargs["attribution"] = kwargs.pop("attributions")
            try:
                return function(inputs(*args, **kwargs))
            except SystemExit as error:  # a network's, or a plug-in's
                raise UserError(ended_by(error)) from error

        assert isinstance(inputs, type)
        parts = [
            f"{field.name}\n{fill(text, 96, initial_indent='    ', subsequent_indent='    ')}"
            for field, _, text in described_fields(inputs)
        ]
        call.__doc__ = "\n".join(
            [inspect.cleandoc(function.__doc__ or ""), "", "Parameters", "----------", *parts]
        )
        call.__signature__ = _signature(inputs, function)  # type: ignore[attr-defined]
        return call

    return decorate


def _signature(inputs: type, function: Callable) -> inspect.Signature:
    """Return the constructor's signature without descriptions, and with the function's result."""
    signature = inspect.signature(inputs)
    parameters = dict(signature.parameters)
    for field, kind, _ in described_fields(inputs):
        plain = kind.__forward_arg__ if isinstance(kind, ForwardRef) else kind
        parameters[field.name] = parameters[field.name].replace(annotation=plain)
    returned = inspect.signature(function).return_annotation
    return signature.replace(parameters=list(parameters.values()), return_annotation=returned)
