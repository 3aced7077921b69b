"""A preview is a picture of every task, however many slices a stack has."""

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from emsym.data.cards import Card, load_card
from emsym.data.inspecting.preview import _side, draw_preview
from emsym.data.volume import open_volume


@pytest.mark.parametrize("slices", [1, 3, 5])
def test_a_stack_of_any_size_is_drawn(tiny: Path, slices: int) -> None:
    card = load_card(str(tiny.with_name("tiny-a.toml")))
    shares = {"membranes": {"train": 0.25, "test": 0.5}}
    picture = Image.open(io.BytesIO(draw_preview(card, shares, slices)))
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert picture.format == "PNG"
    assert (pixels.max(-1) - pixels.min(-1)).max() > 50  # foreground in colour


def texts_of(card: Card, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All that a preview says."""
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    draw_preview(card, {"membranes": {"train": 0.25, "test": 0.5}})
    return [text.get_text() for text in figures[0].findobj(Text)]


def test_the_view_from_the_side_and_its_scale(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = load_card(str(tiny.with_name("tiny-a.toml")))
    said = texts_of(card, monkeypatch)
    # 48 voxels of 6 nm across are as long as 10 of 30 nm down, of the 12 that there are
    assert "XZ view: x across, z = 2 to 11 down, y = 24" in said
    assert said.count("100 nm") == 2
    unknown = texts_of(card.model_copy(update={"voxel_size_nm": None}), monkeypatch)
    (title,) = [text for text in unknown if text.startswith("XZ view")]
    assert title.endswith("y = 24; voxel size unknown, so its proportions are, too")
    assert not [text for text in unknown if text.endswith((" nm", " µm"))]


def test_the_view_from_the_side_is_of_the_middle_row(tiny: Path) -> None:
    card = load_card(str(tiny.with_name("tiny-a.toml")))
    image = open_volume(card).image
    top, side = _side(card, image, slice(4, 44, 2), 0.1, 6)
    assert (top, side.shape) == (0, (12, 20))
    np.testing.assert_array_equal(side, open_volume(card).read(0, 12).image[:, 24, 4:44:2])
    top, side = _side(card, image, slice(0, 48), 6.0, 11)
    assert (top, len(side)) == (4, 8), "the last ones, as it cannot go on"
