from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from emsym.leaderboard.estimates import UNIT, combine, differences, estimate_means, own

Simulate = Callable[..., tuple[pd.DataFrame, pd.DataFrame]]


def frame(values: dict[str, list[float]], dataset: str = "d", architecture: str = "a"):
    count = len(next(iter(values.values())))
    index = pd.MultiIndex.from_product([[dataset], [architecture], range(count)], names=UNIT)
    return pd.DataFrame(values, index)


def test_the_error_is_that_of_a_mixed_model_with_crossed_seeds_and_sections() -> None:
    """By statsmodels' REML, which for a balanced table is the analysis of variance."""
    formula = pytest.importorskip("statsmodels.formula.api")
    random = np.random.default_rng(2)
    values = random.normal(size=(6, 1)) + random.normal(size=(1, 9)) + random.normal(size=(6, 9))
    index = pd.MultiIndex.from_product([["d"], ["a"], range(6), range(9)], names=[*UNIT, "section"])
    long = pd.DataFrame({"x": values.ravel()}, index)
    error, _ = estimate_means(long.groupby(level=UNIT).mean(), long).error(own)
    table = long.reset_index().assign(whole=1)
    parts = {"seed": "0 + C(seed)", "section": "0 + C(section)"}
    theirs = formula.mixedlm("x ~ 1", table, groups="whole", vc_formula=parts).fit()
    assert error[0] == pytest.approx(theirs.bse["Intercept"], rel=1e-3)


def test_sections_that_all_architectures_share_do_not_average_out() -> None:
    """Ten architectures that do the same with a section are one."""
    sections = np.random.default_rng(0).normal(size=30)
    index = pd.MultiIndex.from_product(
        [["d"], range(10), range(4), range(30)], names=[*UNIT, "section"]
    )
    long = pd.DataFrame({"x": np.tile(sections, 40)}, index)
    error, freedom = estimate_means(long.groupby(level=UNIT).mean(), long).error(own)
    assert error[0] == pytest.approx(stats.sem(sections))
    assert freedom[0] == pytest.approx(29)


def test_the_parts_of_a_variance() -> None:
    """3 + 2 − 1, and the degrees of freedom by hand."""
    seeds, sections = (np.array([1.0, 2.0]), np.array([4, 4])), (np.array([2.0]), np.array([9]))
    both = (np.array([0.5, 0.5]), np.array([36, 36]))
    variance, freedom = combine(seeds, sections, both)
    assert variance == 4
    assert freedom == pytest.approx(16 / (1 / 6 + 4 / 6 + 4 / 11 + 0.25 / 38 + 0.25 / 38) - 2)


def test_a_variance_is_never_less_than_one_of_its_parts() -> None:
    nothing = (np.zeros(1), np.array([4]))
    variance, _ = combine((np.ones(1), np.array([4])), nothing, (np.ones(1), np.array([4])))
    assert variance == 1


def test_two_seeds_that_agree_claim_no_degrees_of_freedom_of_sections() -> None:
    none = (np.zeros(1), np.zeros(1))
    _, freedom = combine((np.full(1, 1e-9), np.ones(1)), (np.ones(1), np.full(1, 30)), none)
    assert freedom == 1


def test_pairing_takes_away_what_both_have(simulate: Simulate) -> None:
    cells, sections = simulate(
        np.random.default_rng(0), {"a": 0, "b": 1}, seeds=6, seed_sd=0, section_sd=0, noise_sd=0.1
    )
    found = estimate_means(cells, sections)
    assert found.error(own)[0][1] > 0.5
    assert found.error(differences)[0][0, 1] < 0.1


def test_sections_of_one_block_count_once(simulate: Simulate) -> None:
    """Neighbours that say the same are not twice as much evidence."""
    means = {"x": 0, "y": 0}
    cells, sections = simulate(np.random.default_rng(0), means, seed_sd=0.1, seeds=9, section_sd=3)
    index = sections.index.to_frame(index=False)
    copies = [index.assign(section=2 * index["section"] + copy) for copy in (0, 1)]
    doubled = pd.concat([sections.set_index(pd.MultiIndex.from_frame(c)) for c in copies])

    def error(values: pd.DataFrame, block: int) -> float:
        return estimate_means(cells, values, block=block).error(differences)[0][0, 1]

    plain = error(sections, 1)
    assert error(doubled, 2) == pytest.approx(plain)
    assert error(doubled, 1) < 0.8 * plain


def test_blocks_are_those_of_the_data_set_whichever_sections_a_pair_lacks() -> None:
    """Architecture b has no value of the first section: its blocks begin there all the same."""
    random = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([["d"], ["a", "b"], range(3), range(8)])
    values = random.normal(size=(2, 3, 8))
    values[1] = values[0]
    long = pd.DataFrame({"x": values.ravel()}, index.set_names([*UNIT, "section"]))
    cells = long.groupby(level=UNIT).mean()
    lacking = long[~((index.get_level_values(1) == "b") & (index.get_level_values(3) == 0))]
    (moves,) = estimate_means(cells, lacking, block=2).sections
    (whole,) = estimate_means(cells, long, block=2).sections
    assert moves.moves.shape == whole.moves.shape == (4, 2, 1)
    np.testing.assert_allclose(moves.moves[1:, 1], whole.moves[1:, 1], atol=0.2)


def test_one_block_cannot_tell_how_blocks_vary(simulate: Simulate) -> None:
    cells, sections = simulate(np.random.default_rng(0), {"x": 0}, sections=3)
    assert estimate_means(cells, sections, block=3).sections == ()


def test_missing_sections_are_left_out(simulate: Simulate) -> None:
    cells, sections = simulate(np.random.default_rng(0), {"x": 0, "y": 1}, sections=60)
    holes = sections.copy()
    holes.iloc[::7, 0] = np.nan
    found, whole = estimate_means(cells, holes), estimate_means(cells, sections)
    assert found.mean.tolist() == whole.mean.tolist()
    assert found.error(own)[0] == pytest.approx(whole.error(own)[0], rel=0.1)


def test_a_part_is_as_if_there_were_no_more(simulate: Simulate) -> None:
    random = np.random.default_rng(0)
    cells, sections = simulate(random, {"a": 0.2, "b": 0.4, "c": 0}, sets=2, architectures=3)
    pairs = [("d1", "a2"), ("d0", "a1"), ("d1", "a0")]
    part = estimate_means(cells, sections).take(pairs, ["c", "b"])
    there = [unit[:2] in pairs for unit in cells.index]
    inside = [unit[:2] in pairs for unit in sections.index]
    alone = estimate_means(cells.loc[there, ["c", "b"]], sections.loc[inside, ["c", "b"]])
    for contrast in (own, differences):
        for ours, theirs in zip(part.error(contrast), alone.error(contrast), strict=True):
            np.testing.assert_allclose(ours, theirs)
