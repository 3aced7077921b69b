"""A data set's digest follows all that decides a number, and nothing else."""

import json
from pathlib import Path

import pytest
from served_cells import ALL, sha

from emsym.data.cards import Files, load_card
from emsym.data.fetching.data_digest import data_digest, published_digest
from emsym.data.fetching.fetch import fetch

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.usefixtures("impatient", "kept")


def test_a_digest_is_the_same_before_and_after_fetching_what_was_published(cells, notes):
    card = cells(*ALL)
    before = data_digest(card)
    fetch(card, notes)
    assert data_digest(card) == before
    assert data_digest(cells("image", "archive", labels=sha(b"other"))) != before


def test_a_digest_follows_split_task_name_and_where_arrays_lie(cells):
    card = cells(*ALL)
    source = card.sources["first"]
    task = card.task
    changes = [
        {"name": "other"},
        {"split": card.split.model_copy(update={"test": (9, 12)})},
        {"tasks": {"cells": task.model_copy(update={"instances": "between"})}},
        {
            "sources": {
                "first": source.model_copy(update={"image": Files(path="image.npy", axes="xyz")})
            }
        },
    ]
    digests = {
        data_digest(card),
        *(data_digest(card.model_copy(update=change)) for change in changes),
    }
    assert len(digests) == 5
    same = {"title": "Other", "licence": "Other", "sources": {"renamed": source}}
    assert data_digest(card.model_copy(update=same)) == data_digest(card)


def test_a_digest_of_local_files_is_of_their_bytes(cells, tmp_path):
    card = cells()
    local = card.sources["first"].model_copy(update={"files": {}, "url": None})
    card = card.model_copy(update={"sources": {"here": local}})
    (tmp_path / "image.npy").write_bytes(b"1")
    (tmp_path / "labels.npy").write_bytes(b"2")
    before = data_digest(card)
    assert data_digest(card) == before
    (tmp_path / "labels.npy").write_bytes(b"3")
    assert data_digest(card) != before


def test_what_is_published_says_the_digest_of_every_machine(cells, notes):
    card = cells(*ALL)
    published = published_digest(card, "first")
    fetch(card, notes)
    assert published == data_digest(card)
    assert published_digest(cells("image", "archive"), "first") is None, "of labels nobody knows"
    phantom = load_card("phantom-fibres")
    assert published_digest(phantom, "phantom") == data_digest(phantom)


def test_a_digest_of_a_phantom_follows_its_seed():
    card = load_card("phantom-fibres")
    other = card.model_copy(update={"phantom": card.phantom.model_copy(update={"seed": 99})})
    assert data_digest(card) != data_digest(other)


@pytest.mark.parametrize("kind", ["neurites", "mitochondria", "fibres"])
@pytest.mark.parametrize(("submission", "suffix"), [("emsym-quick-1", ""), ("emsym", "-2")])
def test_phantoms_keep_the_digests_that_are_published(kind, submission, suffix):
    manifest = json.loads((ROOT / f"results/submissions/{submission}/manifest.json").read_text())
    name = f"phantom-{kind}{suffix}"
    assert data_digest(load_card(name)) == manifest["datasets"][name]["digest"]
