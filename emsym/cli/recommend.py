"""`recommend`: which strategy to take, by what is stored."""

from pathlib import Path

import click
import cloup

from emsym.cli.examples import examples
from emsym.cli.options import BOARDS_OF, OUTPUT

BASELINE_ALONE = "there is none to compare with the filters as they are"


@cloup.command(
    epilog=examples(
        "emsym-bench recommend",
        "emsym-bench recommend --protocol micrographs",
        "emsym-bench recommend --output results",
    )
)
@BOARDS_OF
@OUTPUT
def recommend(output: Path, protocol_name: str | None) -> None:
    """Say which strategies to take in which situation.

    Tests on the cells that are stored tell. A strategy is named that is shown to be less biased by
    every measure, that loses no Dice beyond the margin on any data set, and that no other such is
    shown to beat.
    """
    from emsym.leaderboard.board_choice import chosen_boards
    from emsym.leaderboard.collection import StoredResults
    from emsym.leaderboard.recommendation import recommend as recommended
    from emsym.wording import counted

    none: dict[str, list[str]] = {}  # boards of which no strategy is named, by the reason
    for board in chosen_boards(StoredResults(output).results, protocol_name):
        title = f"{board.title}, {counted(len(board.done), 'cell')}"
        made = recommended(board)
        if not any(each.names for each in made):
            for reason in dict.fromkeys(each.reason for each in made) or [BASELINE_ALONE]:
                none.setdefault(reason, []).append(title)
            continue
        click.echo(f"{title}:")
        for each in made:
            names = ", ".join(each.names) or "no strategy"
            click.echo(f"- {each.situation}: {names} ({each.reason}).")
    for reason, titles in none.items():
        click.echo(f"No strategy in any situation, as {reason}:")
        for title in titles:
            click.echo(f"- {title}")
