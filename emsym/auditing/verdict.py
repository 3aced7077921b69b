"""The verdict of an audit: the finding, one sentence, and advice."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from emsym.auditing.caveats import FEW
from emsym.auditing.network import Loaded
from emsym.auditing.result import Advice, Finding, Interval, SymmetryResult
from emsym.models.encoders import DECODERS
from emsym.wording import number, sides

TOLERANCE = 1.1
"""Sides that count alike within a tenth are called symmetric, if the whole interval says so."""

FLIP_ERROR = 0.05
"""Reversing a stack may change the probability by that much on average; with more a network is not
called symmetric, however alike the sides count."""

ROUNDING = 1e-4
"""The largest asymmetry, or change of a probability, that may be rounding: networks that are
symmetric by construction stay far below."""


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
    flip_error: Interval | None
    exact: bool
    """Whether no section shows more than rounding."""
    empty: int
    """Sections in which the headline's target has no pixel."""

    @property
    def alike(self) -> bool:
        """Return whether the whole interval of the asymmetry says that both sides count alike."""
        asymmetry, most = self.headline.model_asymmetry, (TOLERANCE - 1) / (TOLERANCE + 1)
        return (
            asymmetry is not None
            and asymmetry.low is not None
            and asymmetry.high is not None
            and -most <= asymmetry.low
            and asymmetry.high <= most
        )

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
    if asymmetry.low is None or asymmetry.high is None:
        one = "a single section gives" if measured.valued == 1 else "sections that overlap give"
        return "unclear", f"{sentence}, but {one} no interval."
    if measured.alike:
        if measured.flip_error is not None and measured.flip_error.value > FLIP_ERROR:
            return "unclear", (
                f"{_capital(before)} and {after} count alike, but not for the same: {moved}."
            )
        return "symmetric", f"{_capital(before)} and {after} count alike: {compared}."
    if asymmetry.low > 0 or asymmetry.high < 0:
        return "biased", f"{sentence}."
    way = "more sections would tell" if measured.more_would_tell else "this volume does not tell"
    return "unclear", f"{sentence}, which includes 1: {way}."


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
    value = 0 if flip_error is None else flip_error.value
    by = number(value, 2) if value >= 0.01 else "less than 0.01"
    return f"reversing the stack moves the probability by {by} on average"


def _compared(asymmetry: Interval, before: str, after: str, sections: int) -> str:
    """``z−1 counts 1.9 × as much as z+1 (95 % interval 1.7–2.1)``; the side that counts more first.

    It is that of the model asymmetry, so that what the images hold does not matter. Of how many
    sections an interval is, it says where they are few.
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
    few = f", from {sections} sections" if sections < FEW else ""
    return f"{sentence} (95 % interval {least:.{decimals}f}{upper}{few})"


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


# --- what to do -----------------------------------------------------------------------------------


def advise(
    finding: Finding, measured: Measured, loaded: Loaded, classes: int, probabilities: bool
) -> list[Advice]:
    """Advise on a finding, the easiest first.

    `probabilities` is whether the network gives these instead of logits.
    """
    if measured.slices == 1:
        return []
    if finding == "symmetric":
        return [Advice(text="Both sides count alike: nothing needs to be done.")]
    if finding == "unmeasurable":
        way = (
            "Choose sections that hold some, give labels with --labels, or lower --threshold."
            if measured.empty == measured.sections
            else "Check that these are the weights of a trained network, and that the volume is "
            "normalised as in training (--mean and --sd)."
        )
        return [Advice(text=way)]
    advice = []
    if finding == "unclear" and measured.more_would_tell:
        advice.append(
            Advice(
                text=f"Look at more sections: {measured.sections} of {measured.available} were "
                "audited. The interval narrows with their number: "
                f"--sections {measured.available} takes them all."
            )
        )
    return [*advice, *_repairs(measured.slices, loaded, classes, probabilities)]


def _repairs(slices: int, loaded: Loaded, classes: int, probabilities: bool) -> list[Advice]:
    into = "" if probabilities else ".sigmoid()" if classes == 1 else ".softmax(1)"
    average = Advice(
        text="Without any training: average the predictions of each stack and of its mirror image. "
        "The result is exactly symmetric, at twice the time.",
        command=f"p = (net(x){into} + net(x.flip(1)){into}) / 2",
    )
    name = loaded.architecture or ""
    known = name if name.partition("-")[0] in DECODERS else "unet-resnet34"
    uniform = Advice(
        text="Before you fine-tune another network: start from a stem that treats all slices alike "
        "(uniform channel initialisation, arXiv 2505.14105).",
        command=f'model = emsym.create_model("{known}", '
        f'init="uniform-green", slices={slices}, weights="imagenet")',
    )
    if (
        loaded.kind == "state dict" and loaded.architecture and classes == 1
    ):  # as `symmetrize` builds its networks
        words = ["emsym-bench", "symmetrize", loaded.path, "--architecture", loaded.architecture]
        path = Path(loaded.path)
        output = path.with_name(f"{path.stem}-mirrored{path.suffix}")
        words += ["--init", "rgb+mirror-tied", "-o", str(output)]
        tied = Advice(
            text="Make the stem of this network its own mirror image, and fine-tune it for some "
            "steps, because its other layers are used to the old one; audit it again afterwards.",
            command=shlex.join(word or "" for word in words),
        )
    else:
        where = {"TorchScript": "scripted", "torch.export": "exported", "ONNX": "exported"}.get(
            loaded.kind
        )
        first = (
            f"Symmetrise the network before it is {where}: make its stem its own mirror image, "
            "fine-tune it for some steps, then save it again."
            if where
            else "Make the stem of this network its own mirror image, and fine-tune it for some "
            "steps: it stays symmetric while it is trained."
        )
        tied = Advice(text=first, command='emsym.symmetrize(model, "rgb+mirror-tied")')
    return [average, tied, uniform]
