"""`failures`: why cells failed, and what to do about it."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from emsym.cli.examples import examples
from emsym.cli.json_document import JSON, print_json
from emsym.cli.options import OUTPUT
from emsym.cli.store import existing_records

if TYPE_CHECKING:
    from emsym.run.store.record import Record

FEW = 3
"""Cells that are named of each reason; --json names all."""

_AGAIN = "run them again with `run --retry-failed`"
KNOWN = {
    "timeout": (
        r"longer than the --timeout",
        "allow more seconds with `run --retry-failed --timeout`, or leave --timeout out",
    ),
    "memory": (
        r"GB of memory, more than|SIGKILL|out of memory|OutOfMemory|MemoryError|not enough memory"
        r"|allocate memory",
        "run fewer at once, with `run --retry-failed --workers 1`, or on a GPU --cells-per-gpu 1; "
        "or allow a worker more with --memory",
    ),
    "disk": (
        r"No space left|Disk quota|are needed in .* are free",
        "make room, or set EMSYM_DATA_DIR to a folder elsewhere, then `run --retry-failed`",
    ),
    "weights": (
        r"The weights '.*' cannot be had|has no weights of|no folder .* of weights",
        "get them with `weights fetch`, see with `weights list` what is lacking, then "
        "`run --retry-failed`",
    ),
    "data": (
        r"data set '.*' (is not on this machine|could not be fetched)|There is no file at"
        r"|is another on this machine",
        "get it with `data fetch`, see with `data verify` whether it is whole, then "
        "`run --retry-failed`",
    ),
    "diverged": (
        r"ArithmeticError",
        "the network's numbers are no longer finite, and will not be when it is run again: lower "
        "the protocol's learning_rate, or look at the strategy",
    ),
    "crash": (
        r"process (crashed|ended)",
        "a library or a plug-in ended the process, with these last words: " + _AGAIN + ", and if "
        "it comes back, report it with what `env` prints",
    ),
    "stopped": (r"^it was stopped$", "the run was ended while they ran: " + _AGAIN),
}
"""Reasons by their names: what an error is known by, in this order, and what to do about it."""
OTHER = "if the reason does not say what to do, " + _AGAIN


@dataclass(frozen=True)
class FailedCell:
    """A cell that failed, and its error in full."""

    key: str
    protocol: str
    dataset: str
    architecture: str
    init: str
    seed: int
    error: str


@dataclass(frozen=True)
class FailureGroup:
    """The cells that failed for one reason."""

    kind: str
    """One of `KNOWN`; ``other`` where nothing is known."""
    reason: str
    """The last line of the first cell's error."""
    advice: str
    count: int
    cells: list[FailedCell]


@cloup.command(
    epilog=examples("emsym-bench failures", "emsym-bench failures --output results --json")
)
@OUTPUT
@JSON
def failures(output: Path, as_json: bool) -> None:
    """Say why cells failed, by reason, and what to do about each."""
    from emsym.protocol import ships
    from emsym.run.store.store import Store

    store = Store(existing_records(output))
    groups = grouped(store.records(sorted(store.contents().failed)))
    if as_json:
        print_json({"output": output, "groups": groups})
        return
    if not groups:
        click.echo(f"No cell failed in {output}.")
        return
    for group in groups:
        cells = [f"{c.dataset} · {c.architecture} · {c.init} · {c.seed}" for c in group.cells]
        click.echo(f"{group.count} × {group.reason}")
        for cell in cells[:FEW]:
            click.echo(f"    {cell}")
        if group.count > FEW:
            click.echo(f"    and {group.count - FEW} more")
        click.echo(f"  To do: {group.advice}.")
    for protocol in dict.fromkeys(cell.protocol for group in groups for cell in group.cells):
        file = protocol if ships(protocol) else f"{protocol}.toml"
        where = "" if ships(protocol) else ", with the path of its file"
        words = ["emsym-bench", "run", "--all", "--retry-failed"]
        words += ["--output", str(output), "--protocol", file]
        click.echo(
            f"Those of {protocol} again, and what is missing{where} (give each --plugin that it "
            f"had, too): {shlex.join(words)}"
        )


def grouped(records: Iterable[Record]) -> list[FailureGroup]:
    """Group failed cells by the reason, those of most cells first.

    Errors of a known kind are one group; others are where they differ in numbers alone.
    """
    found: dict[tuple[str, str], list[FailedCell]] = defaultdict(list)
    for record in records:
        error = (record.error or "").strip()
        kind = next((name for name, (sign, _) in KNOWN.items() if re.search(sign, error)), "other")
        alike = re.sub(r"\d+", "0", _last_line(error)) if kind in ("other", "crash") else ""
        cell = record.dataset.name, record.architecture, record.init, record.seed
        found[kind, alike].append(FailedCell(record.key, record.protocol.name, *cell, error))
    groups = [
        FailureGroup(
            kind,
            _last_line(cells[0].error),
            KNOWN[kind][1] if kind in KNOWN else OTHER,
            len(cells),
            cells,
        )
        for (kind, _), cells in found.items()
    ]
    return sorted(groups, key=lambda group: -group.count)


def _last_line(error: str) -> str:
    from emsym.errors import one_line

    return one_line(error.splitlines()[-1]) if error else "no error was recorded"
