"""The audit's report: one HTML file that needs nothing else, to read, print and hand on."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emsym import wording
from emsym.auditing.caveats import FEW, TARGETS
from emsym.auditing.charts import (
    bars,
    curve,
    difference_white,
    longest_side,
    outlines,
    slice_side,
)
from emsym.auditing.effect import FLIP_DICE, FLIP_ERROR
from emsym.auditing.in_units import decoder_effect
from emsym.auditing.result import (
    Audit,
    Interval,
    Pictures,
    SectionExample,
    SymmetryResult,
    UnitScore,
)
from emsym.images import data_uri, equalise, shrink, stretch
from emsym.scores.catalogue import score_of
from emsym.scores.score import ALIKE
from emsym.scores.symmetry import slice_share

if TYPE_CHECKING:
    from markupsafe import Markup

_ABOUT = {
    "view_offset": "How far off the segmented section lies what the network looks at, along z: "
    "below 0 towards the slices before it, above 0 towards those after it.",
    "answer_offset": "How far off the section lie the labels that explain the answer best.",
    "boundary_displacement": "How far the predicted boundaries move on average when the stack is "
    "reversed.",
    "dice_without_before": "Against the labels, with the slice before the segmented one missing.",
    "dice_without_after": "Against the labels, with the slice after it missing.",
    "missing_asymmetry": "How much more Dice is lost without the slice after it than without that "
    "before it, whatever the images hold.",
    "stem_flip": "In the maps of the first layer.",
    "bottleneck_flip": "In the smallest maps, where an encoder ends.",
    "answer_flip": "In the logits.",
}
"""The meanings of the scores in units."""

NO_VALUES = "No Shapley values: the target is empty in all sections, or they were not asked for."


def html(audit: Audit, pictures: Pictures) -> str:
    """The report as one HTML page without scripts, links to files or anything to be fetched."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": wording.significant,
        "interval": _interval,
        "spread": _spread,
        "times": _times,
        "unit_score": _unit_score,
        "duration": partial(wording.duration, digits=1),
    }
    environment.globals |= {"score_of": score_of, "title": _title}
    names = wording.slice_names(audit.slices)
    shown = audit.shown
    stem = [Interval(value=value) for value in audit.stem.share] if audit.stem else []
    share = shown.share or []
    bands, filters = outlines(audit.stem.filters) if audit.stem else ([], 0)
    mean_map, white = pictures.mean_map, difference_white(pictures.examples)
    return environment.get_template("report.html").render(
        audit=audit,
        names=names,
        no_values=next((note for note in audit.notes if note.startswith("No Shapley")), NO_VALUES),
        sides=[slice_side(index, audit.slices) for index in range(audit.slices)],
        share=bars(share, share + stem),
        shapley=bars(audit.shapley or []),
        stem=bars(stem, share + stem),
        bands=bands,
        filters=filters,
        leans=_leans(shown),
        about=_ABOUT,
        lengths=[each for each in audit.in_units if not each.score.endswith("_flip")],
        layers=[each for each in audit.in_units if each.score.endswith("_flip")],
        decoder=decoder_effect(audit.in_units),
        curve=curve([layer.value.value for layer in audit.layers]) if audit.layers[1:] else None,
        shown=shown,
        valued=len(audit.data.sections) - shown.missing,
        where=TARGETS,
        tolerance=ALIKE,
        flip_error=FLIP_ERROR,
        flip_dice=FLIP_DICE,
        few=len(audit.data.sections) - shown.missing < FEW,
        white=white,
        examples=[_example(each, white) for each in pictures.examples],
        mean_map=_mean_map(mean_map) if np.isfinite(mean_map).all() and mean_map.any() else [],
        MISSING=wording.MISSING,
    )


def _title(key: str) -> str:
    """Return the name of a score, as one begins a sentence or a heading."""
    term = score_of(key).term
    return term[0].upper() + term[1:]


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return wording.MISSING
    return wording.significant_interval(interval.value, interval.low, interval.high)


def _spread(interval: str) -> "Markup":
    """Set the bounds of an interval, as `_interval` words it, apart from the value."""
    from markupsafe import Markup

    value, bracket, bounds = interval.partition(" (")
    if not bracket:
        return Markup("{}").format(interval)
    return Markup('{} <span class="bounds">({}</span>').format(value, bounds)


def _unit_score(score: UnitScore) -> "Markup":
    """Word a value with its unit, and its bounds set apart."""
    value, bracket, bounds = _interval(score.value).partition(" (")
    return _spread(f"{value} {score.unit}".strip() + bracket + bounds)


def _times(interval: str) -> str:
    value, bracket, bounds = interval.partition(" (")
    return f"{value} ×{bracket}{bounds}"


def _leans(shown: SymmetryResult) -> tuple[str, str, Interval] | None:
    """The side that counts more, the other, and how many times as much; None where unknown."""
    ratio = shown.ratio
    if ratio is None or ratio.value <= 0:
        return None
    if ratio.value >= 1:
        return "before", "after", ratio
    low, high = (1 / end if end else None for end in (ratio.high, ratio.low))
    return "after", "before", Interval(value=1 / ratio.value, low=low, high=high)


def _example(example: SectionExample, white: float) -> dict[str, Any]:
    longest = longest_side(len(example.stack))
    stack = np.stack([shrink(each, longest) for each in example.stack])
    maps = np.stack([shrink(each, longest) for each in np.abs(example.attribution)])
    beside = {
        "probability": example.probability,
        "difference": example.flip_error / white,
        "truth": example.truth,
    }
    return {
        "section": example.section,
        "share": slice_share(example.attribution[None])[0].tolist(),
        "slices": [data_uri(each) for each in stretch(stack)],
        "maps": [data_uri(each) for each in equalise(maps)],
        "flip_error": float(example.flip_error.mean()),
    } | {
        name: None if each is None else data_uri(shrink(each, longest_side(3)))
        for name, each in beside.items()
    }


def _mean_map(mean_map: np.ndarray) -> list[str]:
    shrunk = np.stack([shrink(each, longest_side(len(mean_map))) for each in mean_map])
    white = np.percentile(shrunk, 99.5) or shrunk.max()
    return [data_uri(each) for each in shrunk / white]
