"""Dataset cards: one TOML file that says where a volume is and what is asked of it.

`datasets/README.md` is the page for people who write one.
"""

import operator
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, PrivateAttr, ValidationError, model_validator

from emsym.data.reading.axes import split_axes
from emsym.errors import UserError
from emsym.files import read_toml, validation_message
from emsym.paths import cards_folder, find_toml
from emsym.protocol import Name, Positive, Strict, split_task

_COMPARISON = re.compile(r"(==|!=|<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)")
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


def _pattern_validator(pattern: str, what: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"'{text}' is not {what}")
        return text

    return AfterValidator(check)


def _check_axes(text: str) -> str:
    split_axes(text)
    return text


Length = Annotated[float, Field(gt=0)]
Comparison = Annotated[
    str, _pattern_validator(_COMPARISON.pattern, 'a comparison such as "== 0" or "> 0"')
]
Checksum = Annotated[
    str,
    _pattern_validator(
        "sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}", "sha256: and 64 hex digits, or md5: and 32"
    ),
]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=40)]
BOUNDARY = "boundary"


class Files(Strict):
    """An array on disk: a volume, or several that follow each other along z."""

    path: str | Annotated[tuple[str, ...], Field(min_length=1)]
    """Files whose kind `emsym.data.reading.readers` knows. A pattern (``image/*.png``) stands for
    sections in natural order (2 before 10), and a path may lead into an archive
    (``data.zip/image/*.png``). Several are put one after the other along z. Relative to the
    source's folder."""
    key: str | None = None
    """The array inside an HDF5 file or a Zarr group."""
    axes: Annotated[str, AfterValidator(_check_axes)] = "zyx"
    """The order of the axes as stored; a stack's slices are along z. Of an axis with an index, such
    as ``c=1,z,y,x``, that element alone is meant."""

    @property
    def paths(self) -> tuple[str, ...]:
        """`path`, always as a tuple."""
        return (self.path,) if isinstance(self.path, str) else self.path

    @property
    def told_axes(self) -> str | None:
        """`axes` where they were given; None where the files may tell."""
        return self.axes if "axes" in self.model_fields_set else None


def told_files(path: str, key: str | None, axes: str | None) -> Files:
    """Files as the command line tells them. Raises `UserError` for what are no axes."""
    try:
        return Files(path=path, key=key, **({} if axes is None else {"axes": axes}))
    except ValidationError as error:
        raise UserError(f"--axes: {validation_message(error)}.") from error


class RemoteFile(Strict):
    """A file that is downloaded."""

    url: Annotated[str, Field(pattern=r"^(https?://|doi:)\S+$")] | None = None
    """``http(s)://…`` or ``doi:10.…/file name``; by default the source's `url` and the name."""
    checksum: Checksum | None = None
    """``sha256:…`` or ``md5:…``. Without it that of a DOI's record counts; else the first download
    decides and is remembered."""
    size: Positive | None = None
    """About how many bytes: what a person is told, and the room that must be free."""


class Source(Strict):
    """One place that a volume can be had from, in the format in which it lies there."""

    url: Annotated[str, Field(pattern=r"^https?://\S+/$")] | None = None
    """Where the files lie that give no address of their own."""
    files: dict[str, RemoteFile] = {}
    """The files to download, by name (a path within the source's folder). Archives but `.zarr.zip`
    are unpacked there. None: the data lies where the card is."""
    image: Files
    labels: Annotated[dict[Word, Files], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if not self.files and self.url is not None:
            raise ValueError("'url' is given, but no [files]")
        for name in self.files:
            if not is_inside(name):
                raise ValueError(f"the file name '{name}' leads out of the folder")
            if self.remote_file(name).url is None:
                raise ValueError(f"the file '{name}' has no url, and the source has none either")
        paths = (path for files in (self.image, *self.labels.values()) for path in files.paths)
        if self.files and (outside := [path for path in paths if not is_inside(path)]):
            raise ValueError(f"the path '{outside[0]}' leads out of the folder")
        return self

    def remote_file(self, name: str) -> RemoteFile:
        """Return the file of that name, with its full address."""
        file = self.files[name]
        if file.url is None and self.url is not None:
            from urllib.parse import quote

            return file.model_copy(update={"url": self.url + quote(name)})
        return file


class PhantomSource(Strict):
    """A synthetic volume that emsym makes: see `emsym.data.phantoms`.

    Its label layers are called `semantic` and `instances`.
    """

    kind: Literal["neurites", "mitochondria", "fibres"]
    shape: tuple[Positive, Positive, Positive]
    seed: Annotated[int, Field(ge=0)]
    stationary: bool = False
    """Whether it is the middle of a larger phantom, so that no part of it has a direction along z:
    see `emsym.data.stationary_phantoms`."""
    volume_per_seed: bool = False
    """Whether each seed of a protocol has a volume of its own, that of `seed` plus this seed: what
    is said of several seeds then holds for all such volumes, and not for one."""

    def deciding(self) -> dict[str, Any]:
        """Return what decides its voxels; what is as by default is left out.

        So phantoms from before there was a choice keep their digests.
        """
        return self.model_dump(exclude_defaults=True)


PHANTOM_LAYERS = ("semantic", "instances")


class Task(Strict):
    """The class that is segmented, and how instances come from it."""

    labels: Word
    """The label layer."""
    classes: dict[Word, Comparison] = {}
    """The meaning of values, such as ``{matrix = "== 0", fibre = "== 1"}``. A value that
    belongs to none is an error. Empty for a layer of object ids."""
    ignore: int | None = None
    """The value of pixels that have no label. They count in no loss, target, Dice or ARAND. It need
    not belong to a class, and belongs to none where a class's rule would hold for it."""
    foreground: Word
    """The class to be segmented; or ``boundary``: the borders between the ids of the layer, by
    `emsym.data.labels.boundaries`."""
    boundary_width: Positive = 1
    """With ``boundary``: how many pixels on either side of a border belong to it."""
    instances: Literal["foreground", "between"]
    """Whether an instance is a connected component of the foreground (a mitochondrion) or of
    what lies between foreground (a neurite between membranes)."""
    ids: Word | None = None
    """The label layer of the true instances, 0 none; without it they are derived, as those of a
    prediction are."""

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.foreground == BOUNDARY and self.classes:
            raise ValueError("a layer whose boundaries are the foreground holds ids, not classes")
        if self.foreground == BOUNDARY and self.ignore is not None:
            raise ValueError("'ignore' is a value of classes, and boundaries are made of ids")
        if self.foreground != BOUNDARY and self.foreground not in self.classes:
            known = ", ".join(f"'{name}'" for name in self.classes) or "none"
            raise ValueError(f"foreground = '{self.foreground}' is not one of the classes: {known}")
        return self

    @property
    def layers(self) -> tuple[str, ...]:
        """The label layers that the task needs."""
        return tuple(dict.fromkeys(layer for layer in (self.labels, self.ids) if layer))

    def class_mask(self, name: str, labels: np.ndarray) -> np.ndarray:
        """Return where numeric labels belong to a class: bool of the same shape.

        >>> task = Task(labels="cells", classes={"membrane": "== 0", "inside": "> 0"},
        ...             foreground="membrane", instances="between")
        >>> task.class_mask("membrane", np.array([0, 255], np.uint8)).tolist()
        [True, False]
        """
        match = _COMPARISON.fullmatch(self.classes[name])
        assert match is not None  # the field's pattern
        sign, number = match.groups()
        # a whole number keeps 64-bit labels from being rounded to floats
        mask: np.ndarray = _OPERATORS[sign](labels, float(number) if "." in number else int(number))
        return mask


class SplitSchema(Strict):
    """Sections as half-open ranges [start, stop) along z, which may not overlap."""

    train: tuple[int, int]
    test: tuple[int, int]

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        for name, (start, stop) in self.ranges().items():
            if not 0 <= start < stop:
                raise ValueError(f"{name} = [{start}, {stop}] is not a range [start, stop)")
        if max(self.train[0], self.test[0]) < min(self.train[1], self.test[1]):
            raise ValueError("the train and test ranges overlap")
        return self

    def ranges(self) -> dict[str, tuple[int, int]]:
        """Both ranges by name."""
        return {"train": self.train, "test": self.test}


class Card(Strict):
    """A data set: provenance, sources (mirrors, in the order they are tried), tasks and split."""

    name: Name
    title: str
    modality: str
    voxel_size_nm: tuple[Length, Length, Length] | None = None
    """Along z, y, x; left out where nobody knows it."""
    stacked_along: str = "z"
    """The axis that a stack's slices are along, in words."""
    shape: tuple[Positive, Positive, Positive] | None = None
    """(Z, Y, X) of the volume, checked when it is opened; known before it is fetched."""
    licence: str
    citation: str = ""
    homepage: str = ""
    share_pictures: bool = False
    """Whether sections of it may be shown in public, as its licence says: see `may_be_shown`."""
    phantom: PhantomSource | None = None
    sources: dict[Word, Source] = {}
    tasks: Annotated[dict[Word, Task], Field(min_length=1)]
    split: SplitSchema
    _folder: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if (self.phantom is None) == (not self.sources):
            raise ValueError("a card has either [phantom] or [sources.…]")
        layers = {name: set(source.labels) for name, source in self.sources.items()}
        for name, known in (layers or {"phantom": set(PHANTOM_LAYERS)}).items():
            for task_name, task in self.tasks.items():
                for layer in task.layers:
                    if layer not in known:
                        raise ValueError(
                            f"the task '{task_name}' needs the labels '{layer}', which the source "
                            f"'{name}' does not have: it has {', '.join(sorted(known))}"
                        )
        return self

    def __hash__(self) -> int:
        """Return the hash of the name and the folder; tables that a card holds have none."""
        return hash((self.name, self._folder))

    @property
    def card_name(self) -> str:
        """The name without a task."""
        return split_task(self.name)[0]

    @property
    def may_be_shown(self) -> bool:
        """Whether submissions and pages may hold pictures of it; those of a phantom always may."""
        return self.share_pictures or self.phantom is not None

    @property
    def known_voxel_size(self) -> tuple[float, float, float] | None:
        """`voxel_size_nm`; None where nobody knows, which 1 × 1 × 1 once stood for."""
        return None if self.voxel_size_nm == (1, 1, 1) else self.voxel_size_nm

    @property
    def extent(self) -> tuple[int, int, int] | None:
        """(Z, Y, X) where it is known without opening the volume."""
        return self.phantom.shape if self.phantom else self.shape

    @property
    def folder(self) -> Path:
        """The folder that the card was read from."""
        return self._folder

    def in_folder(self, folder: Path) -> "Card":
        """Return the same card as if read from another folder, as on another machine."""
        card = self.model_copy()
        card._folder = folder
        return card

    @property
    def task(self) -> Task:
        """The task of a card that has one, or of which one was chosen.

        Raises `UserError` where there are several.
        """
        if len(self.tasks) > 1:
            names = " or ".join(f"'{card.name}'" for card in self.single_task_cards())
            raise UserError(f"The data set '{self.name}' has several tasks: say {names}.")
        return next(iter(self.tasks.values()))

    def choose(self, task: str) -> "Card":
        """Return the same card with one of its several tasks, which its name then tells.

        Raises `UserError` for an unknown one, and where there is no choice.
        """
        if len(self.tasks) == 1:
            raise UserError(f"The data set '{self.name}' has one task: leave out ':{task}'.")
        if task not in self.tasks:
            raise UserError(
                f"The data set '{self.name}' has no task '{task}': it has {', '.join(self.tasks)}."
            )
        chosen = self.with_tasks({task: self.tasks[task]})
        return chosen.model_copy(update={"name": f"{self.name}:{task}"})

    def of_seed(self, seed: int) -> "Card":
        """Return the card of the volume that a cell of this seed sees; mostly the same card."""
        if self.phantom is None or not self.phantom.volume_per_seed:
            return self
        one = {"seed": self.phantom.seed + seed, "volume_per_seed": False}
        return self.model_copy(update={"phantom": self.phantom.model_copy(update=one)})

    def with_tasks(self, tasks: dict[str, Task]) -> "Card":
        """Return the same card with these of its tasks."""
        return self.model_copy(update={"tasks": tasks})

    def single_task_cards(self) -> "list[Card]":
        """Return the data sets that this card stands for: one for each task."""
        return [self] if len(self.tasks) == 1 else [self.choose(task) for task in self.tasks]

    def layers(self) -> list[str]:
        """Return the label layers that the tasks need."""
        return list(dict.fromkeys(layer for task in self.tasks.values() for layer in task.layers))


def is_inside(path: str) -> bool:
    """Return whether a relative path, or an archive's member, stays inside its folder.

    >>> [is_inside(path) for path in ("image/0.png", "../0.png", "/etc/passwd", "C:/x")]
    [True, False, False, False]
    """
    parts = PurePosixPath(path).parts
    return (
        bool(parts)
        and not path.startswith("/")
        and ".." not in parts
        and not re.search(r"[\\\0]|^[A-Za-z]:", path)
    )


def list_cards() -> list[str]:
    """Return the names of the cards that ship with emsym."""
    return sorted(path.stem for path in cards_folder().glob("*.toml"))


def load_card(name_or_path: str, folder: Path = Path()) -> Card:
    """Return a card that ships with emsym, by name, or any other, by the path of its TOML file.

    After a colon follows the task, where a card has several: ``vnc:mitochondria``,
    ``cards/mine.toml:synapses``. A path is relative to `folder`. Raises `UserError` for an unknown
    name or task and for a file that is not a valid card.
    """
    entry, task = split_task(name_or_path)
    path = find_toml("dataset", entry, cards_folder(), folder)
    card = read_toml(path, Card)
    if card.name != path.stem:
        raise UserError(f"{path}: 'name' is '{card.name}', but must be the file's, '{path.stem}'.")
    card._folder = path.parent
    return card.choose(task) if task else card
