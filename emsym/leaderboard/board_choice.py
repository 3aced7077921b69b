"""The leaderboards that a command is asked for: all of them, or those of one protocol."""

from emsym.errors import UserError
from emsym.leaderboard.board import Board, boards
from emsym.leaderboard.results import Results


def chosen_boards(results: Results, protocol: str | None = None) -> list[Board]:
    """Return the leaderboards of a protocol's name, in their order; of all where there is none.

    Raises `UserError` where there are no cells of that protocol.
    """
    made = boards(results)
    chosen = [board for board in made if protocol in (None, board.first["protocol"])]
    if protocol is not None and not chosen:
        names = ", ".join(dict.fromkeys(str(board.first["protocol"]) for board in made))
        raise UserError(
            f"There are no cells of a protocol '{protocol}': there are some of {names}."
        )
    return chosen
