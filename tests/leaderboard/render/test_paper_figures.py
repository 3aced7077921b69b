"""The paper's figures are drawn of the sections that were kept, and its table in three formats."""

import numpy as np
import pytest
from made_boards import board_of

from emsym.leaderboard.render.paper_figures import (
    draw_paper_figures,
    figure_bytes,
    paper_tables,
)
from emsym.run.store.record import Record

NAMES = ["figure-1-saliency", "figure-2-data", "figure-3-prediction", "figure-4-mean-saliency"]


def kept(key: str) -> dict[str, np.ndarray]:
    """A section of eight pixels whose saliency is 1 : 2 : 1 from slice to slice."""
    maps = np.ones((3, 8, 8)) * np.array([60, 120, 60])[:, None, None]
    picture = np.arange(64).reshape(8, 8) * 4
    return {
        "image": np.stack([picture] * 3).astype(np.uint8),
        "truth": (picture > 100).astype(np.uint8),
        "probability": picture.astype(np.uint8),
        "attribution": maps.astype(np.uint8),
        "section": np.array(3, np.int32),
    }


def test_each_figure_has_a_row_for_each_strategy_and_a_panel_for_each_slice(
    records: list[Record],
) -> None:
    figures = draw_paper_figures(board_of(records), kept)
    assert list(figures) == NAMES
    shapes = {name: len(figure.axes) for name, figure in figures.items()}
    assert shapes == dict(zip(NAMES, (2 * 4, 2, 2 * 3, 2 * 3), strict=True))
    mean = figures["figure-4-mean-saliency"].axes
    assert [axis.get_xlabel() for axis in mean[:3]] == ["share 0.25", "share 0.50", "share 0.25"]
    assert "mean of 2" in mean[0].get_ylabel()
    predicted = figures["figure-3-prediction"].axes[2].images[0].get_array()
    assert predicted.sum() == sum(value * 4 > 0.85 * 255 for value in range(64))


@pytest.mark.parametrize(("kind", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_a_figure_is_the_same_file_each_time(
    records: list[Record], kind: str, start: bytes
) -> None:
    first, again = (
        figure_bytes(draw_paper_figures(board_of(records), kept)["figure-2-data"], kind)
        for _ in range(2)
    )
    assert first.startswith(start)
    assert first == again


def test_without_a_kept_section_there_is_no_figure(records: list[Record]) -> None:
    assert draw_paper_figures(board_of(records), lambda key: None) == {}


def test_the_table_says_the_same_in_each_format(records: list[Record]) -> None:
    tables = paper_tables(board_of(records))
    assert list(tables) == ["md", "csv", "tex"]
    heads, *lines = tables["csv"].splitlines()
    assert heads.startswith("strategy,model asymmetry mean,model asymmetry low")
    assert [line.partition(",")[0] for line in lines] == ["uniform-green", "rgb"]
    assert "\\toprule" in tables["tex"]
    assert "| uniform-green " in tables["md"]
