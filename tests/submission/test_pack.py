"""From a store to a submission, and from there to the frames of a leaderboard."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from emsym.errors import UserError
from emsym.leaderboard.results import FACTS
from emsym.protocol import Protocol, load_protocol
from emsym.run.job import Job, jobs
from emsym.run.store.record import Record, record_of
from emsym.run.store.store import Store
from emsym.submission.pack import pack
from emsym.submission.read import Submission
from emsym.submission.validate import validate

Make = Callable[[Job], Record]
Keep = Callable[[Path, Record], None]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_was_packed_is_what_the_records_say(store: Path, submission: Path) -> None:
    found = Submission(submission)
    cells = found.cells.set_index("key")
    assert list(found.cells.columns[: len(FACTS)]) == FACTS
    for record in Store(store / "records").records():
        row = cells.loc[record.key]
        for name, value in record.scores.items():
            assert row[name] == value, "in full precision"
        told = (row["dataset"], row["architecture"], row["init"], row["seed"], row["data"])
        assert told == (
            record.dataset.name,
            record.architecture,
            record.init,
            record.seed,
            record.dataset.digest,
        )
        assert (row["submission"], row["status"], row["device"]) == ("ours-1", "done", "cpu")
        assert row["minutes"] == pytest.approx(1.75 / 60)
        for name in ("arand_2d", "dice@0.5", "tp@0.5", "saliency/foreground/slice_share[+1]"):
            values = found.per_image([record.key], name)
            assert values["section"].tolist() == record.images["section"]
            expected = [np.nan if v is None else v for v in record.images[name]]
            assert values["value"].tolist() == pytest.approx(expected, rel=1e-6, nan_ok=True)
        looks = found.over_training([record.key])
        name = "saliency/foreground/model_asymmetry"
        expected = [np.mean(column) for column in record.over_training.images[name]]
        assert looks[looks["score"] == name]["step"].tolist() == [0, 2]
        assert looks[looks["score"] == name]["value"].tolist() == pytest.approx(expected, rel=1e-6)


def test_the_same_store_gives_the_same_bytes(
    store: Path, protocol: Protocol, submission: Path, tmp_path: Path
) -> None:
    again = tmp_path / "elsewhere" / "ours-1"
    pack(store, protocol, again)
    first, second = contents(submission), contents(again)
    del first["submission.toml"], second["submission.toml"]
    assert first == second


def test_packing_again_keeps_what_the_author_wrote(
    store: Path, protocol: Protocol, submission: Path
) -> None:
    before = contents(submission)
    (submission / "plugins").mkdir()
    (submission / "plugins" / "old.py").write_text("")
    pack(store, protocol, submission)
    assert contents(submission) == before
    assert [path.name for path in submission.parent.iterdir()] == ["ours-1"]


def test_examples_are_of_the_lowest_seed(store: Path, submission: Path) -> None:
    found = Submission(submission)
    shown = found.cells[[found.example(key) is not None for key in found.cells["key"]]]
    assert shown["seed"].tolist() == [0, 0]
    kept = found.example(shown["key"].iloc[0])
    assert kept is not None
    with np.load(store / "examples" / f"{shown['key'].iloc[0]}.npz") as there:
        assert {name: kept[name].tolist() for name in kept} == {
            name: there[name].tolist() for name in there
        }


def test_no_example_is_packed_that_the_card_keeps_from_the_public(
    store: Path, protocol: Protocol, submission: Path
) -> None:
    assert list((submission / "examples").glob("*.npz"))
    for path in (store / "examples").glob("*.npz"):
        with np.load(path) as kept:
            np.savez_compressed(path, **{**kept, "may_be_shown": np.array(0, np.uint8)})
    with pytest.warns(UserWarning, match="No pictures of tiny-a are packed: a card without"):
        pack(store, protocol, submission)
    assert not list(submission.rglob("examples/*"))


def test_a_folder_of_something_else_is_never_replaced(
    store: Path, protocol: Protocol, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="is no file of a submission"):
        pack(store, protocol, mine)
    assert (mine / "thesis.tex").read_text() == "years of work"


def test_a_submission_of_another_protocol_is_never_replaced(
    store: Path, protocol: Protocol, submission: Path
) -> None:
    before = contents(submission)
    other = protocol.model_copy(update={"name": "other"})
    with pytest.raises(UserError, match=r"holds cells of the protocol 'tiny'.*another --name"):
        pack(store, other, submission)
    assert contents(submission) == before


def test_failed_and_missing_cells_are_told(
    tiny: Path, store: Path, protocol: Protocol, fill_in: Callable
) -> None:
    first, second, *_ = jobs(protocol)
    for job in (first, second):
        Store(store / "records").path(job.key).unlink()
    Store(store / "records").save(
        record_of(first, status="failed", error="<b>bad</b>\nline", environment={}, seconds={})
    )
    folder = tiny.parent / "holes"
    pack(store, protocol, folder)
    fill_in(folder)
    report = validate(folder, str(tiny))
    assert report.counts == {"done": 2, "failed": 1, "missing": 1}
    assert "1 cell is failed" in report.notes
    assert "1 cell is missing" in report.notes
    cells = report.submission.cells.set_index("key")
    assert len(cells) == 3
    assert cells.loc[first.key, "error"] == "‹b›bad‹/b› line"
    assert np.isnan(cells.loc[first.key, "dice@0.5"])


def test_a_store_without_the_protocol_is_a_sentence(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished records of the protocol 'quick'"):
        pack(store, load_protocol("quick"), tmp_path / "x")


def test_records_without_counts_are_not_packed(
    store: Path, protocol: Protocol, made_up: Make, tmp_path: Path
) -> None:
    record = made_up(jobs(protocol)[0])
    images = {name: column for name, column in record.images.items() if name[:3] != "tp@"}
    Store(store / "records").save(record.model_copy(update={"images": images}))
    with pytest.raises(UserError, match="before pixels were counted"):
        pack(store, protocol, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_two_records_of_one_cell_are_a_sentence(
    store: Path, protocol: Protocol, made_up: Make, keep: Keep, tmp_path: Path
) -> None:
    record = made_up(jobs(protocol)[0])
    keep(store, record.model_copy(update={"key": "0" * 32, "init_source": "0" * 64}))
    with pytest.raises(UserError, match="two records of tiny-a"):
        pack(store, protocol, tmp_path / "x")


def test_of_two_versions_of_a_plug_in_the_one_that_is_given_counts(
    store: Path,
    protocol: Protocol,
    made_up: Make,
    keep: Keep,
    fill_in: Callable[[Path], None],
    tmp_path: Path,
) -> None:
    record = made_up(jobs(protocol)[0])
    for version in ("1", "2"):
        plugin = tmp_path / f"mine-{version}.py"
        plugin.write_text(version)
        source = hashlib.sha256(plugin.read_bytes()).hexdigest()
        changes = {"key": version * 32, "init_source": source, "init": "mine"}
        keep(store, record.model_copy(update=changes))
    for version in ("1", "2"):
        pack(store, protocol, tmp_path / "x", [tmp_path / f"mine-{version}.py"])
        fill_in(tmp_path / "x")
        packed = Submission(tmp_path / "x")
        assert [row.key for row in packed.rows if row.init == "mine" and row.key] == [version * 32]
        assert [path.name for path in packed.plugins()] == [f"mine-{version}.py"]
    failed = {**changes, "status": "failed", "error": "no", "scores": {}, "images": {}}
    (store / "records" / f"{'2' * 32}.json").unlink()
    Store(store / "records").save(record.model_copy(update={**failed, "over_training": None}))
    pack(store, protocol, tmp_path / "x", [tmp_path / "mine-2.py"])
    packed = Submission(tmp_path / "x")
    assert [row.status for row in packed.rows if row.key == "2" * 32] == ["failed"]
    assert b"1" * 32 not in packed.group("tiny-a", record.architecture).get("keys", "S32", None)
    shutil.move(tmp_path / "x" / "plugins" / "mine-2.py", tmp_path / "x" / "plugins" / "old.py")
    pack(store, protocol, tmp_path / "x", [tmp_path / "mine-2.py"])
    assert [p.name for p in Submission(tmp_path / "x").plugins()] == ["mine-2.py"], "not twice"


def test_the_manifest_is_plain_json(submission: Path) -> None:
    found = json.loads((submission / "manifest.json").read_text())
    assert found["format"] == 1
    assert found["environments"][0]["processor"] == "A & B"


@pytest.fixture
def two_encoders(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny protocol over two encoders, whose ImageNet weights are in a folder beside it."""
    text = tiny.read_text().replace('"encoder.safetensors"', '"imagenet"')
    pair = '"linknet-tu-test_efficientnet", "linknet-tu-test_resnet"'
    tiny.write_text(text.replace('"linknet-tu-test_efficientnet"', pair))
    for name in ("test_efficientnet", "test_resnet"):
        (tiny.parent / f"{name}.pt").write_bytes(name.encode())
    monkeypatch.setenv("EMSYM_WEIGHTS_DIR", str(tiny.parent))
    return tiny


def test_weights_of_several_encoders_are_packed_each_by_its_file(
    two_encoders: Path, made_up: Make, keep: Keep, fill_in: Callable
) -> None:
    protocol, folder = load_protocol(str(two_encoders)), two_encoders.parent / "ours-1"
    for job in jobs(protocol):
        keep(two_encoders.parent / "run", made_up(job))
    manifest = pack(two_encoders.parent / "run", protocol, folder)
    fill_in(folder)
    assert manifest.weights.origin == "imagenet"
    identities = {job.cell.architecture: job.weights_identity for job in jobs(protocol)}
    assert manifest.weights.identity == identities
    assert len(set(identities.values())) == 2
    cells = Submission(folder).cells
    assert dict(zip(cells["architecture"], cells["identity"], strict=True)) == identities
    assert not any("weights" in note for note in validate(folder, str(two_encoders)).notes)
    (two_encoders.parent / "test_resnet.pt").unlink()
    notes = validate(folder, str(two_encoders)).notes
    assert f"linknet-tu-test_resnet from {identities['linknet-tu-test_resnet']}" in notes[0]
    two_encoders.write_text(two_encoders.read_text().replace('"imagenet"', '"pretext"'))
    with pytest.raises(UserError, match="weights have not the name"):
        validate(folder, str(two_encoders))


def test_two_files_of_one_encoder_are_no_one_submission(
    two_encoders: Path, made_up: Make, keep: Keep
) -> None:
    protocol, store = load_protocol(str(two_encoders)), two_encoders.parent / "run"
    keep(store, made_up(jobs(protocol.select(seeds=[0]))[0]))
    (two_encoders.parent / "test_efficientnet.pt").write_bytes(b"others")
    keep(store, made_up(jobs(protocol.select(seeds=[1]))[0]))
    with pytest.raises(UserError, match="different weights of linknet-tu-test_efficientnet"):
        pack(store, protocol, two_encoders.parent / "ours-1")
