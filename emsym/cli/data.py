"""`data …`: what data sets there are, where they are, and what is in them."""

import shlex
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from emsym.cli.examples import examples
from emsym.cli.json_document import JSON, print_json
from emsym.cli.options import PLUGIN

if TYPE_CHECKING:
    from emsym.data.cards import Card
    from emsym.data.inspecting.foreground_fraction import Fractions

_NAME = click.argument("name")
_NAMES = click.argument("names", nargs=-1, required=True, metavar="NAME…")


@cloup.group(
    epilog=examples(
        "emsym-bench data list",
        "emsym-bench data fetch vnc lucchi",
        "emsym-bench data show vnc:mitochondria",
    )
)
@PLUGIN
def data(plugins: tuple[Path, ...]) -> None:
    """Fetch data sets, look at them, describe your own.

    NAME is a data set of `data list`, one task of it (vnc:mitochondria), or the path of a card.
    EMSYM_DATA_DIR moves the folder in which they are kept.
    """


@data.command(
    "list",
    epilog=examples(
        "emsym-bench data list",
        "emsym-bench data list --json",
    ),
)
@click.option(
    "--markdown", is_flag=True, help="A table for the documents, with licence and citation."
)
@JSON
def list_datasets(markdown: bool, as_json: bool) -> None:
    """The data sets that ship with emsym, and which are on disk."""
    from emsym.data.cards import list_cards, load_card
    from emsym.data.inspecting.card_facts import card_facts
    from emsym.data.inspecting.card_text import card_table

    if markdown and as_json:
        raise click.UsageError("--markdown and --json are two forms: take one.")
    cards = [load_card(name) for name in list_cards()]
    if as_json:
        print_json({"datasets": [card_facts(card) for card in cards]})
    else:
        click.echo(card_table(cards, markdown))


@data.command(
    epilog=examples(
        "emsym-bench data show phantom-neurites",
        "emsym-bench data show vnc:mitochondria --slices 5 --picture vnc.png",
    )
)
@_NAME
@click.option("--slices", default=3, show_default=True, help="Of a stack: an odd number.")
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the picture is written; by default NAME.png.",
)
@JSON
def show(name: str, slices: int, picture: Path | None, as_json: bool) -> None:
    """Print a card and what is on disk; draw sections and labels.

    The picture has one stack and the XZ view, too. With --json nothing is drawn.
    """
    from emsym.data.cards import load_card
    from emsym.data.inspecting.card_facts import card_facts
    from emsym.data.inspecting.card_text import card_lines
    from emsym.errors import UserError

    card = load_card(name)
    if as_json:
        if picture is not None:
            raise click.UsageError("With --json nothing is drawn: leave --picture out.")
        print_json(card_facts(card))
        return
    start, stop = card.split.test
    if slices < 1 or slices % 2 == 0 or slices > stop - start:
        raise UserError(
            f"--slices {slices}: a stack has an odd number of slices, and no more than the "
            f"{stop - start} of the test split."
        )
    lines = card_lines(card)
    indent = max(len(word) for word, _ in lines) + 2
    width = max(shutil.get_terminal_size().columns - indent, 40) if sys.stdout.isatty() else 10**6
    click.secho(card.name, bold=True)
    for word, text in lines:
        first, *others = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
        click.echo(f"{word:<{indent}}{first}" if word else first)
        for line in others:
            click.echo(" " * indent + line)
    there = _on_disk(card)
    if there is None:
        click.echo(f"\nNo picture: first `emsym-bench data fetch {shlex.quote(name)}`.")
        return
    _picture(there, slices, picture or Path(f"{card.name.replace(':', '-')}.png"))


@data.command(
    epilog=examples(
        "emsym-bench data fetch vnc lucchi",
        "emsym-bench data fetch snemi3d --from downloads",
    )
)
@_NAMES
@click.option(
    "--from", "origin", metavar="DIR", help="A folder, or the address of one, with the files."
)
@click.option("--offline", is_flag=True, help="Touch no network: say what is missing.")
def fetch(names: tuple[str, ...], origin: str | None, offline: bool) -> None:
    """Download data sets, verify and unpack them.

    With --from DIR the files are taken from there.
    """
    from rich.console import Console

    from emsym.data.cards import load_card
    from emsym.data.fetching.availability import locate_data
    from emsym.data.fetching.download_bar import DownloadBar
    from emsym.data.fetching.fetch import fetch as fetch_card
    from emsym.data.fetching.verify import discard_pinned_files
    from emsym.data.inspecting.card_text import terms
    from emsym.data.volume import open_volume
    from emsym.errors import UserError

    cards = [load_card(name) for name in names]
    for card in cards:
        if not any(source.files for source in card.sources.values()):
            where = "beside its card" if card.sources else "made on the spot"
            click.echo(f"{card.name}: {where}, there is nothing to fetch.")
            continue
        if locate_data(card):
            click.echo(f"{card.name}: on disk already.")
        with DownloadBar(Console(stderr=True)) as bar:
            located = fetch_card(card, bar, origin=origin, offline=offline)
        for each in card.single_task_cards():
            try:
                volume = open_volume(each)
            except UserError as error:
                again = discard_pinned_files(card, located)
                raise UserError(
                    f"{card.name} came from '{located.source}', but cannot be used: {error}"
                    + " Nobody vouches for it, so the next fetch asks for it again." * again
                ) from error
        shape = " × ".join(map(str, volume.shape))
        click.echo(f"{card.name}: {shape} voxels in {located.folder}")
        for term in terms(card):
            click.echo(f"  {term}")


@data.command(
    epilog=examples(
        "emsym-bench data verify vnc",
        "emsym-bench data verify vnc lucchi",
    )
)
@_NAMES
@JSON
def verify(names: tuple[str, ...], as_json: bool) -> None:
    """Read every byte again: are the files and labels as the card says?"""
    from emsym.data.cards import load_card
    from emsym.data.fetching.verify import verify_data
    from emsym.data.inspecting.foreground_fraction import fractions
    from emsym.errors import UserError

    damaged, facts = [], []
    for card in [_there(load_card(name)) for name in names]:
        files = verify_data(card)
        wrong = [f"{card.name}: {file} {problem}" for file, problem in files if problem]
        damaged += wrong
        shares = None if wrong else fractions(card, images=True)
        problems = {file: problem or None for file, problem in files}
        facts.append({"name": card.name, "files": problems, "foreground": shares})
        if files and not as_json:
            click.echo(
                f"{card.name}  {len(files) - len(wrong)} of {len(files)} files as they were fetched"
            )
        if shares is not None and not as_json:
            for line in _in_words(shares):
                click.echo(f"{card.name}  {line}")
    if as_json:
        print_json({"datasets": facts})
    if damaged:
        raise UserError(
            f"Not as fetched: {'; '.join(damaged[:3])}{' and others' * (len(damaged) > 3)}. "
            "Fetch it again."
        )


@data.command(
    epilog=examples(
        "emsym-bench data path vnc",
        "emsym-bench data path vnc:mitochondria",
    )
)
@_NAME
def path(name: str) -> None:
    """The folder that a data set lies in."""
    from emsym.data.cards import load_card
    from emsym.data.fetching import fetch
    from emsym.errors import UserError

    card = load_card(name)
    if not card.sources:
        raise UserError(f"{card.name} is made on the spot and lies nowhere.")
    click.echo(fetch.require_data(_there(card)).folder.resolve())


@data.command(
    epilog=examples(
        "emsym-bench data croissant vnc",
        "emsym-bench data croissant vnc:mitochondria",
    )
)
@_NAME
def croissant(name: str) -> None:
    """Print a card as Croissant, the JSON-LD of data catalogues.

    Where the card tells no checksum of a file, that of the file fetched here is taken.
    """
    from emsym.data.cards import load_card
    from emsym.data.inspecting.croissant import croissant, files_without_checksum
    from emsym.errors import first_three

    document = croissant(load_card(name))
    print_json(document)
    if unknown := files_without_checksum(document):
        click.echo(
            f"note: nobody tells a checksum of {first_three(unknown)}, which Croissant asks for: "
            f"`emsym-bench data fetch {shlex.quote(name)}` downloads them, and then it is known.",
            err=True,
        )


@data.command(
    epilog=examples(
        "emsym-bench data new mine.toml --image stack.tif --labels labels.tif",
        "emsym-bench data new mine.toml --image sections --labels labels",
        "emsym-bench data new mine.toml --image v.h5:raw --labels v.h5:labels --axes zyx",
    )
)
@click.argument("card", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--image",
    required=True,
    help="The volume: a file, a folder or pattern of sections, or FILE.h5:KEY.",
)
@click.option("--labels", required=True, help="Its labels, likewise.")
@click.option("--axes", help="The axes of both as stored, such as xyz; or c=1,z,y,x.")
def new(card: Path, image: str, labels: str, axes: str | None) -> None:
    """Look at your own volume, and write a card for it.

    What was guessed is printed.
    """
    from emsym.data.inspecting.new_card import write_card

    guesses = write_card(card, image, labels, axes)
    click.echo(f"Wrote {card}. Guessed, so look at them:")
    for guess in guesses:
        click.echo(f"  {guess}")
    click.echo(f"Then: emsym-bench data show {shlex.quote(str(card))}")


def _on_disk(card: "Card") -> "Card | None":
    """The card with those of its tasks alone that are on disk; None where none is."""
    from emsym.data.fetching.availability import locate_data

    tasks = {
        task: chosen.tasks[task]
        for chosen in card.single_task_cards()
        if locate_data(chosen)
        for task in chosen.tasks
    }
    return card.with_tasks(tasks) if tasks else None


def _there(card: "Card") -> "Card":
    """The same, for a command that needs one. Raises `UserError` where there is none."""
    from emsym.data.fetching.availability import require_data

    there = _on_disk(card)
    if there is None:
        require_data(card)
    return there or card


def _in_words(shares: "Fractions") -> list[str]:
    return [
        f"{task}: {', '.join(f'{share:.3f} of {split}' for split, share in by_split.items())}"
        for task, by_split in shares.items()
    ]


def _picture(card: "Card", slices: int, path: Path) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from emsym.data.inspecting.foreground_fraction import fractions
    from emsym.data.inspecting.preview import draw_preview
    from emsym.files import write_atomically

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("reading the splits")
        shares = fractions(card, lambda done, total: bar.update(task, completed=done, total=total))
    for line in _in_words(shares):
        click.echo(line)
    write_atomically(path, draw_preview(card, shares, slices))
    click.echo(f"Picture: {path}")
