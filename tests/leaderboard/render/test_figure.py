"""The picture: a row per strategy."""

import io

import pytest
from made_boards import board_of
from PIL import Image

from emsym.leaderboard.render.figure import draw_figure
from emsym.run.store.record import Record


def size(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as image:
        return image.size


def test_a_picture_grows_by_a_row_per_strategy(records: list[Record]) -> None:
    third = [r.model_copy(update={"init": "$mine$", "key": r.key[::-1]}) for r in records[::2]]
    two, three = board_of(records), board_of([*records, *third])
    width, height = size(draw_figure(two))
    taller = size(draw_figure(three))
    assert taller == (width, pytest.approx(height + 0.34 * 140, abs=1))
    assert size(draw_figure(three, most=2)) == (width, height)


def test_the_same_board_gives_the_same_bytes(records: list[Record]) -> None:
    assert draw_figure(board_of(records)) == draw_figure(board_of(records))
