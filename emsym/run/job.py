"""Jobs: the cells of a protocol with their keys and all that a worker needs to run them."""

from dataclasses import dataclass, replace

from emsym.data.cards import Card, load_card
from emsym.data.fetching.availability import locate_data
from emsym.data.fetching.data_digest import data_digest
from emsym.errors import UserError
from emsym.models.architectures import ARCHITECTURES, encoder_name
from emsym.models.inits import init_source, parse_init
from emsym.models.pretrained.chosen_weights import choose_weights
from emsym.protocol import Cell, Protocol, cell_key, dataset_name
from emsym.scores.attribution.methods import ATTRIBUTIONS
from emsym.scores.catalogue import SCORES, optional_score, score_of
from emsym.scores.expected_scores import image_scores, pooled_alone
from emsym.scores.faithfulness.metrics import METRICS
from emsym.version import SCORING_VERSION


@dataclass(frozen=True, slots=True)
class Job:
    """A cell with everything that its worker needs; it can be sent to another process."""

    cell: Cell
    key: str
    protocol: Protocol
    card: Card
    data_digest: str
    data_source: str
    weights: str
    """``pretext``, ``imagenet`` or an absolute path."""
    weights_origin: str
    weights_identity: str
    init_source: str | None
    architecture_source: str | None
    scoring_sources: dict[str, str]
    offline: bool = False
    """Whether its worker must touch no network."""
    variant: str = ""
    """The name of its protocol, where that is one of several of a run."""

    def __str__(self) -> str:
        return f"{self.variant} · {self.cell}" if self.variant else str(self.cell)


def cards(protocol: Protocol) -> dict[str, Card]:
    """Return the cards of a protocol's data sets by the names that its cells use.

    Raises `UserError` for an unknown one, and for a card of which no task was chosen.
    """
    by_name = {
        dataset_name(entry): load_card(entry, protocol.folder) for entry in protocol.datasets
    }
    for card in by_name.values():
        _ = card.task  # a network learns one
    return by_name


def jobs(protocol: Protocol, offline: bool = False) -> list[Job]:
    """Return all cells of a protocol with their keys. Nothing is trained, and no torch imported.

    Cells of its variants are among each other, so that an interrupted run has whole comparisons.
    Raises `UserError` for a name that is not registered and for files that are not there.
    """
    made = [
        replace(job, variant=variant.name if protocol.vary else "")
        for variant in protocol.variants()
        for job in _jobs(variant, offline)
    ]
    return sorted(made, key=lambda job: protocol.seeds.index(job.cell.seed))


def _jobs(protocol: Protocol, offline: bool) -> list[Job]:
    chosen = cards(protocol)
    data = {name: data_digest(card) for name, card in chosen.items()}
    places = {name: locate_data(card) for name, card in chosen.items()}
    inits = {name: init_source(name) for name in protocol.inits}
    architectures = {name: ARCHITECTURES.source_digest(name) for name in protocol.architectures}
    scoring = scoring_sources(protocol)
    _check_primary(protocol)
    _check_spacing(protocol, chosen)
    whole = protocol.digest
    weights = {
        name: choose_weights(protocol.weights, protocol.folder, encoder_name(name))
        for name in protocol.architectures
    }

    def job(cell: Cell) -> Job:
        sources = (inits[cell.init], architectures[cell.architecture])
        start = weights[cell.architecture]
        key = cell_key(
            whole,
            cell,
            data=data[cell.dataset],
            weights=start.identity,
            init=sources[0],
            architecture=sources[1],
            scoring=scoring,
            scoring_version=SCORING_VERSION,
        )
        card, place = chosen[cell.dataset], places[cell.dataset]
        return Job(
            cell,
            key,
            protocol,
            card,
            data[cell.dataset],
            place.source if place else "",
            start.source,
            start.origin,
            start.identity,
            *sources,
            scoring,
            offline,
        )

    return [job(cell) for cell in protocol.cells()]


def _check_spacing(protocol: Protocol, cards: dict[str, Card]) -> None:
    """Raise `UserError` where a strategy needs the distance of sections and a card has none."""
    spaced = [name for name in protocol.inits if parse_init(name).strategy.spaced]
    unknown = [name for name, card in cards.items() if card.known_voxel_size is None]
    if spaced and unknown:
        raise UserError(
            f"The init '{spaced[0]}' depends on how far sections are apart, which the card of "
            f"'{unknown[0]}' does not know: give it a voxel_size_nm, or leave the init out."
        )


def _check_primary(protocol: Protocol) -> None:
    """Raise `UserError` where the score that decides is none of those that a cell has."""
    primary = protocol.scoring.primary
    if primary is None:
        return
    if primary not in image_scores(protocol) | set(pooled_alone()):
        raise UserError(
            f"The primary score '{primary}' is none of those that the protocol's cells have: take "
            "a key such as 'flip_error' or 'saliency/true-foreground/model_asymmetry', of what "
            "'attributions', 'targets', 'thresholds' and 'scores' name."
        )
    if score_of(primary).better is None:
        raise UserError(
            f"The primary score '{primary}' cannot decide: neither high nor low values of it are "
            "the better ones."
        )


def scoring_sources(protocol: Protocol) -> dict[str, str]:
    """Return the SHA-256 of the source of each method, metric and score of a plug-in.

    Keys say what it is and its name, as ``metric my-own``. Raises `UserError` for an unknown name.
    """
    scoring = protocol.scoring
    for name in scoring.scores:
        optional_score(name)
    digests = {
        **{f"attribution {n}": ATTRIBUTIONS.source_digest(n) for n in scoring.maps},
        **{f"metric {n}": METRICS.source_digest(n) for n in scoring.faithfulness.metrics},
        **{f"score {n}": SCORES.source_digest(n) for n in scoring.scores},
    }
    return {name: digest for name, digest in digests.items() if digest}
