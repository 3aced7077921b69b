"""What the tests of this folder share."""

import hashlib
import json

import pytest
from served_cells import BIG, CARD, CONTENT, hdf5, relocated, sha, volume

from emsym.data.cards import RemoteFile, load_card


@pytest.fixture
def cells(server, tmp_path):
    """A card with two sources on the server; `published` says of which files it has checksums."""

    def cells(*published: str, **sums: str):
        for path, content in CONTENT.items():
            server.put(f"/{path}", content)
        known = {
            key: sums.get(key, sha(CONTENT[path]) if key in published else None)
            for key, path in zip(("image", "labels", "archive"), CONTENT, strict=True)
        }
        told = {key: f'{{ checksum = "{sum}" }}' if sum else "{}" for key, sum in known.items()}
        path = tmp_path / "cells.toml"
        path.write_text(CARD.format(url=server.url, **told))
        return load_card(str(path))

    return cells


@pytest.fixture
def zenodo(server, monkeypatch):
    """GF-PA66's record on a Zenodo that is this server: its API's page, and the file's."""
    content = hdf5(pa66__data=volume(), pa66__ground_truth=volume(3))
    monkeypatch.setattr(
        "pooch.downloaders.doi_to_url", lambda doi, **_: f"https://zenodo.org/records/{doi[-7:]}"
    )
    monkeypatch.setattr(
        "pooch.downloaders.ZenodoRepository.base_api_url", f"{server.url}/api/records"
    )
    file = {
        "key": "pa66_volumes.h5",
        "checksum": f"md5:{hashlib.md5(content).hexdigest()}",
        "links": {"self": f"{server.url}/pa66_volumes.h5/content"},
    }
    api = server.put("/api/records/4587827", json.dumps({"id": 4587827, "files": [file]}).encode())
    return api, server.put("/pa66_volumes.h5/content", content)


@pytest.fixture
def gf_pa66(server, zenodo):
    card = relocated(server, "gf-pa66", {})
    source = card.sources["zenodo"]
    assert str(source.remote_file("pa66_volumes.h5").url).startswith("doi:")
    files = {"pa66_volumes.h5": RemoteFile(url=source.remote_file("pa66_volumes.h5").url)}
    return card.model_copy(
        update={"sources": {"zenodo": source.model_copy(update={"files": files})}}
    )


@pytest.fixture
def own(tmp_path):
    """A person's folder with the files of the first source."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "image.npy").write_bytes(BIG)
    (folder / "labels.npy").write_bytes(b"labels")
    return folder
