from pathlib import Path

import pytest

from emsym.errors import UserError
from emsym.leaderboard.board_choice import chosen_boards
from emsym.leaderboard.collection import StoredResults


def test_all_boards_or_those_of_one_protocol(store: Path) -> None:
    results = StoredResults(store).results
    titles = [board.title for board in chosen_boards(results)]
    assert titles == ["tiny, version 1"]
    assert [board.title for board in chosen_boards(results, "tiny")] == titles


def test_a_protocol_without_cells_is_told_with_those_that_have_some(store: Path) -> None:
    with pytest.raises(UserError, match="of a protocol 'tinny': there are some of tiny"):
        chosen_boards(StoredResults(store).results, "tinny")
