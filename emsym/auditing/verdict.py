"""The verdict of an audit: the finding, and one sentence."""

from dataclasses import dataclass
from typing import Literal

from emsym.auditing.caveats import FEW
from emsym.auditing.effect import FLIP_ERROR
from emsym.auditing.result import AnswerEffect, Finding, Interval, SymmetryResult
from emsym.scores.score import ALIKE
from emsym.wording import sides, significant_interval

_MOST_ALIKE = (ALIKE - 1) / (ALIKE + 1)
"""The largest asymmetry of sides that are called alike."""


@dataclass(frozen=True)
class Measured:
    """The numbers that a verdict is made of."""

    slices: int
    sections: int
    available: int
    """How many sections could be audited."""
    valued: int
    """Sections with an asymmetry."""
    headline: SymmetryResult
    exact_values: Interval | None
    """The model asymmetry by exact Shapley values, over the headline's target; None without."""
    flip_error: Interval | None
    effect: AnswerEffect
    exact: bool
    """Whether no section shows more than rounding."""
    empty: int
    """Sections in which the headline's target has no pixel."""

    @property
    def alike(self) -> bool:
        """Return whether the whole interval of the asymmetry says that both sides count alike."""
        return _leaning(self.headline.model_asymmetry) == "alike"

    @property
    def disagreement(self) -> bool:
        """Return whether exact Shapley values tell something else than the headline's method.

        They do where they come to another conclusion; and, unless that is that both sides count
        alike, where one asymmetry is less than half of the other, and none is in both intervals.
        """
        first, exact = self.headline.model_asymmetry, self.exact_values
        if exact is None or exact.low is None:
            return False
        if first is None or _leaning(first) != _leaning(exact):
            return True
        return not self.alike and _is_less_than_half(first, exact) and not _overlap(first, exact)

    @property
    def decided(self) -> bool:
        """Return whether more sections could not sensibly change the finding or its sentence.

        The finding is decided where both sides count alike, or the whole interval of the asymmetry
        lies beyond what is called alike, so that none that is narrower could be called so. The same
        must hold of exact Shapley values, which the sentence may name, and be plain how the two
        compare. A flip error at which sides are alike, but not for the same, must lie below its
        limit. An exactly symmetric network is so from the first section on.
        """
        if self.slices == 1 or self.exact:
            return True
        first, exact = self.headline.model_asymmetry, self.exact_values
        if not _is_plain(first) or (exact is not None and not _is_plain(exact)):
            return False
        if self.alike:
            low = self.flip_error is not None and not _exceeds(self.flip_error, FLIP_ERROR)
            return low and not self.disagreement
        assert first is not None  # it is plain
        return exact is None or not _is_less_than_half(first, exact) or not _overlap(first, exact)

    @property
    def more_would_tell(self) -> bool:
        """Return whether more sections could narrow the interval of the asymmetry."""
        asymmetry = self.headline.model_asymmetry is not None
        return asymmetry and not self.alike and self.sections < self.available


def judge(measured: Measured) -> tuple[Finding, str]:
    """Return the finding and its sentence."""
    before, after = sides(measured.slices)
    share, asymmetry = measured.headline.share, measured.headline.model_asymmetry
    if measured.slices == 1:
        return "unmeasurable", "The network reads one slice, so there are no sides to compare."
    if share is None:
        return "unmeasurable", f"Nothing can be said: {_why(measured)}."
    moved = _moved(measured.flip_error)
    if asymmetry is None:
        if measured.exact:
            sentence = f"Only the central slice counts: {before} and {after} do not at all."
            return "symmetric", sentence
        return "unclear", f"Over the target only the central slice counts, but {moved}."
    if measured.exact:
        return "symmetric", f"{_capital(before)} and {after} count exactly alike, but for rounding."
    compared = _compared(asymmetry, before, after, measured.valued)
    sentence = _capital(compared)
    if measured.disagreement and asymmetry.low is not None:
        return _contested(measured, asymmetry, compared)
    if asymmetry.low is None or asymmetry.high is None:
        one = "a single section gives" if measured.valued == 1 else "sections that overlap give"
        return "unclear", f"{sentence}, but {one} no interval."
    if measured.alike:
        if measured.flip_error is not None and _exceeds(measured.flip_error, FLIP_ERROR):
            return "unclear", (
                f"{_capital(before)} and {after} count alike, but not for the same: {moved}."
            )
        return "symmetric", f"{_capital(before)} and {after} count alike: {compared}."
    if _leaning(asymmetry) in ("before", "after"):
        return "biased", f"{sentence}."
    way = "more sections would tell" if measured.more_would_tell else "this volume does not tell"
    return "unclear", f"{sentence}, which includes 1: {way}."


def _contested(measured: Measured, asymmetry: Interval, compared: str) -> tuple[Finding, str]:
    """Return the finding and the sentence where exact Shapley values tell something else."""
    before, after = sides(measured.slices)
    exact = measured.exact_values
    assert exact is not None
    by_headline = compared if _leaning(asymmetry) != "alike" else f"both count alike: {compared}"
    by_values = _compared(exact, before, after)
    if _leaning(exact) == "alike":
        by_values = f"both count alike: {by_values}"
    elif _leaning(exact) == "untold":
        by_values = "they are not told apart"
    sentence = (
        f"By {measured.headline.attribution}, {by_headline}; by exact Shapley values, {by_values}."
    )
    biased = _leaning(asymmetry) in ("before", "after")
    return "biased" if biased else "unclear", sentence


def _leaning(asymmetry: Interval | None) -> Literal["before", "after", "alike", "untold"]:
    """Return which side counts more, as far as the whole interval says so."""
    if asymmetry is None or asymmetry.low is None or asymmetry.high is None:
        return "untold"
    if asymmetry.low >= -_MOST_ALIKE and asymmetry.high <= _MOST_ALIKE:
        return "alike"
    return "after" if asymmetry.low > 0 else "before" if asymmetry.high < 0 else "untold"


def _is_plain(asymmetry: Interval | None) -> bool:
    """Return whether the whole interval is one of sides alike, or of sides that are not."""
    leaning = _leaning(asymmetry)
    if leaning == "alike":
        return True
    if asymmetry is None or asymmetry.low is None or asymmetry.high is None:
        return False
    return leaning != "untold" and min(abs(asymmetry.low), abs(asymmetry.high)) > _MOST_ALIKE


def _is_less_than_half(one: Interval, other: Interval) -> bool:
    """Return whether one asymmetry is less than half of the other, whichever it is."""
    less, more = sorted((abs(one.value), abs(other.value)))
    return less < more / 2


def _overlap(one: Interval, other: Interval) -> bool:
    if one.low is None or one.high is None:
        return True
    if other.low is None or other.high is None:
        return True
    return one.low <= other.high and other.low <= one.high


def _exceeds(interval: Interval, limit: float) -> bool:
    """Return whether the interval reaches beyond a limit; without one, the value."""
    return (interval.value if interval.high is None else interval.high) > limit


def ratio(asymmetry: Interval | None) -> Interval | None:
    """(1 − m) / (1 + m) of an asymmetry m with its interval, as `Symmetry.ratio` has it.

    >>> ratio(Interval(value=-0.5, low=-1, high=0))
    Interval(value=3.0, low=1.0, high=None)
    """
    if asymmetry is None or asymmetry.value <= -1:
        return None
    low, high = (
        None if m is None or m <= -1 else (1 - m) / (1 + m) for m in (asymmetry.high, asymmetry.low)
    )
    return Interval(value=(1 - asymmetry.value) / (1 + asymmetry.value), low=low, high=high)


def _moved(flip_error: Interval | None) -> str:
    by = (
        "0"
        if flip_error is None
        else significant_interval(flip_error.value, flip_error.low, flip_error.high)
    )
    return f"reversing the stack moves the probability by {by} on average"


def _compared(asymmetry: Interval, before: str, after: str, sections: int | None = None) -> str:
    """``z−1 counts 1.9 × as much as z+1 (95 % interval 1.7–2.1 over 20 sections of this network)``.

    The side that counts more comes first. Over which sections is said where their number is given.

    It is that of the model asymmetry, so that what the images hold does not matter.
    """
    more, less = (before, after) if asymmetry.value <= 0 else (after, before)
    turned = asymmetry
    if asymmetry.value > 0:
        low, high = asymmetry.low, asymmetry.high
        turned = Interval(
            value=-asymmetry.value,
            low=None if high is None else -high,
            high=None if low is None else -low,
        )
    times = ratio(turned)
    verb = "counts" if more.startswith("z") else "count"
    if times is None or times.value >= 1000:
        return f"only {more} {verb}, and {less} next to nothing"
    least = times.value if times.low is None else times.low
    narrow = times.high is not None and times.high - least < 0.2
    decimals = 2 if least < 1.2 or narrow else 1 if least < 20 else 0
    if times.high is not None and f"{least:.{decimals}f}" == f"{times.high:.{decimals}f}":
        decimals += 1  # lest an interval seem to have no width
    sentence = f"{more} {verb} {times.value:.{decimals}f} × as much as {less}"
    if asymmetry.low is None:
        return sentence
    upper = " and more" if times.high is None else f"–{times.high:.{decimals}f}"
    over = "" if sections is None else _sections(sections)
    return f"{sentence} (95 % interval {least:.{decimals}f}{upper}{over})"


def _sections(count: int) -> str:
    return f" over {'only ' if count < FEW else ''}{count} sections of this network"


def _capital(text: str) -> str:
    return text if text.startswith("z") else text[0].upper() + text[1:]


def _why(measured: Measured) -> str:
    """Say why no section has a value."""
    target = measured.headline.target
    if measured.empty < measured.sections:
        return "the attribution is zero everywhere or not finite in every section"
    if target == "true-foreground":
        return "the labels have no foreground in any section"
    pixels = {"foreground": "foreground", "background": "background"}.get(target, "pixel")
    return f"the network predicts no {pixels} in any section"
