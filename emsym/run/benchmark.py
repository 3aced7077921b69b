"""The main job: the cells of a protocol are run, stored and ranked."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emsym.data.fetching.availability import locate_data
from emsym.data.fetching.fetch import fetch
from emsym.data.inspecting.card_text import terms
from emsym.errors import UserError
from emsym.html_table import html_lines
from emsym.models.architectures import encoder_name
from emsym.models.pretrained.chosen_weights import has_file_per_encoder, weights_dir
from emsym.models.pretrained.hub import IMAGENET
from emsym.output_folder import DEFAULT, OutputFolder
from emsym.plugins import require_plugins
from emsym.protocol import Cell, Protocol, load_protocol
from emsym.run.estimate import expected, history
from emsym.run.executors.base import Setup
from emsym.run.executors.registry import executor_kind
from emsym.run.job import Job, cards, jobs
from emsym.run.listener import RunListener
from emsym.run.plan import plan, variant_notes, wrong_shapes
from emsym.run.preflight import check_jobs
from emsym.run.runner import Outcome, run_jobs
from emsym.run.store.record import Record
from emsym.run.store.store import Store
from emsym.run.timing import timed
from emsym.run.workers.capacity import cell_slots
from emsym.run.workers.devices import Devices
from emsym.run.workers.hardware import IMPORTS

if TYPE_CHECKING:
    import pandas as pd

    from emsym.leaderboard.board import Board


@dataclass(frozen=True)
class BenchmarkResult:
    """The outcome of a run: the records of its cells, and their leaderboard."""

    output: Path
    done: tuple[Record, ...]
    """The cells that this run finished."""
    stored: tuple[Record, ...]
    """The cells that were finished before, or meanwhile by another run on the same folder."""
    failed: tuple[Record, ...]
    """The cells that failed, now or earlier, in the order of the protocol."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """The wall time of each phase; empty where nothing was left to run."""

    @property
    def boards(self) -> list[Board]:
        """The leaderboards of the finished cells: one for each variant of the protocol."""
        from emsym.leaderboard.board import boards
        from emsym.leaderboard.results import of_records

        finished = [*self.stored, *self.done]
        return boards(of_records(finished)) if finished else []

    @property
    def board(self) -> pd.DataFrame:
        """The first leaderboard: a row per strategy, the best first; columns (score, statistic).

        The statistics are the `mean` and the ends `low` and `high` of its 95 % interval, NaN for a
        strategy that is not ranked. Empty where no cell is finished.
        """
        import pandas as pd

        for board in self.boards:
            means = {
                key: each.summary[["mean", "low", "high"]] for key, each in board.columns.items()
            }
            return pd.concat(means, axis=1).reindex(board.order)
        return pd.DataFrame()

    def _repr_html_(self) -> str:
        """Show each leaderboard as a small table, in a notebook."""
        from emsym.leaderboard.board_html import board_html

        kinds = {"done": self.done, "stored": self.stored, "failed": self.failed}
        counts = ", ".join(f"{len(records)} {kind}" for kind, records in kinds.items())
        failures = [
            f"{each.dataset.name} · {each.architecture} · {each.init} · seed {each.seed}: "
            f"{each.error}"
            for each in self.failed[:3]
        ]
        about = html_lines([f"Cells: {counts}, in {self.output}", *failures])
        return about + "".join(map(board_html, self.boards))


def run_benchmark(
    protocol: Protocol | str | os.PathLike[str] = "quick",
    output: str | os.PathLike[str] = DEFAULT,
    *,
    datasets: Iterable[str] = (),
    architectures: Iterable[str] = (),
    inits: Iterable[str] = (),
    seeds: Iterable[int] = (),
    cells: Collection[Cell] | None = None,
    plugins: Iterable[str | os.PathLike[str]] = (),
    workers: int | None = None,
    device: str = "auto",
    cells_per_gpu: int = 1,
    executor: str = "local",
    executor_options: Mapping[str, Any] | None = None,
    memory: float | None = None,
    timeout: float | None = None,
    offline: bool = False,
    retry_failed: bool = False,
    keep_networks: bool = False,
    training_log: bool = False,
    listener: RunListener | None = None,
) -> BenchmarkResult:
    """Train and score the cells of a protocol that are not stored yet, then rank them all.

    A cell that fails is a record with its reason, and no error. Raises `UserError` where nothing
    can be run, and `KeyboardInterrupt` at Ctrl-C once the cells that run are finished; whatever is
    finished is stored, and the same call goes on from there.

    Parameters
    ----------
    protocol
        A protocol, the name of one that ships with emsym, or the path of its TOML file.
    output
        The folder of the leaderboard and, in ``records/``, of the records.
    datasets, architectures, inits, seeds
        Only these of the protocol, or others in their place; all where none is named. A data set
        may be the path of a card, relative to the working directory.
    cells
        Only these of the chosen cells.
    plugins
        Python files that register strategies, architectures and more.
    workers
        Cells at once; by default as many as cores, memory or GPUs allow.
    device, cells_per_gpu
        ``auto``, ``cpu``, ``mps``, ``cuda``, or some GPUs as ``cuda:0,1``; and how many cells may
        run at once on one GPU.
    executor, executor_options
        A registered executor, and the options that only it has, such as ``scheduler`` of ``dask``.
    memory
        GB that one worker may hold; by default its share of the machine's.
    timeout
        Seconds after which a cell is ended; by default never.
    offline
        Whether to touch no network.
    retry_failed
        Whether to run again what failed earlier.
    keep_networks
        Whether to keep the weights of each trained network, in ``networks/`` of the output.
    training_log
        Whether to write the loss and learning rate of each step of each training, in ``training/``
        of the output, as CSV and, where it is installed, for TensorBoard.
    listener
        Is told how the run goes.
    """
    listener = listener or RunListener()
    loaded = tuple(map(Path, plugins))
    require_plugins(loaded)
    if memory is not None and memory * 1e9 < IMPORTS:
        raise UserError(
            f"--memory {memory:g}: a worker takes over {IMPORTS / 1e9:g} GB for its libraries "
            "alone; allow 1 GB at least."
        )
    kind = executor_kind(executor, executor_options or {})
    devices = Devices.parse(device, cells_per_gpu)
    if not isinstance(protocol, Protocol):
        protocol = load_protocol(os.fspath(protocol))
    if cells is not None:
        datasets, architectures, inits, seeds = zip(*cells, strict=True) if cells else ((),) * 4
    protocol = protocol.select(datasets, architectures, inits, seeds)
    _tell_wrong_shapes(protocol, loaded, listener)
    for note in variant_notes(protocol):
        listener.say(note)
    fetch_missing(protocol, listener, offline)
    all_jobs = [job for job in jobs(protocol, offline) if cells is None or job.cell in cells]
    folder = OutputFolder(Path(output))
    store = Store(folder.records)
    planned = plan(all_jobs, store)
    for path in planned.damaged:
        store.set_aside(path, "it is cut short")
    chosen = planned.missing + (planned.failed if retry_failed else [])
    listener.planned(protocol, planned, chosen)
    _tell_weights(chosen, listener)
    outcome = Outcome()
    threads = max(variant.recipe.threads for variant in protocol.variants())
    seconds: dict[str, float] = {}
    if chosen:
        store.check()
        if keep_networks:
            folder.networks.mkdir(parents=True, exist_ok=True)
        count = workers or (cell_slots(devices, threads) if executor == "local" else 1)
        setup = Setup(
            workers=min(count, len(chosen)),
            threads=threads,
            memory=None if memory is None else int(memory * 1e9),
            plugins=loaded,
            notice=listener.note,
            offline=offline,
        )
        with kind.open(setup, executor_options) as pool:
            with timed(seconds, "preparing data and weights"):
                wrong = check_jobs(chosen, pool, listener, timeout)
            with timed(seconds, "training and scoring"):
                outcome = run_jobs(
                    chosen,
                    wrong,
                    folder,
                    pool,
                    listener,
                    devices=devices,
                    keep_networks=keep_networks,
                    training_logs=training_log,
                    timeout=timeout,
                    cost=expected(history(planned.stored, store)),
                )
    done = [record for record in outcome.records if record.status == "done"]
    stored = list(store.records(job.key for job in [*planned.stored, *outcome.elsewhere]))
    if any(record.status == "done" for record in [*stored, *done]) and (
        chosen or not folder.page.is_file()
    ):
        from emsym.leaderboard.render.publish import publish

        publish(folder)
    failed = list(outcome.failed)
    if not retry_failed:
        failed += store.records(job.key for job in planned.failed)
    order = {job.key: number for number, job in enumerate(all_jobs)}
    failed.sort(key=lambda record: order[record.key])
    return BenchmarkResult(folder.path, tuple(done), tuple(stored), tuple(failed), seconds)


def _tell_wrong_shapes(
    protocol: Protocol, plugins: tuple[Path, ...], listener: RunListener
) -> None:
    """Tell of strategies that give another shape, before anything is fetched or prepared.

    Raises `UserError` where all do.
    """
    wrong = wrong_shapes(protocol, plugins)
    if len(wrong) == len(protocol.inits):
        raise UserError(next(iter(wrong.values())))
    for why in wrong.values():
        listener.say(why)


def _tell_weights(chosen: Sequence[Job], listener: RunListener) -> None:
    """Tell which file each encoder begins from, and for which a folder was searched in vain."""
    first: dict[str, Job] = {}
    for job in chosen:
        if has_file_per_encoder(job.weights_origin):
            first.setdefault(encoder_name(job.cell.architecture), job)
    if all(job.weights == IMAGENET for job in first.values()) and weights_dir() is None:
        return
    for encoder, job in first.items():
        is_name = job.weights == job.weights_origin
        what = f"'{job.weights}' as published, as the folder has none" if is_name else job.weights
        listener.say(f"Weights of {encoder}: {what}")


def fetch_missing(protocol: Protocol, listener: RunListener, offline: bool = False) -> None:
    """Fetch the data sets of a protocol that are not on disk.

    Raises `UserError` where one cannot be had; with `offline`, for the first that is missing.
    """
    for card in cards(protocol).values():
        if locate_data(card) is None:
            with listener.downloading() as download:
                fetch(card, download, offline=offline)
                download.say(f"Fetched {'; '.join([card.name, *terms(card)])}")
