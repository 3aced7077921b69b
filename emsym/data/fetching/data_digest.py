"""The digest of a data set: of what its card says and of the bytes of its files."""

from pathlib import Path
from typing import Any

from emsym.data.cards import Card, Files, Source
from emsym.data.fetching.availability import locate_data, needed_arrays, needed_files
from emsym.protocol import json_digest as digest_of


def data_digest(card: Card) -> str:
    """Return the digest of all in a card with one task that decides a number, and of its files.

    For a source that is not on this machine, the published checksums stand for the bytes.
    """
    if card.phantom is not None:
        return _digest_of_phantom(card)
    located = locate_data(card)
    source = card.sources[located.source if located else next(iter(card.sources))]
    sums: Any
    if not source.files:
        sums = _checksums_beside_card(card.folder, needed_arrays(card, source))
    elif located:
        sums = located.sums
    else:
        sums = _published_checksums(card, source)
    return _digest_of_source(card, source, sums)


def published_digest(card: Card, source: str) -> str | None:
    """Return the `data_digest` of a card whose data came from that source, on any machine.

    None where the source does not say all checksums, or lies beside its card.
    """
    if card.phantom is not None:
        return _digest_of_phantom(card)
    sums = _published_checksums(card, card.sources[source])
    known = sums and all(sums.values())
    return _digest_of_source(card, card.sources[source], sums) if known else None


def _published_checksums(card: Card, source: Source) -> dict[str, str | None]:
    return {name: source.remote_file(name).checksum for name in needed_files(card, source)}


def _digest_of_phantom(card: Card) -> str:
    assert card.phantom is not None
    return digest_of([*_deciding_fields(card), card.phantom.deciding()])


def _digest_of_source(card: Card, source: Source, sums: Any) -> str:
    layers = {layer: source.labels[layer].model_dump() for layer in card.layers()}
    return digest_of([*_deciding_fields(card), source.image.model_dump(), layers, sums])


def _deciding_fields(card: Card) -> list[Any]:
    task = card.task.model_dump()
    if task["ignore"] is None:  # digests of cards from before there was one stay as they were
        del task["ignore"]
    return [card.name, task, card.split.model_dump()]


def _checksums_beside_card(folder: Path, arrays: list[Files]) -> list[list[str]]:
    import pooch

    from emsym.data.reading.lazy_array import array_files

    paths_of = [array_files(folder, files) for files in arrays]
    sums = {path: pooch.file_hash(path) for path in {path for each in paths_of for path in each}}
    return [[sums[path] for path in each] for each in paths_of]
