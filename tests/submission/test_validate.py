"""What a submission says is compared with its protocol, and refused where they differ."""

import csv
import hashlib
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from submission_edits import (
    CELLS,
    EXAMPLE,
    Cases,
    Files,
    Refused,
    content,
    edit_cells,
    edit_example,
    edit_manifest,
    set_cell,
    write,
)

from emsym import SCORING_VERSION
from emsym.errors import UserError
from emsym.plugins import load_plugin
from emsym.protocol import Protocol, cell_key, load_protocol
from emsym.run.job import jobs
from emsym.run.store.store import Store
from emsym.scores.catalogue import SCORES
from emsym.submission.pack import pack
from emsym.submission.validate import validate


def other_order(files: Files) -> None:
    rows = list(csv.reader(io.StringIO(files[CELLS].decode())))
    shares = [at for at, name in enumerate(rows[0]) if "/slice_share[" in name]
    other = next(at for at in shares if rows[0][at].startswith("slice-shapley/"))
    for row in rows:
        row.insert(shares[0], row.pop(other))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    files[CELLS] = text.getvalue().encode()


def swap_keys(rows: list[dict[str, str]]) -> None:
    rows[0]["key"], rows[1]["key"] = rows[1]["key"], rows[0]["key"]


OTHERS = np.array([b"0" * 32, b"1" * 32])
WRONG: Cases = {
    "another digest": (edit_manifest(protocol__digest="0" * 64), "of the digest 0000"),
    "another version": (edit_manifest(protocol__version="2"), "of the version 2"),
    "another primary score": (edit_manifest(protocol__primary="flip_error"), "the primary flip"),
    "another protocol": (edit_manifest(protocol__name="quick"), "of the name quick"),
    "scored by another": (edit_manifest(scoring_version=999), "version 999"),
    "other slices": (edit_manifest(slices=5), "5 slices"),
    "other weights": (edit_manifest(weights__identity="imagenet"), "not those of the protocol"),
    "other weights by name": (edit_manifest(weights__origin="imagenet"), "not the name"),
    "other data": (edit_manifest(datasets__tiny_a__digest="0" * 64), "not what its card says"),
    "data from nowhere": (edit_manifest(datasets__tiny_a__source="mine"), "no source of that name"),
    "another licence": (edit_manifest(datasets__tiny_a__licence="MIT"), "the licence of"),
    "unknown data set": (edit_manifest(datasets__evil=None), "datasets.evil"),
    "source of what is not scored": (
        edit_manifest(scoring_sources={"metric x": "0" * 64}),
        "sources of what the protocol does not score",
    ),
    "columns in another order": (other_order, "its first such score is slice-shapley/"),
    "keys of other cells": (edit_cells(swap_keys), "another cell's"),
    "another seed": (set_cell("seed", "7"), "another cell's"),
    "an intervention that is none": (set_cell("init", "rgb+evil"), "another cell's"),
    "a source of emsym's own": (set_cell("init_source", "0" * 64), "another cell's"),
    "another gain": (set_cell("gain", "preserve"), "the gain of"),
    "a cell left out": (edit_cells(lambda rows: rows.pop()), "neither there nor marked missing"),
    "no rows": (edit_cells(lambda rows: rows.clear()), "no cell of it is done"),
    "a group of nothing": (content("images/x.npz", b""), "of no cell"),
    "an example of another cell": (edit_example("keys", OTHERS), "of no done cell"),
    "a plug-in of nothing": (content("plugins/x.py", b"1/0"), "not the source of any cell"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_by_the_name_of_its_file(refused: Refused, case: str) -> None:
    change, message = WRONG[case]
    assert message in refused(change)


def test_a_sound_submission_is_told_what_was_checked(tiny: Path, submission: Path) -> None:
    report = validate(submission, str(tiny))
    assert report.counts == {"done": 4, "failed": 0, "missing": 0}
    assert report.sections == 4 * 3
    assert report.notes == [
        "arand_3d is of a whole volume and was not computed again",
        "pictures are packed for 1 of 1 pairs of data set and architecture; what they show was not "
        "checked",
    ]


def test_what_a_maintainer_should_know_is_noted(tiny: Path, submission: Path, files: Files) -> None:
    edit_manifest(environments__0__dirty=True)(files)
    del files[EXAMPLE]
    shutil.rmtree(submission)
    write(submission, files)
    notes = "; ".join(validate(submission, str(tiny)).notes)
    assert "4 of 4 cells were made with changes that their commit does not hold" in notes
    assert "pictures are packed for 0 of 1 pairs of data set and architecture" in notes


def test_a_protocol_that_does_not_ship_must_be_given(submission: Path) -> None:
    with pytest.raises(UserError, match="give its TOML file with --protocol"):
        validate(submission)


def test_a_plugin_that_was_packed_is_told_and_not_run(
    tiny: Path, store: Path, protocol: Protocol, made_up: Callable, fill_in: Callable
) -> None:
    plugin = tiny.parent / "mine.py"
    plugin.write_text("from pathlib import Path\nPath('was-run').touch()\n")
    source = hashlib.sha256(plugin.read_bytes()).hexdigest()
    for job in jobs(protocol.select(inits=["rgb"])):
        sources = {
            "data": job.data_digest,
            "weights": job.weights_identity,
            "init": source,
            "architecture": None,
            "scoring": {},
            "scoring_version": SCORING_VERSION,
        }
        key = cell_key(protocol.digest, job.cell._replace(init="mine"), **sources)
        changes = {"key": key, "init": "mine", "init_source": source}
        Store(store / "records").save(made_up(job).model_copy(update=changes))
    folder = tiny.parent / "with-plugin"
    pack(store, protocol, folder, [plugin])
    fill_in(folder)
    assert "mine.py is code of the authors, and was not run" in validate(folder, str(tiny)).notes
    pack(store, protocol, folder)
    assert (folder / "plugins" / "mine.py").read_bytes() == plugin.read_bytes(), "packed before"
    plugin.write_text("changed = True\n")
    with pytest.raises(UserError, match=r"No cell was run with .*mine\.py as it is now"):
        pack(store, protocol, folder, [plugin])
    (folder / "plugins" / "mine.py").unlink()
    report = validate(folder, str(tiny))
    assert f"the source of 1 plug-in is not packed ({source[:12]})" in report.notes
    assert not list(tiny.parent.rglob("was-run"))


@pytest.mark.parametrize("per_seed", [True, False])
def test_labels_may_differ_between_seeds_that_have_volumes_of_their_own(
    tiny: Path, made_up: Callable, keep: Callable, fill_in: Callable, per_seed: bool
) -> None:
    card = tiny.with_name("tiny-a.toml")
    plain = card.read_text()
    card.write_text(plain.replace("seed = 0", "seed = 0\nvolume_per_seed = true"))
    several = {job.cell: made_up(job) for job in jobs(load_protocol(str(tiny)))}
    if not per_seed:  # the same labels, which one volume cannot have
        card.write_text(plain)
    protocol = load_protocol(str(tiny))
    for job in jobs(protocol):
        told = {"key": job.key, "dataset": made_up(job).dataset}
        keep(tiny.parent / "run", several[job.cell].model_copy(update=told))
    folder = tiny.parent / "ours-1"
    pack(tiny.parent / "run", protocol, folder)
    fill_in(folder)
    if per_seed:
        assert validate(folder, str(tiny)).counts["done"] == 4
    else:
        with pytest.raises(UserError, match="different labels"):
            validate(folder, str(tiny))


PLUGIN = '''
from emsym import register_score

@register_score("own", bounds=(0, {most}))
def own(sections):
    """Something."""
'''


@pytest.fixture
def packed_with_own(
    tiny: Path,
    made_up: Callable,
    keep: Callable,
    fill_in: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    monkeypatch.setattr(SCORES, "_entries", dict(SCORES._entries))
    tiny.write_text(f'{tiny.read_text()}scores = ["own"]\n')
    (tiny.parent / "own.py").write_text(PLUGIN.format(most=1))
    assert load_plugin(tiny.parent / "own.py")
    protocol = load_protocol(str(tiny))
    for job in jobs(protocol):
        assert list(job.scoring_sources) == ["score own"]
        keep(tiny.parent / "run", made_up(job))
    folder = tiny.parent / "results" / "submissions" / "ours-1"
    pack(tiny.parent / "run", protocol, folder)
    fill_in(folder)
    return folder


def test_a_submission_with_a_plugins_score_is_sound(tiny: Path, packed_with_own: Path) -> None:
    report = validate(packed_with_own, str(tiny))
    assert "plugin/own" in report.submission.score_names
    assert np.isfinite(report.submission.cells["plugin/own"]).all()


def test_a_plugins_score_is_checked_where_the_plugin_is_not(
    tiny: Path, packed_with_own: Path
) -> None:
    SCORES._entries = {k: entry for k, entry in SCORES._entries.items() if entry.own}
    assert validate(packed_with_own, str(tiny)).counts["done"] == 4


def test_a_plugins_score_beyond_its_bounds_is_told(tiny: Path, packed_with_own: Path) -> None:
    (tiny.parent / "own.py").write_text(PLUGIN.format(most=0.01))
    assert load_plugin(tiny.parent / "own.py")
    with pytest.raises(UserError, match=r"a value of plugin/own is not within 0 and 0\.01"):
        validate(packed_with_own, str(tiny))
