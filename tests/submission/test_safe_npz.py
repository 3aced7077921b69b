"""Arrays of a stranger: read where they are plain, refused before they do harm."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from submission_edits import (
    EXAMPLE,
    GROUP,
    Cases,
    Refused,
    content,
    edit_arrays,
    edit_example,
    pickled,
)

from emsym.errors import UserError
from emsym.submission.safe_npz import Arrays, packed


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


def odd_key(arrays: dict[str, np.ndarray]) -> None:
    arrays["keys"][0] = b"\xff" * 32


def endless() -> bytes:
    """An array of no elements, one of whose axes is longer than any number of NumPy's."""
    stream = io.BytesIO()
    np.savez(stream, keys=np.zeros((0, 9), np.float32))
    shape = b"(0, 99999999999999999999)"
    return stream.getvalue().replace(b"(0, 9), }" + b" " * (len(shape) - 6), shape + b", }")


WRONG: Cases = {
    "float64": (edit_arrays(lambda a: a.update(section=a["section"].astype("f8"))), "section"),
    "objects": (content(GROUP, pickled()), GROUP),
    "a zip bomb": (content(GROUP, bomb()), "unpacks to over"),
    "a terabyte": (content(GROUP, terabyte()), "is no array"),
    "an endless axis": (content(GROUP, endless()), GROUP),
    "keys beyond ASCII": (edit_arrays(odd_key), "no key"),
    "keys alike": (edit_example("keys", b"0" * 32), "a key twice"),
    "a further array": (edit_example("more", np.zeros(3, "u1")), "has no use for more"),
    "something before a zip": (lambda f: f.update({GROUP: b"#!/bin/sh\n" + f[GROUP]}), "begin"),
    "something after a zip": (lambda f: f.update({GROUP: f[GROUP] + b"<script>"}), GROUP),
    "no zip": (content(GROUP, b"PK\3\4 and no more" * 9), GROUP),
    "an example of another size": (edit_example("truth", np.zeros((9, 9), "u1")), "truth"),
    "an example as objects": (content(EXAMPLE, pickled()), EXAMPLE),
    "an example of nothing": (content("examples/x.npz", b""), "examples/x.npz is not an npz"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_by_the_name_of_its_file(refused: Refused, case: str) -> None:
    change, message = WRONG[case]
    assert message in refused(change)


def test_arrays_are_read_as_they_were_packed(tmp_path: Path) -> None:
    arrays = {
        "values": np.array([[0.5, np.nan], [-1, 3]], np.float32),
        "keys": np.array([b"0" * 32, b"1" * 32]),
        "section": np.array(7, np.int32),
        "image": np.arange(6, dtype=np.uint8).reshape(1, 2, 3),
    }
    path = tmp_path / "x.npz"
    path.write_bytes(packed(arrays))
    read = Arrays(path)
    assert read.names == sorted(arrays)
    np.testing.assert_array_equal(read.get("values", "<f4", 2, None), arrays["values"])
    assert read.get("keys", "S32", None).tolist() == arrays["keys"].tolist()
    assert read.get("section", "<i4") == 7
    np.testing.assert_array_equal(read.get("image", "|u1", 1, 2, 3), arrays["image"])
    with np.load(path) as theirs:
        np.testing.assert_array_equal(theirs["values"], arrays["values"])


def test_the_same_arrays_are_packed_in_the_same_bytes() -> None:
    one, other = np.zeros((3, 4), np.float32), np.ones(2, np.int32)
    assert packed({"a": one, "b": other}) == packed({"b": other, "a": np.asfortranarray(one)})


def test_an_array_of_another_shape_or_type_is_named_with_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(packed({"values": np.zeros((2, 3), np.float32)}))
    arrays = Arrays(tmp_path / "x.npz")
    with pytest.raises(UserError, match=r"<f4 of \(2, 3\) instead of <f4 of \(2, 4\)"):
        arrays.get("values", "<f4", 2, 4)
    with pytest.raises(UserError, match=r"<f4 of \(2, 3\) instead of <i4 of \(any, any\)"):
        arrays.get("values", "<i4", None, None)
    with pytest.raises(UserError, match="it has no array 'other'"):
        arrays.get("other", "<f4")
