"""A DOI's record tells a file's address and checksum, or one sentence says why not."""

import json

import pytest

from emsym.data.fetching.doi import resolve_address
from emsym.errors import UserError

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def zenodo(server, monkeypatch):
    """A record 123 on a Zenodo that is this server; the answer of its API."""
    monkeypatch.setattr(
        "pooch.downloaders.doi_to_url", lambda doi, **_: "https://zenodo.org/records/123"
    )
    monkeypatch.setattr(
        "pooch.downloaders.ZenodoRepository.base_api_url", f"{server.url}/api/records"
    )
    record = {
        "id": 123,
        "files": [
            {
                "key": "volume.h5",
                "checksum": f"md5:{'a' * 32}",
                "links": {"self": f"{server.url}/api/records/123/files/volume.h5/content"},
            }
        ],
    }
    return server.put("/api/records/123", json.dumps(record).encode())


DOI = "doi:10.5281/zenodo.123/volume.h5"


def test_a_record_tells_the_address_and_the_checksum(server, zenodo, notes):
    url = f"{server.url}/api/records/123/files/volume.h5/content"
    assert resolve_address(DOI, notes) == (url, f"md5:{'a' * 32}")


def test_a_plain_address_is_its_own_and_asks_nobody(server, notes):
    assert resolve_address(f"{server.url}/volume.h5", notes) == (f"{server.url}/volume.h5", None)
    assert server.asked == []


def test_a_busy_record_is_asked_again(server, zenodo, notes):
    busy = {"status": 429, "headers": {"Retry-After": "0"}, "body": b'{"status": 429}'}
    zenodo.answers += [busy, busy]
    assert resolve_address(DOI, notes)[1] == f"md5:{'a' * 32}"
    assert [asked.status for asked in server.asked] == [429, 429, 200]


def test_a_record_that_stays_busy_is_given_up(zenodo, notes):
    zenodo.answers += [{"status": 429, "body": b'{"status": 429, "message": "slow"}'}] * 99
    with pytest.raises(UserError, match="answered 429"):
        resolve_address(DOI, notes)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"status": 404, "message": "PID does not exist."}', "lists no files"),
        (b'{"files": null}', "lists no files"),
        (b'{"files": [{"size": 1}]}', "lists no files"),
        (b'{"files": []}', "not found"),
        (b"[]", "lists no files"),
        (b"null", "lists no files"),
        (b"<html>sorry</html>", "not JSON"),
    ],
)
def test_an_odd_answer_of_a_record_is_one_sentence(zenodo, notes, body, said):
    zenodo.content = body
    with pytest.raises(UserError, match=said):
        resolve_address(DOI, notes)


def test_a_file_that_the_record_does_not_have_is_told(zenodo, notes):
    with pytest.raises(UserError, match=r"'other\.h5' not found"):
        resolve_address("doi:10.5281/zenodo.123/other.h5", notes)


def test_no_network_for_a_doi_is_told(server, zenodo, notes):
    server.server_close()
    with pytest.raises(UserError, match=r"127\.0\.0\.1 cannot be reached"):
        resolve_address(DOI, notes)


@pytest.mark.parametrize("url", ["doi:nonsense", "doi:10.1/zenodo.1"])
def test_a_doi_that_is_none_is_told(zenodo, notes, url):
    with pytest.raises(UserError, match=url):
        resolve_address(url, notes)
