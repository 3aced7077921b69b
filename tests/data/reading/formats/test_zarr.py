"""A Zarr array is found by its key, and none of its codecs runs code."""

import json
import pickle
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import zarr
from stored_arrays import BOX, IMAGE, Intruder, refusal
from torch import nn

import emsym
from emsym.data.cards import Files
from emsym.data.reading.lazy_array import open_lazy_array
from emsym.data.reading.readers import open_array
from emsym.data.reading.registry import RemoteZarr
from emsym.errors import UserError


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_group_gives_the_array_at_the_key(tmp_path, version):
    group = zarr.create_group(str(tmp_path / "all.zarr"), zarr_format=version)
    group.create_array("volumes/raw", data=IMAGE)
    group.create_array("other", data=IMAGE[:1])
    with open_array(tmp_path / "all.zarr", "volumes/raw") as array:
        np.testing.assert_array_equal(array[BOX], IMAGE[BOX])
    for key in (None, "raw", "volumes"):
        message = refusal(tmp_path / "all.zarr", key)
        assert "volumes/raw" in message
        assert "other" in message


@pytest.mark.parametrize("place", ["filters", "compressor"])
@pytest.mark.parametrize("dtype", ["|u1", "|O"])
def test_zarr_with_a_codec_that_runs_code_is_refused(tmp_path, place, dtype):
    # zarr itself knows no such codec since 3.1; numcodecs still has it
    made = zarr.create_array(
        str(tmp_path / "image.zarr"), shape=(4,), chunks=(4,), dtype="uint8", zarr_format=2
    )
    made[:] = 1
    header = json.loads((tmp_path / "image.zarr/.zarray").read_text())
    codec = {"id": "pickle", "protocol": 5}
    header |= {"filters": [codec]} if place == "filters" else {"compressor": codec}
    header |= {"dtype": dtype}
    (tmp_path / "image.zarr/.zarray").write_text(json.dumps(header))
    (tmp_path / "image.zarr/0").write_bytes(pickle.dumps(Intruder(tmp_path / "trace")))
    refusal(tmp_path / "image.zarr", box=(slice(None),))
    assert not (tmp_path / "trace").exists()


# --- at an address --------------------------------------------------------------------------------


class CountingHandler(SimpleHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        if status := {"/secret": 403, "/broken": 500}.get(self.path.partition(".")[0]):
            self.send_error(status)
        elif self.path.startswith("/page"):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>not here</html>")
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        self.asked.append(self.path)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a server of OME-Zarr of both versions, and the paths it was asked for."""
    image = np.arange(24 * 16 * 16, dtype="uint16").reshape(24, 16, 16)
    for version in (2, 3):
        group = zarr.create_group(str(tmp_path / f"v{version}.zarr"), zarr_format=version)
        group.create_array("s0", data=image, chunks=(4, 16, 16))
        group.create_array("s1", data=image[:, ::2, ::2], chunks=(4, 8, 8))
        axes = [{"name": name, "type": "space"} for name in "zyx"]
        levels = {"axes": axes, "datasets": [{"path": "s0"}, {"path": "s1"}]}
        attributes = {"version": "0.5", "multiscales": [levels]}
        group.attrs.update({"ome": attributes} if version == 3 else {"multiscales": [levels]})
    handler = type("Handler", (CountingHandler,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler.asked
        server.shutdown()


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("end", ["", ":s0", "/s0"])
def test_an_audit_fetches_the_chunks_that_it_needs(
    served: tuple[str, list[str]], version: int, end: str
) -> None:
    address, asked = served
    image = f"{address}/v{version}.zarr{end}"
    options: dict = {"sections": 2, "attribution": ("saliency",), "probabilities": False}
    audit = emsym.audit(nn.Conv2d(3, 1, 1), image, **options).audit
    assert audit.data.shape == (24, 16, 16)
    assert any("The finest level of 2" in note for note in audit.notes) == (end == "")
    chunks = {path for path in asked if "/s0/c/" in path or path.endswith(".0.0")}
    assert len(chunks) == 2  # of six: sections 0 to 2 and 21 to 23


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("none.zarr", r"there is no Zarr, which would have .*; check the address, or where it is"),
        ("none.ome.tif", r"of addresses Zarr alone is read, and no \.tif file; download it"),
        ("raw.h5:volumes/raw", r"and no \.h5 file; download it"),
        ("v3.zarr:nope", "there is no array at the key 'nope'; end the address with the path"),
        ("page.zarr", "answers something else than a Zarr's metadata, such as a web page"),
        ("secret.zarr", r"its server answers '403 Forbidden'; it may need a password"),
        ("broken.zarr", r"its server answers '500 Internal Server Error'; try again later"),
    ],
)
def test_an_address_that_holds_nothing_is_one_sentence(
    served: tuple[str, list[str]], end: str, told: str
) -> None:
    address, _ = served
    with pytest.raises(UserError, match=told) as caught:
        emsym.audit(nn.Identity(), f"{address}/{end}")
    assert "\n" not in str(caught.value)
    assert "StorePath" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://127.0.0.1:9/a.zarr", r"no server answers there \(.*\); check the address"),
        ("file:///tmp/a.zarr", "of what is on this machine give the path alone"),
        ("http://", "addresses that are read begin with http://, https://, s3://"),
    ],
)
def test_an_address_of_no_server_is_one_sentence(address: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        emsym.audit(nn.Identity(), address)


def test_the_only_array_of_a_group_is_found_where_the_server_lists_it(
    served: tuple[str, list[str]], tmp_path: Path
) -> None:
    group = zarr.create_group(str(tmp_path / "listed.zarr"))
    group.create_array("a/b", data=IMAGE)
    address, _ = served
    told = "there is a group there, whose arrays are not listed"
    with pytest.raises(UserError, match=told):
        emsym.audit(nn.Identity(), f"{address}/listed.zarr")
    zarr.consolidate_metadata(str(tmp_path / "listed.zarr"))
    with open_array(RemoteZarr(f"{address}/listed.zarr")) as array:
        np.testing.assert_array_equal(array[BOX], IMAGE[BOX])


def test_who_has_no_account_reads_what_is_public(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As s3fs, whose library alone knows where an account may be kept."""
    zarr.create_array(str(tmp_path / "a.zarr"), data=IMAGE)
    asked: list[object] = []

    class NoCredentialsError(Exception):
        """As botocore's."""

    class Public(zarr.storage.LocalStore):
        async def get(self, *words: object, **options: object) -> object:
            if not asked[-1]:
                raise NoCredentialsError("Unable to locate credentials")
            return await super().get(*words, **options)

    def from_url(url: str, options: dict, read_only: bool) -> object:
        asked.append(options)
        return Public(tmp_path / url.rpartition("/")[2], read_only=read_only)

    monkeypatch.setattr(zarr.storage.FsspecStore, "from_url", from_url)
    with open_array(RemoteZarr("s3://bucket/a.zarr")) as array:
        np.testing.assert_array_equal(array[BOX], IMAGE[BOX])
    assert asked == [{}, {"anon": True}]


# --- hostile metadata -----------------------------------------------------------------------------


def lie(folder: Path, **metadata: object) -> None:
    """Change what an array says of itself."""
    file = next(file for name in ("zarr.json", ".zarray") if (file := folder / name).exists())
    file.write_text(json.dumps(json.loads(file.read_text()) | metadata))


def grid(*chunks: int) -> dict:
    return {"name": "regular", "configuration": {"chunk_shape": chunks}}


@pytest.mark.parametrize(
    ("version", "metadata", "told"),
    [
        (3, {"shape": [10**12] * 3}, r"voxels, more than can be looked at"),
        (2, {"shape": [4, 10**6, 10**6]}, r"voxels, more than can be looked at"),
        (3, {"shape": [-4, 8, 8]}, "non-negative"),
        (3, {"shape": [4.5, 8, 8]}, "its metadata are not those of a Zarr"),
        (3, {"chunk_grid": grid(-4, 8, 8)}, "non-negative"),
        (2, {"chunks": [0, 8, 8]}, "its chunks have no size: 0 × 8 × 8"),
        (3, {"chunk_grid": grid(4, 10**6, 10**6)}, r"4,000.0 GB each, and .* store it in smaller"),
        (3, {"codecs": [{"name": "bytes"}, *[{"name": "gzip"}] * 2]}, "compressed more than once"),
        (3, {"codecs": [{"name": "exec"}]}, "Unknown codec"),
        (3, {"dimension_names": ["z"]}, "same number of dimensions"),
    ],
)
def test_metadata_that_lie_are_one_sentence(
    tmp_path: Path, version: int, metadata: dict, told: str
) -> None:
    folder = tmp_path / "a.zarr"
    zarr.create_array(str(folder), data=np.ones((4, 8, 8), np.uint8), zarr_format=version)
    lie(folder, **metadata)
    for codec in metadata.get("codecs", ()):
        codec.setdefault("configuration", {"level": 1} if codec["name"] == "gzip" else {})
    lie(folder, **metadata)
    with pytest.raises(UserError, match=told) as caught:
        open_lazy_array("image", tmp_path, Files(path="a.zarr"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"{nonsense", b"", b"[" * 10**5, b"\xff\xfe", b"[1, 2]"])
def test_metadata_that_are_no_json_are_one_sentence(tmp_path: Path, content: bytes) -> None:
    zarr.create_array(str(tmp_path / "a.zarr"), data=IMAGE)
    (tmp_path / "a.zarr/zarr.json").write_bytes(content)
    assert "its metadata are " in refusal(tmp_path / "a.zarr")


@pytest.mark.parametrize(
    "images",
    [
        "x",
        [1],
        [{"datasets": []}],
        [{"datasets": [{"path": 5}]}],
        [{"axes": [None], "datasets": [{"path": "s0"}]}],
        [{"axes": ["z", "y", "x"], "datasets": [{"path": "../b.zarr"}]}],
    ],
)
def test_multiscale_metadata_that_lead_nowhere_are_one_sentence(
    tmp_path: Path, images: object
) -> None:
    zarr.create_array(str(tmp_path / "b.zarr"), data=IMAGE)
    group = zarr.create_group(str(tmp_path / "a.zarr"))
    group.create_array("s0", data=IMAGE)
    group.attrs["ome"] = {"multiscales": images}
    assert "its multiscale metadata lead to no array" in refusal(tmp_path / "a.zarr")


def test_the_finest_level_is_the_largest_wherever_it_is_listed(tmp_path: Path) -> None:
    group = zarr.create_group(str(tmp_path / "a.zarr"))
    group.create_array("half", data=IMAGE[:, ::2, ::2])
    group.create_array("whole", data=IMAGE)
    datasets = [{"path": "half"}, {"path": "whole"}]
    group.attrs["ome"] = {"multiscales": [{"axes": ["z", "y", "x"], "datasets": datasets}]}
    with open_array(tmp_path / "a.zarr") as array:
        assert "the multiscale image was read, 'whole'." in array.notes[0]
        np.testing.assert_array_equal(array[:, :, :], IMAGE)
