"""A network that a run kept is known by the record beside it."""

from pathlib import Path

from emsym.auditing.cell_network import cell_name, record_of_network
from emsym.output_folder import OutputFolder
from emsym.run.store.store import Store


def test_a_network_that_a_run_kept_has_the_record_of_its_cell(store: Path) -> None:
    output = OutputFolder(store)
    stored = next(Store(output.records).records())
    record = record_of_network(output.network(stored.key))
    assert record == stored
    name = cell_name(stored)
    assert name.startswith(f"{stored.init} on {stored.dataset.name}, {stored.architecture}, ")
    assert name.endswith(f"seed {stored.seed} (record {stored.key})")


def test_any_other_file_has_none(store: Path) -> None:
    key = next(Store(OutputFolder(store).records).records()).key
    assert record_of_network(store / f"{key}.pt") is None
    assert record_of_network(OutputFolder(store).network("other")) is None
