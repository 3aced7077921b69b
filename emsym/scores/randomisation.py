"""Sanity: does an attribution method explain the network at all, or only draw the image?

The model-randomisation test of Adebayo et al. 2018, arXiv 1810.03292: a network's weights are
replaced by random ones, stage after stage from the output to the input. A map that stays as it was
does not come from what the network has learned. Two maps of one image by one architecture may be
alike whatever the weights (Sundararajan and Taly 2018, arXiv 1806.04205; Binder et al. 2023, arXiv
2211.12486), so the wholly random network is drawn several times, and how alike the maps of two
such networks are is the null that the trained network's are compared with.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations, pairwise

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from emsym.errors import UserError
from emsym.models.copying import copy_network
from emsym.scores.attribution.methods import ATTRIBUTIONS, Attribution
from emsym.scores.dense_logits import DenseLogits

STAGES = 6
"""In how many steps a network is randomised; fewer where it has fewer modules with weights."""

REDRAWS = 5
"""Wholly random networks: with them, the null is of ten pairs. The stages before have one draw."""

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
    """Spearman's rank correlation of |A| over all pixels and slices, −1..1, mean of the images;
    NaN where there is none."""
    signed: float
    """The same of A; for a method without signs it is that of |A|."""
    images: int
    """How many images the means are of."""
    missing: int
    """Images left out: one of the two maps has a single value everywhere, or is NaN."""


@dataclass(frozen=True)
class Redraws:
    """How alike the maps of a method are with several wholly random networks, and among these.

    Each is Spearman's rank correlation of |A|, −1..1, the mean of the images that have one, else
    NaN.
    """

    random: tuple[float, ...]
    """The network with each of the `REDRAWS` random ones, of which the first is that of the last
    stage."""
    null: tuple[float, ...]
    """Every two of the random networks, which share architecture, image and mask alone."""
    values: int
    """Different values that the method's map of the original network has, in the image with the
    fewest."""

    @property
    def verdict(self) -> bool | None:
        """Whether the method passes.

        True where the network's map is not `ALIKE` to that of any random network: most of it comes
        from the weights. False where it is to that of each, and on average as alike as the two
        random networks are that are the least: it draws the image. None, which is undecided, where
        the redraws disagree; where the map is alike by more than `ALIKE` and yet further from the
        random networks' than these from each other, so that both image and weights show; and where
        there is no null, or a map has fewer than `VALUES`.

        To pass is necessary and not sufficient: noise that depends on the weights passes, too.
        Five redraws cannot show significance, so no p-value is given.
        """
        random, null = (np.array([v for v in each if v == v]) for each in (self.random, self.null))
        if self.values < VALUES or not len(null):
            return None
        if random.max() < ALIKE:
            return True
        return False if random.min() >= ALIKE and random.mean() >= null.min() else None


@dataclass(frozen=True)
class Sanity:
    """The model-randomisation test of some attribution methods on one network."""

    rows: list[Similarity]
    """By method, and in it by stage, of one draw."""
    redraws: dict[str, Redraws]
    """By method, as `rows` has them."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why a method is left out, by name: it is not defined on the network."""

    def verdicts(self) -> dict[str, bool | None]:
        """Whether each method passes, by `Redraws.verdict`."""
        return {name: each.verdict for name, each in self.redraws.items()}


def randomisation(
    dense: DenseLogits,
    x: Tensor,
    mask: Tensor,
    names: Sequence[str],
    seed: int = 0,
    progress: Callable[[str, int, int], object] = lambda phase, done, total: None,
) -> Sanity:
    """Randomise copies of the network stage by stage, and compare the maps with the original's.

    x is (N, S, H, W) and the mask, bool (N, H, W), stays the same throughout. The modules that have
    weights, in the order in which a forward pass reaches them, make `STAGES` stages of nearly
    equal numbers; where a network hides that, as TorchScript does, the order is that of their
    definition. They are drawn anew by their own `reset_parameters`, which also resets the
    running statistics of normalisation; what has none, from a normal distribution of the same mean
    and standard deviation, tensor by tensor. The wholly random network is drawn `REDRAWS` times.
    The given network is left as it is, and the global random state, too. A network that shows no
    weights has no stages, and no method a result.

    Each method makes 1 + `STAGES` + `REDRAWS` − 1 maps of all images, of which 1 + `REDRAWS` are
    kept at a time. `progress` is called with a phase, how many of its maps are done and of how
    many: first those of the network as it is, by which it is known what the methods are defined on,
    then the others.

    Raises `UserError` for an unknown method.
    """
    methods = {name: ATTRIBUTIONS.get(name) for name in names}
    before, refused = _originals(dense, x, mask, methods, progress)
    stages = _stages(_copy(dense), x)
    rows: list[Similarity] = []
    redraws: dict[str, Redraws] = {}
    done, total = 0, (len(stages) + REDRAWS - 1) * len(before) if stages else 0
    progress("Randomised", done, total)
    for name, original in before.items() if stages else ():
        ranks = _Ranks(original)
        random: list[np.ndarray] = []
        for stage, network in _random_networks(dense, stages, seed):
            after = _Ranks(methods[name](network, x, mask))
            if not random:
                rows.append(_compare(name, stage, stages[stage - 1][-1], ranks, after))
            if stage == len(stages):
                random.append(after.of_size)
            done += 1
            progress("Randomised", done, total)
        values = min(len(image.unique()) for image in original)
        redraws[name] = _redraws(ranks.of_size, random, values)
    return Sanity(rows, redraws, refused)


def _originals(
    dense: DenseLogits,
    x: Tensor,
    mask: Tensor,
    methods: Mapping[str, Attribution],
    progress: Callable[[str, int, int], object],
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the maps of the network as it is, and why a method has none."""
    maps: dict[str, Tensor] = {}
    refused: dict[str, str] = {}
    progress("As it is", 0, len(methods))
    for done, (name, method) in enumerate(methods.items(), 1):
        try:
            maps[name] = method(dense, x, mask)
        except UserError as error:
            refused[name] = str(error)
        progress("As it is", done, len(methods))
    return maps, refused


def _copy(dense: DenseLogits) -> DenseLogits:
    network = DenseLogits(copy_network(dense.model), dense.channel)
    network.reversed = dense.reversed
    return network


def _stages(network: DenseLogits, x: Tensor) -> list[list[str]]:
    """Return the modules with weights of their own, from the output to the input, in groups."""
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
    paths = sorted(places, key=lambda path: places[path])[::-1]
    count = min(STAGES, len(paths))
    edges = np.linspace(0, len(paths), count + 1).round().astype(int)
    return [paths[start:stop] for start, stop in pairwise(edges)]


def _random_networks(
    dense: DenseLogits, stages: Sequence[Sequence[str]], seed: int
) -> Iterator[tuple[int, DenseLogits]]:
    """Yield copies with how many stages are random: each of the first draw, the last of others."""
    devices = [dense.device] if dense.device.type == "cuda" else []
    for draw in range(REDRAWS):
        network = _copy(dense)
        modules = dict(network.model.named_modules())
        for stage, paths in enumerate(stages, 1):
            with torch.random.fork_rng(devices), torch.no_grad():
                torch.manual_seed(seed + draw * STAGES + stage)
                for path in paths:
                    _redraw(modules[path])
            if draw == 0 or stage == len(stages):
                yield stage, network


def _redraw(module: nn.Module) -> None:
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
        return
    for weights in module.parameters(recurse=False):
        spread = weights.std(correction=0)
        weights.copy_(weights.mean() + spread * torch.randn_like(weights))


class _Ranks:
    """The ranks in maps (N, S, H, W), of mean 0 and variance 1 in each image: (N, S·H·W) float32.

    NaN where a map is constant or NaN.
    """

    def __init__(self, maps: Tensor) -> None:
        values = maps.flatten(1).numpy(force=True)
        self.of_size, self.signed = _standard_ranks(np.abs(values)), _standard_ranks(values)


def _standard_ranks(values: np.ndarray) -> np.ndarray:
    ranks = rankdata(values, axis=1)
    spread = ranks.std(1, keepdims=True)
    apart = ranks - ranks.mean(1, keepdims=True)
    return np.divide(apart, spread, out=np.full_like(apart, np.nan), where=spread > 0).astype("f4")


def _correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return Spearman's ρ of each image, (N,), from the standardised ranks of both maps."""
    return np.array([np.mean(a * b, dtype=np.float64) for a, b in zip(one, other, strict=True)])


def _mean(values: np.ndarray) -> float:
    """Return the mean of those that are not NaN; NaN where there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _compare(name: str, stage: int, module: str, before: _Ranks, after: _Ranks) -> Similarity:
    size = _correlations(before.of_size, after.of_size)
    signed = _correlations(before.signed, after.signed)
    missing = np.isnan(size) | np.isnan(signed)
    known = ~missing
    return Similarity(
        name,
        stage,
        module,
        _mean(size[known]),
        _mean(signed[known]),
        images=int(known.sum()),
        missing=int(missing.sum()),
    )


def _redraws(original: np.ndarray, random: Sequence[np.ndarray], values: int) -> Redraws:
    """Compare the network's map with those of the random ones, and every two of these."""
    return Redraws(
        random=tuple(_mean(_correlations(original, each)) for each in random),
        null=tuple(_mean(_correlations(*pair)) for pair in combinations(random, 2)),
        values=values,
    )
