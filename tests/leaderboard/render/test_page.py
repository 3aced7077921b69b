"""The page, driven in a real headless Chromium over its debugging pipe."""

import json
import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_experiments import boards_of, six_orders

from emsym.leaderboard.board import boards
from emsym.leaderboard.render.page import CellExample, page
from emsym.leaderboard.results import of_records
from emsym.protocol import load_protocol
from emsym.run.job import jobs
from emsym.run.store.record import OverTrainingResult, Record, record_of

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>\"'`{{7*7}}"
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--remote-debugging-pipe",
]


def made(tiny: Path) -> list[Record]:
    """Three strategies × two data sets × three seeds; `mirror` has one data set alone."""
    noise, records = random.Random(0), []
    base = {"rgb": (0.4, 0.8), "uniform-green": (0.02, 0.8), "mirror": (0.1, 0.9)}
    job = jobs(load_protocol(str(tiny)))[0]
    first = record_of(job, status="done")
    for number, dataset in enumerate(("tiny-a", "tiny-b")):
        for init, (bias, dice) in base.items():
            if init == "mirror" and dataset == "tiny-b":
                continue
            for seed in range(3):
                scores: dict[str, float | None] = {
                    "dice@0.5": dice + 0.05 * number + noise.uniform(-0.004, 0.004),
                    "flip_error": bias / 10 + noise.uniform(0, 0.001),
                    "saliency/true-foreground/model_asymmetry": bias * (1 + number)
                    + noise.uniform(-0.01, 0.01),
                }
                shares = zip(["-1", "+0", "+1"], (0.3, 0.5, 0.2), strict=True)
                scores |= {f"saliency/true-foreground/slice_share[{s}]": v for s, v in shares}
                stamp = first.dataset.model_copy(update={"name": dataset, "citation": "A 2020"})
                name = "saliency/true-foreground/model_asymmetry"
                training = OverTrainingResult(
                    steps=[0, 2], sections=[8], images={name: [[bias], [bias / 2]]}
                )
                key = f"{dataset}-{init}-{seed}"
                changes = {"dataset": stamp, "init": init, "seed": seed, "key": key}
                changes |= {"scores": scores, "over_training": training}
                records.append(first.model_copy(update=changes))
    return records


def html_of(records: list[Record], examples: tuple[CellExample, ...] = ()) -> str:
    return page(boards(of_records(records)), examples)


class Chromium:
    """One page of a browser, spoken to in its own protocol, without a driver."""

    def __init__(self, folder: Path) -> None:
        read, self._write = os.pipe()
        self._read, write = os.pipe()

        def hand_over() -> None:
            # 3 and 4 may be among the pipe's own numbers: out of the way first
            source, sink = os.dup(read), os.dup(write)
            os.dup2(source, 3)
            os.dup2(sink, 4)

        assert CHROMIUM is not None
        self._process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            preexec_fn=hand_over,
            close_fds=False,
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        self._left, self._count = b"", 0
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.requests: list[str] = []
        for domain in ("Page", "Network", "Runtime"):
            self.call(f"{domain}.enable")

    _session: str | None = None

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("method") == "Network.requestWillBeSent":
                self.requests.append(answer["params"]["request"]["url"])
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            piece = os.read(self._read, 1 << 16)
            assert piece, "the browser is gone"
            self._left += piece
        message, _, self._left = self._left.partition(b"\0")
        return json.loads(message)

    def open(self, path: Path, script: bool = True, width: int = 1200) -> None:
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        self.call("Page.navigate", url=path.as_uri())
        for _ in range(400):
            if self.run("document.readyState") == "complete":
                return
        raise AssertionError("the page did not load")

    def run(self, expression: str) -> Any:
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._write)
        os.close(self._read)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    found = Chromium(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture
def path(tiny: Path, tmp_path: Path) -> Path:
    example = CellExample("A section", {"z": np.eye(32)})
    (tmp_path / "index.html").write_text(html_of(made(tiny), (example,)), encoding="utf-8")
    return tmp_path / "index.html"


ROWS = "[...document.querySelectorAll('.main tbody tr')].filter(r => !r.hidden)"
NAMES = f"{ROWS}.map(r => r.querySelector('th').textContent)"
RANKS = (
    f"Object.fromEntries({ROWS}.map(r => [r.querySelector('th').textContent,"
    " r.cells[0].textContent]))"
)


def choose(kind: str, value: str) -> str:
    return (
        f"document.querySelector('[data-kind={kind}] input[value=\"{value}\"]').click();"
        "new Promise(done => setTimeout(done, 20))"
    )


def test_it_works_without_a_script(browser: Chromium, path: Path) -> None:
    """Tables and charts are there; what needs a script is not."""
    browser.open(path, script=False)
    text = browser.run("document.body.innerText")
    assert "Least biased: “uniform-green”" in text
    assert browser.run(NAMES) == ["uniform-green", "rgb", "mirror"]
    assert browser.run("getComputedStyle(document.querySelector('.filters')).display") == "none"
    assert browser.run("document.querySelectorAll('.pareto circle').length") == 2
    assert browser.run("document.querySelectorAll('.line').length") == 2


COMMITTED = Path(__file__).parents[3] / "results" / "index.html"


def test_the_committed_page_is_small_and_soon_ready_and_fetches_nothing(browser: Chromium) -> None:
    browser.requests.clear()
    browser.open(COMMITTED)
    ready = browser.run("Number(document.documentElement.dataset.ready)")
    print(f"\nready after {ready} ms, {COMMITTED.stat().st_size / 1e3:.0f} kB")
    assert ready > 0
    assert COMMITTED.stat().st_size < 1.5e6
    assert not [url for url in browser.requests if not url.startswith(("file:", "data:"))]


def test_ranks_are_computed_anew_over_what_is_chosen(browser: Chromium, path: Path) -> None:
    browser.open(path)
    assert browser.run(RANKS) == {"uniform-green": "1", "rgb": "2", "mirror": "–"}
    browser.run(choose("dataset", "tiny-b"))
    # of tiny-a alone `mirror` has all cells
    assert browser.run(RANKS) == {"uniform-green": "1", "mirror": "2", "rgb": "3"}
    assert browser.run(NAMES) == ["uniform-green", "mirror", "rgb"]
    status = browser.run("document.querySelector('.status').textContent")
    assert "3 of 3 chosen strategies, over the 1 of 1 chosen pairs" in status
    assert browser.run("document.querySelectorAll('.pareto .mark').length") == 3
    whole = "[...document.querySelectorAll('[data-whole]')].map(each => each.hidden)"
    assert set(browser.run(whole)) == {True}, "what is told of all cells alone"
    browser.run(choose("name", "uniform-green"))
    assert browser.run(RANKS) == {"mirror": "1", "rgb": "2"}
    browser.run(
        "document.querySelector('[type=reset]').click(); new Promise(d => setTimeout(d, 50))"
    )
    assert browser.run(RANKS) == {"uniform-green": "1", "rgb": "2", "mirror": "–"}
    assert set(browser.run(whole)) == {False}


def crossed(tiny: Path) -> list[Record]:
    """Four strategies × two data sets × three architectures × three seeds × nine sections.

    What a section does is much the same for all networks of a data set.
    """
    noise, records = np.random.default_rng(0), []
    first = record_of(jobs(load_protocol(str(tiny)))[0], status="done")
    of_sections = noise.normal(0, 0.02, (2, 9))
    for (dataset, architecture, seed), (init, bias) in product(
        product(range(2), range(3), range(3)),
        {"rgb": 0.3, "uniform-green": 0.02, "mirror": 0.0, "random": 0.05}.items(),
    ):
        network = noise.normal(bias * (1 + dataset), bias / 5)
        sections = network + of_sections[dataset] + noise.normal(0, 0.01, 9)
        pixels = noise.integers(50, 1000, 9)
        right = (pixels * noise.uniform(0.8, 0.9 - bias / 10, 9)).astype(int)
        counts = {"tp@0.5": right, "fp@0.5": pixels // 10, "fn@0.5": pixels - right}
        dice = 2 * right.sum() / (2 * right + pixels // 10 + pixels - right).sum()
        flips = np.abs(sections) / 10
        name = "saliency/true-foreground/model_asymmetry"
        images = {"section": range(0, 27, 3), name: sections, "flip_error": flips, **counts}
        lists = {key: np.asarray(values).tolist() for key, values in images.items()}
        stamp = first.dataset.model_copy(update={"name": f"set-{dataset}"})
        changes = {
            "dataset": stamp,
            "architecture": f"net-{architecture}",
            "init": init,
            "seed": seed,
            "key": f"{dataset}-{architecture}-{init}-{seed}",
            "images": {**lists, "dice@0.5": [0.5] * 9},
            "scores": {
                "dice@0.5": float(dice),
                "flip_error": float(flips.mean()),
                name: float(sections.mean()),
            },
        }
        records.append(first.model_copy(update=changes))
    return records


CHOICES: dict[str, dict[str, list[str]]] = {
    "one architecture less": {"architecture": ["net-1"]},
    "one data set": {"dataset": ["set-0"]},
    "one pair": {"dataset": ["set-1"], "architecture": ["net-0", "net-2"]},
    "without one strategy": {"name": ["random"]},
    "without the baseline": {"name": ["rgb"], "architecture": ["net-2"]},
}
"""What is taken out."""


@pytest.mark.parametrize("choice", CHOICES)
def test_what_the_script_computes_is_what_python_does(
    browser: Chromium, tiny: Path, tmp_path: Path, choice: str
) -> None:
    """Of a part of the results, against the page of this part alone, to the last digit."""
    out, records = CHOICES[choice], crossed(tiny)
    part = [
        record
        for record in records
        if record.dataset.name not in out.get("dataset", ())
        and record.architecture not in out.get("architecture", ())
        and record.init not in out.get("name", ())
    ]
    whole, alone = tmp_path / "whole.html", tmp_path / "alone.html"
    whole.write_text(html_of(records), encoding="utf-8")
    alone.write_text(html_of(part), encoding="utf-8")
    texts = (
        f"Object.fromEntries({ROWS}.map(r => [r.querySelector('th').textContent,"
        "Object.fromEntries([...r.cells].filter(c => c.dataset.column)"
        ".map(c => [c.dataset.column, c.innerText]))]))"
    )
    browser.open(alone)
    theirs = browser.run(texts)
    browser.open(whole)
    for kind, values in out.items():
        for value in values:
            browser.run(choose(kind, value))
    ours = browser.run(texts)
    if "rgb" in out.get("name", ()):  # without it a page has no columns that compare with it
        ours = {name: {c: row[c] for c in theirs[name]} for name, row in ours.items()}
    assert ours == theirs


def test_what_is_left_keeps_its_numbers_when_a_strategy_is_taken_out(
    browser: Chromium, path: Path
) -> None:
    """To the last digit, as the same formulas stand behind them."""
    browser.open(path)
    rows = (
        f"{ROWS}.filter(r => r.cells[0].textContent !== '–').map(r => [...r.cells]"
        ".filter(c => !['rank', 'average', 'cells'].includes(c.dataset.column))"
        ".map(c => c.textContent))"
    )
    before = browser.run(rows)
    browser.run(choose("name", "mirror"))  # which was not ranked
    assert browser.run("document.querySelector('.status').textContent")
    assert browser.run(rows) == before
    assert len(before) == 2


def test_a_phone_sorts_by_a_list(browser: Chromium, path: Path) -> None:
    browser.open(path, width=390)
    pick = (
        "(() => {{ const s = document.querySelector('.sorting select');"
        " s.value = [...s.options].find(o => o.text.startsWith('{}')).value;"
        " s.dispatchEvent(new Event('change', {{bubbles: true}})); }})()"
    )
    assert browser.run("getComputedStyle(document.querySelector('.sorting')).display") == "block"
    browser.run(pick.format("strategy"))
    assert browser.run(NAMES) == ["mirror", "rgb", "uniform-green"]
    browser.run(pick.format("as ranked"))
    assert browser.run(NAMES) == ["uniform-green", "rgb", "mirror"]
    label = (
        "getComputedStyle(document.querySelector('.main td:nth-of-type(2)'), '::before').content"
    )
    assert browser.run(label) == '"model asym. ↓"'


def test_rows_are_sorted_by_any_column(browser: Chromium, path: Path) -> None:
    browser.open(path)
    heads = "[...document.querySelectorAll('.main thead button')]"
    click = heads + ".find(b => b.textContent.startsWith('{}')).click()"
    browser.run(click.format("model asym."))
    assert browser.run(NAMES) == ["uniform-green", "rgb", "mirror"]
    browser.run(click.format("model asym."))
    assert browser.run(NAMES) == ["rgb", "uniform-green", "mirror"]
    browser.run(click.format("strategy"))
    assert browser.run(NAMES) == ["mirror", "rgb", "uniform-green"]
    assert browser.run("document.querySelector('[aria-sort]').textContent") == "strategy"


def test_intervals_show_on_focus(browser: Chromium, path: Path) -> None:
    browser.open(path)
    browser.run("document.querySelector('.main .value').focus()")
    tip = browser.run(
        "document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent"
    )
    assert re.match(r"model asym\. ↓: 0\.0\d+, 95 % interval 0\.0", tip)
    browser.run("document.querySelector('.mark').focus()")
    assert "on the front" in browser.run("document.getElementById('tip').textContent")


@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_is_wider_than_the_window(browser: Chromium, path: Path, width: int) -> None:
    browser.open(path, width=width)
    assert browser.run("document.documentElement.scrollWidth") <= width


def contrast(browser: Chromium, one: str, other: str) -> float:
    levels = []
    for name in (one, other):
        colour = browser.run(
            f"getComputedStyle(document.documentElement).getPropertyValue('{name}').trim()"
        )
        digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        levels.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(levels) + 0.05) / (min(levels) + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read(browser: Chromium, path: Path, scheme: str) -> None:
    """WCAG AA: a contrast of 4.5 for text."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.call("Emulation.setEmulatedMedia", features=features)
    browser.open(path)
    for ink in ("--ink", "--soft", "--good", "--bad"):
        assert contrast(browser, ink, "--paper") >= 4.5, ink
    browser.call("Emulation.setEmulatedMedia", features=[])


def test_nothing_of_a_hostile_submission_runs(
    browser: Chromium, tiny: Path, tmp_path: Path
) -> None:
    bad = []
    for record in made(tiny):
        stamp = record.dataset.model_copy(
            update=dict.fromkeys(("name", "citation", "licence", "modality", "source"), HOSTILE)
        )
        environment = {"processor": HOSTILE, "device": HOSTILE, "commit": HOSTILE}
        changes = {"dataset": stamp, "init": record.init + HOSTILE, "environment": environment}
        bad.append(record.model_copy(update={**changes, "architecture": HOSTILE}))
    failed = bad[0].model_copy(
        update={"status": "failed", "error": HOSTILE, "seed": 9, "scores": {}, "key": HOSTILE}
    )
    path = tmp_path / "hostile.html"
    path.write_text(html_of([*bad, failed]), encoding="utf-8")
    browser.open(path)
    browser.run("new Promise(done => setTimeout(done, 100))")
    assert browser.run("typeof window.hacked") == "undefined"
    assert browser.run("document.querySelectorAll('script').length") == 2
    assert browser.run("document.images.length") == 0
    assert HOSTILE in browser.run(NAMES)[0]
    # and were a script to get in, the policy would stop it
    browser.run(
        "document.body.append(Object.assign(document.createElement('script'),"
        "{textContent: 'window.hacked = 1'}))"
    )
    assert browser.run("typeof window.hacked") == "undefined"


class Outline(HTMLParser):
    """What a reader of the source sees: tags with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_needs_no_other_file(tiny: Path) -> None:
    found = Outline(html_of(made(tiny), (CellExample("A section", {"z": np.eye(32)}),)))
    for tag, attributes in found.tags:
        assert tag not in ("link", "iframe", "object", "embed"), tag
        assert not (tag == "script" and "src" in attributes)
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        if tag == "img":
            assert (attributes["src"] or "").startswith("data:image/png;base64,")
            assert attributes["alt"]


def test_it_tells_how_a_number_came_about_and_what_to_cite(tiny: Path) -> None:
    text = html_of(made(tiny))
    assert "tiny-a-rgb-0" in text
    assert "CC0-1.0" in text
    assert "note  = {A 2020}" in text
    assert "2505.14105" in text


def test_what_an_experiment_comes_to_stands_with_its_board(records: list[Record]) -> None:
    text = page(boards_of(six_orders(records[0])))
    assert "<summary>Colour or place</summary>" in text
    assert '<th scope="row">red less blue (colour)</th>' in text
    assert "Colour or place" not in page(boards_of(records))
