"""Cards as Croissant, held against the format's own library."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from emsym.data.cards import Card, list_cards, load_card
from emsym.data.inspecting.croissant import croissant, files_without_checksum
from emsym.errors import UserError

CARD = """\
name = "cells"
title = "Cells of something"
modality = "TEM"
licence = "CC BY-NC-SA 3.0"
citation = "Someone 2026"

[tasks.cells]
labels = "cells"
classes = {{ rest = "== 0", cell = "> 0" }}
ignore = 255
foreground = "cell"
instances = "foreground"

[split]
train = [0, 3]
test = [3, 4]

[sources.web]
image = {{ path = "raw/*.png" }}
labels.cells = {{ path = {labels} }}
{files}
"""
ZIPPED = """
[sources.web.files."my cells.zip"]
url = "https://example.org/cells.zip"
checksum = "sha256:{}"
"""


def write_card(folder: Path, labels: str, files: str) -> Card:
    (folder / "cells.toml").write_text(CARD.format(labels=labels, files=files))
    return load_card(str(folder / "cells.toml"))


def write_sections(folder: Path) -> list[Path]:
    paths = [folder / kind / f"{z}.png" for kind in ("raw", "mask") for z in range(4)]
    for number, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 5), number, np.uint8)).save(path)
    return paths


@pytest.fixture(scope="module")
def mlcroissant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The library, which unpacks archives into a folder of the test's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROISSANT_CACHE", str(tmp_path_factory.mktemp("croissant")))
        yield pytest.importorskip("mlcroissant", reason="pip install 'emsym[test]'")


@pytest.fixture
def read(mlcroissant: ModuleType) -> Callable[..., Any]:
    """Return what the library makes of a document, which it checks."""

    def dataset(document: dict[str, Any], **options: Any) -> Any:
        return mlcroissant.Dataset(jsonld=json.loads(json.dumps(document)), **options)

    return dataset


def by_id(document: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {each["@id"]: each for each in document[kind]}


@pytest.mark.parametrize("name", list_cards())
def test_the_library_finds_nothing_wrong_but_checksums_that_nobody_tells(
    name: str, mlcroissant: ModuleType, read: Callable[..., Any]
) -> None:
    document = croissant(load_card(name))
    unknown = files_without_checksum(document)
    try:
        read(document)
        errors = []
    except mlcroissant.ValidationError as error:
        text = str(error).partition("warning(s)")[0]
        errors = [line for line in text.splitlines() if line.startswith("  -  ")]
    assert len(errors) == len(unknown)
    assert all("['md5', 'sha256']" in error for error in errors)


def test_cards_whose_files_all_have_checksums_are_whole() -> None:
    unknown = {name: files_without_checksum(croissant(load_card(name))) for name in list_cards()}
    lacking = {name: len(files) for name, files in unknown.items() if files}
    assert lacking == {"gf-pa66": 1, "lucchi": 4, "vnc": 20}
    assert not files_without_checksum(croissant(load_card("vnc:mitochondria")))


def test_it_says_what_the_card_says_and_no_more() -> None:
    card = load_card("snemi3d")
    document = croissant(card)
    assert document["name"] == card.name
    assert document["citeAs"] == card.citation
    assert document["url"] == card.homepage
    assert document["license"] == "https://creativecommons.org/licenses/by/4.0/"
    for words in (card.title, card.modality, "100 × 1024 × 1024 voxels", "30 × 6 × 6 nm"):
        assert words in document["description"]
    assert by_id(document, "distribution") == {
        "snemi.zip": {
            "@type": "cr:FileObject",
            "@id": "snemi.zip",
            "name": "snemi.zip",
            "encodingFormat": "application/zip",
            "contentUrl": "https://zenodo.org/records/7142003/files/snemi.zip",
            "contentSize": "194.6 MB",
            "md5": "3d25a7025f66698f33c7850ace885939",
        }
    }
    assert {"creator", "datePublished", "version"}.isdisjoint(document)


def test_a_licence_that_is_no_known_one_stays_in_the_cards_words() -> None:
    card = load_card("lucchi")
    assert croissant(card)["license"] == card.licence


def test_a_phantom_has_no_files_and_says_who_makes_it() -> None:
    document = croissant(load_card("phantom-fibres-2"))
    assert "distribution" not in document
    assert "emsym makes it: the phantom 'fibres' of the seed" in document["description"]
    assert "plus that of the training" in document["description"]


def test_the_library_reads_the_tables_of_the_card(read: Callable[..., Any]) -> None:
    card = load_card("vnc:mitochondria")
    dataset = read(croissant(card))
    splits = list(dataset.records("splits"))
    assert [(each["splits/name"], each["splits/section_after_last"]) for each in splits] == [
        ("train", 13),
        ("test", 20),
    ]
    (task,) = dataset.records("tasks")
    assert (task["tasks/labels"], task["tasks/foreground"]) == ("mitochondria", "mitochondrion")
    arrays = [(each["arrays/name"], each["arrays/path"]) for each in dataset.records("arrays")]
    assert arrays == [("image", "raw/*.tif"), ("labels.mitochondria", "mitochondria/*.png")]
    values = {each["classes/name"]: each["classes/values"] for each in dataset.records("classes")}
    assert values == {"rest": "== 0", "mitochondrion": "> 0"}


def test_the_library_reads_the_sections_of_an_archive(
    tmp_path: Path, read: Callable[..., Any]
) -> None:
    archive = tmp_path / "cells.zip"
    paths = write_sections(tmp_path)
    with zipfile.ZipFile(archive, "w") as opened:
        for path in paths:
            opened.write(path, path.relative_to(tmp_path))
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    card = write_card(tmp_path, '"mask/*.png"', ZIPPED.format(checksum))
    document = croissant(card)
    assert document["license"] == "https://creativecommons.org/licenses/by-nc-sa/3.0/"
    assert by_id(document, "distribution")["my_cells.zip"]["name"] == "my cells.zip"
    dataset = read(document, mapping={"my_cells.zip": archive})
    for array, first in (("image", 0), ("labels.cells", 4)):
        sections = list(dataset.records(f"sections/{array}"))
        names = sorted(each[f"sections/{array}/filename"] for each in sections)
        assert names == [b"0.png", b"1.png", b"2.png", b"3.png"]
        values = sorted(
            int(np.asarray(each[f"sections/{array}/content"])[0, 0]) for each in sections
        )
        assert values == list(range(first, first + 4))
    (task,) = dataset.records("tasks")
    assert task["tasks/ignore"] == 255


def test_of_volumes_in_an_archive_no_sections_are_told(
    tmp_path: Path, read: Callable[..., Any]
) -> None:
    card = write_card(tmp_path, '["mask/a.tif", "mask/b.tif"]', ZIPPED.format("0" * 64))
    document = croissant(card)
    assert "sections/image" in by_id(document, "recordSet")
    assert "sections/labels.cells" not in by_id(document, "recordSet")
    assert len([each for each in document["distribution"] if each["@type"] == "cr:FileSet"]) == 1
    read(document)


def test_files_beside_the_card_are_read_for_their_checksums(
    tmp_path: Path, read: Callable[..., Any]
) -> None:
    paths = write_sections(tmp_path)
    card = write_card(tmp_path, '"mask/*.png"', "")
    files = by_id(croissant(card), "distribution")
    assert set(files) == {path.relative_to(tmp_path).as_posix() for path in paths}
    first = files["raw/0.png"]
    assert first["contentUrl"] == "raw/0.png"
    assert first["sha256"] == hashlib.sha256(paths[0].read_bytes()).hexdigest()
    assert first["contentSize"] == f"{paths[0].stat().st_size} bytes"
    read(croissant(card))


def test_a_file_that_does_not_lie_beside_its_card_is_told(tmp_path: Path) -> None:
    card = write_card(tmp_path, '"mask/*.png"', "")
    with pytest.raises(UserError, match="raw"):
        croissant(card)
