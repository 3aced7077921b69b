"""The share of foreground is that of the labels, however they are cut into blocks."""

from pathlib import Path

import pytest

from emsym.data.cards import load_card
from emsym.data.inspecting import foreground_fraction
from emsym.data.inspecting.foreground_fraction import fractions
from emsym.data.volume import open_volume


@pytest.mark.parametrize("block", [1, 48 * 48 * 2, 32_000_000])
@pytest.mark.parametrize("images", [False, True])
def test_shares_are_means_of_the_foreground(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, block: int, images: bool
) -> None:
    monkeypatch.setattr(foreground_fraction, "_BLOCK", block)
    card = load_card(str(tiny.with_name("tiny-a.toml")))
    calls: list[tuple[int, int]] = []
    shares = fractions(card, lambda done, total: calls.append((done, total)), images=images)
    volume = open_volume(card)
    assert shares == {
        "membranes": {
            name: pytest.approx(volume.read(*ends).foreground.mean())
            for name, ends in card.split.ranges().items()
        }
    }
    assert calls[-1] == (12, 12)
