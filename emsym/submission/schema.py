"""The models of a submission's files: the author's sheet, the manifest, and a row per cell."""

import re
import unicodedata
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from emsym.protocol import MAX_SLICES, Name, Positive, Strict


def _plain(text: str) -> str:
    """Text that is safe wherever it is shown. A page still has to escape it."""
    if any(sign in text for sign in "<>"):
        raise ValueError("should hold no '<' or '>'")
    if not text.isprintable() and any(
        unicodedata.category(sign)[0] == "C" and sign != "\n" for sign in text
    ):
        raise ValueError("should hold no control, invisible or unassigned characters")
    return text


def _one_line(text: str) -> str:
    if not text.strip() or "\n" in text:
        raise ValueError("should be one line of text that is not empty")
    return _plain(text)


Line = Annotated[str, Field(max_length=500), AfterValidator(_one_line)]
Maybe = Annotated[str, Field(max_length=500), AfterValidator(_plain)]
Title = Annotated[str, Field(max_length=120), AfterValidator(_one_line)]
Note = Annotated[str, Field(max_length=4000), AfterValidator(_plain)]


def _like(pattern: str, expected: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"should be {expected}")
        return text

    return AfterValidator(check)


_PAGE = r"https?://[A-Za-z0-9][A-Za-z0-9./_~:#?=%&@+-]*"
_MAIL = r"[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+"
Address = Annotated[
    str, Field(max_length=300), _like(_PAGE, "the address of a page, https://…, of plain letters")
]
Contact = Annotated[
    str,
    Field(max_length=300),
    _like(f"{_PAGE}|{_MAIL}", "an e-mail address or that of a page, https://…"),
]
Licence = Annotated[
    str,
    Field(max_length=80),
    _like(r"[A-Za-z0-9][A-Za-z0-9 .+()-]*", "a licence's name, such as CC-BY-4.0"),
]
Sha = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Key = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=100)]
DataName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*(:[A-Za-z0-9_-]+)?$", max_length=120)
]
ScoreName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@/+\[\]-]*$", max_length=120)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Amount = Annotated[float, Field(ge=0, le=1e9)]

LARGEST = 1e15
"""The largest score: above whatever is measured, and its squares still fit into a float32."""
MAX_CELLS = 20_000
"""The most cells of one submission."""


class Sheet(Strict):
    """``submission.toml``: what the authors say of themselves."""

    title: Title
    authors: Annotated[tuple[Title, ...], Field(min_length=1, max_length=100)]
    contact: Contact
    """An e-mail address, or that of a page."""
    code: Address
    """Where the code lies that the cells were run with."""
    licence: Licence
    """The licence of the submission itself."""
    note: Note = ""


class Stamp(Strict):
    """The protocol that all cells are of."""

    name: Name
    version: Name
    digest: Sha
    primary: ScoreName | None = None


class DataSchema(Strict):
    """The data that a data set's name stands for in all cells."""

    digest: Sha
    source: Maybe
    modality: Line
    licence: Line
    citation: Maybe


class Weights(Strict):
    """The pretrained weights that all cells began from."""

    origin: Line
    identity: Line | Annotated[dict[Word, Line], Field(min_length=1, max_length=1000)]
    """The one of all cells, or that of each architecture where encoders have their own files."""

    def of(self, architecture: str) -> str | None:
        """Return the identity of an architecture's weights; None where it is not said."""
        if isinstance(self.identity, str):
            return self.identity
        return self.identity.get(architecture)


class Manifest(Strict):
    """``manifest.json``: what the cells of a submission share."""

    format: Literal[1] = 1
    protocol: Stamp
    slices: Annotated[int, Field(ge=1, le=MAX_SLICES)]
    scoring_version: Positive
    scoring_sources: Annotated[dict[Line, Sha], Field(max_length=100)]
    weights: Weights
    datasets: Annotated[dict[DataName, DataSchema], Field(min_length=1, max_length=200)]
    environments: Annotated[
        list[Annotated[dict[Line, Maybe | int | bool | None], Field(max_length=40)]],
        Field(min_length=1, max_length=2000),
    ]
    """The machines and the software that cells name by their numbers."""


class Row(Strict):
    """A line of ``cells.csv``, less the scores: what a cell is and what it took.

    A cell that the protocol has and the submission has not is ``missing``, without a key.
    """

    status: Literal["done", "failed", "missing"]
    dataset: DataName
    architecture: Word
    init: Word
    seed: Count
    key: Key | None = None
    error: Line | None = None
    architecture_source: Sha | None = None
    init_source: Sha | None = None
    gain: Literal["copy", "preserve"] | None = None
    weights_tag: Line | None = None
    weights_digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    environment: Count | None = None
    seconds: Amount | None = None
    peak_memory_mb: Amount | None = None
    parameters: Count | None = None
    passes: Count | None = None
    step_ms: Amount | None = None
    answer_ms: Amount | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        known = (self.key, self.gain, self.environment, self.seconds)
        if (self.status == "missing") != (known == (None,) * len(known)):
            raise ValueError("'key', 'gain', 'environment' and 'seconds' go with all but 'missing'")
        if self.status != "missing" and None in known:
            raise ValueError("one of 'key', 'gain', 'environment' and 'seconds' is missing")
        if (self.status == "failed") != (self.error is not None):
            raise ValueError("'error' goes with status 'failed', and with no other")
        return self


FIELDS = tuple(Row.model_fields)
"""The columns of ``cells.csv`` before the scores."""
COST = ("parameters", "passes", "step_ms", "answer_ms")
"""The last of them, which submissions from before costs were measured do not have."""
