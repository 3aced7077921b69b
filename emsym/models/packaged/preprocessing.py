"""Preprocessing that bioimage.io describes, as the mean and standard deviation of an audit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pydantic

from emsym.errors import first_names
from emsym.models.packaged.package import DescribedOption

_NOTHING = "ensure_dtype"
_OWN_SCALE = "zero_mean_unit_variance"
_PERCENTILES = "scale_range"
_FAR = 1e30
"""No grey level is as far from 0."""


class Step(pydantic.BaseModel):
    """A step of the processing; the format 0.4 calls its kind `name`, 0.5 `id`."""

    name: str = ""
    id: str = ""
    kwargs: dict[str, Any] | None = None

    @property
    def called(self) -> str:
        """Its kind."""
        return self.id or self.name


def acting_steps(steps: Sequence[Step]) -> list[Step]:
    """Return the steps that change values, and not the type of numbers alone."""
    return [step for step in steps if step.called != _NOTHING]


def grey_level_option(steps: Sequence[Step], place: str) -> DescribedOption:
    """Return the mean and sd that the steps of a package come to.

    Linear steps are what a mean and sd do. Where the last one normalises each stack by its own,
    there are none to tell. Of others the user must say them.
    """
    steps = acting_steps(steps)
    gain, offset = 1.0, 0.0
    for step in steps:
        if step is steps[-1] and step.called == _OWN_SCALE and _linear(step) is None:
            sentence = "The package normalises images by their own mean and sd."
            return DescribedOption({"mean": None, "sd": None}, sentence)
        factors = _linear(step)
        if factors is None or not factors[0] > 0:
            return DescribedOption({"mean": None, "sd": None}, _cannot(step, place), required=True)
        gain, offset = gain * factors[0], offset * factors[0] + factors[1]
    mean, sd = -offset / gain + 0.0, 1 / gain
    sentence = (
        f"Grey levels g were shown to the network as the package says, (g − {mean:.6g}) / {sd:.6g};"
        f" {mean:.6g} is also what takes the place of slices that are left out."
    )
    return DescribedOption({"mean": mean, "sd": sd}, sentence)


def _linear(step: Step) -> tuple[float, float] | None:
    """Return gain and offset of a linear step; None for another."""
    given = step.kwargs or {}
    if step.called == "scale_linear":
        gain, offset = _number(given.get("gain", 1)), _number(given.get("offset", 0))
        return None if gain is None or offset is None else (gain, offset)
    if step.called in (_OWN_SCALE, f"fixed_{_OWN_SCALE}"):
        mean, sd = _number(given.get("mean")), _number(given.get("std"))
        if mean is None or sd is None or sd <= 0:
            return None
        sd += _number(given.get("eps", 0)) or 0
        return 1 / sd, -mean / sd
    return None


def _number(value: Any) -> float | None:
    """Return a finite number, or the only one of a list of the same ones; None for all else."""
    values = value if isinstance(value, list) and value else [value]
    first = values[0]
    if not isinstance(first, int | float) or not abs(first) < _FAR:  # NaN is not
        return None
    return float(first) if all(each == first for each in values) else None


def _cannot(step: Step, place: str) -> str:
    given = step.kwargs or {}
    low, high = _number(given.get("min_percentile", 0)), _number(given.get("max_percentile", 100))
    if step.called == _PERCENTILES and low is not None and high is not None:
        return (
            f"{place} scales grey levels by their percentiles {low:g} and {high:g}: give the "
            "former as --mean, and the difference of both as --sd."
        )
    return (
        f"{place} describes a preprocessing that is no fixed mean and sd, "
        f"{first_names([step.called])}: say with --mean and --sd what is subtracted from grey "
        "levels, and what they are then divided by."
    )
