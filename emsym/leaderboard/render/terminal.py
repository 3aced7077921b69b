"""The leaderboard in a terminal."""

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from emsym import wording
from emsym.leaderboard.board import Board
from emsym.leaderboard.experiments.report import Report
from emsym.leaderboard.experiments.reports import reports
from emsym.leaderboard.render import sentences
from emsym.leaderboard.render.answer import answer

WIDE = 130
"""Characters of a terminal that intervals fit in; without them, a row fits in 80."""
SHORT, FEW = 14, 3
"""The longest names, and the most scores, beside which slice shares fit in 80 characters, too."""


def print_boards(boards: list[Board], console: Console) -> None:
    """Print each leaderboard's summary, as wide as the terminal allows."""
    made = reports(boards)
    for board in boards:
        _print_title(board, console)
        for word, text in sentences.facts(board):
            console.print(f"[dim]{word}: {escape(text)}[/dim]", highlight=False)
        console.print(_table(board, console.width >= WIDE))
        for line in sentences.gaps(board)[:10]:
            console.print(escape(line), highlight=False)
        for row in board.apart.head(10).itertuples():
            cells = wording.counted(row.cells, "cell")
            line = f"apart: {row.init} of {row.submission}, {cells}: {row.reason}"
            console.print(escape(line), highlight=False)
        for line in (
            sentences.measured_on(board),
            *sentences.conclusions(board, str),
        ):  # last: it is what stays on the screen
            console.print(escape(line), highlight=False)
        for report in made:
            if report.board is board:
                _print_report(report, console)


def print_results(boards: list[Board], console: Console) -> None:
    """Print of each leaderboard the table and the verdict alone, as the end of a run does."""
    for board in boards:
        _print_title(board, console)
        console.print(_table(board, console.width >= WIDE))
        for line in (_verdict(board), sentences.measured_on(board)):
            console.print(escape(line), highlight=False)
        if lacking := len(sentences.gaps(board)):
            console.print(f"Cells are missing or failed: the leaderboard says which ({lacking}).")


def _verdict(board: Board) -> str:
    """Return the answer to the board's question, or what ranks first where nothing is compared."""
    said = answer(board, str)
    if said.word:
        return f"Are both sides treated alike? {said.word}: {said.sentence}"
    return sentences.conclusions(board, str)[0]


def _print_title(board: Board, console: Console) -> None:
    console.print(f"\n[bold]Leaderboard: {escape(board.title)}[/bold]", highlight=False)


def _print_report(report: Report, console: Console) -> None:
    console.print(f"\n[bold]{escape(report.title)}[/bold]", highlight=False)
    for columns in report.tables:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        for head, _ in columns:
            table.add_column(escape(head), overflow="fold")
        for row in zip(*(texts for _, texts in columns), strict=True):
            table.add_row(*map(escape, row))
        console.print(table)
    for line in report.lines:
        console.print(escape(line), highlight=False)


def _table(board: Board, wide: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    lead = board.lead
    table.add_column("rank", justify="right", no_wrap=True, min_width=4)
    # folded, as the end of a name may be what tells it from another
    table.add_column("init", overflow="fold", max_width=40 if wide else 24)
    shown = [column for column in board.columns.values() if column.score.glance]
    for column in shown:
        table.add_column(column.score.title, justify="right", no_wrap=True)
    dice = board.column("dice") if board.baseline is not None else None
    if dice is not None:
        table.add_column(f"{dice.score.title} − {board.baseline}", no_wrap=True)
    room = max(map(len, board.order)) <= SHORT and len(shown) <= FEW
    with_shares = bool(board.shares) and (wide or room)
    if with_shares:
        ends = [wording.slice_name(board.shares[0]), wording.slice_name(board.shares[-1])]
        title = f"share {ends[0]} … {ends[1]}" if wide else f"{ends[0]} … {ends[1]}"
        table.add_column(title, justify="right", no_wrap=True)
    means = board.share_means(board.shared)
    for name in board.order:
        ranked = name in board.ranked
        rank = wording.MISSING
        if ranked and lead.score.better is not None:
            rank = wording.rank_range(*lead.summary.loc[name, ["first", "last"]])
        cells = [rank, escape(name)]
        for column in shown:
            cells.append(wording.MISSING)
            if ranked:
                mean, low, high = column.summary.loc[name, ["mean", "low", "high"]]
                digits = column.score.digits
                cells[-1] = (
                    wording.interval(mean, low, high, digits)
                    if wide
                    else wording.number(mean, digits)
                )
        if dice is not None:
            cells.append(board.verdict.get(name, wording.MISSING))
        if with_shares:
            shares = wording.shares(means.loc[name])
            cells.append(shares if wide else shares.replace(" ", ""))
        table.add_row(*cells)
    return table
