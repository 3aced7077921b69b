"""An archive is unpacked as a whole inside its folder, or refused and nothing written."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from emsym.data.fetching.archives import unpack
from emsym.data.fetching.fetched_files import InvalidFileError
from emsym.errors import UserError


def sha(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def listing(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def zipped(members: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def tarred(members: dict[str, bytes | tarfile.TarInfo], kind: str = "gz") -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=f"w:{kind}") as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def unix_link(name: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return target.getvalue()


HOSTILE = [
    ("x.zip", zipped({"good": b"1", "../evil": b"2"}), "../evil"),
    ("x.zip", zipped({"good": b"1", "/tmp/evil": b"2"}), "/tmp/evil"),
    ("x.zip", zipped({"good": b"1", "a/../../evil": b"2"}), "a/../../evil"),
    ("x.zip", zipped({"good": b"1", "C:\\evil": b"2"}), "evil"),
    ("x.zip", unix_link("evil"), "evil"),
    ("x.zip", zipped({"fetched.json": b"{}"}), "fetched.json"),
    ("x.zip", zipped({"./fetched.json": b"{}"}), "fetched.json"),
    ("x.tar", tarred({"good": b"1", "../evil": b"2"}, ""), "../evil"),
    ("x.tgz", tarred({"/tmp/evil": b"2"}), "/tmp/evil"),
    ("x.tar.gz", tarred({"evil": link("evil", "/etc")}), "evil"),
    ("x.tar.gz", tarred({"evil": link("evil", "../..", tarfile.LNKTYPE)}), "evil"),
    ("x.tar.gz", tarred({"evil": link("evil", "", tarfile.CHRTYPE)}), "evil"),
    ("x.tar.gz", tarred({"evil": link("evil", "", tarfile.FIFOTYPE)}), "evil"),
]


# by number: a name made of the contents, which hold the time, would differ between the processes
# that run the tests where they are collected in different seconds
@pytest.mark.parametrize(("name", "content", "member"), HOSTILE, ids=range(len(HOSTILE)))
def test_an_archive_that_leads_out_of_its_folder_is_refused(tmp_path, name, content, member):
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    with pytest.raises(InvalidFileError, match="is not unpacked: its member") as told:
        unpack(folder / name, folder, {"fetched.json"})
    assert member in str(told.value)
    assert listing(tmp_path) == {f"deep/folder/{name}"}


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "X.TGZ"])
def test_an_archive_is_unpacked_with_its_checksums(tmp_path, name):
    members = {"a": b"1", "./b/c d.png": b"2" * 3_000_000}
    kind = "" if name == "x.tar" else "gz"
    content = zipped(members) if name == "x.zip" else tarred(members, kind)
    (tmp_path / name).write_bytes(content)
    sums = unpack(tmp_path / name, tmp_path)
    assert sums == {"a": sha(b"1"), "b/c d.png": sha(b"2" * 3_000_000)}
    assert listing(tmp_path) == {name, *sums}
    assert (tmp_path / "b/c d.png").read_bytes() == b"2" * 3_000_000


def test_folders_of_an_archive_are_no_members(tmp_path):
    dot = tarfile.TarInfo("./")
    dot.type = tarfile.DIRTYPE
    (tmp_path / "x.tgz").write_bytes(tarred({".": dot, "./a": b"1"}))
    assert unpack(tmp_path / "x.tgz", tmp_path) == {"a": sha(b"1")}


@pytest.mark.parametrize("name", ["x.zip", "x.tgz"])
def test_a_damaged_archive_is_told_and_nothing_is_left(tmp_path, name):
    random = np.random.default_rng(1)
    members = {f"{i}.bin": random.bytes(200) for i in range(5)}
    good = zipped(members) if name == "x.zip" else tarred(members)
    refused = 0
    for i in range(120):
        bad = bytearray(good)
        if i % 2:
            bad = bad[: random.integers(len(bad))]
        else:
            bad[random.integers(len(bad))] ^= 1 << random.integers(8)
        (tmp_path / name).write_bytes(bad)
        told = ""
        try:
            unpack(tmp_path / name, tmp_path)
        except InvalidFileError as error:
            told = str(error)
            refused += 1
        left = listing(tmp_path) - {name}
        assert bool(told) != bool(left)
        assert not told or name in told
        for member in left:
            (tmp_path / member).unlink()
    assert refused > 50


@pytest.mark.parametrize("name", ["x.zip", "x.tgz"])
def test_an_archive_that_grows_beyond_all_measure_is_stopped(tmp_path, monkeypatch, name):
    monkeypatch.setattr("emsym.data.fetching.archives.SMALL", 100)
    members = {f"{i}": bytes(50_000) for i in range(9)}
    (tmp_path / name).write_bytes(zipped(members) if name == "x.zip" else tarred(members))
    with pytest.raises(InvalidFileError, match="over 400,000 bytes, 200 times its size"):
        unpack(tmp_path / name, tmp_path, size=2_000)
    assert listing(tmp_path) == {name}
    assert len(unpack(tmp_path / name, tmp_path, size=3_000)) == 9


def test_an_archive_larger_than_the_disk_is_not_unpacked(tmp_path, monkeypatch):
    (tmp_path / "x.zip").write_bytes(zipped({"zeros": bytes(1_000_000)}))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 999_999}))
    with pytest.raises(UserError, match=r"1\.0 MB are needed"):
        unpack(tmp_path / "x.zip", tmp_path)
    assert listing(tmp_path) == {"x.zip"}


def test_a_full_disk_is_not_the_archive_s_fault(tmp_path, monkeypatch):
    (tmp_path / "x.zip").write_bytes(zipped({"a": b"1"}))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        unpack(tmp_path / "x.zip", tmp_path)
