"""The tasks of a worker process. Torch is imported here, inside the worker, alone."""

from emsym.data.cards import Card
from emsym.errors import UserError, first_line
from emsym.models.architectures import build_model, create_model
from emsym.output_folder import OutputFolder
from emsym.protocol import Border
from emsym.run.job import Job
from emsym.run.store.record import Record
from emsym.run.workers.notes import note


def check_dataset(name: str, card: Card, slices: int, patch: int, border: Border) -> None:
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
    offline: bool = False,
) -> dict[str, str]:
    """Build a network with each strategy, which trains `pretext` weights where they are missing.

    Returns what is wrong with some strategies where others go with this network. Raises `UserError`
    where none does, where the weights do not fit, where the network does not read patches of
    `patch` × `patch` pixels, and where a method of attribution does not cover it.
    """
    import torch

    torch.set_num_threads(1)  # so that pretext weights are the same on any number of cores
    wrong: dict[str, str] = {}
    try:
        # before weights are made, which takes long
        _check_patch(architecture, slices, patch, attributions)
        note("weights")
        for init in inits:
            try:
                build_model(
                    *(architecture, init, slices, weights),
                    seed=0,
                    offline=offline,
                    spacing_nm=1.0,  # any serves to see that it can be built
                )
            except UserError as error:
                wrong[init] = str(error)
    except SystemExit as error:  # a plug-in's, which would end the run without a word
        raise UserError(f"The architecture '{architecture}' calls exit: {error}.") from error
    if len(set(wrong.values())) == 1 and len(wrong) == len(inits):
        raise UserError(next(iter(wrong.values())))
    return wrong


def _check_patch(architecture: str, slices: int, patch: int, attributions: tuple[str, ...]) -> None:
    import torch

    from emsym.scores.attribution.methods import ATTRIBUTIONS
    from emsym.scores.dense_logits import DenseLogits

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


def run_cell(
    job: Job, output: OutputFolder | None, keep_network: bool, training_log: bool, device: str
) -> Record:
    """`emsym.run.cell.run_cell`, which needs torch."""
    from emsym.run import cell

    return cell.run_cell(job, output, keep_network, training_log, device)
