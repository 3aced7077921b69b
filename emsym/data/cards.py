"""Dataset cards: one TOML file that says where a volume is and what is asked of it."""

import glob
import operator
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pooch
from pydantic import Field, PrivateAttr, model_validator

from emsym.errors import UserError
from emsym.files import cards_folder, find_toml, read_toml
from emsym.protocol import Name, Positive, Strict, digest

_COMPARISON = re.compile(r"(==|!=|<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)")
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
Comparison = Annotated[str, Field(pattern=f"^{_COMPARISON.pattern}$")]


class Files(Strict):
    """A volume (Z, Y, X) on disk."""

    path: str
    """A file (.tif, .tiff, .npy, .h5, .hdf5, .hdf) or a pattern (``image/*.png``) whose files
    are sections in natural order (2 before 10). Relative to the card."""
    key: str | None = None
    """The data set inside an HDF5 file."""


class PhantomSource(Strict):
    """A synthetic volume that emsym makes: see `emsym.data.phantoms`."""

    kind: Literal["neurites", "mitochondria", "fibres"]
    shape: tuple[Positive, Positive, Positive]
    seed: Annotated[int, Field(ge=0)]


class Task(Strict):
    """What is segmented, and how instances come from it."""

    name: str
    foreground: Comparison
    """Which label values are foreground, such as ``"== 0"`` or ``"> 0"``."""
    instances: Literal["foreground", "between"]
    """Whether an instance is a connected component of the foreground (a mitochondrion) or of
    what lies between foreground (a neurite between membranes)."""

    def is_foreground(self, labels: np.ndarray) -> np.ndarray:
        """Labels of any integer dtype → bool of the same shape.

        >>> Task(name="membranes", foreground="== 0", instances="between").is_foreground(
        ...     np.array([0, 255], np.uint8)
        ... ).tolist()
        [True, False]
        """
        match = _COMPARISON.fullmatch(self.foreground)
        assert match is not None  # the field's pattern
        sign, number = match.groups()
        mask: np.ndarray = _OPERATORS[sign](labels, float(number))
        return mask


class Split(Strict):
    """Sections as half-open ranges [start, stop) along z, which may not overlap."""

    train: tuple[int, int]
    test: tuple[int, int]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for name, (start, stop) in (("train", self.train), ("test", self.test)):
            if not 0 <= start < stop:
                raise ValueError(f"{name} = [{start}, {stop}] is not a range [start, stop)")
        if max(self.train[0], self.test[0]) < min(self.train[1], self.test[1]):
            raise ValueError("the train and test ranges overlap")
        return self


class Card(Strict):
    """A data set: its source (a phantom, or image and label files), provenance, task and split."""

    name: Name
    title: str
    modality: str
    voxel_size_nm: tuple[float, float, float]
    """Along z, y, x."""
    licence: str
    citation: str = ""
    phantom: PhantomSource | None = None
    image: Files | None = None
    labels: Files | None = None
    instances: Files | None = None
    """Integer labels, 0 none; without them instances are derived from the foreground."""
    task: Task
    split: Split
    _folder: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.phantom is None) == (self.image is None):
            raise ValueError("a card has either [phantom] or [image] and [labels]")
        if (self.image is None) != (self.labels is None):
            raise ValueError("[image] and [labels] go together")
        if self.phantom is not None and self.instances is not None:
            raise ValueError("a phantom brings its own instances")
        return self

    def paths(self, files: Files) -> list[Path]:
        """The files on disk, sections in natural order. Raises `UserError` when there are none."""
        path = self._folder / files.path
        if any(sign in files.path for sign in "*?["):
            names = glob.glob(files.path, root_dir=self._folder)  # the folder is no pattern
            found = sorted((self._folder / name for name in names), key=_natural)
        else:
            found = [path] if path.is_file() else []
        if not found:
            raise UserError(
                f"The data set '{self.name}' has no file at {path}: correct 'path' in its card."
            )
        return found

    def digest(self) -> str:
        """Of everything in the card that decides a number, and of the bytes of its files."""
        deciding = self.model_dump(
            include={"name", "phantom", "image", "labels", "instances", "task", "split"}
        )
        present = [files for files in (self.image, self.labels, self.instances) if files]
        sums = [[pooch.file_hash(path) for path in self.paths(files)] for files in present]
        return digest([deciding, sums])


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """A sort key in which 2.png comes before 10.png."""
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in re.split(r"(\d+)", str(path))
        if part
    ]


def list_cards() -> list[str]:
    """The names of the cards that ship with emsym."""
    return sorted(path.stem for path in cards_folder().glob("*.toml"))


def load_card(name_or_path: str, folder: Path = Path()) -> Card:
    """A card that ships with emsym, by name, or any other, by the path of its TOML file.

    A path is relative to `folder`. Raises `UserError` for an unknown name and a file that is not
    a valid card.
    """
    path = find_toml("dataset", name_or_path, cards_folder(), folder)
    card = read_toml(path, Card)
    if card.name != path.stem:
        raise UserError(f"{path}: 'name' is '{card.name}', but must be the file's, '{path.stem}'.")
    card._folder = path.parent
    return card
