"""A sceptical reader's questions are answered by the numbers of the tables, with intervals."""

import re

from made_boards import board_of

from emsym.leaderboard.render.questions import questions
from emsym.run.store.record import Record

NUMBER = r"−?\d+\.\d+ \(−?\d+\.\d+(–| to )−?\d+\.\d+\)"


def answers(records: list[Record]) -> dict[str, str]:
    return dict(questions(board_of(records), str))


def with_scores(records: list[Record], **scores: dict[str, float]) -> list[Record]:
    """Records that have more scores, each by its strategy, and a bit more with every seed."""
    return [
        r.model_copy(
            update={
                "scores": {
                    **r.scores,
                    **{key: value[r.init] * (1 + 0.1 * r.seed) for key, value in scores.items()},
                }
            }
        )
        for r in records
    ]


def test_the_least_biased_and_the_baseline_are_told_by_every_measure(records: list[Record]) -> None:
    more = with_scores(
        records,
        **{"slice-shapley/true-foreground/model_asymmetry": {"rgb": 0.4, "uniform-green": 0.1}},
    )
    told = answers(more)["Is it the method?"]
    start = rf"The model asymmetry by saliency is {NUMBER} with rgb and 0\.000 .* uniform-green, "
    assert re.match(start, told)
    assert re.search(rf"the model asymmetry by exact Shapley values is {NUMBER} with rgb", told)
    assert re.search(rf"and the flip error is {NUMBER} with rgb and {NUMBER} with uniform", told)


def test_every_data_set_is_told_by_itself(records: list[Record]) -> None:
    told = answers(records)["Is it the volume?"]
    assert re.search(r"less that of rgb is −0\.500 \(.*\) on tiny-a\.$", told)


def test_couples_of_cells_are_counted(records: list[Record]) -> None:
    told = answers(records)["Is it a few seeds?"]
    assert told.startswith("uniform-green is ahead in 2 of 2 couples")
    assert told.endswith("100 (16–100) %.")


def test_nanometres_are_told_where_cells_have_them(records: list[Record]) -> None:
    question = "How large is it in nanometres?"
    assert question not in answers(records)
    more = with_scores(records, view_offset={"rgb": -3.0, "uniform-green": 0.5})
    told = answers(more)[question]
    assert re.match(rf"The view offset is {NUMBER} nm with rgb and {NUMBER} nm", told)


def test_without_sections_nothing_is_said_of_them(records: list[Record]) -> None:
    assert "What if sections are alike?" not in answers(records)


def test_one_seed_answers_nothing(records: list[Record]) -> None:
    assert not answers([record for record in records if record.seed == 0])
    assert not answers([record for record in records if record.init == "rgb"])
