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
from emsym.data.reading.readers import open_array
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
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler.asked
        server.shutdown()


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("end", ["", ":s0", "/s0"])
def test_an_audit_fetches_the_chunks_that_it_needs(
    served: tuple[str, list[str]], version: int, end: str
) -> None:
    address, asked = served
    image = f"{address}/v{version}.zarr{end}"
    options: dict = {"sections": 2, "attributions": ("saliency",), "probabilities": False}
    audit = emsym.audit(nn.Conv2d(3, 1, 1), image, **options).audit
    assert audit.data.shape == (24, 16, 16)
    assert any("The finest level of 2" in note for note in audit.notes) == (end == "")
    chunks = {path for path in asked if "/s0/c/" in path or path.endswith(".0.0")}
    assert len(chunks) == 2  # of six: sections 0 to 2 and 21 to 23


def test_an_address_that_holds_nothing_is_one_sentence(served: tuple[str, list[str]]) -> None:
    address, _ = served
    for wrong in (f"{address}/none.zarr", f"{address}/v3.zarr:nope", "http://127.0.0.1:9/a.zarr"):
        with pytest.raises(UserError, match=r"cannot be read: (No group|there is no|Cannot conn)"):
            emsym.audit(nn.Identity(), wrong)
