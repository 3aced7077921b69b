"""The scores that a cell of a protocol has, by the keys of the catalogue."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from string import Formatter

from emsym.protocol import SHAPLEY, Protocol
from emsym.scores.catalogue import SCORES, optional_key
from emsym.scores.score import Score

COUNTS = ("tp", "fp", "fn")


def pooled_alone() -> list[str]:
    """The scores of a whole test volume, which no values of single sections give."""
    return [score.key for score in _own() if score.pooling == "volume"]


def image_scores(protocol: Protocol) -> set[str]:
    """The scores that a cell has of each test section."""
    scoring = protocol.scoring
    targets = tuple(dict.fromkeys((*scoring.targets, scoring.faithfulness.target)))
    own = [score for score in _own() if score.pooling in ("mean", "counts")]
    metrics = [f"{{map}}/{{target}}/{name}" for name in scoring.faithfulness.metrics]
    return {
        *_keys((score.key for score in own), protocol, targets),
        *_keys(metrics, protocol, (scoring.faithfulness.target,)),
        *map(optional_key, scoring.scores),
    }


def counts(protocol: Protocol) -> set[str]:
    """The counts of pixels of each test section that pooled scores come from."""
    return _keys((SCORES.get(name).key for name in COUNTS), protocol, ())


def look_scores(protocol: Protocol) -> set[str]:
    """The scores of each look while a cell is trained; none where the protocol takes none."""
    if not protocol.scoring.over_training:
        return set()
    looked = (score.key for score in _own() if score.over_training)
    return _keys(looked, protocol, protocol.scoring.targets)


def _own() -> list[Score]:
    """The scores that every cell has."""
    scores = [SCORES.get(name) for name in SCORES.own_names()]
    return [score for score in scores if score.compute is None]


def _keys(patterns: Iterable[str], protocol: Protocol, targets: Sequence[str]) -> set[str]:
    """The keys that patterns of the catalogue stand for."""
    scoring, half = protocol.scoring, protocol.slices // 2
    values: Mapping[str, Sequence[object]] = {
        "attribution": scoring.attributions,
        "map": scoring.maps,
        "shapley": [name for name in scoring.attributions if name == SHAPLEY],
        "target": targets,
        "threshold": scoring.thresholds,
        "slice": [f"{offset:+d}" for offset in range(-half, half + 1)],
    }
    keys = set()
    for pattern in patterns:
        names = [name for _, name, _, _ in Formatter().parse(pattern) if name]
        for combination in product(*(values[name] for name in names)):
            keys.add(pattern.format(**dict(zip(names, combination, strict=True))))
    return keys
