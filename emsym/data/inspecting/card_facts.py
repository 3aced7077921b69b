"""The facts of a card, for a program and for the words that a person reads."""

from dataclasses import dataclass
from typing import Any

from emsym.data.cards import Card
from emsym.data.fetching.availability import locate_data


@dataclass(frozen=True)
class CardFacts:
    """A data set, by its card, and what of it is on this machine."""

    name: str
    title: str
    modality: str
    shape: tuple[int, int, int] | None
    """Voxels, z × y × x; None where files alone tell."""
    voxel_size_nm: tuple[float, float, float] | None
    """Their size, z × y × x; None where nobody knows."""
    volume_per_seed: bool
    """Whether there is another volume for each seed of a protocol."""
    stacked_along: str
    tasks: dict[str, dict[str, Any]]
    split: dict[str, tuple[int, int]]
    """The first section of each split, and the one after its last."""
    licence: str
    pictures_may_be_shown: bool
    citation: str
    homepage: str
    sources: list[str]
    download_bytes: int | None
    """The files of the first source together; None where not all sizes are known."""
    on_disk: list[str] | None
    """The tasks whose data are here; None where the data are made on the spot."""


def card_facts(card: Card) -> CardFacts:
    """Return the facts of a card; nothing of the data is read."""
    sizes = file_sizes(card)
    return CardFacts(
        name=card.name,
        title=card.title,
        modality=card.modality,
        shape=card.extent,
        voxel_size_nm=card.known_voxel_size,
        volume_per_seed=card.phantom is not None and card.phantom.volume_per_seed,
        stacked_along=card.stacked_along,
        tasks={name: task.model_dump(mode="json") for name, task in card.tasks.items()},
        split=card.split.ranges(),
        licence=card.licence,
        pictures_may_be_shown=card.may_be_shown,
        citation=card.citation,
        homepage=card.homepage,
        sources=list(card.sources),
        download_bytes=None if None in sizes else sum(filter(None, sizes)),
        on_disk=tasks_on_disk(card),
    )


def file_sizes(card: Card) -> list[int | None]:
    """Return the bytes of each file that is fetched of the first source; None where not known."""
    source = next(iter(card.sources.values()), None)
    return [source.remote_file(name).size for name in source.files] if source else []


def tasks_on_disk(card: Card) -> list[str] | None:
    """Return the tasks whose data are on this machine; None where they are made on the spot."""
    if not card.sources:
        return None
    return [next(iter(each.tasks)) for each in card.single_task_cards() if locate_data(each)]
