"""Protocols: which cells are run, how each is trained, and what is scored."""

import hashlib
import json
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import pydantic
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from emsym.errors import UserError
from emsym.files import read_toml, validation_message
from emsym.paths import find_toml, protocols_folder
from emsym.scores.targets import Target
from emsym.variation import Values, Varied, with_value

MAX_SLICES = 31
"""The most slices of a stack: at the 30 to 50 nm of a section it is 1 µm deep, and a cell body away
from 2D."""

SHAPLEY = "slice-shapley"
"""Stands among the names of attributions: one value for each slice, and no map."""

SHAPLEY_SLICES = 7
"""The most slices that have exact Shapley values, from 128 coalitions: each more doubles them."""

Positive = Annotated[int, Field(gt=0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=80)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]

Augmentation = Literal["flip", "turn", "brightness", "elastic"]
Border = Literal["skip", "mirror"]
Device = Literal["cpu", "cuda"]


class Strict(BaseModel):
    """An immutable model in which an unknown key is an error and a number is finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Recipe(Strict):
    """How a cell is trained: AdamW under a one-cycle schedule, binary cross-entropy + Dice loss."""

    steps: Positive
    batch_size: Annotated[int, Field(gt=0, le=2**16)]
    patch: Annotated[int, Field(gt=0, multiple_of=32)]
    """Height and width of a training patch, in pixels; the networks halve it five times."""
    learning_rate: Annotated[float, Field(gt=0, le=1e30)]
    """The schedule's peak."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    augment: tuple[Augmentation, ...] = ("flip", "turn", "brightness")
    """In-plane flips; quarter turns; brightness and contrast; ``elastic``, a smooth random bend.
    Alike for all slices of a stack."""
    precision: Literal["float64", "float32", "bfloat16", "float16"] = "float32"
    """The precision of training; of the two halves by autocast. Scores are always taken in
    float32. In ``float64`` processors agree, whose float32 roundings training magnifies, at two to
    four times the time."""
    patch_places: Literal["seed", "cell"] = "seed"
    """The source of the places of patches: the ``seed`` alone, so that data sets of one size share
    their places, or the ``cell`` but for its strategy, as independent cells need it."""
    threads: Positive = 1
    """CPU threads of a cell. Part of the recipe because they decide the order of additions, so
    that a cell gives the same numbers whatever else runs beside it."""


class Faithfulness(Strict):
    """Which faithfulness metrics are computed of each attribution, and on how much."""

    metrics: Names = ("faithfulness-estimate",)
    """Registered names: `emsym-bench list metrics`."""
    steps: Positive = 16
    """Perturbations of each slice: each is of ⌈H·W / steps⌉ pixels."""
    target: Target = "true-foreground"
    sections: Positive = 4
    """Test sections, evenly spaced, at most."""


class OverTrainingSchema(Strict):
    """When the symmetry scores are taken while a network is trained, beside after it."""

    steps: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    """After how many steps; 0 is before fine-tuning."""
    sections: Positive = 4
    """Test sections, evenly spaced, at most."""


class Scoring(Strict):
    """Which scores are computed."""

    thresholds: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1)] = (
        0.5,
        0.85,
    )
    """Thresholds of the probability. The first is the headline, and instances are made at it."""
    targets: Annotated[tuple[Target, ...], Field(min_length=1)] = ("foreground", "true-foreground")
    attributions: Names = ("saliency", "input-x-gradient", SHAPLEY)
    """Registered names, `emsym-bench list attributions`, and ``slice-shapley``, the exact Shapley
    values of up to seven slices. The first is the headline."""
    faithfulness: Faithfulness = Faithfulness()
    over_training: OverTrainingSchema | None = None
    scores: tuple[str, ...] = ()
    """Optional scores, of emsym and of plug-ins, that are computed, too: `emsym-bench list
    scores`."""
    sections: Positive | None = None
    """Test sections, evenly spaced, at most, and no ARAND of the volume; else all of them."""
    size: Positive | None = None
    """Pixels square of the middle of each test section, at most; else whole sections."""
    arand_3d: Literal["all", "foreground"] = "all"
    """Which data sets have the ARAND of the test volume: those whose instances are pieces of the
    foreground alone, or all. Between foreground one hole in a membrane merges all instances, so
    that it tells hardly more than that there is one."""

    primary: str | None = None
    """The key of the one score that decides, such as ``flip_error``: a leaderboard orders
    strategies by it, and all its other scores are secondary. Without it, the model asymmetry by
    the first attribution."""

    @property
    def maps(self) -> tuple[str, ...]:
        """The attributions that say something of every pixel."""
        return tuple(name for name in self.attributions if name != SHAPLEY)

    @field_validator("attributions")
    @classmethod
    def _a_map_first(cls, attributions: tuple[str, ...]) -> tuple[str, ...]:
        if attributions[0] == SHAPLEY:
            raise ValueError(f"the first is the headline, a method other than '{SHAPLEY}'")
        return attributions


class Cell(NamedTuple):
    """The unit of work: one network trained and scored."""

    dataset: str
    architecture: str
    init: str
    seed: int

    def __str__(self) -> str:
        return f"{self.dataset} · {self.architecture} · {self.init} · seed {self.seed}"

    def patch_seed(self, recipe: Recipe) -> int:
        """Return what its patches are drawn from, below 2³¹: the same for all strategies.

        >>> recipe = Recipe(steps=1, batch_size=1, patch=32, learning_rate=1e-3)
        >>> Cell("d", "a", "rgb", 3).patch_seed(recipe)
        3
        """
        if recipe.patch_places == "seed":
            return self.seed
        return int(json_digest([self.dataset, self.architecture, self.seed])[:8], 16) >> 1


class Protocol(Strict):
    """Data sets × architectures × init strategies × seeds, a recipe, and what is scored.

    `datasets` are names of cards that ship with emsym or paths of cards, and `weights` is
    ``pretext``, ``imagenet``, a name of timm's, or the path of a weights file, or of a folder with
    one for each encoder; paths are relative to the protocol's.
    """

    name: Name
    version: Name
    description: str = ""
    datasets: Names
    architectures: Names
    inits: Names
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], Field(min_length=1)]
    weights: str
    slices: Annotated[int, Field(ge=1, le=MAX_SLICES)] = 3
    border: Border = "skip"
    """The fate of a split's first and last sections, which lack neighbours: no stack is centred
    on them, or the sections on their other side stand in for those that lack."""
    recipe: Recipe
    scoring: Scoring = Scoring()
    tolerance: dict[Device, dict[str, Annotated[float, Field(gt=0)]]] = {}
    """How far the scores of a cell that is run again on such a device may be from the first ones,
    for each pattern of their names: see `allowed`. Part of no digest."""
    vary: Annotated[dict[Varied, Values], Field(max_length=1)] = {}
    """One key besides, ``slices``, ``border`` or ``recipe.…``, and the values that it has in turn,
    in place of the one above: see `variants`."""
    _folder: Path = PrivateAttr(default=Path())

    @field_validator("slices")
    @classmethod
    def _odd(cls, slices: int) -> int:
        if slices % 2 == 0:
            raise ValueError("a slice stack has an odd number of slices")
        return slices

    @model_validator(mode="after")
    def _no_repeats(self) -> Self:
        for key in ("datasets", "architectures", "inits", "seeds", "attributions", "scores"):
            values = getattr(self.scoring if key in ("attributions", "scores") else self, key)
            if key == "datasets":
                values = [dataset_name(entry) for entry in values]
            if len(set(values)) < len(values):
                raise ValueError(f"'{key}' names something twice")
        return self

    @model_validator(mode="after")
    def _few_coalitions(self) -> Self:
        if SHAPLEY in self.scoring.attributions and self.slices > SHAPLEY_SLICES:
            raise ValueError(
                f"'{SHAPLEY}' is for {SHAPLEY_SLICES} slices at most: leave it out of "
                "scoring.attributions"
            )
        return self

    @model_validator(mode="after")
    def _steps_there_are(self) -> Self:
        over = self.scoring.over_training
        if over is not None and max(over.steps) > self.recipe.steps:
            raise ValueError(
                f"scoring.over_training names step {max(over.steps)} of {self.recipe.steps}"
            )
        return self

    @model_validator(mode="after")
    def _sound_variants(self) -> Self:
        names = [variant.name for variant in self.variants()]
        if len(set(names)) < len(names):
            raise ValueError("'vary' names a value twice")
        return self

    def variants(self) -> list["Protocol"]:
        """Return the protocols that it stands for: one for each value of what varies, or itself.

        Each is as if written by hand, and named NAME-VALUE. Where it has too many slices for exact
        Shapley values, they are not among its attributions.
        """
        made = [self._variant(key, value) for key, each in self.vary.items() for value in each]
        return made or [self]

    def _variant(self, key: str, value: float | str) -> "Protocol":
        content = with_value(self.model_dump(exclude={"vary"}), key, value)
        if key == "slices" and isinstance(value, int) and value > SHAPLEY_SLICES:
            content["scoring"] = {**content["scoring"], "attributions": self.scoring.maps}
        try:
            variant = Protocol.model_validate(content)
        except pydantic.ValidationError as error:
            raise ValueError(f"with {key} = {value}: {validation_message(error)}") from error
        variant._folder = self._folder
        return variant

    @property
    def digest(self) -> str:
        """The digest of everything in the protocol that decides a cell's numbers.

        Which cells it lists decides none, so a protocol that grows keeps its digest.
        """
        keys = {"name", "version", "slices", "border", "recipe", "scoring"}
        deciding = self.model_dump(include=keys)
        # protocols from before there were any keep theirs
        for later in ("scores", "sections", "size", "arand_3d", "primary"):
            if later not in self.scoring.model_dump(exclude_defaults=True):
                del deciding["scoring"][later]
        if self.recipe.patch_places == "seed":
            del deciding["recipe"]["patch_places"]
        return json_digest(deciding)

    def allowed(self, device: str, score: str, value: float) -> float:
        """How far from `value` a score may be when its cell is run again on another machine.

        The first pattern in `tolerance` that its name matches says how many times max(1, |value|);
        0 where none does. Other processors add up in another order, and training magnifies that.
        Raises `UserError` where the protocol says nothing of the device, such as ``cpu``.
        """
        for named, patterns in self.tolerance.items():
            if named == device.partition(":")[0]:
                matching = (
                    part for pattern, part in patterns.items() if fnmatchcase(score, pattern)
                )
                return next(matching, 0.0) * max(1.0, abs(value))
        raise UserError(
            f"The protocol '{self.name}' does not say how far scores may be apart on '{device}': "
            "give it a [tolerance]."
        )

    @property
    def folder(self) -> Path:
        """The folder that paths in the protocol are relative to."""
        return self._folder

    def cells(self) -> list[Cell]:
        """All cells, seeds outermost, so that an interrupted run has whole comparisons to show."""
        return [
            Cell(dataset_name(entry), architecture, init, seed)
            for seed in self.seeds
            for entry in self.datasets
            for architecture in self.architectures
            for init in self.inits
        ]

    def select(
        self,
        datasets: Iterable[str] = (),
        architectures: Iterable[str] = (),
        inits: Iterable[str] = (),
        seeds: Iterable[int] = (),
    ) -> "Protocol":
        """Return the same protocol over the named things only; an empty selection keeps them all.

        A data set may be the path of a card, relative to the working directory.
        """
        known = {dataset_name(entry): entry for entry in self.datasets}
        entries = (
            str(Path(name).resolve()) if name.endswith(".toml") else known.get(name, name)
            for name in datasets
        )
        names = ("datasets", "architectures", "inits", "seeds")
        chosen = zip(names, (entries, architectures, inits, seeds), strict=True)
        distinct = {key: tuple(dict.fromkeys(values)) for key, values in chosen}
        return self.model_copy(update={key: value for key, value in distinct.items() if value})


def dataset_name(entry: str) -> str:
    """The data set that an entry of a protocol's `datasets` stands for.

    >>> dataset_name("cards/isbi2012.toml"), dataset_name("cards/vnc.toml:synapses")
    ('isbi2012', 'vnc:synapses')
    """
    name, task = split_task(entry)
    stem = Path(name).stem if name.endswith(".toml") else name
    return f"{stem}:{task}" if task else stem


def split_task(entry: str) -> tuple[str, str]:
    """A card's name or path, and the task chosen of it, or nothing.

    >>> split_task("vnc:synapses"), split_task("C:/cards/vnc.toml")
    (('vnc', 'synapses'), ('C:/cards/vnc.toml', ''))
    """
    name, colon, task = entry.rpartition(":")
    return (name, task) if colon and re.fullmatch(r"[\w-]*", task) else (entry, "")


def json_digest(content: Any) -> str:
    """SHA-256 of JSON-like content, whatever the order of its keys.

    >>> json_digest({"a": 1, "b": 2}) == json_digest({"b": 2, "a": 1})
    True
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def list_protocols() -> list[str]:
    """The names of the protocols that ship with emsym."""
    return sorted(path.stem for path in protocols_folder().glob("*.toml"))


def shipped_protocol(name: str, version: str) -> Protocol | None:
    """Return the protocol of that name and version, if it ships with emsym.

    The newest version has the name for its file's name, an older one the version, too:
    ``quick.toml`` and ``quick-1.toml``.
    """
    alike = _shipped_alike(f"{name}-{version}")
    return next((each for each in alike if (each.name, each.version) == (name, version)), None)


def load_protocol(name_or_path: str) -> Protocol:
    """A protocol that ships with emsym, by name, or any other, by the path of its TOML file.

    The name may be that of a variant, such as ``slices-5``. Raises `UserError` for an unknown name
    and for a file that is not a valid protocol.
    """
    if not name_or_path.endswith(".toml") and name_or_path not in list_protocols():
        for variant in _shipped_alike(name_or_path):
            if variant.name == name_or_path:
                return variant
    path = find_toml("protocol", name_or_path, protocols_folder())
    protocol = read_toml(path, Protocol)
    protocol._folder = path.parent
    return protocol


def ships(name: str) -> bool:
    """Return whether a protocol of that name, or a variant of one, ships with emsym."""
    return name in list_protocols() or name in [each.name for each in _shipped_alike(name)]


def _shipped_alike(name: str) -> list[Protocol]:
    """Return all variants of the files that ship whose names a name begins with."""
    stems = [stem for stem in list_protocols() if name.startswith(stem)]
    return [variant for stem in stems for variant in load_protocol(stem).variants()]


def cell_key(protocol: str, cell: Cell, **sources: Any) -> str:
    """The name of a cell's record: a digest of everything that decides its numbers.

    `protocol` is the protocol's digest. `sources` are what the cell's names stand for just now: the
    digests of the data, the weights and a plug-in's source, and emsym's scoring version.
    """
    return json_digest({"protocol": protocol, "cell": cell._asdict(), **sources})[:32]
