"""The addresses in the cards that ship with emsym are those of the files."""

import pytest

from emsym.data.cards import list_cards, load_card
from emsym.data.fetching.doi import resolve_address
from emsym.data.fetching.http_retry import HEADERS, TIMEOUT

FILES = [
    pytest.param(source.remote_file(name), id=f"{card}-{source_name}-{name}")
    for card in list_cards()
    for source_name, source in load_card(card).sources.items()
    for name in source.files
]


@pytest.mark.network
@pytest.mark.parametrize("remote", FILES)
def test_the_file_is_there_and_as_large_as_the_card_says(remote, notes):
    import requests

    address, published = resolve_address(remote.url, notes)
    headers = {**HEADERS, "Accept-Encoding": "identity", "Range": "bytes=0-63"}
    with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT) as response:
        assert response.status_code in (200, 206), response.status_code
        assert not response.headers.get("Content-Type", "").startswith("text/html")
        assert response.raw.read(64, decode_content=False)
        whole = response.headers.get("Content-Range", "").rpartition("/")[2]
        size = whole if response.status_code == 206 else response.headers.get("Content-Length")
    if remote.size and size and size.isdigit():
        assert int(size) == pytest.approx(remote.size, rel=0.005)  # cards may round
    if remote.url.startswith("doi:"):
        assert remote.checksum or published
