import pandas as pd
from hypothesis import given
from hypothesis import strategies as some

from emsym.leaderboard.eligibility import fields, largest_complete
from emsym.leaderboard.results import cell_table, of_records, row
from emsym.run.store.record import Record


def versioned(record: Record, **changes: str) -> Record:
    stamp = record.protocol.model_copy(update=changes)
    return record.model_copy(update={"protocol": stamp, "key": f"{record.key}-{changes}"})


def test_the_newest_version_competes_and_others_stand_apart(records: list[Record]) -> None:
    newer = [versioned(record, version="10") for record in records[:2]]
    older = [versioned(record, version="9") for record in records]
    (field,) = fields(of_records([*records, *older, *newer]).cells)
    assert set(field.cells["version"]) == {"10"}
    assert field.apart["cells"].sum() == 8
    assert "version 9 of the protocol, not 10" in set(field.apart["reason"])


def test_another_text_of_one_version_stands_apart(records: list[Record]) -> None:
    edited = [versioned(record, digest="0" * 64) for record in records[:1]]
    (field,) = fields(of_records([*records, *edited]).cells)
    assert len(field.cells) == 4
    assert field.apart["reason"].tolist() == ["another text of version 1, digest 00000000"]


def test_other_weights_are_another_leaderboard(records: list[Record]) -> None:
    stamp = records[0].weights.model_copy(update={"identity": "imagenet"})
    moved = [r.model_copy(update={"weights": stamp, "key": r.key[::-1]}) for r in records]
    assert len(fields(of_records([*records, *moved]).cells)) == 2


def test_encoders_with_files_of_their_own_share_a_board_and_other_files_stand_apart(
    records: list[Record],
) -> None:
    def moved(record: Record, architecture: str, identity: str) -> Record:
        stamp = record.weights.model_copy(update={"origin": "files/", "identity": identity})
        key = f"{record.key}{architecture}{identity}"
        changes = {"weights": stamp, "key": key, "architecture": architecture}
        return record.model_copy(update=changes)

    one, other = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
    made = [moved(r, name, sha) for r in records for name, sha in (("x", one), ("y", other))]
    (field,) = fields(of_records(made).cells)
    assert set(field.cells["architecture"]) == {"x", "y"}
    made += [moved(r, "y", name) for r in records for name in ("imagenet", one)]
    (field,) = fields(of_records(made).cells)
    assert len(field.cells) == 4 * len(records)
    assert set(field.cells["architecture"]) == {"x", "y #aaaaaa", "y #bbbbbb", "y #imagenet"}


def test_a_cell_that_two_submit_counts_once(records: list[Record]) -> None:
    cells = cell_table([row(r, "first") for r in records] + [row(r, "second") for r in records[:2]])
    (field,) = fields(cells)
    assert set(field.cells["submission"]) == {"first"}
    assert field.apart["submission"].tolist() == ["second"] * len(field.apart)
    assert "the same cells as in first" in field.apart["reason"].iloc[0]


def test_what_one_failed_another_may_have_done(records: list[Record]) -> None:
    failed = records[0].model_copy(update={"status": "failed", "scores": {}})
    cells = cell_table([row(failed, "first"), *(row(r, "second") for r in records)])
    (field,) = fields(cells)
    assert (field.cells["status"] == "done").all()
    assert len(field.cells) == 4


def test_a_changed_plugin_is_a_strategy_of_its_own(records: list[Record]) -> None:
    old = [r.model_copy(update={"init_source": "a" * 64}) for r in records if r.init == "rgb"]
    new = [
        r.model_copy(update={"init_source": "b" * 64, "key": r.key[::-1]})
        for r in records
        if r.init == "rgb"
    ]
    (field,) = fields(of_records([*old, *new]).cells)
    assert set(field.cells["init"]) == {"rgb #aaaaaa", "rgb #bbbbbb"}


@given(some.lists(some.lists(some.booleans(), min_size=3, max_size=3), min_size=1, max_size=5))
def test_the_largest_complete_part_has_no_gap(values: list[list[bool]]) -> None:
    found = largest_complete(pd.DataFrame(values))
    assert found.to_numpy().all()
    widest = max(map(sum, values))
    assert found.size >= widest


def test_a_row_with_little_takes_nothing_from_the_others() -> None:
    has = pd.DataFrame([[True] * 10, [True] * 10, [True] + [False] * 9], list("abc"))
    assert largest_complete(has).shape == (2, 10)
    assert list(largest_complete(has).index) == ["a", "b"]
