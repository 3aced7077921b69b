"""The maps of one section of a volume, explained as its audit explains those that it looks at."""

from dataclasses import replace
from typing import Any, cast

import numpy as np

from emsym.auditing.inputs import AuditInputs
from emsym.auditing.result import Audit, SectionExample
from emsym.auditing.subject import NOT_FINITE, prepare
from emsym.auditing.volume import Chosen
from emsym.auditing.walk import example_of
from emsym.errors import UserError
from emsym.scores.measure import measure
from emsym.scores.targets import Target


def nearest_whole_stack(section: int, slices: int, depth: int) -> int:
    """Return the section, or the nearest that has all its neighbours, `slices` in all.

    >>> [nearest_whole_stack(section, 3, 10) for section in (0, 4, 9)]
    [1, 4, 8]
    """
    half = slices // 2
    return min(max(section, half), depth - 1 - half)


def section_maps(inputs: AuditInputs, audited: Audit, section: int) -> SectionExample:
    """Explain one section, by its number in the volume: any that has all its neighbours.

    `inputs` are those of the audit, of which volume and labels are arrays (Z, Y, X); only the
    section's stack is read. Grey levels are normalised, labels read and the network's answer
    explained as the audit did, by the attribution and the target of its headline, in the middle
    that it looked at.

    Raises `UserError` for whatever of the inputs is wrong, and where the section has no whole
    stack.
    """
    method, target = cast(tuple[str, Target], tuple(audited.headline.split("/")))
    half, depth = audited.slices // 2, audited.data.shape[0]
    if not half <= section < depth - half:
        raise UserError(
            f"Section {section} has no {audited.slices} slices around it: take one of {half} to "
            f"{depth - 1 - half}."
        )
    volume: Any = inputs.volume
    one = replace(
        inputs,
        volume=volume[section - half : section + half + 1],
        labels=None,
        ignore=None,
        axes="zyx",
        target=None,
        mean=audited.data.mean,
        sd=audited.data.sd,
    )
    with prepare(one) as subject:
        chosen = subject.chosen
        if inputs.labels is not None:
            chosen = _labelled(chosen, audited, inputs.labels, section)
        try:
            (group,) = measure(subject.dense, chosen, [target], [method], inputs.threshold)
        except ArithmeticError as error:
            raise UserError(NOT_FINITE) from error
        return example_of(group, 0, section, (method, target))


def _labelled(chosen: Chosen, audited: Audit, labels: Any, section: int) -> Chosen:
    """Return the section with its labels, read as the audit read those of its sections.

    A single section's labels would not tell what they mean, as those of many do.
    """
    top, bottom, left, right = audited.data.crop
    marks = np.asarray(labels[section, top:bottom, left:right])[None]
    unlabelled = np.isin(marks, audited.data.unlabelled_values)
    label = audited.data.foreground_label
    return replace(
        chosen,
        labels=np.where(unlabelled, 0, marks),
        unlabelled=unlabelled,
        data=chosen.data.model_copy(update={"foreground_label": label}),
    )
