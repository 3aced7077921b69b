"""Which cells of a leaderboard count, and what they come to."""

import re

import pytest
from made_boards import board_of
from made_experiments import SALIENCY, boards_of, made_cell

from emsym.leaderboard.board import boards
from emsym.leaderboard.render.sentences import facts
from emsym.leaderboard.results import of_records
from emsym.protocol import load_protocol
from emsym.run.store.record import Record

LEAD = "saliency/true-foreground/model_asymmetry"


def test_shares_are_over_the_cells_that_count_alone(records: list[Record]) -> None:
    """Seed 1 of `uniform-green`, which `rgb` lacks, has other shares, and moves nothing."""
    prefix = "saliency/true-foreground/slice_share"
    other = {f"{prefix}[-1]": 1.0, f"{prefix}[+0]": 0.0, f"{prefix}[+1]": 0.0}
    assert (records[3].init, records[3].seed) == ("uniform-green", 1)
    records[3] = records[3].model_copy(update={"scores": records[3].scores | other})
    board = board_of([records[0], records[1], records[3]])
    assert board.share_means(board.shared).loc["uniform-green"].tolist() == pytest.approx(
        [1 / 3] * 3
    )


def test_strategies_are_in_the_order_of_the_first_score(records: list[Record]) -> None:
    board = board_of(records)
    assert board.order == ["uniform-green", "rgb"]
    means = board.lead.summary["mean"]
    assert means["rgb"] == pytest.approx(0.5)  # the sign of a seed's asymmetry does not cancel


def test_the_primary_score_of_the_protocol_orders_strategies(records: list[Record]) -> None:
    """Dice, of which `uniform-green` has a bit less here, though it is less biased."""
    named = {"protocol": records[0].protocol.model_copy(update={"primary": "dice@0.5"})}
    dice = {"rgb": 0.9, "uniform-green": 0.8}
    board = board_of(
        [
            record.model_copy(
                update=named | {"scores": record.scores | {"dice@0.5": dice[record.init]}}
            )
            for record in records
        ]
    )
    assert (board.lead.key, board.order) == ("dice@0.5", ["rgb", "uniform-green"])
    assert list(board.scores)[1] == "saliency/true-foreground/model_asymmetry"
    assert "Dice is the primary one, as the protocol says" in dict(facts(board))["Endpoint"]


def test_an_incomplete_strategy_has_fewer_cells_than_are_needed(records: list[Record]) -> None:
    third = records[0].model_copy(update={"init": "mine", "key": "0" * 32})
    board = board_of([*records, third])
    assert (board.has["mine"], board.has["rgb"], board.needed) == (1, 2, 2)
    assert "mine" not in board.ranked


def test_a_missing_cell_is_never_imputed(records: list[Record]) -> None:
    """`rgb` lacks seed 1 of what `uniform-green` has: seed 0 alone is compared."""
    board = board_of(records[:3])
    assert board.entered.sum().sum() == 2
    assert board.columns["dice@0.5"].summary.loc["uniform-green", "mean"] == pytest.approx(
        records[1].scores["dice@0.5"]
    )
    assert board.lead.summary[["first", "last"]].to_numpy().tolist() == [[1, 2], [1, 2]]


def test_a_data_set_that_one_strategy_lacks_ranks_nobody(
    records: list[Record], easy: list[Record]
) -> None:
    board = board_of([*records, *easy])
    assert board.shared == [("tiny-a", "linknet-tu-test_efficientnet")]
    assert len(board.pairs) == 2
    assert board.columns["dice@0.5"].summary.loc["rgb", "mean"] == pytest.approx(0.895, abs=1e-3)


def test_a_column_is_found_by_the_name_of_its_score(records: list[Record]) -> None:
    board = board_of(records)
    dice = board.column("dice")
    assert dice is not None
    assert dice.key == "dice@0.5"
    (mean, low, high) = dice.of_pair(board.pairs[0], ["rgb"])[0]
    assert mean == pytest.approx(0.895, abs=1e-3)
    assert low <= mean <= high
    assert board.column("no-such-score") is None


def test_names_of_pictures_tell_protocols_apart(records: list[Record]) -> None:
    stamp = records[0].protocol.model_copy(update={"digest": "0" * 64})
    other = [record.model_copy(update={"protocol": stamp}) for record in records]
    stems = {board_of(each).stem for each in (records, records, other)}
    assert len(stems) == 2
    assert all(re.fullmatch(r"tiny-1-[0-9a-f]{8}", stem) for stem in stems)


def test_a_score_that_one_strategy_lacks_ranks_the_others(records: list[Record]) -> None:
    third = [
        record.model_copy(
            update={
                "init": "mine",
                "key": record.key[::-1],
                "scores": record.scores | {LEAD: None if record.seed else 0.2},
            }
        )
        for record in records
        if record.init == "rgb"
    ]
    board = board_of([*records, *third])
    table = board.lead.summary
    assert table.loc["mine"].isna().all()
    assert table.loc[["uniform-green", "rgb"], "rank"].tolist() == [1, 2]
    assert table.loc["rgb", "last"] == 2
    assert board.order[-1] == "mine"
    assert board.columns["dice@0.5"].summary["mean"].notna().all()


def test_neighbours_that_are_told_apart_are_counted(records: list[Record]) -> None:
    assert board_of(records).told_apart == (1, 1)
    assert board_of([records[0], records[2]]).told_apart == (0, 0)
    assert list(board_of(records).power.columns) == ["model asym.", "Dice", "flip error"]


def test_what_a_method_finds_in_symmetric_networks_is_its_own_fault(records: list[Record]) -> None:
    exact = "slice-shapley/true-foreground/model_asymmetry"
    changed = []
    for record in records:
        symmetric = record.init == "uniform-green"
        more = {exact: 0.0, LEAD: 0.02 + 0.02 * record.seed, "flip_error": 1e-8}
        free = {exact: 0.1 + record.seed, LEAD: 0.5 + record.seed}
        scores = record.scores | (more if symmetric else free)
        changed.append(record.model_copy(update={"scores": scores}))
    row = board_of(changed).methods.loc["saliency"]
    assert row["own"] == pytest.approx(0.03)
    assert row[["rank", "sign", "rows"]].tolist() == pytest.approx([1, 1, 2]), "of the others alone"


def test_real_data_come_first_and_then_more_pairs(records: list[Record]) -> None:
    def of(protocol: str, modality: str, architectures: int) -> list[Record]:
        return [
            record.model_copy(
                update={
                    "protocol": record.protocol.model_copy(update={"name": protocol}),
                    "dataset": record.dataset.model_copy(update={"modality": modality}),
                    "architecture": f"unet-{number}",
                    "key": f"{protocol}-{number}-{record.key}",
                }
            )
            for record in records
            for number in range(architectures)
        ]

    made = boards(
        of_records(
            [
                *of("a-few", "synthetic, after FIB-SEM", 1),
                *of("more", "synthetic, after FIB-SEM", 2),
                *of("real", "FIB-SEM", 1),
            ]
        )
    )
    assert [board.first["protocol"] for board in made] == ["real", "more", "a-few"]


def test_a_board_has_shares_of_its_own_slices_alone(records: list[Record]) -> None:
    three, five = load_protocol("slices").variants()[:2]
    made = [
        made_cell(
            records[0],
            "rgb",
            seed,
            {
                f"{SALIENCY}/slice_share[{at:+d}]": [0.2, 0.2]
                for at in range(-(variant.slices // 2), variant.slices // 2 + 1)
            }
            | {f"{SALIENCY}/model_asymmetry": [0.1, 0.2]},
            protocol=variant,
        )
        for variant in (three, five)
        for seed in (0, 1)
    ]
    assert sorted(len(board.shares) for board in boards_of(made)) == [3, 5]
