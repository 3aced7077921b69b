"""What a worker process is asked to do. Torch is imported here, inside the worker, alone."""

import signal
import warnings
from pathlib import Path

from emsym.data.cards import Card
from emsym.errors import UserError
from emsym.models.architectures import create_model
from emsym.protocol import Border
from emsym.registry import load_plugin
from emsym.run.plan import Job
from emsym.run.record import Record


def start_worker(plugins: tuple[Path, ...]) -> None:
    """Make a fresh process ready: leave Ctrl-C to the parent, and load the plug-ins."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")  # the parent has shown its own; libraries' are not the user's
    for path in plugins:
        load_plugin(path)


def check_dataset(card: Card, slices: int, patch: int, border: Border) -> None:
    """Read a data set's volume. Raises `UserError` where it is not as its card says."""
    from emsym.run.cell import load_splits

    load_splits(card, slices, patch, border)


def check_model(architecture: str, inits: tuple[str, ...], slices: int, weights: str) -> None:
    """Build a network with each strategy, which trains `pretext` weights where they are missing.

    Raises `UserError` where the architecture, the weights and a strategy do not fit together.
    """
    import torch

    torch.set_num_threads(1)  # so that pretext weights are the same on any number of cores
    for init in inits:
        try:
            create_model(architecture, init, slices, weights)
        except SystemExit as error:  # a plug-in's, which would end the run without a word
            raise UserError(f"The architecture '{architecture}' calls exit: {error}.") from error


def run_cell(job: Job) -> Record:
    """`emsym.run.cell.run_cell`."""
    from emsym.run import cell

    return cell.run_cell(job)
