"""The optional scores of an audit: what a bias comes to, in units that people feel."""

from collections.abc import Sequence

import numpy as np

from emsym.auditing.intervals import mean_interval
from emsym.auditing.result import LayerResult, UnitScore
from emsym.auditing.summary import Summary
from emsym.auditing.volume import Chosen
from emsym.errors import UserError
from emsym.protocol import SHAPLEY
from emsym.scores.catalogue import score_of
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.layers import LayerFlip, joined
from emsym.scores.measure import Measurement
from emsym.scores.optional.compute import Surroundings, optional_scores, scored_sections
from emsym.scores.score import ROUNDING

UNITS = {
    **dict.fromkeys(("view_offset", "answer_offset"), "sections"),
    "boundary_displacement": "pixels",
    **dict.fromkeys(("dice_without_before", "dice_without_after", "missing_asymmetry"), ""),
    **dict.fromkeys(("stem_flip", "bottleneck_flip", "answer_flip"), ""),
}
"""The scores, with the unit of lengths where the voxel size is not known."""


_FLIPS = ("bottleneck_flip", "answer_flip")


def decoder_effect(scores: Sequence[UnitScore]) -> str:
    """Say what a decoder makes of the difference that reaches it; nothing where it is not known.

    It heals or amplifies where the intervals of bottleneck and answer leave each other out.
    """
    by_name = {each.score: each.value for each in scores}
    if not all(name in by_name for name in _FLIPS):
        return ""
    deep, answer = (by_name[name] for name in _FLIPS)
    if deep.value < ROUNDING and answer.value < ROUNDING:
        return "Nothing differs that a decoder could heal or amplify."
    if None in (deep.low, deep.high, answer.low, answer.high):
        return ""
    if (answer.high or 0) < (deep.low or 0):
        return "What comes after the bottleneck heals some of it."
    if (answer.low or 0) > (deep.high or 0):
        return "What comes after the bottleneck amplifies it."
    return "What comes after the bottleneck neither heals nor amplifies it for sure."


class InUnits:
    """The optional scores of the sections of an audit."""

    def __init__(
        self,
        dense: DenseLogits,
        chosen: Chosen,
        methods: Sequence[str],
        threshold: float,
        voxel_size: tuple[float, float, float] | None,
    ) -> None:
        """`voxel_size` is in nm along z, y and x; by default that of the data set.

        Raises `UserError` where a length is not above 0.
        """
        if voxel_size is not None and not all(0 < length < np.inf for length in voxel_size):
            raise UserError("The --voxel-size is three lengths in nm, each above 0.")
        self.voxel_size = voxel_size or chosen.data.voxel_size_nm
        self._dense, self._chosen, self._threshold = dense, chosen, threshold
        names = list(UNITS) if chosen.slices > 1 else []
        self._names = [n for n in names if n != "view_offset" or SHAPLEY in methods]
        self._layers: list[list[LayerFlip]] = []

    def columns(self, group: Measurement) -> dict[str, np.ndarray]:
        """Compute them of a group of n sections, (n,) each, NaN where missing."""
        around = Surroundings(
            self._dense,
            self.voxel_size or (1.0, 1.0, 1.0),
            slice_truth=self._chosen.slice_truth(group.part),
        )
        if not self._names:
            return {}
        sections = scored_sections(group, self._threshold, around)
        self._layers.append([*sections.layer_flips.layers, sections.layer_flips.logits])
        return optional_scores(sections, self._names)

    def layers(self, blocks: np.ndarray, level: float) -> list[LayerResult]:
        """Return the mean of each layer that has a value, with its interval."""
        made = []
        for layer in joined(self._layers):
            bounds = score_of("answer_flip").bounds
            value = mean_interval(layer.values, blocks, bounds, level)
            if value is not None:
                made.append(LayerResult(name=layer.name, size=layer.size, value=value))
        return made

    def scores(self, summary: Summary) -> list[UnitScore]:
        """Return the mean of each that has a value, with its interval."""
        made = []
        for name in self._names:
            value = summary.mean(name, score_of(name).bounds)
            unit = "nm" if UNITS[name] and self.voxel_size else UNITS[name]
            if value is not None:
                made.append(UnitScore(score=name, unit=unit, value=value))
        return made
