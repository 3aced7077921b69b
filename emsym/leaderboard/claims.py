"""The verdicts on claims about slice bias, of all that is stored in a folder."""

from pathlib import Path

from emsym.leaderboard.board_choice import chosen_boards
from emsym.leaderboard.collection import StoredResults
from emsym.leaderboard.verdicts import Judged, judge_claims, load_claims
from emsym.wording import counted


def claims(
    output: Path | str, file: Path | str | None = None, *, protocol: str | None = None
) -> dict[str, list[Judged]]:
    """Return the verdicts of each board of an output folder, by the board's title.

    `file` is a TOML file of claims; those that ship with emsym by default. `protocol` is the name
    of one whose boards alone are meant. Raises `UserError` where there are no finished cells, or
    none of the protocol, and for a file that is not valid.
    """
    chosen = load_claims(Path(file) if file else None)
    results = StoredResults(Path(output)).results
    return {
        f"{board.title}, {counted(len(board.done), 'cell')}": judge_claims(board, chosen)
        for board in chosen_boards(results, protocol)
    }
