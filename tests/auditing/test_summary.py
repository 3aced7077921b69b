"""A summary is over the sections that were looked at so far, by intervals of its level."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from emsym.auditing.summary import Summary
from emsym.protocol import SHAPLEY

RANDOM = np.random.default_rng(0)
SECTIONS = 12
PREFIX = "saliency/foreground/"
COLUMNS = {
    "flip_error": RANDOM.uniform(0.01, 0.02, SECTIONS),
    "flip_dice": RANDOM.uniform(0.97, 0.99, SECTIONS),
    "foreground/pixels": np.r_[np.zeros(2), np.full(SECTIONS - 2, 9.0)],
    **{f"{PREFIX}slice_share[{s:+d}]": np.r_[[np.nan] * 2, [1 / 3] * 10] for s in (-1, 0, 1)},
    f"{PREFIX}model_asymmetry": np.r_[[np.nan] * 2, RANDOM.normal(-0.3, 0.02, 10)],
}
EMPTY: Any = SimpleNamespace(counts=[], reversed=[], averaged=[], predicted=0.3)


def summary(level: float = 0.95, **changed: np.ndarray) -> Summary:
    return Summary(COLUMNS | changed, 3, np.arange(SECTIONS), level)


def test_a_higher_level_widens_every_interval_about_the_same_mean() -> None:
    plain, wide = (summary(level).symmetry("saliency", "foreground") for level in (0.95, 0.9875))
    one, other = plain.model_asymmetry, wide.model_asymmetry
    assert (
        one.value == other.value == pytest.approx(np.nanmean(COLUMNS[f"{PREFIX}model_asymmetry"]))
    )
    assert other.low < one.low < one.high < other.high
    assert wide.ratio.low < plain.ratio.low < plain.ratio.value < plain.ratio.high < wide.ratio.high


def test_sections_without_a_value_are_counted_and_left_out() -> None:
    found = summary().measured(("saliency", "foreground"), ["saliency"], EMPTY, 40)
    assert (found.sections, found.valued, found.empty, found.available) == (12, 10, 2, 40)
    assert found.headline.missing == 2
    assert found.exact_values is None
    assert found.headline.imbalance is None, "it was not measured"


def test_what_no_section_shows_more_of_than_rounding_is_exact() -> None:
    even = {f"{PREFIX}model_asymmetry": np.full(SECTIONS, 1e-9)}
    for flips, exact in ((1e-9, True), (1e-3, False)):
        found = summary(**even, flip_error=np.full(SECTIONS, flips)).measured(
            ("saliency", "foreground"), ["saliency"], EMPTY, 40
        )
        assert found.exact == exact


def test_exact_values_are_parts_of_what_all_slices_bring() -> None:
    columns = {
        f"{SHAPLEY}/foreground/slice_shapley[{s:+d}]": np.full(SECTIONS, value)
        for s, value in ((-1, 2.0), (0, 1.0), (1, 1.0))
    }
    assert [each.value for each in summary(**columns).shapley("foreground")] == [0.5, 0.25, 0.25]
