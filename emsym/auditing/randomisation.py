"""Sanity of attribution methods on one network: randomisation and equivariance, in words.

See `emsym.scores.randomisation` and `emsym.scores.equivariance`.
"""

from collections.abc import Iterator, Sequence
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
from emsym.scores.equivariance import Equivariance, equivariance
from emsym.scores.randomisation import (
    ALIKE,
    REDRAWS,
    VALUES,
    Sanity,
    Similarity,
    randomisation,
)
from emsym.scores.targets import Target, target_mask
from emsym.wording import interval, number, significant

SLOW = ("patch-occlusion",)
"""Hundreds of passes for each section and stage, which may take an hour: looked at where named."""

_VERDICTS = {True: "passes", False: "fails", None: "unknown"}
_MEANING = f"""\
random   the network's map and those of {REDRAWS} wholly random networks: mean (lowest to highest)
null     those of two random networks, which share architecture, image and target alone
mirror   ‖A(mirror x) − mirror A(x)‖ / ‖A(x)‖ of (f(x) + f(mirror x)) / 2: 0, but for rounding,
         where the method treats the slices on either side alike
verdict  passes: below {ALIKE:.2f} with each random network, so the weights make most of the map;
         fails: not below with any, and as alike as the null, so the method draws the image;
         unknown: in all other cases. To pass is necessary, not sufficient: noise passes, too."""


@dataclass(frozen=True)
class SanityReport:
    """The result of a sanity check; `print` shows it as tables."""

    result: Sanity
    """How alike the maps are to those of random networks, by method."""
    equivariance: Equivariance
    """How asymmetric each method of `result` is by itself."""
    network: str
    target: Target
    sections: int
    """How many sections the means are of."""
    notes: list[str]
    cautions: Sequence[str] = ()
    """Sentences without which the numbers may mislead."""

    def __str__(self) -> str:
        rows = self.result.rows
        methods = {
            name: [row for row in rows if row.attribution == name] for name in self.result.redraws
        }
        stages = next(iter(methods.values()))
        return "\n".join(
            [
                f"How alike the maps of {self.network} are to those of random networks:",
                f"rank correlation of |A|, mean of {self.sections} sections; explained: "
                f"{TARGETS[self.target]}.",
                *(f"Caution: {each}" for each in self.cautions),
                "",
                _table(["", "random", "null", "mirror", "verdict"], self._verdicts()),
                "",
                _MEANING,
                "",
                "Stage by stage, of the first random network:",
                "",
                _table(
                    ["", *(str(row.stage) for row in stages)],
                    [
                        [name, *(number(row.similarity, 2) for row in each)]
                        for name, each in methods.items()
                    ],
                ),
                "",
                "Random from the output back to:",
                *(f"  {row.stage}  {row.from_module or 'the network itself'}" for row in stages),
                "",
                *(f"{name} is left out: {why}" for name, why in self.result.refused.items()),
                *(
                    f"{name} has no deviation under mirror: {why}"
                    for name, why in self.equivariance.refused.items()
                ),
                *self._undecided(),
                *(_missing(row) for row in rows if row.missing),
                *self.notes,
            ]
        )

    def _verdicts(self) -> list[list[str]]:
        return [
            [
                name,
                _spread(each.random),
                _spread(each.null),
                significant(self.mean_deviation(name)),
                _VERDICTS[each.verdict],
            ]
            for name, each in self.result.redraws.items()
        ]

    def mean_deviation(self, attribution: str) -> float | None:
        """Return a method's deviation from equivariance, mean of the sections that have one.

        At least 0, which is equivariant, but for rounding; None where it is not known.
        """
        deviation = self.equivariance.deviation.get(attribution, torch.empty(0))
        known = deviation[~deviation.isnan()]
        return float(known.mean()) if len(known) else None

    def _undecided(self) -> Iterator[str]:
        for name, each in self.result.redraws.items():
            if 1 < each.values < VALUES:
                yield (
                    f"The map by {name} has {each.values} different values, too few for a verdict "
                    "by ranks."
                )
            elif each.verdict is None and min(each.random) >= ALIKE:
                yield (
                    f"Most of the map by {name} comes from the image, yet it is less like random "
                    "networks' maps than these are like each other."
                )


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    numbers = ["right"] * (len(headers) - 1)
    return tabulate(rows, headers=headers, disable_numparse=True, colalign=["left", *numbers])


def _spread(values: Sequence[float]) -> str:
    """Say the mean of redraws, and the lowest and highest of them."""
    known = [value for value in values if value == value]
    if not known:
        return number(None, 2)
    return interval(sum(known) / len(known), min(known), max(known), 2)


def _missing(row: Similarity) -> str:
    return (
        f"The map by {row.attribution} is the same everywhere at stage {row.stage}, or is NaN, in "
        f"{row.missing} of {row.images + row.missing} sections, which have no rank correlation "
        "there."
    )


@called_with(SanityInputs)
def sanity(inputs: SanityInputs) -> SanityReport:
    """Test which attribution methods explain a network, and which treat its slices alike.

    Its weights are made random, several times (Adebayo et al. 2018, arXiv 1810.03292; see
    `emsym.scores.randomisation`), and it is made mirror-symmetric (Crabbé and van der Schaar 2023,
    arXiv 2304.06715; see `emsym.scores.equivariance`). Without attributions all but the `SLOW` ones
    are tested; those that are not defined on the network are left out, and told. The target of the
    headline of `emsym.audit` is explained, and sections without it are left out. Each method takes
    the time of about 15 maps of the sections. `progress` is as of `randomisation`.

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
        explained = dense, x[there], mask[there]
        result = randomisation(*explained, names, progress=inputs.progress)
        if not result.rows:
            raise UserError(f"No method is left: {' '.join(result.refused.values())}")
        symmetric = equivariance(*explained, list(result.redraws), progress=inputs.progress)
    notes = [*data_caveats(chosen), *subject.notes]
    if len(chosen) < chosen.data.available:
        notes.insert(
            0,
            f"{len(chosen)} of {chosen.data.available} sections with all their neighbours were "
            "looked at, evenly spaced.",
        )
    if empty := int((~there).sum()):
        notes.append(
            f"The {TARGETS[target]} is empty in {empty} of {len(chosen)} sections, which were left "
            "out."
        )
    return SanityReport(
        result,
        symmetric,
        subject.loaded.name,
        target,
        int(there.sum()),
        notes,
        chosen.cautions,
    )


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
