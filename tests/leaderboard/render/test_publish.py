import io
import random
import re
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from emsym.leaderboard.board import Board, boards
from emsym.leaderboard.compare import compare, plot
from emsym.leaderboard.render.csv_tables import tidy, wide
from emsym.leaderboard.render.markdown import markdown
from emsym.leaderboard.render.publish import outdated, write_leaderboard
from emsym.leaderboard.render.terminal import print_boards
from emsym.leaderboard.results import Joined, of_records
from emsym.protocol import load_protocol
from emsym.run.job import jobs
from emsym.run.store.record import Record

SHARES = {-1: 0.3, 0: 0.6, 1: 0.1}
HOSTILE = "<script>alert(1)</script>|`\"'&\n# [x](javascript:1)"


@pytest.fixture
def records(tiny: Path) -> list[Record]:
    noise = random.Random(0)

    def scores(init: str, seed: int) -> dict[str, float | None]:
        biased = init == "rgb"
        shares = {
            f"saliency/true-foreground/slice_share[{s:+d}]": share if biased else 1 / 3
            for s, share in SHARES.items()
        }
        return {
            "dice@0.5": 0.9 - 0.01 * seed + noise.uniform(0, 1e-4),
            "iou@0.5": 0.8,
            "arand_2d": 0.1,
            "flip_error": (0.2 if biased else 0.01) + noise.uniform(0, 1e-4),
            "saliency/true-foreground/model_asymmetry": (-1) ** seed * 0.5 if biased else 0.0,
            "saliency/true-foreground/neighbour_asymmetry": -0.5 if biased else 0.0,
            **shares,
        }

    return [
        job.record(
            status="done",
            scores=scores(job.cell.init, job.cell.seed),
            environment={"processor": "A & B"},
        )
        for job in jobs(load_protocol(str(tiny)))
    ]


def only(records: list[Record]) -> Board:
    (board,) = boards(of_records(records), draws=1000)
    return board


def page_of(records: list[Record]) -> str:
    return markdown(boards(of_records(records), draws=1000))


def line(text: str, start: str) -> list[str]:
    found = next(line for line in text.splitlines() if line.startswith(start))
    return [part.strip() for part in re.split(r"(?<!\\)\|", found.strip("|"))]


def test_the_head_says_protocol_weights_and_licence(records: list[Record]) -> None:
    text = page_of(records)
    assert records[0].protocol.digest in text
    assert "encoder.safetensors: a local file, sha256:" in text
    assert "CC0-1.0" in text
    assert "seeds 0, 1" in text


def test_a_row_reads_as_its_numbers(records: list[Record]) -> None:
    row = line(page_of(records), "| 2 ")
    assert row[:2] == ["2", "`rgb`"]
    assert row[2] == "0.500 (0.500–0.500)"  # the sign of a seed's asymmetry does not cancel
    assert row[4].startswith("0.895 (")
    assert line(page_of(records), "| `rgb`")[-1] == ".30 / .60 / .10"


def test_rows_are_in_the_order_of_the_asymmetry_they_show(records: list[Record]) -> None:
    text = page_of(records)
    assert text.index("`uniform-green`") < text.index("| `rgb`")
    assert only(records).order == ["uniform-green", "rgb"]


def test_the_summary_comes_first_and_details_are_folded(records: list[Record]) -> None:
    text = page_of(records)
    first = text.index("Least biased: `uniform-green`, model asym. 0.000")
    assert first < text.index("| rank") < text.index("<details>")
    assert text.count("<details>") == text.count("</details>") > 3
    assert "100 (100–100) % less model asymmetry (p " in text
    assert "Dice non-inferior to `rgb`: `uniform-green`" in text


def test_every_table_row_has_as_many_cells_as_its_head(records: list[Record]) -> None:
    for table in re.findall(r"(?:^\|.*\n)+", page_of(records), re.MULTILINE):
        rows = table.strip().splitlines()
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1


def test_the_tidy_csv_has_a_line_per_cell_and_score(records: list[Record]) -> None:
    table = pd.read_csv(io.StringIO("".join(tidy(of_records(records).cells))))
    assert len(table) == 4 * len(records[0].scores)
    rows = table[(table["init"] == "rgb") & (table["score"] == "flip_error")]
    assert rows["value"].tolist() == pytest.approx([0.2, 0.2], abs=2e-4)
    assert rows["seed"].tolist() == [0, 1]


def test_the_wide_csv_has_a_line_per_cell_failed_ones_too(records: list[Record]) -> None:
    failed = records[3].model_copy(update={"status": "failed", "error": "=1+1,\n", "scores": {}})
    table = pd.read_csv(io.StringIO("".join(wide(of_records([*records[:3], failed]).cells))))
    assert table["key"].tolist() == [record.key for record in records]
    assert table["arand_2d"].isna().tolist() == [False, False, False, True]
    assert table.loc[3, "error"] == "'=1+1,"  # no formula in a spreadsheet
    expected = [record.scores["dice@0.5"] for record in records[:3]]
    assert table.loc[:2, "dice@0.5"].tolist() == pytest.approx(expected, rel=1e-5)


def test_shares_are_over_the_cells_that_count_alone(records: list[Record]) -> None:
    """Seed 1 of `uniform-green`, which `rgb` lacks, has other shares, and moves nothing."""
    prefix = "saliency/true-foreground/slice_share"
    other = {f"{prefix}[-1]": 1.0, f"{prefix}[+0]": 0.0, f"{prefix}[+1]": 0.0}
    assert (records[3].init, records[3].seed) == ("uniform-green", 1)
    records[3] = records[3].model_copy(update={"scores": records[3].scores | other})
    board = only([records[0], records[1], records[3]])
    assert board.share_means(board.shared).loc["uniform-green"].tolist() == pytest.approx(
        [1 / 3] * 3
    )


def test_an_incomplete_strategy_is_told_how_much_it_has(records: list[Record]) -> None:
    third = records[0].model_copy(update={"init": "mine", "key": "0" * 32})
    board = only([*records, third])
    assert (board.has["mine"], board.has["rgb"], board.needed) == (1, 2, 2)
    assert "- mine: 1 of 2 cells, not ranked" in markdown([board])


def test_a_missing_cell_is_shown_and_never_imputed(records: list[Record]) -> None:
    """`rgb` lacks seed 1 of what `uniform-green` has: seed 0 alone is compared."""
    board = only(records[:3])
    assert board.entered.sum().sum() == 2
    assert board.columns["dice@0.5"].summary.loc["uniform-green", "mean"] == pytest.approx(
        records[1].scores["dice@0.5"]
    )
    text = page_of(records[:3])
    assert "One seed gives no interval" in text
    assert "| 1–2 " in text


def test_a_data_set_that_one_strategy_lacks_ranks_nobody(records: list[Record]) -> None:
    stamp = records[0].dataset.model_copy(update={"name": "easy"})
    extra = [
        r.model_copy(
            update={
                "dataset": stamp,
                "scores": {**r.scores, "dice@0.5": 1.0},
                "key": r.key[::-1],
            }
        )
        for r in records
        if r.init == "rgb"
    ]
    board = only([*records, *extra])
    assert board.shared == [("tiny-a", "linknet-tu-test_efficientnet")]
    assert board.columns["dice@0.5"].summary.loc["rgb", "mean"] == pytest.approx(0.895, abs=1e-3)
    text = page_of([*records, *extra])
    assert "the 1 of 2 pairs" in text
    assert "uniform-green: 2 of 4 cells" in text


def test_a_failed_cell_is_told_with_its_reason(records: list[Record]) -> None:
    failed = records[3].model_copy(
        update={"status": "failed", "error": f"OutOfMemory {HOSTILE}", "scores": {}}
    )
    text = page_of([*records[:3], failed])
    assert "uniform-green · seed 1: OutOfMemory" in text
    assert "<script" not in text


def test_protocol_versions_never_share_a_table(records: list[Record]) -> None:
    stamp = records[0].protocol.model_copy(update={"version": "2", "digest": "0" * 64})
    newer = [
        record.model_copy(update={"protocol": stamp, "key": record.key[::-1]}) for record in records
    ]
    text = page_of([*records, *newer])
    assert text.count("## tiny, version 2") == 1
    assert "## tiny, version 1" not in text
    assert "version 1 of the protocol, not 2" in text


def test_texts_of_strangers_stay_text_in_markdown(records: list[Record]) -> None:
    stamp = records[0].dataset.model_copy(update={"citation": HOSTILE, "licence": HOSTILE})
    bad = [r.model_copy(update={"dataset": stamp, "init": f"{r.init}{HOSTILE}"}) for r in records]
    text = page_of(bad)
    outside_code = re.sub(r"`[^`\n]*`", "", text)
    assert "<script" not in outside_code
    assert "[x](javascript" not in outside_code
    assert "\n# [x]" not in text


@pytest.mark.parametrize("width", [80, 160])
def test_a_terminal_shows_whole_rows(records: list[Record], width: int) -> None:
    stream = io.StringIO()
    print_boards([only(records)], Console(file=stream, width=width))
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= width
    row = next(line for line in text.splitlines() if re.match(r" +\d\S* +rgb ", line))
    assert (".30 / .60 / .10" if width == 160 else ".30/.60/.10") in row
    assert "0.895" in row
    assert ("(" in row) == (width == 160)


def test_all_files_are_written(records: list[Record], tmp_path: Path) -> None:
    results = of_records(records)
    assert outdated(results, tmp_path / "out")
    paths = write_leaderboard(results, tmp_path / "out")
    names = ["leaderboard.md", "index.html", "leaderboard.csv", "cells.csv"]
    assert [path.name for path in paths] == names
    assert all(path.read_text() for path in paths)
    assert not outdated(results, tmp_path / "out")
    for picture in re.findall(r"\]\((.*png)\)", paths[0].read_text()):
        assert (tmp_path / "out" / picture).read_bytes().startswith(b"\x89PNG")
    moved = [r.model_copy(update={"scores": {**r.scores, "arand_2d": 0.2}}) for r in records]
    assert "leaderboard.md" in outdated(of_records(moved), tmp_path / "out")


def test_stacks_of_one_slice_have_a_leaderboard_without_asymmetry(
    records: list[Record], tmp_path: Path
) -> None:
    def single(record: Record) -> Record:
        scores = {name: v for name, v in record.scores.items() if "asymmetry" not in name}
        missing = {
            f"saliency/true-foreground/{kind}_asymmetry": None for kind in ("neighbour", "model")
        }
        return record.model_copy(update={"slices": 1, "scores": {**scores, **missing}})

    write_leaderboard(of_records([single(record) for record in records]), tmp_path)
    text = (tmp_path / "leaderboard.md").read_text()
    assert "`rgb`" in text
    assert "model asym. ↓" not in text


def test_networks_without_any_share_have_a_leaderboard(
    records: list[Record], tmp_path: Path
) -> None:
    def empty(record: Record) -> Record:
        missing = {name: None for name in record.scores if "/" in name}
        return record.model_copy(update={"scores": {**record.scores, **missing}})

    write_leaderboard(of_records([empty(record) for record in records]), tmp_path)
    assert "`rgb`" in (tmp_path / "leaderboard.md").read_text()


def test_two_strategies_compared(records: list[Record]) -> None:
    found = compare(of_records(records), "rgb", "uniform-green")
    assert "2 cells of each" in found.where
    rows = {each.score.title: each.row for each in found.differences}
    assert rows["model asym."]["mean"] == pytest.approx(-0.5)
    assert rows["flip error"]["one"] == pytest.approx(0.2, abs=1e-3)
    back = compare(of_records(records), "uniform-green", "rgb")
    assert back.differences[0].row["mean"] == pytest.approx(0.5)
    assert plot(found).startswith(b"\x89PNG")


def test_two_submissions_of_the_same_cells_compared(records: list[Record]) -> None:
    ours = of_records(records)
    better = [
        record.model_copy(
            update={"scores": record.scores | {"dice@0.5": record.scores["dice@0.5"] + 0.05}}
        )
        for record in records
    ]
    theirs = of_records(better)
    ours.cells["submission"], theirs.cells["submission"] = "ours", "theirs"
    found = compare(Joined([ours, theirs]), "ours", "theirs")
    assert found.where.endswith("4 cells of each, of rgb, uniform-green")
    rows = {each.score.title: each.row for each in found.differences}
    assert rows["Dice"]["mean"] == pytest.approx(0.05)
    assert rows["flip error"]["mean"] == 0
