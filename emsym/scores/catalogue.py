"""The catalogue of scores: every score stands here once, and is asked for by its key.

emsym's own scores are listed below; those of `emsym.scores.optional` are computed where a protocol
names them. Metrics of attributions stand in `METRICS`, where they are registered. A plug-in adds a
score of its own with `register_score`; it is optional, too, and its key in a record is
``plugin/NAME``.

Importing this module imports neither torch nor NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from emsym.errors import UserError
from emsym.registry import Registry
from emsym.scores.faithfulness.metrics import METRICS
from emsym.scores.optional.boundary_displacement import BOUNDARY_DISPLACEMENT
from emsym.scores.optional.instance_errors import INSTANCE_ERRORS
from emsym.scores.optional.layer_flip import LAYER_FLIPS
from emsym.scores.optional.missing_neighbour import MISSING_NEIGHBOUR
from emsym.scores.optional.offsets import OFFSETS
from emsym.scores.optional.scored_sections import ScoredSections
from emsym.scores.score import ROUNDING, Better, Score, score_name

if TYPE_CHECKING:
    import numpy as np

MARGIN = 0.01
"""How much less Dice than the baseline's is still no loss."""

PLUGIN = "plugin/"
"""The beginning of the key of a plug-in's score."""


ScoreFunction = Callable[[ScoredSections], "np.ndarray"]

SCORES: Registry[Score] = Registry("score", group="emsym.scores")


def register_score(
    name: str,
    *,
    title: str | None = None,
    better: Better | None = None,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    digits: int = 3,
    meaning: str | None = None,
) -> Callable[[ScoreFunction], ScoreFunction]:
    """Decorate a function of `ScoredSections` → one value per section, (n,), NaN where it has none.

    A cell's value is the mean of its sections'. `title` is the head of its column, by default the
    name; `better` is ``high``, ``low`` or None; `meaning` is by default the first line of the
    function's docstring. A protocol that lists the name under ``scores`` in its ``[scoring]`` has
    it computed. Raises `UserError` when the name is taken, or one of the facts cannot be.
    """
    if not isinstance(name, str):
        raise UserError('A score is registered by its name: @register_score("my-name").')
    if better not in ("high", "low", None):
        raise UserError(
            f"Of the score '{name}' either 'high', 'low' or None is better, not {better!r}."
        )
    if not bounds[0] < bounds[1]:
        raise UserError(f"The bounds of the score '{name}' are not in order: {bounds}.")

    def register(compute: ScoreFunction) -> ScoreFunction:
        summary = meaning or (compute.__doc__ or "").strip().split("\n")[0]
        facts = Score(
            PLUGIN + name, title or name, summary, better, bounds, digits, compute=compute
        )
        SCORES.add(name, facts, summary=summary, depth=2)
        return compute

    return register


def list_scores(pattern: str = "*") -> list[str]:
    """The names of the scores that match a shell pattern, metrics of attributions aside.

    >>> list_scores("flip*")
    ['flip_dice', 'flip_error']
    """
    return SCORES.names(pattern)


def score_of(key: str) -> Score:
    """Return the facts of the score that a record's key names.

    One that nobody registered here, as a plug-in's of another machine, is called by its name and
    has no bounds.

    >>> score_of("dice@0.85").title, score_of("saliency/all/model_asymmetry").bounds
    ('Dice', (-1, 1))
    """
    name = score_name(key)
    for registry in (SCORES, METRICS):
        try:
            return registry.get(name)
        except UserError:
            continue
    return Score(key, name, "a plug-in's score", bounds=(-math.inf, math.inf))


def optional_score(name: str) -> Score:
    """Return the optional score, of emsym or a plug-in, that a protocol lists.

    Raises `UserError` for one that is not registered, and for one that every cell has anyway.
    """
    score = SCORES.get(name)
    if score.compute is None:
        raise UserError(
            f"Every cell has the score '{name}': 'scores' lists those that are optional."
        )
    return score


def optional_key(name: str) -> str:
    """Return the key in a record of an optional score, of a plug-in that is not here, too.

    >>> optional_key("voi_split"), optional_key("theirs")
    ('voi_split', 'plugin/theirs')
    """
    return name if name in _OPTIONAL else PLUGIN + name


def is_optional(key: str) -> bool:
    """Return whether a record's key is that of an optional score."""
    return key.startswith(PLUGIN) or key in _OPTIONAL


_OPTIONAL = {
    score.key: score
    for score in (
        *OFFSETS,
        BOUNDARY_DISPLACEMENT,
        *MISSING_NEIGHBOUR,
        *LAYER_FLIPS,
        *INSTANCE_ERRORS,
    )
}

_SYMMETRY = "{attribution}/{target}/"

_ARAND = (
    "adapted Rand error of the instances, by scikit-image: pixels that are no true instance do not "
    "count, and all that are in no predicted instance make one segment."
)

for _score in (
    Score(
        _SYMMETRY + "model_asymmetry",
        "model asym.",
        "the size of the network's own preference for the slices on one side, 0 … 1; exactly 0 "
        "for a mirror-symmetric network. Cells have it with a sign, as in the CSV files; its size "
        "over cells is their root mean square, less what the noise of sections adds to it.",
        "low",
        bounds=(-1, 1),
        absolute=True,
        floor=ROUNDING,
        glance=True,
        over_training=True,
        long_title="model asymmetry",
    ),
    Score(
        "flip_error",
        "flip error",
        "how far the predicted probability moves when the stack is reversed, 0 … 1.",
        "low",
        digits=4,
        floor=ROUNDING,
        glance=True,
        over_training=True,
    ),
    Score(
        "flip_dice",
        "flip Dice",
        "Dice of the masks predicted from a stack and from the stack reversed, 0 … 1.",
        "high",
        over_training=True,
    ),
    Score(
        _SYMMETRY + "neighbour_asymmetry",
        "neighbour asym.",
        "negative when the slices before the centre count more, positive when those after it do.",
        bounds=(-1, 1),
        over_training=True,
        long_title="neighbour asymmetry",
    ),
    Score(
        _SYMMETRY + "data_asymmetry",
        "data asym.",
        "the part of the neighbour asymmetry that the image brings, not the network.",
        bounds=(-1, 1),
        over_training=True,
        long_title="data asymmetry",
    ),
    Score(
        _SYMMETRY + "imbalance",
        "imbalance",
        "0 when all slices count alike (the centre may deserve more).",
        over_training=True,
    ),
    Score(
        "{map}/{target}/mirror_distance",
        "mirror distance",
        "how far reversing the stack does more to a map than reverse it, pixel by pixel, 0 … 1.",
        "low",
        over_training=True,
    ),
    Score(
        _SYMMETRY + "slice_share[{slice}]",
        "share",
        "each slice's part of the attribution.",
        over_training=True,
    ),
    Score(
        "{shapley}/{target}/slice_shapley[{slice}]",
        "Shapley value",
        "what a slice brings to the sum of the logits, on average over all orders of arrival.",
        bounds=(-math.inf, math.inf),
        over_training=True,
    ),
    Score(
        "dice@{threshold}",
        "Dice",
        "pooled over the test sections.",
        "high",
        pooling="counts",
        glance=True,
    ),
    Score("iou@{threshold}", "IoU", "pooled over the test sections.", "high", pooling="counts"),
    Score("arand_2d", "ARAND 2D", _ARAND, "low"),
    Score("arand_3d", "ARAND 3D", _ARAND, "low", pooling="volume"),
    Score(
        "{target}/pixels",
        "pixels",
        "how many pixels the target has.",
        bounds=(0, math.inf),
        digits=0,
        over_training=True,
    ),
    *(
        Score(f"{count}@{{threshold}}", title, f"{title}.", None, (0, math.inf), 0, "none")
        for count, title in (
            ("tp", "true positive pixels"),
            ("fp", "false positive pixels"),
            ("fn", "false negative pixels"),
        )
    ),
    *_OPTIONAL.values(),
):
    SCORES.add(_score.name, _score, summary=_score.meaning)
