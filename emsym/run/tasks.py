"""What a worker process is asked to do. Torch is imported here, inside the worker, alone."""

import signal
import warnings
from pathlib import Path

from emsym.data.cards import Card
from emsym.errors import UserError, first_line
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


def check_model(
    architecture: str,
    inits: tuple[str, ...],
    slices: int,
    weights: str,
    patch: int,
    attributions: tuple[str, ...],
) -> None:
    """Build a network with each strategy, which trains `pretext` weights where they are missing.

    Raises `UserError` where the architecture, the weights and a strategy do not fit together, where
    the network does not read patches of `patch` × `patch` pixels, and where a method of attribution
    does not cover it.
    """
    import torch

    torch.set_num_threads(1)  # so that pretext weights are the same on any number of cores
    try:
        _check_patch(
            architecture, slices, patch, attributions
        )  # before weights are made, which takes long
        for init in inits:
            create_model(architecture, init, slices, weights)
    except SystemExit as error:  # a plug-in's, which would end the run without a word
        raise UserError(f"The architecture '{architecture}' calls exit: {error}.") from error


def _check_patch(architecture: str, slices: int, patch: int, attributions: tuple[str, ...]) -> None:
    import torch

    from emsym.scores.attribution import ATTRIBUTIONS
    from emsym.scores.logits import DenseLogits

    model = create_model(architecture, "random", slices).eval()
    try:
        with torch.no_grad():
            shape = tuple(model(torch.zeros(1, slices, patch, patch)).shape)
    except Exception as error:  # whatever a network raises
        raise UserError(
            f"The network '{architecture}' does not read patches of {patch} × {patch} pixels "
            f"({first_line(error)}): take another `patch` in the protocol's recipe, or another "
            f"network; `emsym-bench list architectures {architecture}` may tell from how many on."
        ) from error
    if shape != (1, 1, patch, patch):
        raise UserError(
            f"The network '{architecture}' answers a patch of {patch} × {patch} pixels with "
            f"{shape} instead of (1, 1, {patch}, {patch})."
        )
    x, mask = torch.ones(1, slices, patch, patch), torch.ones(1, patch, patch, dtype=torch.bool)
    for name in attributions:
        ATTRIBUTIONS.get(name)(DenseLogits(model), x, mask)


def run_cell(job: Job, networks: Path | None, examples: Path | None) -> Record:
    """`emsym.run.cell.run_cell`."""
    from emsym.run import cell

    return cell.run_cell(job, networks, examples)
