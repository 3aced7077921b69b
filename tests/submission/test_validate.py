"""What a stranger may send: sound, wrong in one thing, or made to do harm in one way."""

import csv
import hashlib
import io
import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from emsym import SCORING_VERSION
from emsym.errors import UserError
from emsym.protocol import Protocol, cell_key
from emsym.run.job import jobs
from emsym.run.store.store import Store
from emsym.submission.pack import pack
from emsym.submission.validate import validate

SHEET, MANIFEST, CELLS = "submission.toml", "manifest.json", "cells.csv"
GROUP = "images/tiny-a--linknet-tu-test_efficientnet.npz"
EXAMPLE = GROUP.replace("images", "examples")
Files = dict[str, bytes]
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def files(submission: Path) -> Files:
    return {
        path.relative_to(submission).as_posix(): path.read_bytes()
        for path in submission.rglob("*")
        if path.is_file()
    }


def write(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def refusal(folder: Path, protocol: Path) -> str:
    """The one sentence that a submission is refused with."""
    with pytest.raises(UserError) as caught:
        validate(folder, str(protocol))
    told = str(caught.value)
    check_sentence(told, folder)
    return told


def check_sentence(told: str, folder: Path) -> None:
    assert str(folder) in told, "it names the file"
    assert "\n" not in told
    assert told.isprintable()
    assert len(told) < 1000


def test_a_sound_submission_is_told_what_was_checked(tiny: Path, submission: Path) -> None:
    report = validate(submission, str(tiny))
    assert report.counts == {"done": 4, "failed": 0, "missing": 0}
    assert report.sections == 4 * 3
    assert report.notes == [
        "arand_3d is of a whole volume and was not computed again",
        "pictures are packed for 1 of 1 pairs of data set and architecture; what they show was not "
        "checked",
    ]


def edit_sheet(old: str, new: str) -> Callable[[Files], None]:
    def edit(files: Files) -> None:
        text = files[SHEET].decode()
        assert old in text
        files[SHEET] = text.replace(old, new).encode("utf-8", "surrogateescape")

    return edit


def edit_manifest(**changes: object) -> Callable[[Files], None]:
    """Change values by their paths, as ``protocol__digest``."""

    def edit(files: Files) -> None:
        content = json.loads(files[MANIFEST])
        for path, value in changes.items():
            *parts, last = path.split("__")
            place = content
            for part in parts:
                place = place[int(part) if part.isdigit() else part.replace("tiny_a", "tiny-a")]
            place[last] = value
        files[MANIFEST] = json.dumps(content).encode()

    return edit


def edit_cells(change: Callable[[list[dict[str, str]]], object]) -> Callable[[Files], None]:
    def edit(files: Files) -> None:
        rows = list(csv.DictReader(io.StringIO(files[CELLS].decode())))
        names = list(rows[0])
        change(rows)
        stream = io.StringIO()
        writer = csv.DictWriter(stream, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        files[CELLS] = stream.getvalue().encode()

    return edit


def set_cell(name: str, value: str, row: int = 0) -> Callable[[Files], None]:
    return edit_cells(lambda rows: rows[row].update({name: value}))


def other_order(files: Files) -> None:
    rows = list(csv.reader(io.StringIO(files[CELLS].decode())))
    shares = [at for at, name in enumerate(rows[0]) if "/slice_share[" in name]
    other = next(at for at in shares if rows[0][at].startswith("slice-shapley/"))
    for row in rows:
        row.insert(shares[0], row.pop(other))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    files[CELLS] = text.getvalue().encode()


def edit_arrays(change: Callable[[dict[str, np.ndarray]], object]) -> Callable[[Files], None]:
    def edit(files: Files) -> None:
        with np.load(io.BytesIO(files[GROUP])) as loaded:
            arrays = dict(loaded)
        change(arrays)
        stream = io.BytesIO()
        np.savez(stream, **arrays)
        files[GROUP] = stream.getvalue()

    return edit


def edit_example(name: str, value: object) -> Callable[[Files], None]:
    def edit(files: Files) -> None:
        with np.load(io.BytesIO(files[EXAMPLE])) as loaded:
            arrays = dict(loaded)
        arrays[name] = value if isinstance(value, np.ndarray) else np.full_like(arrays[name], value)
        stream = io.BytesIO()
        np.savez(stream, **arrays)
        files[EXAMPLE] = stream.getvalue()

    return edit


def set_value(name: str, value: float, at: tuple[int, ...] = (0, 0)) -> Callable[[Files], None]:
    return edit_arrays(lambda arrays: arrays[name].__setitem__(at, value))


def swap_keys(rows: list[dict[str, str]]) -> None:
    rows[0]["key"], rows[1]["key"] = rows[1]["key"], rows[0]["key"]


def content(name: str, content: bytes) -> Callable[[Files], None]:
    return lambda files: files.update({name: content})


def without(name: str) -> Callable[[Files], None]:
    return lambda files: files.pop(name)


def bomb() -> bytes:
    """A gigabyte of zeros in a megabyte."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("keys.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(64):
            member.write(bytes(16 << 20))
    return stream.getvalue()


def terabyte() -> bytes:
    """An array whose header claims a terabyte."""
    header = "{'descr': '|S32', 'fortran_order': False, 'shape': (34359738368,), }"
    header += " " * (117 - len(header)) + "\n"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        npy = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode()
        archive.writestr("keys.npy", npy)
    return stream.getvalue()


def pickled() -> bytes:
    """An array of objects, that would run code where pickles are read."""
    stream = io.BytesIO()
    np.savez(stream, keys=np.array([Marker()], object))
    return stream.getvalue()


class Marker:
    def __reduce__(self) -> tuple:
        return (os.mkdir, ("pwned",))


DEEP = b"[" * 100_000
WRONG: dict[str, tuple[Callable[[Files], object], str]] = {
    "no title": (edit_sheet('title = "Ours"', 'title = ""'), "'title'"),
    "no author": (edit_sheet('["A. Author"]', "[]"), "'authors'"),
    "script in the title": (edit_sheet("Ours", SCRIPT), "no '<' or '>'"),
    "script in an author": (edit_sheet("A. Author", SCRIPT), "no '<' or '>'"),
    "script in the contact": (edit_sheet("us@example.org", SCRIPT), "an e-mail address or"),
    "no address": (edit_sheet("us@example.org", "ask around"), "an e-mail address or"),
    "script in the note": (edit_sheet('note = ""', f'note = "{SCRIPT}"'), "no '<' or '>'"),
    "script in the licence": (edit_sheet("CC-BY-4.0", SCRIPT), "'licence'"),
    "script as address": (edit_sheet("https://example.org/ours", "javascript:alert(1)"), "'code'"),
    "quote in address": (edit_sheet("org/ours", "org/' onclick='x"), "'code'"),
    "terminal escape": (edit_sheet("Ours", r"\u001b[2J"), "control"),
    "text that runs backwards": (edit_sheet("Ours", "\u202eevil"), "control"),
    "unknown key with an escape": (edit_sheet("title", '"\\u001b[2J" = 1\ntitle'), "unknown key"),
    "endless title": (edit_sheet("Ours", "x" * 200), "at most 120"),
    "TOML bomb": (content(SHEET, b"a = " + b"[" * 12_000), SHEET),
    "large TOML": (content(SHEET, b"#" * 20_000), "may hold"),
    "UTF-16": (lambda f: f.update({SHEET: f[SHEET].decode().encode("utf-16")}), SHEET),
    "Latin-1": (lambda f: f.update({SHEET: b'title = "\xe9"'}), SHEET),
    "no sheet": (without(SHEET), "is missing"),
    "no manifest": (without(MANIFEST), "is missing"),
    "no cells": (without(CELLS), "is missing"),
    "deep JSON": (content(MANIFEST, DEEP), MANIFEST),
    "JSON that is none": (content(MANIFEST, b"\xff\xfe"), MANIFEST),
    "NaN in JSON": (content(MANIFEST, b'{"slices": NaN}'), MANIFEST),
    "large JSON": (content(MANIFEST, b" " * (1 << 21)), "may hold"),
    "another format": (edit_manifest(format=2), "'format'"),
    "another digest": (edit_manifest(protocol__digest="0" * 64), "of the digest 0000"),
    "another version": (edit_manifest(protocol__version="2"), "of the version 2"),
    "another protocol": (edit_manifest(protocol__name="quick"), "of the name quick"),
    "path as protocol": (edit_manifest(protocol__name="../../x"), "protocol.name"),
    "scored by another": (edit_manifest(scoring_version=999), "version 999"),
    "other slices": (edit_manifest(slices=5), "5 slices"),
    "other weights": (edit_manifest(weights__identity="imagenet"), "not those of the protocol"),
    "other weights by name": (edit_manifest(weights__origin="imagenet"), "not the name"),
    "other data": (edit_manifest(datasets__tiny_a__digest="0" * 64), "not what its card says"),
    "data from nowhere": (edit_manifest(datasets__tiny_a__source="mine"), "no source of that name"),
    "another licence": (edit_manifest(datasets__tiny_a__licence="MIT"), "the licence of"),
    "script as licence": (edit_manifest(datasets__tiny_a__licence=SCRIPT), "no '<' or '>'"),
    "script as modality": (edit_manifest(datasets__tiny_a__modality=SCRIPT), "no '<' or '>'"),
    "script as machine": (edit_manifest(environments__0__processor=SCRIPT), "no '<' or '>'"),
    "unknown data set": (edit_manifest(datasets__evil=None), "datasets.evil"),
    "source of what is not scored": (
        edit_manifest(scoring_sources={"metric x": "0" * 64}),
        "sources of what the protocol does not score",
    ),
    "script as data set": (set_cell("dataset", SCRIPT), "'dataset'"),
    "script as architecture": (set_cell("architecture", SCRIPT), "'architecture'"),
    "script as init": (set_cell("init", SCRIPT), "'init'"),
    "path as init": (set_cell("init", "../../x"), "'init'"),
    "path as key": (set_cell("key", "../../../../etc/passwd"), "'key'"),
    "script as error": (edit_cells(lambda r: r[0].update(status="failed", error=SCRIPT)), CELLS),
    "NaN as score": (set_cell("dice@0.5", "nan"), "no finite number"),
    "infinity as score": (set_cell("dice@0.5", "inf"), "no finite number"),
    "overflow as score": (set_cell("dice@0.5", "1e999"), "no finite number"),
    "word as score": (set_cell("dice@0.5", "high"), "no finite number"),
    "NaN as seconds": (set_cell("seconds", "nan"), "'seconds'"),
    "a better Dice": (set_cell("dice@0.5", "0.99"), "claims 0.99 as its dice@0.5"),
    "a hair better": (set_cell("flip_error", "0.0001"), "as its flip_error"),
    "a missing score": (set_cell("flip_error", ""), "claims nan as its flip_error"),
    "Dice of 7": (set_cell("dice@0.85", "7"), "not within 0 and 1"),
    "ARAND of 7": (set_cell("arand_3d", "7"), "not within 0 and 1"),
    "columns in another order": (other_order, "its first such score is slice-shapley/"),
    "a cell twice": (edit_cells(lambda rows: rows.append(rows[0])), "is there twice"),
    "a key twice": (edit_cells(lambda r: r[1].update(key=r[0]["key"])), "is there twice"),
    "keys of other cells": (edit_cells(swap_keys), "another cell's"),
    "another seed": (set_cell("seed", "7"), "another cell's"),
    "a seed below zero": (set_cell("seed", "-1"), "'seed'"),
    "a seed beyond bounds": (set_cell("seed", "9" * 30), "'seed'"),
    "an intervention that is none": (set_cell("init", "rgb+evil"), "another cell's"),
    "a source of emsym's own": (set_cell("init_source", "0" * 64), "another cell's"),
    "another gain": (set_cell("gain", "preserve"), "the gain of"),
    "a cell left out": (edit_cells(lambda rows: rows.pop()), "neither there nor marked missing"),
    "an environment too far": (set_cell("environment", "9"), "environment that is not"),
    "done without a key": (set_cell("key", ""), "is missing"),
    "missing with scores": (edit_cells(lambda r: r[0].update(status="missing")), CELLS),
    "an unknown status": (set_cell("status", "best"), "'status'"),
    "no rows": (edit_cells(lambda rows: rows.clear()), "no cell of it is done"),
    "not a table": (content(CELLS, b"hello"), "columns are not those"),
    "an open quote": (lambda f: f.update({CELLS: f[CELLS] + b'"'}), CELLS),
    "NUL": (lambda f: f.update({CELLS: f[CELLS] + b"\0" * 10}), CELLS),
    "a short row": (lambda f: f.update({CELLS: f[CELLS] + b"done,x\n"}), "instead of"),
    "an endless field": (lambda f: f.update({CELLS: f[CELLS] + b"x" * 200_000}), CELLS),
    "cells in UTF-16": (lambda f: f.update({CELLS: f[CELLS].decode().encode("utf-16")}), CELLS),
    "values of another score": (edit_arrays(lambda a: a.update(x=a["section"])), "no use for x"),
    "no values": (edit_arrays(lambda a: a.pop("images/flip_error")), "lacks images/flip_error"),
    "values NaN": (set_value("images/flip_error", np.nan), "claims"),
    "values infinite": (set_value("images/flip_error", np.inf), "not finite"),
    "values beyond bounds": (set_value("images/flip_error", 2), "not within 0 and 1"),
    "a count that is none": (set_value("images/tp@0.5", 100.5), "no count of pixels"),
    "other labels": (set_value("images/fn@0.5", 9999), "different labels"),
    "another prediction": (set_value("images/fp@0.5", 9), "foreground/pixels is not what"),
    "Dice of a section": (set_value("images/dice@0.5", 0.999), "dice@0.5 is not what"),
    "shares beyond one": (
        set_value("images/saliency/foreground/slice_share[+0]", 1.0),
        "do not add up to 1",
    ),
    "half an asymmetry": (
        set_value("images/saliency/foreground/data_asymmetry", 0.9),
        "do not add up",
    ),
    "a look beyond bounds": (set_value("over_training/flip_error", 2, (0, 0, 0)), "not within"),
    "other steps": (
        edit_arrays(lambda a: a.update({"over_training/steps": np.array([0, 9], "i4")})),
        "after the steps of the protocol",
    ),
    "float64": (edit_arrays(lambda a: a.update(section=a["section"].astype("f8"))), "section"),
    "other keys": (edit_arrays(lambda a: a.update(keys=a["keys"][::2])), "has not the cells"),
    "sections out of order": (set_value("section", 0, (2,)), "not in order"),
    "objects": (content(GROUP, pickled()), GROUP),
    "a zip bomb": (content(GROUP, bomb()), "unpacks to over"),
    "a terabyte": (content(GROUP, terabyte()), "is no array"),
    "something before a zip": (lambda f: f.update({GROUP: b"#!/bin/sh\n" + f[GROUP]}), "begin"),
    "something after a zip": (lambda f: f.update({GROUP: f[GROUP] + b"<script>"}), GROUP),
    "no zip": (content(GROUP, b"PK\3\4 and no more" * 9), GROUP),
    "no group": (without(GROUP), "is missing"),
    "a group of nothing": (content("images/x.npz", b""), "of no cell"),
    "an example of another cell": (edit_example("keys", b"0" * 32), "of no done cell"),
    "an example of another size": (edit_example("truth", np.zeros((9, 9), "u1")), "truth"),
    "an example as objects": (content(EXAMPLE, pickled()), EXAMPLE),
    "an example of nothing": (content("examples/x.npz", b""), "examples/x.npz is not an npz"),
    "a plug-in of nothing": (content("plugins/x.py", b"1/0"), "not the source of any cell"),
    "a file too many": (content("index.html", SCRIPT.encode()), "is no file of a submission"),
    "a folder in a folder": (content("images/a/b.npz", b""), "is no plain file"),
    "a hidden file": (content(".git", b""), "is no file of a submission"),
    "a name with an escape": (content("images/\x1b[2J.npz", b""), "is no file of a submission"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_refused_by_the_name_of_its_file(
    tiny: Path, submission: Path, files: Files, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny.parent)
    change, said = WRONG[what]
    change(files)
    shutil.rmtree(submission)
    write(submission, files)
    before = sorted(tiny.parent.rglob("*"))
    assert said in refusal(submission, tiny)
    assert sorted(tiny.parent.rglob("*")) == before, "nothing is written, and nothing was run"


def test_what_a_maintainer_should_know_is_noted(tiny: Path, submission: Path, files: Files) -> None:
    edit_manifest(environments__0__dirty=True)(files)
    del files[EXAMPLE]
    shutil.rmtree(submission)
    write(submission, files)
    notes = "; ".join(validate(submission, str(tiny)).notes)
    assert "4 of 4 cells were made with changes that their commit does not hold" in notes
    assert "pictures are packed for 0 of 1 pairs of data set and architecture" in notes


def test_a_gigabyte_of_json_is_refused_unread(tiny: Path, submission: Path) -> None:
    with (submission / MANIFEST).open("r+b") as file:
        file.truncate(1 << 30)  # a sparse file: nothing of it is on the disk
    assert "1,073,741,824 bytes and may hold 1,048,576" in refusal(submission, tiny)


@pytest.mark.parametrize("name", [SHEET, MANIFEST, CELLS, GROUP, "plugins"])
def test_a_link_is_not_followed(tiny: Path, submission: Path, name: str) -> None:
    target = tiny.parent / "secret"
    target.mkdir()
    (submission / name).unlink(missing_ok=True)
    (submission / name).symlink_to(target)
    assert "no plain file" in refusal(submission, tiny)


def test_a_submission_that_is_a_link_is_refused(tiny: Path, submission: Path) -> None:
    link = submission.with_name("link")
    link.symlink_to(submission)
    assert "is not a submission" in refusal(link, tiny)


def test_a_pipe_is_not_waited_for(tiny: Path, submission: Path) -> None:
    (submission / CELLS).unlink()
    os.mkfifo(submission / CELLS)
    assert "no plain file" in refusal(submission, tiny)


def test_thousands_of_files_are_refused(tiny: Path, submission: Path) -> None:
    (submission / "plugins").mkdir()
    for number in range(2001):
        (submission / "plugins" / f"{number}.py").touch()
    assert "too large" in refusal(submission, tiny)


def test_a_protocol_that_does_not_ship_must_be_given(submission: Path) -> None:
    with pytest.raises(UserError, match="give its TOML file with --protocol"):
        validate(submission)


def test_a_folder_that_is_not_there_is_a_sentence(tiny: Path, tmp_path: Path) -> None:
    assert "is not a submission" in refusal(tmp_path / "none", tiny)


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
