"""A card as Croissant 1.0, the JSON-LD in which catalogues of data sets read what one holds.

The format: MLCommons, Croissant Format Specification 1.0, http://mlcommons.org/croissant/1.0. Only
what the card, or a file on this machine, says is written: Croissant asks for creators and a date of
publication, too, which no card holds, and for a checksum of every file, which some cards do not.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from emsym.data.cards import BOUNDARY, Card, Files, Source
from emsym.data.fetching.archives import is_archive
from emsym.data.fetching.availability import needed_arrays, needed_files
from emsym.data.fetching.fetched_files import read_marker, source_folder

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The terms of the specification's own context, which its readers expect whole."""

_FORMATS = {
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".zip": "application/zip",
    ".tar": "application/x-tar",
    ".tgz": "application/x-tar",
    ".gz": "application/gzip",
    ".h5": "application/x-hdf5",
    ".hdf": "application/x-hdf5",
    ".hdf5": "application/x-hdf5",
}
_PICTURES = ("image/tiff", "image/png", "image/jpeg")
_CREATIVE_COMMONS = re.compile(r"CC (BY(?:-NC)?(?:-SA|-ND)?) (\d\.\d)")


def croissant(card: Card) -> dict[str, Any]:
    """Return a card as a Croissant document, of the tasks that the card has.

    The files are those of the source that is tried first. Raises `UserError` where data that should
    lie beside the card does not.
    """
    source = next(iter(card.sources.values()), None)
    document = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": card.name,
        "alternateName": card.title,
        "description": _description(card),
        "license": _licence(card.licence),
        "citeAs": card.citation,
        "url": card.homepage,
        "keywords": ["segmentation", card.modality],
        "distribution": _distribution(card, source) if source else [],
        "recordSet": [*_tables(card, source), *_section_sets(card, source)],
    }
    return {name: value for name, value in document.items() if value}


def files_without_checksum(document: dict[str, Any]) -> list[str]:
    """Return the files of a document that nobody vouches for, which Croissant does not allow."""
    return [
        each["name"]
        for each in document.get("distribution", ())
        if each["@type"] == "cr:FileObject" and not {"sha256", "md5"} & each.keys()
    ]


def _description(card: Card) -> str:
    sentences = [f"{card.title} ({card.modality})."]
    if card.extent:
        sentences.append(f"{' × '.join(map(str, card.extent))} voxels along z, y, x.")
    if card.known_voxel_size:
        size = " × ".join(f"{length:g}" for length in card.known_voxel_size)
        sentences.append(f"A voxel has {size} nm.")
    sentences.append(f"Stacks are along {card.stacked_along}.")
    if made := card.phantom:
        sentences.append(
            f"emsym makes it: the phantom '{made.kind}' of the seed {made.seed}"
            f"{' plus that of the training' * made.volume_per_seed}; there is no file."
        )
    return " ".join(sentences)


def _licence(text: str) -> str:
    """Return the address of a licence of Creative Commons; any other in the card's words.

    >>> _licence("CC BY-NC-SA 3.0")
    'https://creativecommons.org/licenses/by-nc-sa/3.0/'
    >>> _licence("CC BY (as others report; see the homepage)")
    'CC BY (as others report; see the homepage)'
    """
    if text == "CC0-1.0":
        return "https://creativecommons.org/publicdomain/zero/1.0/"
    if known := _CREATIVE_COMMONS.fullmatch(text):
        return f"https://creativecommons.org/licenses/{known[1].lower()}/{known[2]}/"
    return text


def _distribution(card: Card, source: Source) -> list[dict[str, Any]]:
    if not source.files:
        return _files_beside_card(card, source)
    from rich.filesize import decimal

    fetched = read_marker(source_folder(card, next(iter(card.sources))))
    listed = []
    for name in needed_files(card, source):
        file, here = source.remote_file(name), fetched.get(name)
        checksum = file.checksum or (here.checksum if here else None)
        size = here.size if here else file.size
        listed.append(
            _file_object(name)
            | {"contentUrl": file.url}
            # rounded, as a card tells about how many bytes there are
            | ({"contentSize": decimal(size)} if size else {})
            | (dict([checksum.split(":")]) if checksum else {})
        )
    archive = _only_archive(source)
    for name, files in _arrays(card, source).items():
        if archive and (kind := _kind_of_sections(files)):
            listed.append(
                {
                    "@type": "cr:FileSet",
                    "@id": f"files/{name}",
                    "name": f"the files of {name}",
                    "containedIn": {"@id": _identifier(archive)},
                    "encodingFormat": kind,
                    "includes": list(files.paths),
                }
            )
    return listed


def _files_beside_card(card: Card, source: Source) -> list[dict[str, Any]]:
    import pooch
    from rich.filesize import decimal

    from emsym.data.reading.lazy_array import array_files

    paths = [
        path for files in needed_arrays(card, source) for path in array_files(card.folder, files)
    ]
    listed = []
    for path in dict.fromkeys(paths):
        name = _relative(path, card.folder)
        listed.append(
            _file_object(name)
            | {
                "contentUrl": name,
                "contentSize": decimal(path.stat().st_size),
                "sha256": pooch.file_hash(path),
            }
        )
    return listed


def _relative(path: Path, folder: Path) -> str:
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _file_object(name: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": _identifier(name),
        "name": name,
        "encodingFormat": _format(name),
    }


def _identifier(name: str) -> str:
    """Return a name without the white space that readers of Croissant refuse in identifiers."""
    return re.sub(r"\s", "_", name)


def _format(name: str) -> str:
    return _FORMATS.get(PurePosixPath(name.lower()).suffix, "application/octet-stream")


def _only_archive(source: Source) -> str | None:
    """Return the one file that all others are unpacked from; None where a card does not tell."""
    return (
        next(iter(source.files)) if len(source.files) == 1 and is_archive(*source.files) else None
    )


def _arrays(card: Card, source: Source) -> dict[str, Files]:
    layers = {f"labels.{layer}": source.labels[layer] for layer in card.layers()}
    return {"image": source.image, **layers}


def _kind_of_sections(files: Files) -> str | None:
    """Return the format of an array whose every file is a section; None for any other array."""
    kinds = {_format(path) if re.search(r"[*?\[]", path) else None for path in files.paths}
    kind = kinds.pop()
    return kind if not kinds and kind in _PICTURES else None


def _tables(card: Card, source: Source | None) -> list[dict[str, Any]]:
    """Return what the card itself says, as record sets that hold their records."""
    tasks, classes = [], []
    for name, task in card.tasks.items():
        is_boundary = task.foreground == BOUNDARY
        tasks.append(
            {
                "name": name,
                "labels": task.labels,
                "foreground": task.foreground,
                "boundary_width": task.boundary_width if is_boundary else None,
                "instances": task.instances,
                "ids": task.ids,
                "ignore": task.ignore,
            }
        )
        classes += [
            {"task": name, "name": each, "values": values} for each, values in task.classes.items()
        ]
    splits = [
        {"name": name, "first_section": start, "section_after_last": stop}
        for name, (start, stop) in card.split.ranges().items()
    ]
    arrays = [
        {"name": name, "path": path, "key": files.key, "axes": files.told_axes}
        for name, files in (_arrays(card, source) if source else {}).items()
        for path in files.paths
    ]
    tables: dict[str, tuple[str, list[dict[str, Any]]]] = {
        "arrays": ("The stored arrays; those of one name follow each other along z.", arrays),
        "tasks": ("What is segmented, in which labels, and where instances come from.", tasks),
        "classes": ("The values of labels that belong to each class of a task.", classes),
        "splits": ("Sections along z, half-open ranges.", splits),
    }
    return [_table(name, *table) for name, table in tables.items() if table[1]]


def _table(name: str, description: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    whole = {
        column
        for column in records[0]
        if all(isinstance(record[column], int | None) for record in records)
        and any(record[column] is not None for record in records)
    }
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        **({"dataType": "cr:Split", "key": {"@id": "splits/name"}} if name == "splits" else {}),
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{column}",
                "name": column,
                "dataType": "sc:Integer" if column in whole else "sc:Text",
            }
            for column in records[0]
        ],
        "data": [
            {f"{name}/{column}": value for column, value in record.items()} for record in records
        ],
    }


def _section_sets(card: Card, source: Source | None) -> list[dict[str, Any]]:
    """Return the arrays whose sections are pictures of the one archive, a record for each."""
    if source is None or not _only_archive(source):
        return []
    return [
        {
            "@type": "cr:RecordSet",
            "@id": f"sections/{name}",
            "name": f"the sections of {name}",
            "description": "Each section along z; the numbers in the names tell their order.",
            "field": [
                _extracted(name, "filename", "sc:Text"),
                _extracted(name, "content", "sc:ImageObject"),
            ],
        }
        for name, files in _arrays(card, source).items()
        if _kind_of_sections(files)
    ]


def _extracted(array: str, what: str, kind: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"sections/{array}/{what}",
        "name": what,
        "dataType": kind,
        "source": {"fileSet": {"@id": f"files/{array}"}, "extract": {"fileProperty": what}},
    }
