"""Cards in words: a table of data sets, and one data set line by line."""

from collections.abc import Iterable

from rich.filesize import decimal
from tabulate import tabulate

from emsym.data.cards import BOUNDARY, Card, Source, Task
from emsym.data.inspecting.card_facts import file_sizes, tasks_on_disk


def download_size(card: Card) -> str:
    """Return the size of the first source's files together; ``over …`` where not all is known."""
    if not card.sources:
        return "none"
    known = file_sizes(card)
    if not any(known):
        return "not known" if known else "beside the card"
    return "over " * (None in known) + decimal(sum(filter(None, known)))


def card_table(cards: Iterable[Card], markdown: bool = False) -> str:
    """Return a table of data sets, one a row.

    For a terminal it tells what is on disk, in Markdown, as in the documents, the sources.
    """
    if markdown:
        rows = [
            {
                "name": f"`{card.name}`",
                "what": card.title,
                "modality": card.modality,
                "voxels (z × y × x)": _times(card.extent),
                "nm": _voxel_size(card).removesuffix(" nm"),
                "download": download_size(card),
                "tasks": ", ".join(card.tasks),
                "licence": card.licence,
                "cite": card.citation,
            }
            for card in cards
        ]
        return tabulate(rows, headers="keys", tablefmt="github")
    short = [(card.name, card.title, _on_disk(card).partition(" (")) for card in cards]
    return tabulate(
        [
            (name, what, f"{state[0]}, in part" if state[1] else state[0])
            for name, what, state in short
        ],
        headers=["name", "what", "on disk"],
        tablefmt="simple",
    )


def terms(card: Card) -> list[str]:
    """Return the terms of use of the data: its licence, and what to cite."""
    shown = "pictures: may be shown in public" if card.may_be_shown else "pictures: for yourself"
    cite = [f"cite: {card.citation}"] if card.citation else []
    return [f"licence: {card.licence}", *cite, shown]


def card_lines(card: Card) -> list[tuple[str, str]]:
    """Return everything that a person asks of a card, as (word, text)."""
    lines = [
        ("", card.title),
        ("modality", card.modality),
        ("volume", f"{_times(card.extent)} voxels of {_voxel_size(card)}{_for_each_seed(card)}"),
        ("stacked along", card.stacked_along),
        *((f"task {name}", _task(task)) for name, task in card.tasks.items()),
        *((f"split {name}", f"sections {a} to {b - 1}") for name, (a, b) in _ranges(card)),
        ("licence", card.licence),
        ("pictures", "may be shown in public" if card.may_be_shown else "for yourself"),
        ("cite", card.citation),
        ("homepage", card.homepage),
        *((f"source {name}", _source(source)) for name, source in card.sources.items()),
        ("on disk", _on_disk(card)),
    ]
    return [(word, text) for word, text in lines if text]


def _ranges(card: Card) -> Iterable[tuple[str, tuple[int, int]]]:
    return card.split.ranges().items()


def _times(numbers: tuple[float, ...] | None) -> str:
    return " × ".join(f"{number:g}" for number in numbers) if numbers else "?"


def _voxel_size(card: Card) -> str:
    """Return the size in words."""
    size = card.known_voxel_size
    return "unknown size" if size is None else f"{_times(size)} nm"


def _for_each_seed(card: Card) -> str:
    per_seed = card.phantom is not None and card.phantom.volume_per_seed
    return ", another one for each seed of a protocol" if per_seed else ""


def _task(task: Task) -> str:
    if task.foreground == BOUNDARY:
        what = f"borders between the ids of '{task.labels}', {2 * task.boundary_width} pixels wide"
    else:
        what = f"{task.foreground} ({task.classes[task.foreground]}) in '{task.labels}'"
    rule = "what lies between" if task.instances == "between" else "its connected components"
    truth = f", true ones the ids of '{task.ids}'" if task.ids else ""
    return f"{what}; instances: {rule}{truth}"


def _source(source: Source) -> str:
    if not source.files:
        return "beside the card"
    names = list(source.files)
    first = source.remote_file(names[0])
    if len(names) > 1:
        return f"{source.url or first.url}, {len(names)} files"
    if first.checksum:
        vouched = f"{first.checksum[:18]}…"
    else:
        by_record = str(first.url).startswith("doi:")
        vouched = "checksum from the record" if by_record else "no published checksum"
    return f"{first.url}, {vouched}"


def _on_disk(card: Card) -> str:
    """Say whether the data is there, and for which tasks if not for all."""
    here = tasks_on_disk(card)
    if here is None:
        return "no need"
    if not here:
        return "no"
    some = "" if len(here) == len(card.tasks) else f" ({', '.join(here)})"
    return f"yes{some}"
