"""Steps of preprocessing come to the mean and sd that do the same to grey levels."""

import numpy as np
import pytest

from emsym.models.packaged.preprocessing import Step, grey_level_option

FIXED = Step(name="zero_mean_unit_variance", kwargs={"mode": "fixed", "mean": 0.5, "std": 0.25})
NEWER = Step(id="fixed_zero_mean_unit_variance", kwargs={"mean": [120], "std": [30]})
SCALED = Step(name="scale_linear", kwargs={"gain": 1 / 255, "offset": -0.1, "axes": "yx"})
TYPED = Step(id="ensure_dtype", kwargs={"dtype": "float32"})


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], lambda grey: grey),
        ([TYPED, NEWER], lambda grey: (grey - 120) / 30),
        ([SCALED], lambda grey: grey / 255 - 0.1),
        ([SCALED, FIXED], lambda grey: (grey / 255 - 0.1 - 0.5) / 0.25),
    ],
)
def test_linear_steps_are_a_mean_and_sd(steps: list[Step], expected) -> None:
    option = grey_level_option(steps, "net.zip")
    grey = np.array([0, 50, 200.0])
    mean, sd = option.values["mean"], option.values["sd"]
    np.testing.assert_allclose((grey - mean) / sd, expected(grey), atol=1e-9)
    assert not option.required
    assert f"(g − {mean:.6g}) / {sd:.6g}" in option.sentence


def test_images_own_mean_and_sd_are_what_an_audit_takes() -> None:
    own = Step(name="zero_mean_unit_variance", kwargs={"mode": "per_sample", "axes": "yx"})
    option = grey_level_option([TYPED, SCALED, own, TYPED], "net.zip")
    assert option.values == {"mean": None, "sd": None}
    assert "normalises images by their own mean and sd" in option.sentence
    assert not option.required


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (
            Step(id="scale_range", kwargs={"min_percentile": 1, "max_percentile": 99.8}),
            "percentiles 1 and 99.8: give the former as --mean",
        ),
        (Step(id="clip", kwargs={"min": 0, "max": 1}), "clip: say with --mean and --sd"),
        (Step(id="scale_linear", kwargs={"gain": [1, 2, 3]}), "scale_linear: say with"),
        (Step(id="scale_linear", kwargs={"gain": -1}), "scale_linear: say with"),
        (Step(id="scale_linear", kwargs={"gain": float("nan")}), "scale_linear: say with"),
        (Step(id="fixed_zero_mean_unit_variance", kwargs={"mean": 10**999, "std": 1}), "say with"),
    ],
)
def test_what_a_mean_and_sd_cannot_do_must_be_said(step: Step, told: str) -> None:
    option = grey_level_option([step], "net.zip")
    assert option.required
    assert set(option.values) == {"mean", "sd"}
    assert told in option.sentence
