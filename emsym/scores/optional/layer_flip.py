"""The flip error of three layers that every network has: stem, bottleneck and answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emsym.scores.score import ROUNDING, Score

if TYPE_CHECKING:
    import numpy as np

    from emsym.scores.layers import LayerFlip
    from emsym.scores.optional.scored_sections import ScoredSections

_MEANING = (
    "how far reversing the stack moves {}, 0 the same, 1 as two unrelated maps, at most 2 "
    "(emsym.scores.layers)."
)


def _stem(sections: ScoredSections) -> np.ndarray:
    return _values(sections, sections.layer_flips.stem)


def _bottleneck(sections: ScoredSections) -> np.ndarray:
    return _values(sections, sections.layer_flips.bottleneck)


def _answer(sections: ScoredSections) -> np.ndarray:
    return sections.layer_flips.logits.values


def _values(sections: ScoredSections, layer: LayerFlip | None) -> np.ndarray:
    """Return a layer's values, (n,); NaN where the network hides its layers."""
    import numpy as np

    return np.full(len(sections.x), np.nan) if layer is None else layer.values


LAYER_FLIPS = tuple(
    Score(
        key,
        title,
        _MEANING.format(what),
        "low",
        bounds=(0, 2),
        floor=ROUNDING,
        compute=compute,
    )
    for key, title, what, compute in (
        ("stem_flip", "flip at stem", "the first layer's maps", _stem),
        ("bottleneck_flip", "flip at bottleneck", "the maps where the encoder ends", _bottleneck),
        ("answer_flip", "flip at answer", "the logits", _answer),
    )
)
