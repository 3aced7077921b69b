"""A download is continued where it may be, started over where it must be, and told about."""

import json

import numpy as np
import pytest

from emsym.data.fetching import download as downloading
from emsym.data.fetching import http_retry, redirects
from emsym.data.fetching.download import download
from emsym.errors import UserError

pytestmark = pytest.mark.usefixtures("impatient")


CONTENT = np.random.default_rng(0).integers(0, 256, 300_000, np.uint8).tobytes()


OTHER = CONTENT[::-1]


@pytest.fixture
def get(server, notes, tmp_path):
    """Downloads /volume.h5, as pooch would; what came."""

    def get(path="/volume.h5", checked=True) -> bytes:
        output = tmp_path / "output"
        part = tmp_path / "volume.h5.part"
        bound = {"name": "volume.h5", "part": part, "checked": checked, "listener": notes}
        download(server.url + path, str(output), None, **bound)
        return output.read_bytes()

    return get


def leave_part(server, tmp_path, length=100_000, **how):
    """Begin a download that ends after so many bytes, as a kill would end it."""
    page = server.put("/volume.h5", CONTENT, **how)
    part = tmp_path / "volume.h5.part"
    part.write_bytes(CONTENT[:length])
    known = {"url": f"{server.url}/volume.h5", "version": page.validator}
    part.with_name("volume.h5.part.json").write_text(json.dumps(known))
    return page


def ranges(server):
    return [(asked.range, asked.status) for asked in server.asked]


def test_a_file_comes_whole_in_one_request_that_forbids_compression(server, get, notes):
    server.put("/volume.h5", CONTENT)
    assert get() == CONTENT
    assert ranges(server) == [(None, 200)]
    assert server.asked[0].encoding == "identity"


def test_progress_goes_from_nothing_to_all_under_the_file_s_name(server, get, notes):
    server.put("/volume.h5", CONTENT)
    get()
    assert notes.counted[0] == ("volume.h5", 0, 300_000)
    assert notes.counted[-1] == ("volume.h5", 300_000, 300_000)
    done = [done for _, done, _ in notes.counted]
    assert done == sorted(done)
    assert len(done) > 3


def test_a_length_that_is_not_told_is_not_made_up(server, get, notes):
    server.put("/volume.h5", CONTENT, length=False)
    assert get() == CONTENT
    assert notes.counted[-1] == ("volume.h5", 300_000, None)


def test_a_redirect_is_followed(server, get):
    server.put("/real.h5", CONTENT)
    server.put("/volume.h5", b"", answers=[{"status": 302, "headers": {"Location": "/real.h5"}}])
    assert get() == CONTENT


def test_a_redirect_into_this_machine_is_not_followed(server, get, monkeypatch):
    monkeypatch.setattr(redirects, "_is_private", lambda host: host == "localhost")
    location = f"http://localhost:{server.server_port}/secret"
    server.put("/volume.h5", b"", answers=[{"status": 302, "headers": {"Location": location}}])
    with pytest.raises(UserError, match="/secret, which is in this machine"):
        get()
    assert [asked.path for asked in server.asked] == ["/volume.h5"]


def test_what_a_server_calls_compressed_is_kept_as_it_is(server, get):
    server.put("/volume.h5", CONTENT, headers={"Content-Encoding": "gzip"})
    assert get() == CONTENT


@pytest.mark.parametrize("version", ["ETag", "Last-Modified"])
def test_a_part_of_the_same_version_is_continued(server, get, tmp_path, version):
    page = leave_part(server, tmp_path, version=version)
    assert get(checked=False) == CONTENT
    assert ranges(server) == [("bytes=100000-", 206)]
    assert server.asked[0].condition == page.validator


def test_a_part_of_a_changed_file_is_not_spliced(server, get, tmp_path):
    page = leave_part(server, tmp_path)
    page.content = OTHER
    assert get(checked=False) == OTHER
    assert ranges(server) == [("bytes=100000-", 200)]


def test_a_changed_file_is_not_spliced_where_the_server_ignores_the_condition(
    server, get, tmp_path
):
    leave_part(server, tmp_path)
    part = tmp_path / "volume.h5.part"
    known = {"url": f"{server.url}/volume.h5", "version": '"before"'}
    part.with_name("volume.h5.part.json").write_text(json.dumps(known))
    page = server.pages["/volume.h5"]
    part.write_bytes(OTHER[:100_000])
    page.answers.append(
        {
            "status": 206,
            "headers": {"Content-Range": "bytes 100000-299999/300000", "ETag": page.validator},
            "body": CONTENT[100_000:],
        }
    )
    assert get() == CONTENT
    assert ranges(server) == [("bytes=100000-", 206), (None, 200)]


def test_another_part_than_was_asked_for_is_not_spliced(server, get, tmp_path):
    page = leave_part(server, tmp_path)
    wrong = {"Content-Range": "bytes 99999-299999/300000", "ETag": page.validator}
    page.answers.append({"status": 206, "headers": wrong, "body": CONTENT[99_999:]})
    assert get() == CONTENT
    assert ranges(server) == [("bytes=100000-", 206), (None, 200)]


def test_without_a_version_only_a_checksum_allows_to_continue(server, get, tmp_path):
    leave_part(server, tmp_path, version=None)
    assert get(checked=True) == CONTENT
    assert ranges(server) == [("bytes=100000-", 206)]
    leave_part(server, tmp_path, version=None)
    assert get(checked=False) == CONTENT
    assert ranges(server)[1:] == [(None, 200)]


def test_a_server_without_ranges_sends_all_again(server, get, tmp_path):
    leave_part(server, tmp_path, ranges=False)
    assert get() == CONTENT
    assert ranges(server) == [("bytes=100000-", 200)]


def test_a_part_that_is_complete_needs_no_more_bytes(server, get, tmp_path):
    leave_part(server, tmp_path, length=300_000)
    assert get() == CONTENT
    assert ranges(server) == [("bytes=300000-", 416)]


def test_a_part_that_is_too_long_is_started_over(server, get, tmp_path):
    page = leave_part(server, tmp_path)
    (tmp_path / "volume.h5.part").write_bytes(b"x" * 400_000)
    assert get() == page.content
    assert ranges(server) == [("bytes=400000-", 416), (None, 200)]


@pytest.mark.parametrize("known", ["", "[]", "{}", '{"url": 1, "version": []}', "\xff", "null"])
def test_a_part_of_which_nothing_sure_is_known_is_started_over(server, get, tmp_path, known):
    leave_part(server, tmp_path)
    (tmp_path / "volume.h5.part").write_bytes(b"x" * 100_000)
    (tmp_path / "volume.h5.part.json").write_text(known)
    assert get() == CONTENT
    assert ranges(server) == [(None, 200)]


def test_a_part_from_another_address_is_started_over(server, get, tmp_path):
    leave_part(server, tmp_path)
    server.put("/mirror.h5", OTHER)
    assert get("/mirror.h5") == OTHER
    assert ranges(server) == [(None, 200)]


def test_a_cut_connection_is_continued_from_where_it_was_cut(server, get, notes):
    server.put("/volume.h5", CONTENT, answers=[{"cut": 200_000}, {"cut": 50_000}])
    assert get() == CONTENT
    assert [status for _, status in ranges(server)] == [200, 206, 206]
    first, second = (int(asked.range[6:-1]) for asked in server.asked[1:])
    assert 0 < first <= 200_000
    assert first < second < 300_000
    assert "was cut" in notes.said[0]


def test_a_connection_that_is_always_cut_is_given_up(server, get, tmp_path):
    server.put("/volume.h5", CONTENT, ranges=False, answers=[{"cut": 200_000}] * 99)
    with pytest.raises(UserError, match=r"127\.0\.0\.1 was cut after \d+ bytes"):
        get()
    assert len(server.asked) == http_retry.TRIES
    assert not (tmp_path / "output").exists()


def test_cuts_that_leave_progress_are_not_counted(server, get, monkeypatch):
    monkeypatch.setattr(http_retry, "STRIDE", 1)
    server.put("/volume.h5", CONTENT, answers=[{"cut": 30_000}] * 9)
    assert get() == CONTENT
    assert len(server.asked) == 10 > http_retry.TRIES


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again_after_what_it_says(server, get, notes, status, monkeypatch):
    waits = []
    monkeypatch.setattr(http_retry.time, "sleep", waits.append)
    busy = {"status": status, "headers": {"Retry-After": "7"}}
    server.put("/volume.h5", CONTENT, answers=[busy, {"status": status}])
    assert get() == CONTENT
    assert [wait for wait in waits if wait] == [7, 2 * http_retry.BACKOFF]
    assert f"answered {status}" in notes.said[0]
    assert notes.said[0].endswith("trying again in 7 s.")


def test_a_server_that_asks_for_an_hour_is_not_waited_for(server, get):
    busy = {"status": 429, "headers": {"Retry-After": "3600"}}
    server.put("/volume.h5", CONTENT, answers=[busy] * 9)
    with pytest.raises(UserError, match=r"answered 429 .* wait 3600 s"):
        get()
    assert len(server.asked) == 1


def test_a_server_that_stays_busy_is_given_up_and_the_part_is_kept(server, get, tmp_path):
    leave_part(server, tmp_path, answers=[{"status": 503}] * 99)
    with pytest.raises(UserError, match="answered 503"):
        get()
    assert len(server.asked) == http_retry.TRIES
    assert (tmp_path / "volume.h5.part").read_bytes() == CONTENT[:100_000]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_file_that_is_not_there_is_asked_for_once(server, get, status):
    server.put("/volume.h5", CONTENT, answers=[{"status": status}] * 9)
    with pytest.raises(UserError, match=f"answered {status}"):
        get()
    assert len(server.asked) == 1


def test_a_web_page_is_not_a_file(server, get):
    server.put("/volume.h5", b"<h1>moved</h1>", headers={"Content-Type": "text/html"})
    with pytest.raises(UserError, match="is a web page"):
        get()


def test_an_empty_file_is_refused(server, get):
    server.put("/volume.h5", b"")
    with pytest.raises(UserError, match="is empty"):
        get()


def test_a_disk_without_room_is_told_before_a_byte_is_written(server, get, monkeypatch, tmp_path):
    server.put("/volume.h5", CONTENT)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 299_999}))
    with pytest.raises(UserError, match=r"300\.0 kB are needed .* EMSYM_DATA_DIR"):
        get()
    assert not (tmp_path / "volume.h5.part").exists()


def test_no_connection_is_told_by_the_host_s_name(get, server, notes):
    server.server_close()
    with pytest.raises(UserError, match=r"^127\.0\.0\.1 cannot be reached$"):
        get()


def test_a_server_that_says_nothing_is_given_up(server, get, monkeypatch):
    monkeypatch.setattr(downloading, "TIMEOUT", (1, 0.05))
    monkeypatch.setattr(http_retry, "TRIES", 2)
    server.put("/volume.h5", CONTENT, pause=0.5)
    with pytest.raises(UserError, match=r"was cut|did not answer in time"):
        get()
    assert len(server.asked) == 2
