"""Sanity of attribution methods on one network: by model randomisation, in words.

See `emsym.scores.randomisation`.
"""

from contextlib import suppress
from dataclasses import dataclass

import torch
from tabulate import tabulate
from torch import Tensor

from emsym.auditing.caveats import TARGETS, data_caveats
from emsym.auditing.inputs import SanityInputs, attribution_names, called_with
from emsym.auditing.subject import NOT_FINITE, Subject, prepare
from emsym.errors import UserError
from emsym.protocol import SHAPLEY
from emsym.scores.attribution.methods import ATTRIBUTIONS
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.randomisation import ALIKE, VALUES, Sanity, Similarity, randomisation
from emsym.scores.targets import Target, target_mask
from emsym.wording import number

SLOW = ("patch-occlusion",)
"""Hundreds of passes for each section and stage, which may take an hour: looked at where named."""

_VERDICTS = {True: "passes", False: "fails", None: "unknown"}
_MEANING = (
    f"A method passes where the wholly random network has another map, alike by less than "
    f"{ALIKE:.2f}: what it\nshows comes from the weights. One that fails draws the image, whatever "
    "the network has learned."
)


@dataclass(frozen=True)
class SanityReport:
    """The result of a sanity check; `print` shows it as a table."""

    result: Sanity
    network: str
    target: Target
    sections: int
    notes: list[str]

    def __str__(self) -> str:
        methods: dict[str, list[Similarity]] = {}
        for row in self.result.rows:
            methods.setdefault(row.attribution, []).append(row)
        verdicts = self.result.verdicts()
        table = [
            (name, *(number(row.similarity, 2) for row in rows), _VERDICTS[verdicts[name]])
            for name, rows in methods.items()
        ]
        stages = next(iter(methods.values()))
        shown = tabulate(
            table,
            headers=["", *(str(row.stage) for row in stages), "verdict"],
            disable_numparse=True,
            colalign=["left", *["right"] * len(stages), "left"],
        )
        missing = [
            f"The map by {row.attribution} is the same everywhere at stage {row.stage}, or is NaN, "
            f"in {row.missing} of {row.images + row.missing} sections, which have no rank "
            "correlation there."
            for row in self.result.rows
            if row.missing
        ]
        few = [
            f"The map by {name} has {rows[-1].values} different values, too few for a verdict by "
            "ranks."
            for name, rows in methods.items()
            if 1 < rows[-1].values < VALUES
        ]
        refused = [f"{name} is left out: {why}" for name, why in self.result.refused.items()]
        return "\n".join(
            [
                f"How alike the maps of {self.network} are before and after its weights are "
                "random, stage by stage:",
                f"rank correlation of |A|, mean of {self.sections} sections; explained: "
                f"{TARGETS[self.target]}.",
                "",
                shown,
                "",
                "Random from the output back to:",
                *(f"  {row.stage}  {row.from_module or 'the network itself'}" for row in stages),
                "",
                _MEANING,
                *refused,
                *few,
                *missing,
                *self.notes,
            ]
        )


@called_with(SanityInputs)
def sanity(inputs: SanityInputs) -> SanityReport:
    """Test which attribution methods explain a network, by making its weights random.

    Adebayo et al. 2018, arXiv 1810.03292, by `emsym.scores.randomisation.randomisation`. Without
    attributions all but the `SLOW` ones are tested; those that are not defined on the network are
    left out, and told. The target of the headline of `emsym.audit` is explained, and sections
    without it are left out. `progress` is as of `randomisation`.

    Raises `UserError` as `emsym.audit` does, and where there is nothing to explain, no method is
    defined on the network, or it shows no weights.
    """
    names = attribution_names(inputs.attribution) or [n for n in _registered() if n not in SLOW]
    for name in names:
        if name == SHAPLEY:
            raise UserError(f"{SHAPLEY} gives no map to compare: take slice-occlusion instead.")
        ATTRIBUTIONS.get(name)
    with prepare(inputs) as subject:
        dense, chosen, target = subject.dense, subject.chosen, subject.targets[0]
        if not any(True for _ in dense.parameters()):
            raise UserError(
                "The network shows no weights that could be made random: give a state dict, a "
                "torch.nn.Module, or TorchScript that is not frozen."
            )
        if not dense.differentiable:
            raise UserError(
                "The network gives no gradients, and most attribution methods need them: audit it "
                "instead, by forward passes."
            )
        x, mask = _explained(subject, inputs.threshold)
        there = mask.any(2).any(1)
        if not there.any():
            raise UserError(
                f"The {TARGETS[target]} is empty in all {len(chosen)} sections, so there is "
                "nothing to explain: choose others, lower --threshold, or take --target all."
            )
        result = randomisation(dense, x[there], mask[there], names, progress=inputs.progress)
    if not result.rows:
        raise UserError(f"No method is left: {' '.join(result.refused.values())}")
    notes = [*data_caveats(chosen), *subject.notes]
    if empty := int((~there).sum()):
        notes.append(
            f"The {TARGETS[target]} is empty in {empty} of {len(chosen)} sections, which were left "
            "out."
        )
    return SanityReport(result, subject.loaded.name, target, int(there.sum()), notes)


def _registered() -> list[str]:
    """Return all methods; a warning tells of a package's that cannot be imported."""
    for name in ATTRIBUTIONS.names():
        with suppress(UserError):
            ATTRIBUTIONS.get(name)
    return ATTRIBUTIONS.names()


def _explained(subject: Subject, threshold: float) -> tuple[Tensor, Tensor]:
    """Return all stacks, (N, S, H, W), and the pixels that are explained, (N, H, W) bool."""
    dense: DenseLogits = subject.dense
    x, truth = subject.chosen[:]
    x = x.to(dense.device)

    def predicted(part: slice) -> Tensor:
        with torch.no_grad():
            outputs = dense.outputs(x[part])
        if not outputs.isfinite().all():
            raise UserError(NOT_FINITE)
        return dense.predicted(outputs, threshold)

    parts = [part for _, part in dense.in_chunks(predicted, len(x), x.shape[-2] * x.shape[-1])]
    labels = None if truth is None else truth.to(dense.device)
    return x, target_mask(subject.targets[0], torch.cat(parts), labels)
