"""An audit of a network that a run kept says what the record of its cell says."""

import json
from pathlib import Path

import pytest

import emsym
from emsym.output_folder import OutputFolder
from emsym.protocol import load_protocol
from emsym.run.cell import run_cell
from emsym.run.job import jobs
from emsym.run.store.store import Store


@pytest.mark.parametrize(
    ("init", "seed"),
    [
        ("rgb", 1),
        ("rgb+mirror-tied", 0),
        pytest.param("rgb+a3d", 0, marks=pytest.mark.slow),
        pytest.param("rgb+adapter+flip-average", 0, marks=pytest.mark.slow),
    ],
)
def test_audit_of_a_kept_network_says_what_its_record_says(
    tiny: Path, init: str, seed: int
) -> None:
    tiny.write_text(tiny.read_text().replace('"rgb"', f'"{init}"'))
    card = tiny.with_name("tiny-a.toml")
    card.write_text(card.read_text().replace("seed = 0", "seed = 0\nvolume_per_seed = true"))
    (job,) = jobs(load_protocol(str(tiny)).select(inits=[init], seeds=[seed]))
    output = OutputFolder(tiny.parent)
    record = run_cell(job, output, keep_network=True)
    assert record.error is None
    Store(output.records).save(record)  # which says of which seed the network is
    report = emsym.audit(
        str(output.network(job.key)),
        str(tiny.with_name("tiny-a.toml")),
        architecture=job.cell.architecture,
    )
    report.write(tiny.parent / "audit.html")
    found = json.loads((tiny.parent / "audit.json").read_text())
    assert found["data"]["sections"] == record.images["section"]
    assert found["dice"] == pytest.approx(record.scores["dice@0.5"], rel=1e-6)
    compared = 0
    for name, values in found["images"].items():
        if name in record.images:
            ours = [v for v in values if v is not None]
            theirs = [v for v in record.images[name] if v is not None]
            assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6), name
            compared += 1
    assert compared > 40
