"""Members of an archive are read within bounds, and written under no name of theirs."""

import stat
import warnings
import zipfile
from pathlib import Path

import pytest

from emsym.errors import UserError
from emsym.models.packaged.archive import extract_member, member_names, read_member


def archived(
    path: Path, *members: tuple[str | zipfile.ZipInfo, bytes], packed: bool = True
) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", 8 if packed else 0) as archive:
        warnings.simplefilter("ignore")  # that two members have one name
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_a_member_is_read_and_written_under_another_name(tmp_path: Path) -> None:
    path = archived(tmp_path / "a.zip", ("folder/net.pt", b"weights"), ("other", b""))
    assert member_names(path) == ["folder/net.pt", "other"]
    assert read_member(path, "folder/net.pt", 100) == b"weights"
    assert extract_member(path, "folder/net.pt", tmp_path / "mine.pt").read_bytes() == b"weights"
    (tmp_path / "no.zip").write_bytes(b"PK none")
    assert member_names(tmp_path / "no.zip") == []


def test_hostile_members_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.pt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    members = [("../out.pt", b"x"), ("twice.pt", b"x"), ("twice.pt", b"y"), (link, b"/etc/passwd")]
    path = archived(tmp_path / "a.zip", *members, ("bomb.pt", bytes(10**7)))
    for name, told in (
        ("../out.pt", "1 members of the name"),
        ("twice.pt", "2 members of the name"),
        ("none.pt", "0 members of the name"),
        ("link.pt", "is a link or a device"),
        ("bomb.pt", "unpacks to 10,000,000 bytes"),
    ):
        with pytest.raises(UserError, match=told):
            extract_member(path, name, tmp_path / "out")
    with pytest.raises(UserError, match="unpacks to 10,000,000 bytes"):
        read_member(path, "bomb.pt", 1000)
    assert not (tmp_path.parent / "out.pt").exists()
    assert not (tmp_path / "out").exists()


def test_a_damaged_member_is_told(tmp_path: Path) -> None:
    path = archived(tmp_path / "a.zip", ("net.pt", b"weights" * 9), packed=False)
    path.write_bytes(path.read_bytes().replace(b"weights", b"Weights"))
    with pytest.raises(UserError, match=r"cannot be read \(BadZipFile.*fetch the archive again"):
        read_member(path, "net.pt", 1000)
