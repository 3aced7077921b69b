"""Sanity: does an attribution method explain the network at all, or only draw the image?

The model-randomisation test of Adebayo et al. 2018, arXiv 1810.03292: a network's weights are
replaced by random ones, stage after stage from the output to the input. A map that stays as it was
does not come from what the network has learned.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from emsym.errors import UserError
from emsym.models.copying import copy_network
from emsym.scores.attribution.methods import ATTRIBUTIONS
from emsym.scores.dense_logits import DenseLogits

STAGES = 6
"""In how many steps a network is randomised; fewer where it has fewer modules with weights."""

ALIKE = 0.5**0.5
"""Rank correlation from which on a map is said to have stayed the same: more than half of the
variance of its ranks (ρ² > ½) is then shared with the map of a network that knows nothing. Adebayo
et al. compare curves and set no limit; this one is a convention."""

VALUES = 20
"""Different values that a map must have for a verdict: of fewer, the ranks of two unrelated maps
are too often alike, as ρ of n of them has the standard deviation 1 / √(n − 1), 0.23 of 20."""


@dataclass(frozen=True)
class Similarity:
    """How alike the maps of a method are before and after the network is randomised up to here."""

    attribution: str
    stage: int
    """How many stages are random: 1 is the one by the output, the last is the whole network."""
    from_module: str
    """The module nearest to the input that is random by now, as the network names it."""
    similarity: float
    """Spearman's rank correlation of |A| over all pixels and slices, mean of the images; NaN where
    there is none."""
    signed: float
    """The same of A; for a method without signs it is that of |A|."""
    images: int
    """How many images the means are of."""
    missing: int
    """Images left out: one of the two maps has a single value everywhere, or is NaN."""
    values: int
    """Different values that the method's map of the original network has, in the image with the
    fewest."""


@dataclass(frozen=True)
class Sanity:
    """The model-randomisation test of some attribution methods on one network."""

    rows: list[Similarity]
    """By method, and in it by stage."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why a method is left out, by name: it is not defined on the network."""

    def verdicts(self) -> dict[str, bool | None]:
        """Whether each method passes: |A| of the wholly random network is no longer `ALIKE`.

        None where no image has a value, or a map has fewer than `VALUES`.
        """
        whole = {row.attribution: row for row in self.rows}  # the last stage of each
        return {
            name: None
            if np.isnan(row.similarity) or row.values < VALUES
            else bool(row.similarity < ALIKE)
            for name, row in whole.items()
        }


def randomisation(
    dense: DenseLogits,
    x: Tensor,
    mask: Tensor,
    names: Sequence[str],
    seed: int = 0,
    progress: Callable[[str, int, int], object] = lambda phase, done, total: None,
) -> Sanity:
    """Randomise a copy of the network stage by stage, and compare the maps with the original's.

    x is (N, S, H, W) and the mask, bool (N, H, W), stays the same throughout. The modules that have
    weights, in the order in which a forward pass reaches them, make `STAGES` stages of nearly
    equal numbers; where a network hides that, as TorchScript does, the order is that of their
    definition. They are drawn anew by their own `reset_parameters`, which also resets the
    running statistics of normalisation; what has none, from a normal distribution of the same mean
    and standard deviation, tensor by tensor. The given network is left as it is, and the global
    random state, too. A network that shows no weights has no stages.

    `progress` is called with a phase, how many of its maps are done and of how many: first those of
    the network as it is, by which it is known what the methods are defined on, then the others.

    Raises `UserError` for an unknown method.
    """
    methods = {name: ATTRIBUTIONS.get(name) for name in names}
    before: dict[str, Tensor] = {}
    refused: dict[str, str] = {}
    progress("As it is", 0, len(methods))
    for done, (name, method) in enumerate(methods.items(), 1):
        try:
            before[name] = method(dense, x, mask)
        except UserError as error:
            refused[name] = str(error)
        progress("As it is", done, len(methods))
    network = DenseLogits(copy_network(dense.model), dense.channel)
    network.reversed = dense.reversed
    rows: dict[str, list[Similarity]] = {name: [] for name in before}
    stages = _stages(network, x)
    devices = [dense.device] if dense.device.type == "cuda" else []
    done, total = 0, len(stages) * len(before)
    progress("Randomised", done, total)
    for number, stage in enumerate(stages, 1):
        with torch.random.fork_rng(devices), torch.no_grad():
            torch.manual_seed(seed + number)
            for _, module in stage:
                _redraw(module)
        for name, map_before in before.items():
            after = methods[name](network, x, mask)
            rows[name].append(_compare(name, number, stage[-1][0], map_before, after))
            done += 1
            progress("Randomised", done, total)
    return Sanity([row for name in before for row in rows[name]], refused)


def _stages(network: DenseLogits, x: Tensor) -> list[list[tuple[str, nn.Module]]]:
    """The modules with weights of their own, from the output to the input, in groups."""
    weighted = [
        (path, module)
        for path, module in network.model.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    ]
    reached: dict[str, int] = {}

    def note(path: str, module: nn.Module, inputs: object) -> None:
        reached.setdefault(path, len(reached))

    handles = [
        module.register_forward_pre_hook(partial(note, path))
        for path, module in weighted
        if not isinstance(module, torch.jit.ScriptModule)
    ]
    with torch.no_grad():
        network(x[:1])
    for handle in handles:
        handle.remove()
    place, places = -1, {}
    for path, _ in weighted:  # what a pass uses without calling it goes with what stands before it
        places[path] = place = reached.get(path, place)
    modules = sorted(weighted, key=lambda each: places[each[0]])[::-1]
    count = min(STAGES, len(modules))
    edges = np.linspace(0, len(modules), count + 1).round().astype(int)
    return [modules[start:stop] for start, stop in pairwise(edges)]


def _redraw(module: nn.Module) -> None:
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
        return
    for weights in module.parameters(recurse=False):
        spread = weights.std(correction=0)
        weights.copy_(weights.mean() + spread * torch.randn_like(weights))


def _compare(name: str, stage: int, module: str, before: Tensor, after: Tensor) -> Similarity:
    pairs = [
        (_rank_correlation(one.abs(), two.abs()), _rank_correlation(one, two))
        for one, two in zip(before, after, strict=True)
    ]
    known = np.array([pair for pair in pairs if not np.isnan(pair).any()]).reshape(-1, 2)
    size, signed = known.mean(0) if len(known) else (np.nan, np.nan)
    return Similarity(
        name,
        stage,
        module,
        float(size),
        float(signed),
        images=len(known),
        missing=len(pairs) - len(known),
        values=min(len(image.unique()) for image in before),
    )


def _rank_correlation(one: Tensor, two: Tensor) -> float:
    """Spearman's ρ of all values; NaN where either map is constant."""
    first, second = (each.flatten().double().numpy(force=True) for each in (one, two))
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(spearmanr(first, second).statistic)
