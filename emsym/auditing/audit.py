"""One network and one volume in, one report out."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, repeat
from pathlib import Path

import numpy as np
from tabulate import tabulate

from emsym.auditing.advice import advise
from emsym.auditing.caveats import (
    TARGETS,
    data_caveats,
    interval_caveats,
    prediction_cautions,
    score_caveats,
)
from emsym.auditing.in_units import UNITS, InUnits
from emsym.auditing.inputs import AuditInputs, attribution_names, called_with
from emsym.auditing.intervals import blocks_of
from emsym.auditing.looks import plan_looks
from emsym.auditing.network import Loaded
from emsym.auditing.result import (
    Advice,
    Audit,
    Interval,
    Network,
    Pictures,
    StemResult,
    check_free,
)
from emsym.auditing.subject import NOT_FINITE, prepare
from emsym.auditing.summary import Summary
from emsym.auditing.verdict import judge
from emsym.auditing.walk import Walk
from emsym.environment import environment
from emsym.errors import UserError
from emsym.files import write_atomically
from emsym.html_table import html_lines, html_table
from emsym.models.stem.profile import stem_profile
from emsym.protocol import SHAPLEY, SHAPLEY_SLICES
from emsym.scores.attribution.methods import ATTRIBUTIONS, FORWARD_ONLY
from emsym.scores.catalogue import score_of
from emsym.scores.measure import measure
from emsym.scores.segmentation import pooled
from emsym.wording import MISSING, number, slice_names

_HEAD = ("", "value", "95 % interval")


@dataclass(frozen=True, repr=False)
class AuditReport:
    """The result of an audit; `print` shows the verdict and the main numbers."""

    audit: Audit
    """All numbers, as they are written to JSON."""
    pictures: Pictures

    def write(self, path: str | Path) -> list[Path]:
        """Write the report, one HTML file that needs nothing else, and the numbers beside it.

        They are called as the report is, but for the suffix .json. Raises `UserError` where one of
        them exists or cannot be written.
        """
        from emsym.auditing import report

        paths = check_free(Path(path))
        page = report.html(self.audit, self.pictures)
        write_atomically(paths[1], self.audit.model_dump_json(indent=1) + "\n")
        try:
            write_atomically(paths[0], page)
        except BaseException:
            paths[1].unlink(missing_ok=True)  # no numbers without their report
            raise
        return paths

    def __str__(self) -> str:
        audit = self.audit
        shown = tabulate(self._table(), headers=_HEAD, disable_numparse=True)
        return "\n".join(
            [
                *self._finding(),
                *(["", "What to do:", *_advice_lines(audit.advice)] if audit.advice else []),
                "",
                shown,
                "",
                *self._about(),
            ]
        )

    def _repr_html_(self) -> str:
        """Show the verdict and the main numbers, in a notebook."""
        advice = (f"{place}. {each.text}" for place, each in enumerate(self.audit.advice, 1))
        numbers = html_table(_HEAD, self._table())
        return html_lines([*self._finding(), *advice]) + numbers + html_lines(self._about())

    def _finding(self) -> list[str]:
        audit = self.audit
        effect = [audit.effect.sentence] if audit.effect else []
        return [audit.verdict, *effect, *(f"Caution: {each}" for each in audit.cautions)]

    def _about(self) -> list[str]:
        audit, headline = self.audit, self.audit.shown
        shares = f"Shares by {headline.attribution}, over the {TARGETS[headline.target]}."
        looks = [audit.looks.sentence] if audit.looks else []
        return [shares, *looks, *(note for note in audit.notes if note not in audit.cautions)]

    def _table(self) -> list[tuple[str, str, str]]:
        """Return the rows of the main numbers: a name, a value, its interval."""
        audit = self.audit
        share = score_of("slice_share").title
        names = [f"{share} of {name}" for name in slice_names(audit.slices)]
        rows: list[tuple[str, Interval | None]] = [
            *zip(names, audit.shown.share or repeat(None), strict=False)
        ]
        for key, interval in (("flip_error", audit.flip_error), ("flip_dice", audit.flip_dice)):
            rows.append((score_of(key).title, interval))
        table = [(name, *_cells(interval)) for name, interval in rows]
        if audit.dice is not None:
            table.append((score_of("dice").title, f"{audit.dice:.3f}", ""))
        lengths = [each for each in audit.in_units if each.unit]
        table += [
            (f"{score_of(a.score).term} ({a.unit})", *_cells(a.value, digits=2)) for a in lengths
        ]
        return table

    def __repr__(self) -> str:
        return f"Report({self.audit.finding}: {self.audit.verdict})"


def _advice_lines(advice: list[Advice]) -> Iterator[str]:
    """Yield the advice, numbered, and each command on a line of its own to be copied."""
    for place, each in enumerate(advice, 1):
        yield f"{place}. {each.text}"
        if each.command:
            yield f"     {each.command}"


@called_with(AuditInputs)
def audit(inputs: AuditInputs) -> AuditReport:
    """Audit whether a trained network treats the slices on either side of the centre alike.

    Labels are foreground where they are not 0; or, where they hold more than two values and the
    network has more than two classes, where they are the number of the channel. With labels, the
    predicted foreground is measured beside the labelled one. The first of the attributions that
    gives maps is the headline's. Unless `sections` says how many, sections are looked at in random
    order until the finding is decided (`emsym.auditing.looks`). `progress` is called with (sections
    done, sections at most).

    Raises `UserError` for whatever of the inputs is wrong, in one sentence.
    """
    start = time.perf_counter()
    methods = _methods(attribution_names(inputs.attribution))
    with prepare(inputs) as subject:
        loaded, dense, chosen = subject.loaded, subject.dense, subject.chosen
        reads, targets = chosen.slices, subject.targets
        methods = _for_network(methods, inputs, dense.differentiable)
        notes = [*data_caveats(chosen), *subject.notes]
        if SHAPLEY in methods and reads > SHAPLEY_SLICES:
            methods.remove(SHAPLEY)
            notes.append(
                f"No Shapley values: they are exact, and of {reads} slices there are {2**reads} "
                f"coalitions; at most {SHAPLEY_SLICES} slices have them."
            )
        headline = next(name for name in methods if name != SHAPLEY), targets[0]
        looks = plan_looks(len(chosen), as_asked=inputs.sections is not None)
        chosen = chosen.visited(looks.order)
        in_units = InUnits(dense, chosen, methods, inputs.threshold, inputs.voxel_size)
        walk = Walk(chosen, headline, sure=looks.ends[0])
        blocks = blocks_of(np.array(chosen.data.sections), reads)
        inputs.progress(0, len(chosen))
        for start, stop in pairwise((0, *looks.ends)):
            part = slice(start, stop)
            try:
                for group in measure(dense, chosen, targets, methods, inputs.threshold, part):
                    walk.add(group, in_units.columns(group))
                    inputs.progress(group.part.stop, len(chosen))
            except ArithmeticError as error:
                raise UserError(NOT_FINITE) from error
            summary = Summary(walk.joined(), reads, blocks[:stop], looks.level)
            measured = summary.measured(headline, methods, walk, chosen.data.available)
            if measured.decided:
                break
        stem, stem_note = _stem(loaded, reads)
    columns, along_z = summary.columns, np.argsort(chosen.data.sections[:stop])
    sections = [chosen.data.sections[index] for index in along_z]
    rows = [summary.symmetry(name, each) for name in methods for each in targets]
    looked = looks.result(stop, chosen.data.available)
    notes += interval_caveats(sections, summary.blocks, measured.valued, looked)
    if measured.exact and reads > 1:
        notes.append(
            "Where the shares of the two sides differ still, the image is why: sections differ. "
            "The verdict is of the network alone, from each stack and its mirror image."
        )
    shapley = summary.shapley(headline[1]) if SHAPLEY in methods else None
    if SHAPLEY in methods and shapley is None and summary.symmetry(SHAPLEY, headline[1]).share:
        notes.append(
            "No Shapley values: all slices together move the logits by a mean over sections that "
            "cannot be told from 0, of which parts would be arbitrary."
        )
    finding, verdict = judge(measured)
    counts = pooled(walk.counts) if walk.counts else None
    inverse = pooled(walk.inverse) if walk.counts else None
    cautions = [
        *chosen.cautions,
        *(prediction_cautions(walk.predicted) if finding != "unmeasurable" else ()),
    ]
    numbers = Audit(
        verdict=verdict,
        finding=finding,
        network=_network(loaded, subject.classes, dense.channel),
        data=chosen.data.model_copy(
            update={"voxel_size_nm": in_units.voxel_size, "sections": sections}
        ),
        looks=looked,
        slices=reads,
        headline="/".join(headline),
        flip_error=measured.flip_error,
        flip_dice=summary.mean("flip_dice", (0, 1)),
        dice=counts.dice if counts else None,
        iou=counts.iou if counts else None,
        effect=measured.effect if reads > 1 else None,
        in_units=in_units.scores(summary),
        layers=in_units.layers(summary.blocks, summary.level),
        symmetry=rows,
        shapley=shapley,
        stem=stem,
        stem_note=stem_note,
        advice=advise(
            finding,
            measured,
            loaded,
            subject.classes,
            subject.from_probabilities,
            looked.most,
        ),
        cautions=cautions,
        notes=[
            *cautions,
            *notes,
            *score_caveats(columns, rows, counts, inverse, walk.predicted),
        ],
        images={
            name: _numbers(values[along_z])
            for name, values in columns.items()
            if name not in UNITS or np.isfinite(values).any()
        },
        seconds=round(time.perf_counter() - start, 3),
        environment={**environment(), "device": str(dense.device)},
    )
    return AuditReport(numbers, walk.pictures())


# --- before the measurement -----------------------------------------------------------------------


def _methods(methods: list[str]) -> list[str]:
    for name in methods:
        if name != SHAPLEY:
            ATTRIBUTIONS.get(name)
    if not any(name != SHAPLEY for name in methods):
        raise UserError(f"Take an attribution that gives maps, such as saliency, beside {SHAPLEY}.")
    return methods


def _for_network(methods: list[str], inputs: AuditInputs, differentiable: bool) -> list[str]:
    """Return the methods, or those that take no gradient for a network that gives none.

    Raises `UserError` where others were asked for.
    """
    if differentiable:
        return methods
    if inputs.attribution == AuditInputs.attribution:  # nobody asked for any
        return ["slice-occlusion", SHAPLEY]
    refused = [name for name in methods if name not in (*FORWARD_ONLY, SHAPLEY)]
    if refused:
        raise UserError(
            f"The network gives no gradients, which {', '.join(refused)} may need: take "
            f"{', '.join(FORWARD_ONLY)} or {SHAPLEY}."
        )
    return methods


# --- the result -----------------------------------------------------------------------------------


def _network(loaded: Loaded, classes: int, channel: int) -> Network:
    return Network(
        name=loaded.name,
        kind=loaded.kind,
        digest=loaded.digest,
        architecture=loaded.architecture,
        parameters=sum(p.numel() for p in loaded.model.parameters()) or None,
        classes=classes,
        channel=channel,
    )


def _numbers(values: np.ndarray) -> list[float | None]:
    """Return values as JSON has them: None for NaN."""
    return [float(value) if math.isfinite(value) else None for value in values]


def _stem(loaded: Loaded, slices: int) -> tuple[StemResult | None, str]:
    """Return the stem profile, or why there is none."""
    if loaded.kind == "callable":
        return None, "A function shows no weights."
    try:
        profile = stem_profile(loaded.model, slices)
    except UserError as error:
        return None, str(error)
    filters = [_numbers(row) for row in profile.filters]
    if not np.isfinite(profile.share).all():
        return None, f"The weights that read the stack are all zero: {profile.where}."
    return StemResult(where=profile.where, share=profile.share.tolist(), filters=filters), ""


# --- in words -------------------------------------------------------------------------------------


def _cells(interval: Interval | None, digits: int = 3) -> tuple[str, str]:
    """Return a value and its interval; – where there is none."""
    if interval is None:
        return MISSING, ""
    if interval.low is None or interval.high is None:
        return number(interval.value, digits), ""
    low, high = number(interval.low, digits), number(interval.high, digits)
    return number(interval.value, digits), f"{low} to {high}"
