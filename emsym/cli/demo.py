"""`demo`: one cell, its audit and its pages, to see what emsym does."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from emsym.cli.examples import examples

if TYPE_CHECKING:
    from emsym.auditing.result import Audit
    from emsym.output_folder import OutputFolder
    from emsym.run.store.record import Record

PROTOCOL = "quick"
DATASET, ARCHITECTURE, SEED = "phantom-mitochondria-2", "linknet-tu-test_efficientnet", 0
"""The cell: the faster network of the protocol, and its first seed."""
INIT, FIX = "rgb", "uniform-green"


@cloup.command(epilog=examples("emsym-bench demo", "emsym-bench demo --output look"))
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("emsym-demo"),
    show_default=True,
    help="A new folder, for the pages and the network.",
)
def demo(output: Path) -> None:
    """Train and audit one small network: a look at emsym in a minute.

    Its pages are written. It needs no data and no network connection. The first time on a machine
    takes a minute or two more, for a synthetic volume and pretrained weights that are made once.
    Ctrl-C stops it, and the same command goes on from there.
    """
    from emsym.auditing.result import check_free

    page = output / "audit.html"
    check_free(page)
    from rich.console import Console

    from emsym.auditing.audit import audit
    from emsym.cli.network_volume_options import following
    from emsym.errors import UserError
    from emsym.output_folder import OutputFolder
    from emsym.run.benchmark import run_benchmark
    from emsym.run.display import RunDisplay

    folder = OutputFolder(output)
    with RunDisplay(Console(stderr=True)) as display:
        result = run_benchmark(
            PROTOCOL,
            output,
            datasets=[DATASET],
            architectures=[ARCHITECTURE],
            inits=[INIT],
            seeds=[SEED],
            keep_networks=True,
            offline=True,
            listener=display,
        )
        if result.failed:
            raise UserError(f"The network could not be trained: {result.failed[0].error}")
        (record,) = result.done or result.stored
        network = folder.network(record.key)
        if not network.is_file():
            raise UserError(
                f"{output} holds this cell's record without its network: name a new folder with "
                "--output."
            )
        progress = partial(following(display), "Sections, at most")
        report = audit(network, DATASET, progress=progress)
    paths = report.write(page)
    click.echo("\n".join(_lines(record, report.audit, folder, paths)))


def _lines(record: Record, audit: Audit, folder: OutputFolder, report: list[Path]) -> list[str]:
    """Say what was done and found, where it can be looked at, and what to try next."""
    dice = next(value for name, value in record.scores.items() if name.startswith("dice@"))
    shown: list[tuple[object, str]] = [
        (report[0], "the audit: the verdict, the network section by section, what to do"),
        (folder.page, "the leaderboard, of this one cell as yet"),
        (report[1], "all numbers of the audit"),
        (folder.network(record.key), "the network"),
    ]
    cell = f"--dataset {DATASET} --architecture {ARCHITECTURE} --seed {SEED}"
    next_ones: list[tuple[object, str]] = [
        (
            f"emsym-bench run --init {FIX} {cell} --output {folder.path}",
            "the same cell with a fix: the leaderboard then compares both",
        ),
        (
            "emsym-bench audit net.pt volume.tif --architecture unet-resnet34",
            "the same question to your own network; labels are not needed",
        ),
        ("emsym-bench run --all", "the benchmark, half an hour to an hour on two cores"),
    ]
    return [
        "",
        f"Trained: {ARCHITECTURE} on the synthetic volume {DATASET}, from pretrained RGB "
        "filters as they are, which read z−1 as red, z as green and z+1 as blue.",
        f"It segments: Dice {dice:.2f} on test sections. Does it treat z−1 and z+1 alike?",
        "",
        f"Found: {audit.verdict}",
        *([audit.effect.sentence] if audit.effect else []),
        "One network on one synthetic volume is an example, and no evidence.",
        "",
        "Look at:",
        *_listed(shown),
        "",
        "Then try:",
        *_listed(next_ones),
    ]


def _listed(entries: list[tuple[object, str]]) -> list[str]:
    """Return two lines for each entry: what can be copied, and what it is."""
    return [line for what, text in entries for line in (f"  {what}", f"      {text}")]
