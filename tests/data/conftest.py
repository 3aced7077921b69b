"""A server on this machine that answers as data repositories do, well and badly."""

import re
import threading
import time
from dataclasses import dataclass, field
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

DATE = "Wed, 21 Oct 2015 07:28:00 GMT"
BLOCK = 1 << 16


@dataclass
class Page:
    """A file that is served, and how."""

    content: bytes
    ranges: bool = True
    version: str | None = "ETag"
    """Which header tells a change: ETag, Last-Modified, or none."""
    length: bool = True
    """Whether the server tells how long it is."""
    answers: list[dict] = field(default_factory=list)
    """What the next requests get instead, each once: a status with headers, or a `cut`: so many
    bytes and then nothing."""
    pause: float = 0
    """Seconds before each 64 kB."""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def validator(self) -> str | None:
        return {"ETag": f'"{md5(self.content).hexdigest()}"', "Last-Modified": DATE}.get(
            self.version or ""
        )


@dataclass
class Asked:
    """A request."""

    path: str
    range: str | None
    condition: str | None
    encoding: str | None
    status: int = 0


class Server(ThreadingHTTPServer):
    """Serves `pages` by their paths, and remembers what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.pages: dict[str, Page] = {}
        self.asked: list[Asked] = []

    def put(self, path: str, content: bytes, **how) -> Page:
        self.pages[path] = Page(content, **how)
        return self.pages[path]

    def handle_error(self, request, client_address) -> None:
        """A client that was killed is no news."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format, *args) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        get = self.headers.get
        path = unquote(urlsplit(self.path).path)
        asked = Asked(path, get("Range"), get("If-Range"), get("Accept-Encoding"))
        self.server.asked.append(asked)
        page = self.server.pages.get(path)
        if page is None:
            asked.status = 404
            return self.send_error(404)
        answer = page.answers.pop(0) if page.answers else {}
        if "status" in answer:
            asked.status = answer["status"]
            self.send_response(answer["status"])
            for name, value in answer.get("headers", {}).items():
                self.send_header(name, value)
            body = answer.get("body", b"")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return None
        return self._send(page, asked, answer.get("cut"))

    def _send(self, page: Page, asked: Asked, cut: int | None) -> None:
        content, status, start = page.content, 200, 0
        unchanged = asked.condition in (None, page.validator)
        if page.ranges and asked.range and unchanged:
            start = int(re.fullmatch(r"bytes=(\d+)-(\d*)", asked.range)[1])
            status = 206 if start < len(content) else 416
        asked.status = status
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if status == 416:
            self.send_header("Content-Range", f"bytes */{len(content)}")
            content, start = b"", 0
        if page.version:
            self.send_header(page.version, page.validator)
        if page.length:
            self.send_header("Content-Length", str(len(content) - start))
        for name, value in page.headers.items():
            self.send_header(name, value)
        self.end_headers()
        body = content[start:] if cut is None else content[start:][:cut]
        for i in range(0, len(body), BLOCK):
            time.sleep(page.pause)
            self.wfile.write(body[i : i + BLOCK])


class Notes:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.counted: list[tuple[str, int, int | None]] = []

    def bytes(self, name: str, done: int, total: int | None) -> None:
        self.counted.append((name, done, total))

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def server():
    """A server on the loopback interface."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def notes() -> Notes:
    """A listener that remembers."""
    return Notes()


@pytest.fixture
def impatient(monkeypatch):
    """Tries follow each other at once."""
    monkeypatch.setattr("emsym.data.fetching.http_retry.BACKOFF", 0.001)


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """The folder of what emsym keeps, empty."""
    folder = tmp_path / "kept"
    monkeypatch.setenv("EMSYM_DATA_DIR", str(folder))
    return folder
