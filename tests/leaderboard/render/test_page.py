"""The page, driven in a real headless Chromium over its debugging pipe."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from chromium import Chromium, wait_until_loaded
from made_experiments import boards_of, six_orders
from made_page_records import crossed_records, few_records

from emsym.leaderboard.board import boards
from emsym.leaderboard.render.page import CellExample, page
from emsym.leaderboard.results import of_records
from emsym.run.store.record import Record

HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>\"'`{{7*7}}"


def html_of(records: list[Record], examples: tuple[CellExample, ...] = ()) -> str:
    return page(boards(of_records(records)), examples)


@pytest.fixture
def path(tiny: Path, tmp_path: Path) -> Path:
    example = CellExample("A section", {"z": np.eye(32)}, {"rgb": {"probability": np.eye(32)}})
    (tmp_path / "index.html").write_text(html_of(few_records(tiny), (example,)), encoding="utf-8")
    return tmp_path / "index.html"


ROWS = "[...document.querySelectorAll('.main tbody tr')].filter(r => !r.hidden)"
NAME = "r.querySelector('.name').textContent"
NAMES = f"{ROWS}.map(r => {NAME})"
RANKS = (
    f"Object.fromEntries({ROWS}.map(r => [{NAME},"
    " r.querySelector('[data-column=rank]').textContent]))"
)
TIERS = f"Object.fromEntries({ROWS}.map(r => [{NAME}, r.querySelector('.tier').textContent]))"


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
    assert "takes away" in text
    assert browser.run(NAMES) == ["uniform-green", "rgb", "mirror"]
    assert browser.run("getComputedStyle(document.querySelector('.filters')).display") == "none"
    assert browser.run("document.querySelectorAll('.pareto circle').length") == 2
    assert browser.run("document.querySelectorAll('.line').length") == 2


@pytest.mark.parametrize(("script", "printed"), [(True, [1]), (False, [0, 1, 2])])
def test_the_board_on_the_screen_is_printed(
    browser: Chromium, tiny: Path, tmp_path: Path, script: bool, printed: list[int]
) -> None:
    path = tmp_path / "index.html"
    path.write_text(page(3 * boards(of_records(few_records(tiny)))), encoding="utf-8")
    browser.open(path, script)
    browser.run("document.querySelectorAll('.board')[1].scrollIntoView()")
    at = browser.run("scrollY")
    browser.call("Page.printToPDF")
    assert browser.run("scrollY") == at
    browser.call("Emulation.setEmulatedMedia", media="print")
    shown = "[...document.querySelectorAll('main > section')].map(e => e.offsetHeight > 0)"
    sections = browser.run(shown)
    browser.call("Emulation.setEmulatedMedia", media="")
    assert [index for index, is_shown in enumerate(sections[:3]) if is_shown] == printed
    assert any(sections[3:]) is not script


COMMITTED = Path(__file__).parents[3] / "results" / "index.html"


def test_the_committed_page_is_small_and_soon_ready_and_fetches_nothing(browser: Chromium) -> None:
    browser.requests.clear()
    browser.open(COMMITTED)
    ready = browser.run("Number(document.documentElement.dataset.ready)")
    print(f"\nready after {ready} ms, {COMMITTED.stat().st_size / 1e3:.0f} kB")
    assert ready > 0
    assert COMMITTED.stat().st_size < 1.5e6
    assert not [url for url in browser.requests if not url.startswith(("file:", "data:"))]


def test_each_strategy_is_drawn_once_and_seen_in_every_row(browser: Chromium, path: Path) -> None:
    browser.open(path)
    drawn = browser.run("[...document.querySelectorAll('.drawings g')].map(g => g.innerHTML)")
    assert len(drawn) == len(set(drawn)) > 1
    seen = browser.run(
        "[...document.querySelectorAll('.main tbody .glyph use')].map(u => u.getBBox().width)"
    )
    assert len(seen) == 3
    assert min(seen) > 20


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_shuts_anybody_out(browser: Chromium, path: Path, width: int, scheme: str) -> None:
    """By axe-core, with all that is folded opened."""
    axe = pytest.importorskip("axe_core_python", reason="pip install axe-core-python")
    script = (Path(axe.__path__[0]) / "axe.min.js").read_text(encoding="utf-8")
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.call("Emulation.setEmulatedMedia", features=features)
    browser.open(path, width=width)
    browser.run("for (const each of document.querySelectorAll('details')) each.open = true")
    browser.run(f"{script}; 0")
    found = browser.run("axe.run().then(r => r.violations.map(v => [v.id, v.nodes[0].html]))")
    browser.call("Emulation.setEmulatedMedia", features=[])
    assert found == []


def test_ranks_are_computed_anew_over_what_is_chosen(browser: Chromium, path: Path) -> None:
    browser.open(path)
    assert browser.run(RANKS) == {"uniform-green": "1", "rgb": "2", "mirror": "–"}
    browser.run(choose("dataset", "tiny-b"))
    # of tiny-a alone `mirror` has all cells
    assert browser.run(TIERS) == {
        "uniform-green": "less biased by saliency",
        "mirror": "less biased by saliency",
        "rgb": "the reference",
    }
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
    out, records = CHOICES[choice], crossed_records(tiny)
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
        f"Object.fromEntries({ROWS}.map(r => [{NAME},"
        "Object.fromEntries([...r.cells].map(c => [c.dataset.column,"
        r" [...c.querySelectorAll('span, small')].map(t => t.textContent).filter(t => t)]))]))"
    )
    browser.open(alone)
    theirs, order = browser.run(texts), browser.run(NAMES)
    browser.open(whole)
    for kind, values in out.items():
        for value in values:
            browser.run(choose(kind, value))
    ours = browser.run(texts)
    # without the baseline, and of one data set, a page has fewer columns
    assert {name: {c: row[c] for c in theirs[name]} for name, row in ours.items()} == theirs
    assert browser.run(NAMES) == order


def test_what_is_left_keeps_its_numbers_when_a_strategy_is_taken_out(
    browser: Chromium, path: Path
) -> None:
    """To the last digit, as the same formulas stand behind them."""
    browser.open(path)
    rows = (
        f"{ROWS}.filter(r => r.className !== 'unranked').map(r => [...r.cells]"
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
    assert (
        browser.run("getComputedStyle(document.querySelector('.sorting')).display")
        == "inline-block"
    )
    browser.run(pick.format("strategy"))
    assert browser.run(NAMES) == ["mirror", "rgb", "uniform-green"]
    browser.run(pick.format("as shown at first"))
    assert browser.run(NAMES) == ["uniform-green", "rgb", "mirror"]
    label = "getComputedStyle(document.querySelector('.main tbody td'), '::before').content"
    assert browser.run(label) == '"bias: saliency"'


def test_rows_are_sorted_by_any_column(browser: Chromium, path: Path) -> None:
    browser.open(path)
    heads = "[...document.querySelectorAll('.main thead button')]"
    click = heads + ".find(b => b.textContent.startsWith('{}')).click()"
    browser.run(click.format("saliency"))
    assert browser.run(NAMES) == ["uniform-green", "rgb", "mirror"]
    browser.run(click.format("saliency"))
    assert browser.run(NAMES) == ["rgb", "uniform-green", "mirror"]
    browser.run(click.format("strategy"))
    assert browser.run(NAMES) == ["mirror", "rgb", "uniform-green"]
    assert browser.run("document.querySelector('[aria-sort]').textContent") == "strategy"


def test_marks_tell_their_numbers_on_focus(browser: Chromium, path: Path) -> None:
    browser.open(path)
    browser.run("[...document.querySelectorAll('.mark')].at(-1).focus()")
    tip = "document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent"
    assert re.match(r"uniform-green: model asymmetry by saliency 0\.0\d+ \(0\.0", browser.run(tip))
    assert "on the front" in browser.run(tip)
    lit = "document.querySelector('.main tr.lit .name').textContent"
    assert browser.run(lit) == "uniform-green", "its row is lit"


def test_few_columns_stand_at_first_and_the_rest_behind_a_switch(
    browser: Chromium, path: Path
) -> None:
    for script in (True, False):
        browser.open(path, script=script)
        shown = (
            "[...document.querySelectorAll('.main thead tr:last-child th')]"
            ".filter(h => h.offsetParent).map(h => h.textContent)"
        )
        few = ["strategy", "saliency", "flip error", "Dice − rgb", "data sets where shown"]
        assert browser.run(shown) == few
        browser.run("document.querySelector('.all-columns').click()")
        assert "average rank" in browser.run(shown)


def test_an_interval_is_drawn_where_its_numbers_are(browser: Chromium, path: Path) -> None:
    """On one scale for all rows: 0 is at the left, and the longest interval ends at the right."""
    browser.open(path)
    drawn = f"{ROWS}.map(r => r.cells[1]).map(c => [c.querySelector('.value').textContent,"
    drawn += " c.querySelector('circle')?.getAttribute('cx')])"
    marks = {float(v): float(at.rstrip("%")) for v, at in browser.run(drawn) if at}
    assert len(marks) == 2
    (low, left), (high, right) = sorted(marks.items())
    assert left / right == pytest.approx(low / high, rel=0.05)
    assert 90 < right <= 100


def test_what_is_chosen_stands_in_the_address(browser: Chromium, path: Path) -> None:
    browser.open(path)
    browser.run(choose("dataset", "tiny-b"))
    browser.run("document.querySelector('.all-columns').click()")
    browser.run("[...document.querySelectorAll('.main thead button')][0].click()")
    state = f"[{RANKS}, {NAMES}, document.querySelector('.all-columns').checked]"
    before, words = browser.run(state), browser.run("location.hash")
    assert "without-dataset=tiny-b" in words
    browser.open(path)
    assert browser.run("location.hash") == ""
    browser.run(f"location.hash = {json.dumps(words)}; location.reload()")
    wait_until_loaded(browser)
    assert browser.run(state) == before
    assert not browser.run("document.querySelector('[data-kind=dataset] [value=tiny-b]').checked")
    browser.run(
        "document.querySelector('[type=reset]').click(); new Promise(d => setTimeout(d, 50))"
    )
    assert "tiny-b" not in browser.run("location.hash")


def test_the_plot_takes_other_axes(browser: Chromium, path: Path) -> None:
    browser.open(path)
    browser.run(
        "(() => { const s = document.querySelector('[data-axis=across]');"
        " s.value = [...s.options].find(o => o.text === 'flip error').value;"
        " s.dispatchEvent(new Event('change')); })()"
    )
    marks = "[...document.querySelectorAll('.pareto .mark')].map(m => m.dataset.tip)"
    assert all("flip error" in text for text in browser.run(marks))
    browser.run(choose("name", "rgb"))  # the others share one data set
    named = [text.partition(":")[0] for text in browser.run(marks)]
    assert named == ["uniform-green", "mirror"]


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
    for record in few_records(tiny):
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
    found = Outline(
        html_of(
            few_records(tiny),
            (CellExample("A section", {"z": np.eye(32)}, {"rgb": {"|A| z": np.eye(32)}}),),
        )
    )
    for tag, attributes in found.tags:
        assert tag not in ("link", "iframe", "object", "embed"), tag
        assert not (tag == "script" and "src" in attributes)
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        if tag == "img":
            assert (attributes["src"] or "").startswith("data:image/png;base64,")
            assert attributes["alt"]


def test_it_tells_how_a_number_came_about_and_what_to_cite(tiny: Path) -> None:
    text = html_of(few_records(tiny))
    assert "tiny-a-rgb-0" in text
    assert "CC0-1.0" in text
    assert "note  = {A 2020}" in text
    assert "2505.14105" in text


def test_what_an_experiment_comes_to_stands_with_its_board(records: list[Record]) -> None:
    text = page(boards_of(six_orders(records[0])))
    assert "<summary>Colour or place</summary>" in text
    assert '<th scope="row">red less blue (colour)</th>' in text
    assert "Colour or place" not in page(boards_of(records))
