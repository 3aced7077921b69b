"""The leaderboard as a code host shows it."""

import re

from made_experiments import boards_of, six_orders

from emsym.leaderboard.board import boards
from emsym.leaderboard.render.markdown import markdown
from emsym.leaderboard.results import of_records
from emsym.run.store.record import Record

HOSTILE = "<script>alert(1)</script>|`\"'&\n# [x](javascript:1)"


def page_of(records: list[Record]) -> str:
    return markdown(boards(of_records(records)))


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


def test_the_summary_comes_first_and_details_are_folded(records: list[Record]) -> None:
    text = page_of(records)
    first = text.index("Least biased: `uniform-green`, model asymmetry by saliency 0.000")
    assert first < text.index("| rank") < text.index("<details>")
    assert text.count("<details>") == text.count("</details>") > 3
    assert "100 (100–100) % less model asymmetry by saliency (p " in text
    assert "Dice non-inferior to `rgb`: `uniform-green`" in text


def test_every_table_row_has_as_many_cells_as_its_head(records: list[Record]) -> None:
    for table in re.findall(r"(?:^\|.*\n)+", page_of(records), re.MULTILINE):
        rows = table.strip().splitlines()
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1


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


def test_rows_are_in_the_order_of_the_board(records: list[Record]) -> None:
    text = page_of(records)
    assert text.index("| `uniform-green`") < text.index("| `rgb`")


def test_a_single_seed_has_no_interval_and_no_settled_rank(records: list[Record]) -> None:
    assert line(page_of(records[:3]), "| 1–2 ")[2] == "0.000"


def test_optional_scores_are_columns_with_their_unit_and_meaning(records: list[Record]) -> None:
    offsets = {("rgb", 0): -4.0, ("rgb", 1): 5.0}  # nm, whose signs do not cancel
    asked = [
        record.model_copy(
            update={
                "scores": {
                    **record.scores,
                    "view_offset": offsets.get((record.init, record.seed), 0.0),
                    "voi_split": 0.25 if record.init == "rgb" else 0.5,
                }
            }
        )
        for record in records
    ]
    text = page_of(asked)
    assert "view offset (nm) ↓" in text
    assert "the centroid of exact Shapley values" in text
    assert "| 4.53 (" in text, "the root of the mean square"
    assert "VOI split ↓" in text
    assert "view offset" not in page_of(records)


def test_what_an_experiment_comes_to_stands_with_its_board(records: list[Record]) -> None:
    text = markdown(boards_of([*records, *six_orders(records[0])]))
    assert text.count("### Colour or place") == 1
    assert "| red less blue (colour)" in text
    assert "### " not in markdown(boards_of(records)).replace("####", "")
