import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from emsym.leaderboard.render import csv, markdown, show, write
from emsym.protocol import load_protocol
from emsym.run.plan import jobs
from emsym.run.record import Record

SHARES = {-1: 0.3, 0: 0.6, 1: 0.1}


@pytest.fixture
def records(tiny: Path) -> list[Record]:
    def scores(init: str, seed: int) -> dict[str, float | None]:
        biased = init == "rgb"
        shares = {
            f"saliency/true-foreground/slice_share[{s:+d}]": share if biased else 1 / 3
            for s, share in SHARES.items()
        }
        return {
            "dice@0.5": 0.9 - 0.01 * seed,
            "iou@0.5": 0.8,
            "arand_2d": 0.1,
            "flip_error": 0.2 if biased else 0.01,
            "saliency/true-foreground/model_asymmetry": -0.5 if biased else 0.0,
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


def test_the_head_says_protocol_weights_and_licence(records: list[Record]) -> None:
    text = markdown(records)
    assert f"tiny, digest {records[0].protocol.digest}" in text
    assert "encoder.safetensors: a local file, sha256:" in text
    assert "CC0-1.0" in text
    assert "seeds 0, 1" in text


def test_a_row_reads_as_its_numbers(records: list[Record]) -> None:
    row = next(line for line in markdown(records).splitlines() if line.startswith("| `rgb`"))
    columns = [part.strip() for part in row.strip("|").split("|")]
    assert columns[1] == "**0.895 ±.007**"
    assert "0.500 ±.000" in columns
    assert "−0.500 ±.000" in columns
    assert columns[-1] == ".30 / .60 / .10"


def test_the_best_is_bold_and_the_rest_is_not(records: list[Record]) -> None:
    lines = markdown(records).splitlines()
    green = next(line for line in lines if line.startswith("| `uniform-green`"))
    rgb = next(line for line in lines if line.startswith("| `rgb`"))
    assert "**0.0100 ±.0000**" in green
    assert "0.2000 ±.0000" in rgb
    assert "**0.2000" not in rgb


def test_every_table_row_has_as_many_cells_as_its_head(records: list[Record]) -> None:
    rows = [line for line in markdown(records).splitlines() if line.startswith("|")]
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1


def test_the_csv_has_every_score_of_every_row(records: list[Record]) -> None:
    table = pd.read_csv(io.StringIO(csv(records)))
    assert list(table["init"]) == ["rgb", "uniform-green"]
    assert table.loc[0, "flip_error mean"] == pytest.approx(0.2)
    assert table.loc[0, "dice@0.5 n"] == 2
    assert {"protocol", "version", "digest", "weights", "licence"} <= set(table.columns)


def test_protocol_versions_never_share_a_table(records: list[Record]) -> None:
    stamp = records[0].protocol.model_copy(update={"version": "2", "digest": "0" * 64})
    newer = [record.model_copy(update={"protocol": stamp}) for record in records]
    text = markdown([*records, *newer])
    assert text.count("## tiny, version ") == 2
    assert text.count("| `rgb`") == 2


@pytest.mark.parametrize("width", [80, 160])
def test_a_terminal_shows_whole_rows(records: list[Record], width: int) -> None:
    stream = io.StringIO()
    show(records, Console(file=stream, width=width))
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= width
    row = next(line for line in text.splitlines() if line.strip().startswith("rgb"))
    assert ".30 / .60 / .10" in row
    assert "0.895 ±.007" in row


def test_both_files_are_written(records: list[Record], tmp_path: Path) -> None:
    paths = write(records, tmp_path / "out")
    assert [path.name for path in paths] == ["leaderboard.md", "leaderboard.csv"]
    assert all(path.read_text() for path in paths)


def test_one_seed_has_no_sd(records: list[Record]) -> None:
    text = markdown([record for record in records if record.seed == 0])
    assert "±" not in text.split("###")[-1]


def test_a_changed_plugin_is_a_row_of_its_own(records: list[Record]) -> None:
    """The same name, seed and data set, but another function: never averaged."""
    old = [r.model_copy(update={"init_source": "a" * 64}) for r in records if r.init == "rgb"]
    new = [r.model_copy(update={"init_source": "b" * 64}) for r in records if r.init == "rgb"]
    text = markdown([*old, *new])
    assert "`rgb #aaaaaa`" in text
    assert "`rgb #bbbbbb`" in text
    assert "| `rgb`" not in text


def test_a_changed_card_is_a_table_of_its_own(records: list[Record]) -> None:
    stamp = records[0].dataset.model_copy(update={"digest": "c" * 64})
    changed = [record.model_copy(update={"dataset": stamp}) for record in records]
    assert "### tiny-a #cccccc · " in markdown([*records, *changed])


def test_digests_of_one_version_have_pictures_of_their_own(
    records: list[Record], tmp_path: Path
) -> None:
    stamp = records[0].protocol.model_copy(update={"digest": "0" * 64})
    edited = [record.model_copy(update={"protocol": stamp}) for record in records]
    write([*records, *edited], tmp_path)
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_the_summary_says_what_it_covers(records: list[Record]) -> None:
    stamp = records[0].dataset.model_copy(update={"name": "other"})
    extra = [r.model_copy(update={"dataset": stamp}) for r in records if r.init == "rgb"]
    assert "the 1 of 2 data set · architecture pairs" in markdown([*records, *extra])


def test_rows_are_in_the_order_of_the_asymmetry_they_show(records: list[Record]) -> None:
    text = markdown(records)
    assert text.index("| `uniform-green`") < text.index("| `rgb`")


def test_a_row_alone_is_not_the_best(records: list[Record]) -> None:
    tables = markdown([record for record in records if record.init == "rgb"]).split("###")[1:]
    assert not any("**" in table for table in tables)


def test_stacks_of_one_slice_have_a_leaderboard_without_asymmetry(
    records: list[Record], tmp_path: Path
) -> None:
    def single(record: Record) -> Record:
        scores = {name: v for name, v in record.scores.items() if "asymmetry" not in name}
        missing = {
            f"saliency/true-foreground/{kind}_asymmetry": None for kind in ("neighbour", "model")
        }
        return record.model_copy(update={"slices": 1, "scores": {**scores, **missing}})

    write([single(record) for record in records], tmp_path)
    text = (tmp_path / "leaderboard.md").read_text()
    assert "| `rgb`" in text
    assert "asym. |" not in text.split("###")[1]


def test_networks_without_any_share_have_a_leaderboard(
    records: list[Record], tmp_path: Path
) -> None:
    def empty(record: Record) -> Record:
        missing = {name: None for name in record.scores if "/" in name}
        return record.model_copy(update={"scores": {**record.scores, **missing}})

    write([empty(record) for record in records], tmp_path)
    assert "| `rgb`" in (tmp_path / "leaderboard.md").read_text()


def test_a_whole_share_reads_as_one(records: list[Record]) -> None:
    shares = {f"saliency/true-foreground/slice_share[{s:+d}]": float(s == -1) for s in SHARES}
    one_sided = [r.model_copy(update={"scores": {**r.scores, **shares}}) for r in records]
    assert "1.00 / .00 / .00" in markdown(one_sided)
