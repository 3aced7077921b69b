"""What an optional score is given, and what it may give back."""

import numpy as np
import pytest
import torch

from emsym.errors import UserError
from emsym.scores.catalogue import SCORES, register_score
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.measure import Measurement
from emsym.scores.optional.compute import Surroundings, optional_scores, scored_sections
from emsym.scores.optional.scored_sections import ScoredSections

AROUND = Surroundings(DenseLogits(torch.nn.Identity()), (30, 6, 6))


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SCORES, "_entries", dict(SCORES._entries))


@pytest.fixture
def measured() -> Measurement:
    x = torch.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4).float()
    half = np.full((2, 4, 4), 0.5)
    mask = torch.ones(2, 4, 4, dtype=torch.bool)
    maps = {("saliency", "all"): x * 2}
    answers = {"probability": half, "mirrored": half / 2, "predicted": half > 0.4}
    answers |= {"mirror_predicted": half > 0.4, "average_predicted": half > 0.4}
    return Measurement(
        slice(0, 2), x, mask, None, **answers, masks={"all": mask}, maps=maps, columns={}
    )


def test_a_score_sees_what_was_predicted_and_attributed(measured: Measurement) -> None:
    @register_score("seen")
    def seen(sections: ScoredSections) -> np.ndarray:
        assert sections.masks["all"].all()
        assert sections.truth.dtype == bool
        assert sections.threshold == 0.4
        doubled = sections.attributions["saliency", "all"] / sections.x.clip(1)
        return doubled.max((1, 2, 3)) + (sections.probability - sections.mirrored).mean((1, 2))

    (values,) = optional_scores(scored_sections(measured, 0.4, AROUND), ["seen"]).values()
    assert values.tolist() == [2.25, 2.25]


def test_missing_is_nan_and_whole_numbers_are_values(measured: Measurement) -> None:
    register_score("some")(lambda sections: np.array([np.nan, 1]))
    register_score("count")(lambda sections: [3, 4])
    columns = optional_scores(scored_sections(measured, 0.5, AROUND), ["some", "count"])
    np.testing.assert_array_equal(columns["plugin/some"], [np.nan, 1])
    assert columns["plugin/count"].tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(3), r"float64 of shape \(3,\) for 2 sections"),
        (0.5, r"of shape \(\) for 2"),
        (np.array(["a", "b"]), "must give one number for each"),
        (np.array([0.5, 1.5]), "gives 1.5, which is not within 0 and 1"),
        (np.array([0.5, np.inf]), "gives inf"),
    ],
)
def test_what_is_no_score_is_told(measured: Measurement, values: object, message: str) -> None:
    register_score("odd", bounds=(0, 1))(lambda sections: values)
    with pytest.raises(UserError, match=message):
        optional_scores(scored_sections(measured, 0.5, AROUND), ["odd"])
