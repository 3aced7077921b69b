"""Each metric against a reference of a few lines, and known answers; T is a function of NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from emsym.scores.faithfulness.metrics import METRICS, list_metrics

pytestmark = pytest.mark.numerical

STEPS = 4
SHAPES = [(3, 12, 12), (1, 12, 12), (5, 10, 15), (3, 11, 13)]
"""The last two are divided neither by their steps nor by their squares."""


def score(name, total, x, a, steps=STEPS):
    np.random.seed(0)  # noqa: NPY002
    return METRICS.get(name).compute(total, x, a, steps)


def arrays(shape, seed=4):
    generator = np.random.default_rng(seed)
    return generator.standard_normal((2, *shape)).astype(np.float32)


def curved(stacks):
    """Neither linear nor a sum over pixels."""
    s = stacks.astype(float)
    return (s[:, 0] * s[:, -1] + np.tanh(s[:, -1])).sum((1, 2)) * (1 + s.mean((1, 2, 3)))


def linear(weight, offset=0.0):
    return lambda stacks: (stacks.astype(float) * weight).sum((1, 2, 3)) + offset


def without(x, pixels):
    changed = x.flatten()
    changed[pixels] = 0
    return changed.reshape(x.shape)


def one(total, x):
    return float(total(x[None])[0])


def groups(x, a):
    """Pixels in the order of a, greatest first, in groups."""
    size = -(-x[0].size // STEPS)
    order = np.argsort(-a.ravel(), kind="stable")
    return [order[at : at + size] for at in range(0, x.size, size)]


def squares(x):
    """Flat indices of squares through all slices; the section lies amid those that cover it."""
    side = int(np.ceil(np.sqrt(x[0].size / (len(x) * STEPS))))
    index = np.arange(x.size).reshape(x.shape)
    low = [(-size % side) // 2 for size in x.shape[1:]]
    return [
        index[:, max(top, 0) : top + side, max(left, 0) : left + side].ravel()
        for top in range(-low[0], x.shape[1], side)
        for left in range(-low[1], x.shape[2], side)
    ]


def curve(total, x, parts):
    """T while one part after the other is taken away."""
    gone = [np.concatenate(parts[: k + 1]) for k in range(len(parts))]
    return np.array([one(total, without(x, pixels)) for pixels in gone])


def relative(total, x, level):
    nothing = one(total, np.zeros_like(x))
    return (level - nothing) / abs(one(total, x) - nothing)


def estimate(total, x, a):
    falls = [one(total, x) - one(total, without(x, g)) for g in groups(x, a)]
    return pearsonr(falls, [a.ravel()[g].sum() for g in groups(x, a)])[0]


def monotonicity(total, x, a):
    parts = groups(x, -np.abs(a))
    squared = [(one(total, x) - one(total, without(x, g))) ** 2 for g in parts]
    return spearmanr(squared, [np.abs(a).ravel()[g].sum() for g in parts])[0]


def subsets(total, x, a, size, runs, random):
    chosen = [random.choice(x.size, size, replace=False) for _ in range(runs)]
    falls = [one(total, x) - one(total, without(x, pixels)) for pixels in chosen]
    return pearsonr(falls, [a.ravel()[pixels].sum() for pixels in chosen])[0]


def correlation(total, x, a):
    random = np.random.RandomState(0)
    return subsets(total, x, a, -(-x[0].size // STEPS), len(x) * STEPS, random)


def sensitivity(total, x, a):
    random = np.random.RandomState(0)
    runs = -(-len(x) * STEPS // 3)
    sizes = [-(-x[0].size // n) for n in (8, 4, 2)]
    return np.mean([subsets(total, x, a, size, runs, random) for size in sizes])


def flipping(total, x, a):
    levels = curve(total, x, groups(x, a))
    return relative(total, x, (levels[:-1] + levels[1:]).mean() / 2)


def regions(total, x, a):
    parts = sorted(squares(x), key=lambda square: -a.ravel()[square].sum())
    return curve(total, x, parts)


def region_perturbation(total, x, a):
    falls = one(total, x) - regions(total, x, a)
    return falls.mean() / abs(one(total, x) - one(total, np.zeros_like(x)))


def selectivity(total, x, a):
    return relative(total, x, regions(total, x, a).mean())


def infidelity(total, x, a):
    falls = np.array([one(total, x) - one(total, without(x, s)) for s in squares(x)])
    said = np.array([(a * x).ravel()[s].sum() for s in squares(x)])
    errors = [((falls - b * said) ** 2).sum() for b in (0, (falls @ said) / (said @ said))]
    return (errors[1] if falls @ said > 0 else errors[0]) / (falls**2).sum()


REFERENCES = {
    "faithfulness-correlation": correlation,
    "faithfulness-estimate": estimate,
    "infidelity": infidelity,
    "monotonicity-correlation": monotonicity,
    "pixel-flipping": flipping,
    "region-perturbation": region_perturbation,
    "selectivity": selectivity,
    "sensitivity-n": sensitivity,
}
ELSEWHERE = {"road", "slice-removal"}


def test_every_metric_has_a_reference():
    assert {*REFERENCES, *ELSEWHERE} == set(list_metrics())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", REFERENCES)
def test_score_is_what_the_definition_says(name, shape):
    x, a = arrays(shape, seed=4)
    a += 2 * x[::-1]  # nearly the gradient
    found = score(name, curved, x, a)
    assert found == pytest.approx(REFERENCES[name](curved, x, a), rel=1e-4, abs=1e-5)
    assert len(x) == 1 or abs(found) not in (0, 1)


@pytest.mark.parametrize(
    "name", ["faithfulness-correlation", "faithfulness-estimate", "sensitivity-n"]
)
def test_weight_times_input_is_wholly_faithful_to_a_linear_network(name):
    x, weight = arrays((3, 12, 12))
    assert score(name, linear(weight), x, weight * x) == pytest.approx(1, abs=1e-5)
    assert score(name, linear(weight), x, -weight * x) == pytest.approx(-1, abs=1e-5)


@pytest.mark.parametrize(("factor", "expected"), [(1, 0), (7, 0), (-1, 1)])
def test_infidelity_of_a_linear_networks_gradient(factor, expected):
    x, weight = arrays((3, 12, 12))
    found = score("infidelity", linear(weight), x, factor * weight)
    assert found == pytest.approx(expected, abs=1e-5)


def test_monotonicity_of_contributions_of_one_sign():
    x, weight = np.abs(arrays((3, 12, 12)))
    found = score("monotonicity-correlation", linear(-weight), x, -weight * x)
    assert found == pytest.approx(1)
    upside_down = (weight * x).max() - weight * x
    found = score("monotonicity-correlation", linear(-weight), x, upside_down)
    assert found == pytest.approx(-1)


def test_areas_of_a_network_that_needs_its_first_group_alone():
    x = np.ones((1, 4, 4), np.float32)
    a = np.zeros_like(x)
    a[0, 0] = 1  # 4 pixels: the first of 4 groups; the others are tied at 0
    found = score("pixel-flipping", linear(a, offset=-3), x, a)
    assert found == pytest.approx(0)
    # last: T stays at T(x) for 3 groups, and falls in the last: (1 + 1 + ½) / 3 by trapezoids
    assert score("pixel-flipping", linear(a, offset=-3), x, -a) == pytest.approx(2.5 / 3)
    corner = np.zeros_like(x)
    corner[0, :2, :2] = 1
    assert score("region-perturbation", linear(corner), x, corner) == pytest.approx(1)
    assert score("selectivity", linear(corner), x, corner) == pytest.approx(0)
    assert score("region-perturbation", linear(corner), x, -corner) == pytest.approx(1 / 4)
    assert score("selectivity", linear(corner), x, -corner) == pytest.approx(3 / 4)


def test_where_the_whole_has_less_than_nothing_removal_of_what_lowers_it_is_still_worse():
    x, weight = np.abs(arrays((3, 12, 12)))
    total = linear(-weight)
    for name, sign in [("pixel-flipping", 1), ("selectivity", 1), ("region-perturbation", -1)]:
        right, wrong = score(name, total, x, -weight * x), score(name, total, x, weight * x)
        assert sign * right < sign * wrong, name


@pytest.mark.parametrize("name", sorted(set(list_metrics()) - {"road"}))
def test_exact_attribution_is_better_than_its_opposite(name):
    x, weight = np.abs(arrays((3, 12, 12))) + 0.1
    weight *= np.array([1, 4, 2])[:, None, None]
    exact = weight if name == "infidelity" else weight * x
    pair = [score(name, linear(weight), x, a) for a in (exact, exact.max() - exact)]
    assert pair == sorted(pair, reverse=METRICS.get(name).better == "high")
    assert pair[0] != pair[1]


@pytest.mark.parametrize("name", list_metrics())
def test_scales_of_attribution_and_network_do_not_matter(name):
    x, a = arrays((3, 12, 12))
    found = score(name, curved, x, a)
    assert score(name, curved, x, 4 * a) == pytest.approx(found, rel=1e-6)
    assert score(name, lambda s: 4 * curved(s), x, a) == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize("name", ["pixel-flipping", "region-perturbation", "selectivity"])
def test_no_area_where_the_section_counts_as_much_as_nothing(name):
    x, weight = arrays((3, 12, 12))
    weight -= x * (weight * x).sum() / (x * x).sum()  # so that T(x) = T(0)
    assert np.isnan(score(name, linear(weight, offset=5), x, weight))


def test_squared_change_that_is_the_same_for_all_groups_has_no_rank_correlation():
    x = np.ones((3, 12, 12), np.float32)
    assert np.isnan(score("monotonicity-correlation", linear(x), x, arrays(x.shape)[0]))


def test_single_group_has_no_area():
    x, a = arrays((1, 8, 8))
    assert np.isnan(score("pixel-flipping", linear(a), x, a, steps=1))


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), slices=st.sampled_from([1, 3]), steps=st.integers(2, 6))
def test_scores_stay_in_their_ranges(seed, slices, steps):
    x, a = arrays((slices, 8, 9), seed)
    for name in ("faithfulness-correlation", "faithfulness-estimate", "monotonicity-correlation"):
        assert -1 <= score(name, curved, x, a, steps) <= 1
    assert -1e-9 <= score("infidelity", curved, x, a, steps) <= 1
    assert 0 <= score("road", curved, x, a, steps) <= 1
