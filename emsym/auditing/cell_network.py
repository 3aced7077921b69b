"""The record of a network that a run kept, which says what the network is."""

from pathlib import Path

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


def cell_name(record: Record) -> str:
    """Name a network by its cell."""
    return (
        f"{record.init} on {record.dataset.name}, {record.architecture}, seed {record.seed} "
        f"(record {record.key})"
    )
