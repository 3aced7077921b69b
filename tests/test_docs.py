"""The documents: they build, no link is broken, and what they show runs as written."""

import ast
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from textwrap import indent
from urllib.parse import unquote, urlsplit

import pytest

import emsym
from emsym.cli import cli

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BENCH = Path(sys.executable).with_name("emsym-bench")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(path: Path) -> list[tuple[str, str]]:
    """The fenced blocks of a page: (language, text)."""
    return FENCE.findall(path.read_text())


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, float]:
    """The built site, what the build said, and how many seconds of processor time it took."""
    for module in ("zensical", "mkdocstrings_handlers.python", "mkdocs_click"):
        pytest.importorskip(module, reason="pip install 'emsym[docs]'")
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(DOCS, folder / "docs", symlinks=True)
    shutil.copy(ROOT / "zensical.toml", folder)
    for name in ("emsym", "datasets", "results"):
        (folder / name).symlink_to(ROOT / name)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-c", "from zensical.main import cli; cli()", "build", "--strict"],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment,
    )
    after = os.times()
    assert done.returncode == 0, done.stdout + done.stderr
    spent = after.children_user + after.children_system
    spent -= before.children_user + before.children_system
    return folder / "build" / "site", done.stdout + done.stderr, spent


@pytest.mark.slow
def test_it_builds_within_a_minute_and_every_docstring_is_understood(
    site: tuple[Path, str, float],
) -> None:
    _, said, seconds = site
    assert "No issues found" in said
    assert "griffe" not in said, said
    assert seconds < 60


@pytest.mark.slow
def test_no_link_is_broken_and_nothing_is_fetched(site: tuple[Path, str, float]) -> None:
    pages = {}
    for path in site[0].rglob("*.html"):
        pages[path] = _Links()
        pages[path].feed(path.read_text())
    assert len(pages) > 20
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":  # its addresses depend on where the site lies
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            anchors = pages[target].anchors if target in pages else {parts.fragment}
            if not target.exists() or unquote(parts.fragment) not in {"", *anchors}:
                broken.append(f"{path.name}: {link}")
        scripts = re.findall(
            r"<(?:script|link|img)[^>]*(?:src|href)=\"(https?:[^\"]+)", path.read_text()
        )
        assert not scripts, f"{path.name} fetches {scripts}"
    assert not broken


def test_every_page_is_in_the_navigation() -> None:
    named = set(re.findall(r'"([\w/-]+\.md)"', (ROOT / "zensical.toml").read_text()))
    assert named == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}


def test_every_public_name_and_command_is_documented() -> None:
    pages = "".join(path.read_text() for path in (DOCS / "reference").glob("*.md"))
    named = {name.rpartition(".")[2] for name in re.findall(r"::: (\S+)", pages)}
    constants = set(re.findall(r"`emsym\.(\w+)`", pages))
    assert set(emsym.__all__) <= named | constants
    assert ":module: emsym.cli" in pages
    assert cli.commands


def test_python_and_toml_can_be_read() -> None:
    import tomllib

    for path in DOCS.rglob("*.md"):
        for language, text in blocks(path):
            if language == "python":
                ast.parse(text)
            if language == "toml" and "reference" not in path.parts:
                tomllib.loads(text)


def saved_as(text: str) -> str | None:
    """The name of the file that a block is to be put into, which its first line says."""
    found = re.match(r"# ([\w-]+\.(?:py|toml))\n", text)
    return found[1] if found else None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["method-author", "reader", "microscopist", "maintainer"])
def test_a_tutorial_runs_as_written(name: str, tmp_path: Path) -> None:
    """In the order of the page, in an empty folder, or in a clone as far as it is read."""

    def untracked(folder: str, names: list[str]) -> set[str]:
        here = Path(folder) == ROOT / "results"
        return {"records", "networks", "examples"} & set(names) if here else set()

    shutil.copytree(ROOT / "results", tmp_path / "results", ignore=untracked)
    path = f"{BENCH.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    ran = 0
    for language, text in blocks(DOCS / "tutorials" / f"{name}.md"):
        if file := saved_as(text):
            (tmp_path / file).write_text(text)
        elif language in ("sh", "python"):
            command = ["bash", "-euc", text] if language == "sh" else [sys.executable, "-c", text]
            done = subprocess.run(
                command, cwd=tmp_path, capture_output=True, text=True, env=environment
            )
            assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            ran += 1
    assert ran >= 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run-and-read", "audit-and-repair"])
def test_a_notebook_runs_and_shows_its_results(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbformat = pytest.importorskip("nbformat", reason="pip install 'emsym[test]'")
    nbclient = pytest.importorskip("nbclient", reason="pip install 'emsym[test]'")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(DOCS / "notebooks" / f"{name}.ipynb", 4)
    nbclient.NotebookClient(
        notebook, timeout=1800, resources={"metadata": {"path": tmp_path}}
    ).execute()
    shown = [
        output.data["text/html"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    assert len(shown) >= 2
    assert all("<table" in each and len(each) < 20_000 for each in shown)


PLUGINS = {
    saved_as(text): text
    for language, text in blocks(DOCS / "how-to" / "plug-ins.md")
    if language == "python"
}


SCRIPT = """
import sys
import numpy as np
import torch
import emsym
from pathlib import Path
from emsym.data.reading.readers import open_array

result = emsym.run_benchmark(
    "tiny.toml", "out", inits=["centre-green+noisy"], seeds=[0],
    plugins=sys.argv[1:], executor="plain", workers=1,
)
assert not result.failed, result.failed[0].error
(record,) = result.done
for name in ("foreground-area", "gradient-squared", "centre-drop"):
    assert any(name in key and value is not None for key, value in record.scores.items()), name
network = emsym.create_model("two-layers")
assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 1, 32, 32)
np.zeros(100 * 512 * 512, np.uint8).tofile("volume.raw")
with open_array(Path("volume.raw")) as array:
    assert array.shape == (100, 512, 512)
"""


@pytest.mark.slow
def test_every_plug_in_of_the_how_to_works(tiny: Path) -> None:
    """A cell is trained, explained and scored by them, and a file is read."""
    assert len(PLUGINS) == 8
    for name, text in PLUGINS.items():
        (tiny.parent / name).write_text(text)
    asked = 'attributions = ["saliency", "gradient-squared"]\nscores = ["foreground-area"]'
    text = tiny.read_text().replace("[scoring]", f"[scoring]\n{asked}")
    tiny.write_text(text.replace('"slice-removal"]', '"slice-removal", "centre-drop"]'))
    (tiny.parent / "script.py").write_text(f"if __name__ == '__main__':\n{indent(SCRIPT, '    ')}")
    done = subprocess.run(
        [sys.executable, "script.py", *PLUGINS],
        cwd=tiny.parent,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
