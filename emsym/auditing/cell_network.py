"""The record of a network that a run kept, which says what the network is."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from emsym.models.architectures import create_model
from emsym.models.inits import parse_init
from emsym.models.interventions.registry import INTERVENTIONS
from emsym.models.interventions.shipped import MIRROR_TIED
from emsym.output_folder import OutputFolder
from emsym.run.store.record import Record
from emsym.run.store.store import Store


def record_of_network(path: Path) -> Record | None:
    """Return the record of the cell that trained the network of a file; None of any other file.

    A run keeps networks by their cells' keys in a folder of their own beside the records
    (`OutputFolder`).
    """
    output = OutputFolder(path.absolute().parent.parent)
    if path.absolute() != output.network(path.stem):
        return None
    return Store(output.records).load(path.stem, set_aside=False)


def rebuilt_factory(record: Record) -> Callable[[], Any] | None:
    """Return what builds the network of a cell, where that is not its architecture's own.

    None where the init leaves the layers as they are, as `mirror-tied` does in a file.
    """
    rebuilding = [
        name
        for name in parse_init(record.init).interventions
        if INTERVENTIONS.get(name).when == "initialisation" and name != MIRROR_TIED
    ]
    if not rebuilding:
        return None
    init = "+".join(["uniform-mean", *rebuilding])  # whose weights are replaced by the file's
    return partial(create_model, record.architecture, init, record.slices)


def cell_name(record: Record) -> str:
    """Name a network by its cell."""
    return (
        f"{record.init} on {record.dataset.name}, {record.architecture}, seed {record.seed} "
        f"(record {record.key})"
    )
