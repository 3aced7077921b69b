"""Cards in words: what a person asks of a data set is told."""

import pytest

from emsym.data.cards import load_card
from emsym.data.inspecting.card_text import card_lines, card_table, download_size, terms


def test_a_phantom_needs_no_download() -> None:
    card = load_card("phantom-fibres")
    assert download_size(card) == "none"
    assert dict(card_lines(card))["on disk"] == "no need"


def test_lines_tell_volume_tasks_splits_and_terms() -> None:
    card = load_card("snemi3d")
    lines = dict(card_lines(card))
    assert lines["volume"].startswith("100 × 1024 × 1024 voxels of ")
    start, stop = card.split.test
    assert lines["split test"] == f"sections {start} to {stop - 1}"
    assert all(f"task {name}" in lines for name in card.tasks)
    assert f"licence: {card.licence}" in terms(card)
    assert "pictures: may be shown in public" in terms(card)
    assert "pictures: for yourself" in terms(load_card("vnc")), "non-commercial, share alike"
    assert all(lines.values())


def test_voxels_that_no_file_tells_are_of_unknown_size() -> None:
    card = load_card("snemi3d").model_copy(update={"voxel_size_nm": (1, 1, 1)})
    assert dict(card_lines(card))["volume"] == "100 × 1024 × 1024 voxels of unknown size"


@pytest.mark.parametrize("markdown", [False, True])
def test_a_table_has_a_row_for_each_card(markdown: bool) -> None:
    cards = [load_card("phantom-fibres"), load_card("phantom-neurites")]
    rows = card_table(cards, markdown).splitlines()[2:]
    assert [card.title in row for card, row in zip(cards, rows, strict=True)] == [True, True]
    assert ("`phantom-fibres`" in rows[0]) == markdown
