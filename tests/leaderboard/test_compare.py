"""Two strategies, or two submissions, over the cells that both have."""

import pytest

from emsym.errors import UserError
from emsym.leaderboard.compare import compare, plot
from emsym.leaderboard.results import Joined, of_records
from emsym.run.store.record import Record


def test_two_strategies_compared(records: list[Record]) -> None:
    found = compare(of_records(records), "rgb", "uniform-green")
    assert "2 cells of each" in found.where
    rows = {each.score.title: each.row for each in found.differences}
    assert rows["model asym."]["mean"] == pytest.approx(-0.5)
    assert rows["flip error"]["one"] == pytest.approx(0.2, abs=1e-3)
    back = compare(of_records(records), "uniform-green", "rgb")
    assert back.differences[0].row["mean"] == pytest.approx(0.5)
    assert plot(found).startswith(b"\x89PNG")


@pytest.mark.parametrize(("kind", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_a_plot_is_of_the_kind_that_was_asked_for(
    records: list[Record], kind: str, start: bytes
) -> None:
    compared = compare(of_records(records), "rgb", "uniform-green")
    assert plot(compared, kind).startswith(start)
    assert plot(compared, kind) == plot(compared, kind)


def test_cells_of_several_origins_are_counted(records: list[Record]) -> None:
    results = of_records(records)
    results.cells.loc[results.cells["init"] == "rgb", "submission"] = "theirs"
    where = compare(results, "rgb", "uniform-green").where
    assert where.endswith("2 cells of each (rgb: 2 of theirs; uniform-green: 2 of local)")


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


@pytest.fixture
def of_two_protocols(records: list[Record]) -> list[Record]:
    """Two cells of each strategy of `tiny`, and one of each of `smaller`, of .05 less Dice."""
    stamp = records[0].protocol.model_copy(update={"name": "smaller"})
    return records + [
        record.model_copy(
            update={
                "protocol": stamp,
                "key": record.key[::-1],
                "scores": record.scores | {"dice@0.5": record.scores["dice@0.5"] - 0.05},
            }
        )
        for record in records
        if record.seed == 0
    ]


def test_of_two_protocols_the_one_with_more_cells_unless_one_is_named(
    of_two_protocols: list[Record],
) -> None:
    results = of_records(of_two_protocols)
    chosen = {
        name: compare(results, "rgb", "uniform-green", name).where
        for name in (None, "tiny", "smaller")
    }
    assert chosen == {
        None: "tiny, version 1: 2 cells of each",
        "tiny": "tiny, version 1: 2 cells of each",
        "smaller": "smaller, version 1: 1 cell of each",
    }


def test_submissions_are_compared_by_the_named_protocol(of_two_protocols: list[Record]) -> None:
    ours, theirs = of_records(of_two_protocols), of_records(of_two_protocols)
    ours.cells["submission"], theirs.cells["submission"] = "ours", "theirs"
    both = Joined([ours, theirs])
    for name, cells in (("tiny", 4), ("smaller", 2)):
        found = compare(both, "ours", "theirs", name)
        assert found.where == f"{name}, version 1: {cells} cells of each, of rgb, uniform-green"
    rows = {each.score.title: each.row for each in found.differences}
    assert rows["Dice"]["one"] == pytest.approx(0.85, abs=1e-3)
    theirs.cells.loc[theirs.cells["protocol"] == "smaller", "status"] = "failed"
    with pytest.raises(UserError, match="share no cell of one version of 'smaller'"):
        compare(Joined([ours, theirs]), "ours", "theirs", "smaller")


def test_what_a_protocol_does_not_hold_is_a_sentence(of_two_protocols: list[Record]) -> None:
    alone = [r for r in of_two_protocols if (r.init, r.protocol.name) != ("rgb", "smaller")]
    with pytest.raises(UserError, match="of a protocol 'smalller': there are some of"):
        compare(of_records(alone), "rgb", "uniform-green", "smalller")
    with pytest.raises(UserError, match="with results of the protocol 'smaller' called 'rgb'"):
        compare(of_records(alone), "rgb", "uniform-green", "smaller")


def test_what_cannot_be_compared_is_a_sentence(records: list[Record]) -> None:
    results = of_records(records)
    with pytest.raises(UserError, match="'rgb' is compared with itself"):
        compare(results, "rgb", "rgb")
    with pytest.raises(UserError, match=r"called 'mine'.*there are rgb, uniform-green"):
        compare(results, "rgb", "mine")
    apart = [r for r in records if (r.init, r.seed) in (("rgb", 0), ("uniform-green", 1))]
    with pytest.raises(UserError, match="share no cell"):
        compare(of_records(apart), "rgb", "uniform-green")
