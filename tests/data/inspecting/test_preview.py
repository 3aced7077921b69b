"""A preview is a picture of every task, however many slices a stack has."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emsym.data.cards import load_card
from emsym.data.inspecting.preview import draw_preview


@pytest.mark.parametrize("slices", [1, 3, 5])
def test_a_stack_of_any_size_is_drawn(tiny: Path, slices: int) -> None:
    card = load_card(str(tiny.with_name("tiny-a.toml")))
    shares = {"membranes": {"train": 0.25, "test": 0.5}}
    picture = Image.open(io.BytesIO(draw_preview(card, shares, slices)))
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert picture.format == "PNG"
    assert (pixels.max(-1) - pixels.min(-1)).max() > 50  # foreground in colour
