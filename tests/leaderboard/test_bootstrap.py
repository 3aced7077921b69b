from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from emsym.leaderboard.bootstrap import (
    UNIT,
    Draws,
    bootstrap,
    intervals,
    pair_intervals,
    rank_intervals,
    ratio_intervals,
)

Simulate = Callable[..., tuple[pd.DataFrame, pd.DataFrame]]


def frame(values: dict[str, list[float]], pair: str = "d") -> pd.DataFrame:
    count = len(next(iter(values.values())))
    index = pd.MultiIndex.from_product([[pair], ["a"], range(count)], names=UNIT)
    return pd.DataFrame(values, index)


@pytest.mark.parametrize("seeds", [5, 20])
def test_over_seeds_alone_it_is_students_t(seeds: int) -> None:
    values = np.random.default_rng(0).normal(3, 2, seeds)
    found = intervals(bootstrap(frame({"x": values.tolist()}))).loc["x"]
    low, high = stats.t.interval(0.95, seeds - 1, values.mean(), stats.sem(values))
    assert found["mean"] == pytest.approx(values.mean())
    assert found["error"] == pytest.approx(stats.sem(values), rel=0.03)
    assert found["low"] == pytest.approx(low, abs=0.12 * (high - low))
    assert found["high"] == pytest.approx(high, abs=0.12 * (high - low))


def test_over_sections_alone_it_is_scipys_bootstrap() -> None:
    """Of seeds that are all alike, what varies is the sections."""
    sections = np.random.default_rng(0).normal(size=60)
    cells = frame({"x": [sections.mean()] * 50})
    index = pd.MultiIndex.from_product([["d"], ["a"], range(50), range(60)])
    long = pd.DataFrame({"x": np.tile(sections, 50)}, index.set_names([*UNIT, "section"]))
    theirs = stats.bootstrap((sections,), np.mean, method="percentile", rng=0)
    found = intervals(bootstrap(cells, long)).loc["x"]
    expected = theirs.confidence_interval
    assert found["low"] == pytest.approx(expected.low, abs=0.02)
    assert found["high"] == pytest.approx(expected.high, abs=0.02)


def test_pairing_takes_away_what_both_have(simulate: Simulate) -> None:
    cells, sections = simulate(
        np.random.default_rng(0), {"a": 0, "b": 1}, seeds=6, seed_sd=0, section_sd=0, noise_sd=0.1
    )
    found = bootstrap(cells, sections, draws=2000)
    assert intervals(found).loc["b", "error"] > 0.5
    assert intervals(found.less("a")).loc["b", "error"] < 0.1


def test_a_single_seed_has_no_interval() -> None:
    found = intervals(bootstrap(frame({"x": [1.0]}), draws=100)).loc["x"]
    assert found["mean"] == 1
    assert found[["low", "high", "error"]].isna().all()


def test_equal_values_have_an_interval_of_nothing() -> None:
    found = intervals(bootstrap(frame({"x": [0.0, 0, 0]}), draws=100)).loc["x"]
    assert found[["mean", "low", "high"]].tolist() == [0, 0, 0]


def test_bounds_are_kept() -> None:
    found = intervals(bootstrap(frame({"x": [0.0, 0.1]}), absolute=True), (0, 1)).loc["x"]
    assert found["low"] == 0


def test_the_sign_of_a_cell_does_not_cancel() -> None:
    found = bootstrap(frame({"x": [-0.4, 0.4]}), absolute=True, draws=500)
    assert found.point.loc[("d", "a"), "x"] == pytest.approx(0.4)
    assert intervals(found).loc["x", "low"] == pytest.approx(0.4)


def test_sections_of_one_block_are_drawn_together(simulate: Simulate) -> None:
    """Neighbours that say the same are not twice as much evidence."""
    means = {"x": 0, "y": 0}
    cells, sections = simulate(np.random.default_rng(0), means, seed_sd=0.1, seeds=9, section_sd=3)

    def twice(block: int) -> float:
        index = sections.index.to_frame(index=False)
        copies = [index.assign(section=2 * index["section"] + copy) for copy in (0, 1)]
        doubled = pd.concat([sections.set_index(pd.MultiIndex.from_frame(c)) for c in copies])
        return error(bootstrap(cells, doubled, block=block, draws=4000))

    def error(found: Draws) -> float:
        return intervals(found.less("x")).loc["y", "error"]

    plain = error(bootstrap(cells, sections, draws=4000))
    assert twice(block=2) == pytest.approx(plain, rel=0.05)
    assert twice(block=1) < 0.8 * plain


def test_missing_sections_are_left_out(simulate: Simulate) -> None:
    cells, sections = simulate(np.random.default_rng(0), {"x": 0, "y": 1}, sections=40)
    holes = sections.copy()
    holes.iloc[::3, 0] = np.nan
    found = intervals(bootstrap(cells, holes, draws=1000))
    whole = intervals(bootstrap(cells, sections, draws=1000))
    assert found["mean"].tolist() == whole["mean"].tolist()
    assert np.isfinite(found[["low", "high"]]).all(axis=None)
    assert found.loc["y", "error"] == pytest.approx(whole.loc["y", "error"], rel=0.05)


def test_a_reduction_of_known_size() -> None:
    random = np.random.default_rng(0)
    rgb = random.normal(0.4, 0.01, 8)
    cells = frame({"rgb": rgb.tolist(), "green": (rgb / 4).tolist(), "none": [0.0] * 8})
    found = ratio_intervals(bootstrap(cells), "rgb")
    assert found.loc["green"].tolist() == pytest.approx([75, 75, 75], abs=1e-3)
    assert found.loc["none", "mean"] == 100
    assert found.loc["rgb", "mean"] == 0


def test_there_is_no_part_of_what_may_be_nothing() -> None:
    found = ratio_intervals(bootstrap(frame({"rgb": [0.3, -0.3], "x": [0.1, 0.2]})), "rgb")
    assert found.loc["x", ["low", "high"]].isna().all()


def test_average_ranks(simulate: Simulate) -> None:
    one = frame({"a": [1.0, 1.1], "b": [2.0, 2.1], "c": [2.0, 2.1]})
    other = frame({"a": [3.0, 3.1], "b": [1.0, 1.1], "c": [9.0, 9.1]}, "e")
    found = rank_intervals(bootstrap(pd.concat([one, other]), draws=500), "low")
    assert found["mean"].tolist() == [1.5, 1.75, 2.75]
    assert (found["low"] <= found["mean"]).all()
    assert (found["mean"] <= found["high"]).all()
    assert rank_intervals(bootstrap(one, draws=500), "high")["mean"].tolist() == [3, 1.5, 1.5]


def test_the_same_seed_gives_the_same_draws(simulate: Simulate) -> None:
    cells, sections = simulate(np.random.default_rng(0), {"x": 0})
    one, other = (bootstrap(cells, sections, draws=50).drawn for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_a_pair_by_itself_is_as_if_it_were_alone(simulate: Simulate) -> None:
    cells, sections = simulate(np.random.default_rng(0), {"a": 0.2, "b": 0.4}, pairs=3)
    found = bootstrap(cells, sections, draws=500)
    alone = intervals(found.take([("d1", "a")], ["a", "b"]), (0, 1))
    together = pair_intervals(found, (0, 1)).loc[("d1", "a")]
    pd.testing.assert_frame_equal(together, alone, check_names=False, rtol=1e-4)
