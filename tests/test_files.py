"""TOML files are read or refused in one sentence; files are written whole or not at all."""

import errno
from pathlib import Path

import pytest
from pydantic import BaseModel

from emsym.errors import UserError
from emsym.files import atomic_replacement, read_toml, write_atomically


class Pair(BaseModel, extra="forbid"):
    number: int
    names: tuple[str, ...] = ()
    place: str = ""


def read(path: Path, content: str | bytes, **extra: object) -> Pair:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_toml(path, Pair, **extra)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    pair = read(tmp_path / "a.toml", 'number = 3\nnames = ["x"]', place="here")
    assert pair == Pair(number=3, names=("x",), place="here")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("number = ", "not valid TOML"),
        (b"number = 3 # \xff", "no text in UTF-8"),
        ("a = " + "[" * 9999 + "]" * 9999, "not valid TOML: it is nested too deeply"),
        ("names = []", "the key 'number' is missing"),
        ("number = 3\nsize = 1", "unknown key 'size'"),
        ("number = 3\nnames = 1", "'names': should be a list"),
        ("number = 'x'\na = 1\nb = 1\nc = 1\nd = 1", r"\(and 2 more\)"),
    ],
)
def test_a_mistake_names_the_file_and_the_key(
    tmp_path: Path, content: str | bytes, words: str
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        read(tmp_path / "a.toml", content)
    assert str(tmp_path / "a.toml") in str(caught.value)


def test_an_absent_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_toml(tmp_path / "none.toml", Pair)


def test_a_file_is_replaced_whole_and_can_be_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_atomically(path, "old")
    write_atomically(path, b"new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_what_fails_half_way_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(TypeError), atomic_replacement(path) as partial:
        partial.write_text(None)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "The disk is full"), (errno.EACCES, "cannot be written")]
)
def test_a_disk_that_takes_nothing_is_told(tmp_path: Path, code: int, words: str) -> None:
    with pytest.raises(UserError, match=words), atomic_replacement(tmp_path / "a.txt"):
        raise OSError(code, "told by the system")


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    assert read(tmp_path / "x.toml", b"\xef\xbb\xbfnumber = 3").number == 3
