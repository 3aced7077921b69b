"""The report as a browser reads it: what it says, what it shows and what it never does."""

import base64
import errno
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from emsym.auditing import report
from emsym.auditing.audit import AuditReport
from emsym.auditing.result import (
    Advice,
    AnswerEffect,
    Audit,
    DataResult,
    Interval,
    LayerResult,
    LooksResult,
    Network,
    Pictures,
    SectionExample,
    StemResult,
    SymmetryResult,
    UnitScore,
)
from emsym.errors import UserError

pytestmark = pytest.mark.numerical

_VOID = {"meta", "img", "br", "link", "input", "hr"}
_SCORES = (
    "share",
    "ratio",
    "imbalance",
    "neighbour_asymmetry",
    "model_asymmetry",
    "data_asymmetry",
    "mirror_distance",
)


def _found(value: float) -> Interval:
    return Interval(value=value, low=value - 0.0123, high=value + 0.0123)


def _symmetry(slices: int, attribution: str = "saliency", **changed: object) -> SymmetryResult:
    scores = dict.fromkeys(_SCORES, _found(0.2466)) | {
        "share": [_found(1 / slices) for _ in range(slices)],
        "ratio": _found(1.5),
    }
    return SymmetryResult(
        **{"attribution": attribution, "target": "foreground", "missing": 0, **scores, **changed}
    )


def _audit(slices: int = 3, **changed: object) -> Audit:
    return Audit(
        **{
            "verdict": "z−1 counts 1.5 × as much as z+1 (95 % interval 1.4–1.6).",
            "finding": "biased",
            "network": Network(
                name="net.pt",
                kind="state dict",
                digest="ab" * 32,
                architecture="unet-resnet34",
                parameters=24_436_369,
                classes=1,
                channel=0,
            ),
            "data": DataResult(
                name="cortex",
                source="cortex.tif",
                shape=(50, 96, 64),
                mean=127.4,
                sd=31.26,
                normalised_by="the volume's own",
                labels=True,
                available=48,
                sections=[7, 31],
                crop=(0, 96, 0, 64),
            ),
            "slices": slices,
            "headline": "saliency/foreground",
            "flip_error": _found(0.0876),
            "flip_dice": _found(0.875),
            "dice": 0.765,
            "iou": 0.619,
            "symmetry": [_symmetry(slices), _symmetry(slices, "slice-shapley")],
            "in_units": [
                UnitScore(score="view_offset", unit="nm", value=_found(-4.567)),
                UnitScore(score="boundary_displacement", unit="pixels", value=_found(2.345)),
                UnitScore(score="bottleneck_flip", unit="", value=_found(0.777)),
                UnitScore(score="answer_flip", unit="", value=_found(0.333)),
            ],
            "layers": [
                LayerResult(name=name, size=(96, 64), value=_found(0.5))
                for name in ("encoder.conv1", "decoder.conv", "logits")
            ],
            "shapley": [_found(1 / slices) for _ in range(slices)],
            "stem": StemResult(
                where="encoder.conv1",
                share=[1 / slices] * slices,
                filters=[[1 / slices] * slices] * 4,
            ),
            "stem_note": "",
            "advice": [Advice(text="Average both sides.", command="emsym-bench symmetrize net.pt")],
            "notes": ["Two sections were audited."],
            "images": {"flip_error": [0.08, 0.09]},
            "seconds": 133.4,
            "environment": {"torch": "2.9.0", "git commit": None, "dirty": False},
            **changed,
        }
    )


def _pictures(
    slices: int = 3, shape: tuple[int, int] = (96, 64), count: int = 2, labels: bool = True
) -> Pictures:
    rng = np.random.default_rng(0)

    def noise(*size: int) -> np.ndarray:
        return rng.normal(size=size).astype(np.float32)

    examples = [
        SectionExample(
            section=7 + 24 * index,
            stack=noise(slices, *shape),
            attribution=noise(slices, *shape),
            probability=rng.random(shape),
            mirrored=rng.random(shape),
            truth=rng.random(shape) > 0.5 if labels else None,
        )
        for index in range(count)
    ]
    return Pictures(examples, np.abs(noise(slices, *shape)))


class _Page(HTMLParser):
    """Tags with their attributes, and the text that is read; complains of tags left open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attributes}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, name: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.tags if tag == name]

    def pictures(self, alt: str) -> Iterator[np.ndarray]:
        for attributes in self.all("img"):
            if re.search(alt, attributes["alt"]):
                yield _decoded(attributes["src"])


def _decoded(uri: str) -> np.ndarray:
    head, data = uri.split(",")
    assert head == "data:image/png;base64"
    return np.array(Image.open(io.BytesIO(base64.b64decode(data))).convert("L"))


@pytest.fixture(scope="module")
def page() -> _Page:
    return _Page(report.html(_audit(), _pictures()))


def test_the_verdict_is_the_heading_of_the_page(page: _Page):
    html = report.html(_audit(verdict="Both sides count alike."), _pictures())
    assert re.findall(r"<h1>(.*?)</h1>", html) == ["Both sides count alike."]
    assert len(page.all("h1")) == 1
    assert "&" not in page.text


@pytest.mark.parametrize(
    "told",
    [
        "0.333 (0.321–0.346)",  # shares and Shapley values
        "1.50 (1.49–1.51)",  # before ÷ after
        "0.247 (0.234–0.259)",  # model asymmetry
        "0.088 (0.075–0.100)",  # flip error
        "0.875 (0.863–0.887)",  # flip Dice, and what it means
        "12.5 % of the pixels in one are not in the other",
        "0.765",
        "0.619",
        "View offset −4.57 nm (−4.58 to −4.55)",
        "Boundary shift 2.35 pixels (2.33–2.36)",
        "two maps that have nothing to do with each other. What comes after the bottleneck heals",
        "Flip at answer 0.333",
        "3 layers in the order in which they are run, from encoder.conv1 (left)",
        "nobody said how far they are apart",
        "encoder.conv1",
        "4 filters",
        "0 of 2",
        "2 of 48 sections of cortex, 96 × 64 pixels",
        "emsym-bench symmetrize net.pt",
        "Two sections were audited.",
        "ab" * 32,
        "24,436,369",
        "127, sd 31.3",
        "2 min 13 s",
        "2.9.0",
        "arXiv 2505.14105",
    ],
)
def test_every_number_and_stamp_is_told(page: _Page, told: str):
    assert told in page.text


def test_the_ratio_of_a_bias_to_the_other_side_is_told_the_other_way_round():
    two = Interval(value=0.5, low=0.4, high=0.8)
    text = _Page(report.html(_audit(symmetry=[_symmetry(3, ratio=two)]), _pictures())).text
    assert re.search(r"slices after the segmented one count 2\.00 × \(1\.25–2\.50\)", text)


def test_nothing_is_fetched_or_run(page: _Page):
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "base"})
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        if "src" in attributes:
            assert attributes["src"].startswith("data:image/png;base64,")
        if "href" in attributes:
            assert tag == "a"
            assert attributes["href"].startswith(("#", "https://arxiv.org/"))
    html = report.html(_audit(), _pictures())
    assert "@import" not in html
    assert "url(" not in html
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    assert policy.startswith("default-src 'none'")


def test_links_within_the_page_lead_somewhere(page: _Page):
    there = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {a["href"][1:] for a in page.all("a") if a["href"].startswith("#")} <= there


def test_every_picture_is_described(page: _Page):
    assert len(page.all("img")) == 2 * (3 + 3 + 3) + 3
    assert all(attributes["alt"] for attributes in page.all("img"))


def test_text_from_outside_stays_text():
    evil = "<script>alert(1)</script><img src=http://e.org/x onerror=alert(1)>\"'&"
    plain = _audit()
    html = report.html(
        _audit(
            verdict=evil,
            network=plain.network.model_copy(update={"name": evil, "architecture": evil}),
            data=plain.data.model_copy(update={"name": evil, "source": evil}),
            symmetry=[_symmetry(3, evil)],
            headline=f"{evil}/foreground",
            stem_note=evil,
            stem=plain.stem.model_copy(update={"where": evil}),
            advice=[Advice(text=evil, command=evil)],
            notes=[evil],
            environment={evil: evil},
        ),
        _pictures(),
    )
    page = _Page(html)
    assert not page.all("script")
    assert all("onerror" not in attributes for attributes in page.all("img"))
    assert page.text.count(evil) >= 10


@pytest.mark.parametrize("slices", [1, 3, 5, 7])
def test_a_stack_of_any_size_is_shown_slice_by_slice(slices: int):
    page = _Page(report.html(_audit(slices), _pictures(slices)))
    centre = slices // 2
    names = ["z" if s == 0 else f"z{s:+d}".replace("-", "−") for s in range(-centre, centre + 1)]
    for name in names:
        assert len(list(page.pictures(rf"^Section \d+, slice {re.escape(name)}$"))) == 2
        assert len(list(page.pictures(rf"^Mean attribution on slice {re.escape(name)}$"))) == 1
    sides = [row["class"] for row in page.all("tr") if row.get("class") in _SIDES]
    assert sides == 3 * (["before"] * centre + ["centre"] + ["after"] * centre)


_SIDES = ("before", "centre", "after")


def test_a_missing_value_is_a_dash_with_its_reason():
    none: dict[str, object] = dict.fromkeys(_SCORES)
    audit = _audit(
        finding="unmeasurable",
        symmetry=[_symmetry(3, missing=2, **none)],
        flip_error=None,
        flip_dice=None,
        dice=None,
        iou=None,
        shapley=None,
        stem=None,
        stem_note="The first layer is a 3D convolution.",
        in_units=[],
        layers=[],
        advice=[],
        notes=["No pixel is predicted foreground in 2 of 2 sections."],
    )
    page = _Page(report.html(audit, Pictures([], np.zeros((3, 96, 64), np.float32))))
    for told in (
        "– There are no shares: the target (predicted foreground) is empty",
        "Flip Dice – Both masks are empty",
        "Dice – Neither labels nor predictions have any foreground.",
        "– No Shapley values: the target is empty in all sections",
        "– The first layer is a 3D convolution.",
        "saliency – – – – 2 of 2",
        "– There is no section to show.",
        "– No section has an attribution",
        "No pixel is predicted foreground in 2 of 2 sections.",
    ):
        assert told in page.text
    assert not page.all("img")
    assert "How large that is" not in page.text
    assert not re.search(r"\b(None|nan)\b", page.text.replace("None.", ""))


def test_without_labels_there_is_no_label_and_no_dice():
    plain = _audit()
    data = plain.data.model_copy(update={"labels": False})
    audit = _audit(data=data, dice=None, iou=None)
    page = _Page(report.html(audit, _pictures(labels=False)))
    assert "Dice – No labels were given." in page.text
    assert not list(page.pictures("Labelled"))


def test_a_single_section_has_no_interval():
    one = Interval(value=1 / 3)
    audit = _audit(
        symmetry=[_symmetry(3, **dict.fromkeys(_SCORES[1:], one), share=[one] * 3)],
        shapley=[one] * 3,
        data=_audit().data.model_copy(update={"sections": [7]}),
    )
    text = _Page(report.html(audit, _pictures(count=1))).text
    assert "A single section gives no interval" in text
    assert "z−1 0.333 z 0.333 z+1 0.333" in text


def test_sections_without_a_value_are_not_counted_in_a_mean():
    text = _Page(report.html(_audit(symmetry=[_symmetry(3, missing=1)]), _pictures())).text
    assert "mean over 1 section," in text
    assert "Mean of |A| over 1 section," in text
    assert "1 of 2" in text


def test_shapley_values_below_zero_are_explained(page: _Page):
    assert "below 0, a slice lowers the logits" in page.text


def test_after_how_many_sections_it_ended_is_told_once() -> None:
    sentence = "2 of 48 sections were looked at: the finding was then decided."
    looks = LooksResult(sentence=sentence, most=20, ends=[2, 20], level=0.975)
    page = report.html(_audit(looks=looks), _pictures())
    assert sentence in page
    assert page.count("2 of 48 sections") == 1


def test_a_report_of_three_large_sections_is_under_two_megabytes():
    for slices in (3, 7):
        html = report.html(_audit(slices), _pictures(slices, (512, 512), count=3))
        assert len(html) < 2_000_000  # of noise, which compresses worst


def test_what_matters_and_what_to_do_come_first():
    sentence = "The answer depends on it: reversing moves 9 %. Dice is 0.8."
    effect = AnswerEffect(matters="yes", sentence=sentence)
    html = report.html(_audit(effect=effect), _pictures())
    assert '<p class="effect yes"><b>The answer depends on it.</b> Reversing moves 9' in html
    places = [html.index(part) for part in ("<h1", 'class="effect', 'id="advice"', 'id="shares"')]
    assert places == sorted(places)
    plain = AnswerEffect(matters="no", sentence="It does not.")
    assert "<b>It does not.</b>" in report.html(_audit(effect=plain, advice=[]), _pictures())


def test_write_writes_both_files_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    written = AuditReport(_audit(), _pictures())
    page, numbers = written.write(tmp_path / "new" / "audit.html")
    assert page.read_text(encoding="utf-8") == report.html(_audit(), _pictures())
    assert Audit.model_validate_json(numbers.read_text()) == _audit()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        written.write(tmp_path / "file" / "audit.html")
    for taken in (0, 1):  # files that the disk still takes
        folder, left = tmp_path / f"{taken}", iter(range(taken))

        def full(_: int, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(UserError, match="The disk is full"):
            written.write(folder / "audit.html")
        assert not list(folder.iterdir())


def test_an_example_that_nothing_explains_has_black_maps_and_no_shares():
    (example,) = _pictures(count=1).examples
    nothing = SectionExample(**{**vars(example), "attribution": np.zeros((3, 96, 64), np.float32)})
    page = _Page(report.html(_audit(), Pictures([nothing], np.zeros((3, 96, 64)))))
    maps = list(page.pictures("^Attribution on slice"))
    assert len(maps) == 3
    assert not np.any(maps)
    assert "z−1 share – z share – z+1 share –" in page.text


def test_a_symmetric_network_changes_nothing_that_is_drawn():
    pictures = _pictures(count=1)
    (example,) = pictures.examples
    same = SectionExample(
        **{**vars(example), "mirrored": example.probability + 1e-7 * (example.probability > 0.5)}
    )
    page = _Page(report.html(_audit(), Pictures([same], pictures.mean_map)))
    (drawn,) = page.pictures("^Change of the prediction")
    assert not drawn.any()


def test_a_mean_map_compares_between_slices():
    level = np.array([1.0, 4.0, 2.0])[:, None, None] * np.ones((3, 96, 64))
    page = _Page(report.html(_audit(), Pictures([], level)))
    before, centre, after = (picture.mean() for picture in page.pictures("^Mean attribution"))
    assert centre == 255
    assert before == pytest.approx(255 / 4, abs=5)
    assert after == pytest.approx(255 / 2, abs=5)


def test_scores_are_called_as_the_catalogue_has_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report, "score_of", lambda key: SimpleNamespace(term=f"{key}, renamed"))
    page = report.html(_audit(), _pictures(3))
    for key in ("flip_error", "flip_dice", "dice", "iou", "model_asymmetry", "mirror_distance"):
        assert f"{key[0].upper()}{key[1:]}, renamed" in page
