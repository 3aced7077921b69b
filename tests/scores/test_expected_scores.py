"""Which scores a cell has follows from its protocol and the catalogue."""

from emsym.protocol import Protocol
from emsym.scores.expected_scores import counts, image_scores, look_scores, pooled_alone


def test_scores_of_sections_are_those_that_the_protocol_asks_for(protocol: Protocol) -> None:
    names = image_scores(protocol)
    assert {"dice@0.5", "iou@0.85", "arand_2d", "flip_error", "foreground/pixels"} <= names
    assert {f"saliency/foreground/slice_share[{s}]" for s in ("-1", "+0", "+1")} <= names
    assert "saliency/foreground/slice_share[+2]" not in names
    assert "saliency/true-foreground/slice-removal" in names
    assert "saliency/foreground/slice-removal" not in names, "metrics are of one target"
    assert "arand_3d" not in names


def test_shapley_values_have_no_maps(protocol: Protocol) -> None:
    shapley = {name for name in image_scores(protocol) if name.startswith("slice-shapley/")}
    assert "slice-shapley/foreground/slice_shapley[-1]" in shapley
    assert "slice-shapley/foreground/model_asymmetry" in shapley
    assert not any("mirror_distance" in name or "removal" in name for name in shapley)
    assert not any("slice_shapley[" in name for name in image_scores(protocol) - shapley)


def test_counts_and_volumes_stand_apart(protocol: Protocol) -> None:
    assert counts(protocol) == {f"{c}@{t}" for c in ("tp", "fp", "fn") for t in (0.5, 0.85)}
    assert pooled_alone() == ["arand_3d"]
    assert not counts(protocol) & image_scores(protocol)


def test_looks_while_training_have_the_symmetry_scores_alone(protocol: Protocol) -> None:
    looks = look_scores(protocol)
    assert looks < image_scores(protocol)
    assert {"flip_error", "foreground/pixels", "saliency/foreground/imbalance"} <= looks
    assert not any("@" in name or "arand" in name or "removal" in name for name in looks)
    without = protocol.model_copy(
        update={"scoring": protocol.scoring.model_copy(update={"over_training": None})}
    )
    assert look_scores(without) == set()


def test_optional_scores_are_expected_by_their_keys(protocol: Protocol) -> None:
    scoring = protocol.scoring.model_copy(update={"scores": ("own", "voi_split")})
    more = protocol.model_copy(update={"scoring": scoring})
    assert image_scores(more) - image_scores(protocol) == {"plugin/own", "voi_split"}
    assert look_scores(more) == look_scores(protocol)
    assert more.digest != protocol.digest
