"""What the disk has no room for is refused before a byte is written."""

import pytest

from emsym.data.cards import RemoteFile
from emsym.data.fetching.fetch import fetch
from emsym.errors import UserError

pytestmark = pytest.mark.usefixtures("impatient", "kept")


def test_a_disk_without_room_for_all_files_is_told_before_the_first(
    cells, server, notes, monkeypatch
):
    card = cells()
    files = {"image.npy": RemoteFile(size=600), "labels.npy": RemoteFile(size=600)}
    source = card.sources["first"].model_copy(update={"files": files})
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(UserError, match=r"1\.2 kB are needed .* only 1\.0 kB are free"):
        fetch(card.model_copy(update={"sources": {"first": source}}), notes)
    assert server.asked == []
