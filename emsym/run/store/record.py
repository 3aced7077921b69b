"""The record of one cell: every score per image, how it came about, and what it cost."""

from typing import TYPE_CHECKING, Final, Literal

from pydantic import ConfigDict

from emsym.models.inits import parse_init
from emsym.protocol import Cell, Strict, cell_key
from emsym.version import SCORING_VERSION

if TYPE_CHECKING:
    from emsym.models.pretrained.weights import LoadedWeights
    from emsym.run.job import Job

Column = list[float | None]

SCHEMA_VERSION: Final = 1


class ProtocolStamp(Strict):
    """Which protocol a record belongs to."""

    name: str
    version: str
    digest: str
    primary: str | None = None
    """The key of the score that it names as the one that decides, if any."""


class DatasetStamp(Strict):
    """Which data a record was made from, under which licence."""

    name: str
    digest: str
    source: str
    """The mirror that the data came from, by its name in the card."""
    modality: str
    licence: str
    citation: str


class WeightsStamp(Strict):
    """Where the pretrained weights came from, and what they are."""

    origin: str
    """The protocol's word for them; that of a folder ends in ``/``."""
    identity: str
    """The SHA-256 of a file; of what is made or published, its name."""
    tag: str | None = None
    """The tag of the weights, such as ``resnet50.a1_in1k``; None without any, as for `random`."""
    digest: str | None = None
    """SHA-256 of the tensors that were loaded."""
    licence: str | None = None
    """The weights' licence, as timm or their file names it."""


class Cost(Strict):
    """The cost of a strategy, to be compared with the baseline's on the same machine.

    Times are the processor's own, all threads together; with a GPU those of the wall.
    """

    parameters: int
    passes: int
    """How often the trained network runs for one answer."""
    step_ms: float
    """Milliseconds of a training step, the median; a teacher's are added."""
    answer_ms: float
    """Milliseconds of the answer to one patch of the size that was trained on."""


class OverTrainingResult(Strict):
    """The symmetry scores of some test sections while the network was trained."""

    steps: list[int] = []
    """How many were taken before each look; 0 is before fine-tuning."""
    sections: list[int]
    images: dict[str, list[Column]] = {}
    """Each score, look by look: one value per section, None where it is missing."""


class Record(Strict):
    """The JSON result of one cell.

    `images` has a column per score with one value per test image, None where it is missing, and
    with what the pooled scores are pooled from: the pixels ``tp@t``, ``fp@t`` and ``fn@t`` at a
    threshold t, true positives, false positives and false negatives;
    `scores` has the value of the cell, pooled over or averaged over images, and `missing` says
    how many images had none, where any. Keys of attribution scores are
    ``attribution/target/score``, such as ``saliency/true-foreground/model_asymmetry``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schema_version: Literal[1] = SCHEMA_VERSION  # stays the first field: a store looks for it there
    key: str
    status: Literal["done", "failed"]
    error: str | None = None
    protocol: ProtocolStamp
    dataset: DatasetStamp
    architecture: str
    init: str
    init_source: str | None
    """SHA-256 of a plug-in's source; None for a strategy of emsym's."""
    gain: Literal["copy", "preserve"] = "copy"
    """Whether the strategy's filters were taken as they are, or scaled to their pretrained norm."""
    architecture_source: str | None
    seed: int
    slices: int
    weights: WeightsStamp
    scoring_version: int
    scoring_sources: dict[str, str] = {}
    """SHA-256 of the source of each attribution method and metric that a plug-in brought."""
    scores: dict[str, float | None] = {}
    missing: dict[str, int] = {}
    images: dict[str, Column] = {}
    curve: list[float] = []
    """The training loss of every step."""
    over_training: OverTrainingResult | None = None
    seconds: dict[str, float] = {}
    """Wall time of each phase."""
    cost: Cost | None = None
    """None of a failed cell, and of one from before it was measured."""
    peak_memory_mb: float | None = None
    """The peak of the process that ran the cell, up to its end."""
    environment: dict[str, str | int | bool | None] = {}

    @property
    def is_of_its_key(self) -> bool:
        """Whether its key is that of the cell that it says it is of.

        Of other versions of emsym's scores, whose keys may have been made in another way, it is
        taken for granted.
        """
        if self.scoring_version != SCORING_VERSION:
            return True
        return self.key == cell_key(
            self.protocol.digest,
            Cell(self.dataset.name, self.architecture, self.init, self.seed),
            data=self.dataset.digest,
            weights=self.weights.identity,
            init=self.init_source,
            architecture=self.architecture_source,
            scoring=self.scoring_sources,
            scoring_version=self.scoring_version,
        )


def record_of(job: "Job", loaded: "LoadedWeights | None" = None, **results: object) -> Record:
    """Return a cell's record with these results: `status`, and `error` or the scores.

    `loaded` is what the network was given, where it was given weights.
    """
    return Record.model_validate(
        {
            "key": job.key,
            "protocol": ProtocolStamp(
                name=job.protocol.name,
                version=job.protocol.version,
                digest=job.protocol.digest,
                primary=job.protocol.scoring.primary,
            ),
            "dataset": DatasetStamp(
                name=job.card.name,
                digest=job.data_digest,
                source=job.data_source,
                modality=job.card.modality,
                licence=job.card.licence,
                citation=job.card.citation,
            ),
            "architecture": job.cell.architecture,
            "init": job.cell.init,
            "init_source": job.init_source,
            "gain": parse_init(job.cell.init).strategy.gain,
            "architecture_source": job.architecture_source,
            "seed": job.cell.seed,
            "slices": job.protocol.slices,
            "weights": WeightsStamp(
                origin=job.weights_origin,
                identity=job.weights_identity,
                tag=loaded.tag if loaded else None,
                digest=loaded.digest if loaded else None,
                licence=loaded.licence if loaded else None,
            ),
            "scoring_version": SCORING_VERSION,
            "scoring_sources": job.scoring_sources,
            **results,
        }
    )
