import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from emsym.data.cards import load_card
from emsym.models.architectures import _PROTOTYPES, ARCHITECTURES, create_model
from emsym.output_folder import OutputFolder
from emsym.protocol import load_protocol
from emsym.run.cell import load_splits, run_cell, score_model
from emsym.run.example import SIZE, example
from emsym.run.job import Job, jobs
from emsym.run.store.record import Record
from emsym.scores.catalogue import SCORES
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.expected_scores import image_scores

pytestmark = pytest.mark.numerical

TIMINGS = {"seconds", "cost", "peak_memory_mb"}
KEYS = ("-1", "+0", "+1")


@pytest.fixture
def job(tiny: Path) -> Job:
    return jobs(load_protocol(str(tiny)))[0]


def test_the_same_cell_twice_gives_the_same_record_but_for_timings(job: Job) -> None:
    first, second = run_cell(job), run_cell(job)
    assert first.status == "done", first.error
    assert first.model_dump(exclude=TIMINGS) == second.model_dump(exclude=TIMINGS)


def test_a_cell_leaves_threads_and_determinism_as_they_were(job: Job) -> None:
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(3)
    try:
        assert run_cell(job).status == "done"
        assert torch.get_num_threads() == 3
        assert torch.are_deterministic_algorithms_enabled() == before[1]
    finally:
        torch.set_num_threads(before[0])


def test_seeds_and_strategies_differ(tiny: Path) -> None:
    records = [run_cell(job) for job in jobs(load_protocol(str(tiny)))]
    assert len({record.scores["flip_error"] for record in records}) == len(records)


def test_a_record_holds_every_score_of_every_image(job: Job) -> None:
    record = run_cell(job)
    assert record.images["section"] == [8, 9, 10]
    assert {len(column) for column in record.images.values()} == {3}
    for target in ("foreground", "true-foreground"):
        shares = [record.images[f"saliency/{target}/slice_share[{s}]"] for s in ("-1", "+0", "+1")]
        assert np.sum(shares, axis=0) == pytest.approx(np.ones(3))
        for name in ("imbalance", "neighbour_asymmetry", "model_asymmetry", "data_asymmetry"):
            assert f"saliency/{target}/{name}" in record.scores
    for name in ("dice@0.5", "iou@0.85", "arand_2d", "arand_3d", "flip_error"):
        assert name in record.scores
    assert len(record.curve) == 2
    assert {"data", "model", "train", "symmetry", "faithfulness"} <= record.seconds.keys()
    for name in ("saliency", "input-x-gradient"):
        for metric in ("faithfulness-estimate", "slice-removal"):
            assert record.missing[f"{name}/true-foreground/{metric}"] == 1, (
                "two of three are scored"
            )
    for s in ("-1", "+0", "+1"):
        assert f"slice-shapley/true-foreground/slice_shapley[{s}]" in record.scores


def test_pooled_scores_follow_from_the_counts_of_each_image(job: Job) -> None:
    record = run_cell(job)
    for threshold in ("0.5", "0.85"):
        tp, fp, fn = (np.array(record.images[f"{n}@{threshold}"]) for n in ("tp", "fp", "fn"))
        pooled = [record.scores[f"{name}@{threshold}"] for name in ("dice", "iou")]
        whole = tp.sum() + fp.sum() + fn.sum()
        assert pooled == pytest.approx([2 * tp.sum() / (tp.sum() + whole), tp.sum() / whole])
        assert record.images[f"dice@{threshold}"] == pytest.approx(2 * tp / (2 * tp + fp + fn))
        assert (tp + fn).tolist() == record.images["true-foreground/pixels"]
        assert not {f"tp@{threshold}", f"fn@{threshold}"} & record.scores.keys()


def test_pixels_that_a_card_ignores_count_in_no_score(tiny: Path) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (12, 48, 48)).astype(np.uint8)
    labels = (image > 127).astype(np.uint8)
    labels[:, :16] = 9
    np.save(tiny.parent / "image.npy", image)
    np.save(tiny.parent / "labels.npy", labels)
    card = tiny.with_name("tiny-a.toml")
    text = card.read_text().replace('ids = "instances"', "ignore = 9")
    phantom = text[text.index("[phantom]") : text.index("[tasks")]
    files = '[sources.own]\nimage = {path = "image.npy"}\nlabels.semantic = {path = "labels.npy"}\n'
    card.write_text(text.replace(phantom, files))
    record = run_cell(jobs(load_protocol(str(tiny)))[0])
    assert record.status == "done", record.error
    membranes = (labels == 1)[[8, 9, 10]].sum((1, 2)).tolist()
    tp, fp, fn = (np.array(record.images[f"{name}@0.5"]) for name in ("tp", "fp", "fn"))
    assert (tp + fn).tolist() == membranes == record.images["true-foreground/pixels"]
    assert (tp + fp).tolist() == record.images["foreground/pixels"]
    assert (tp + fp + fn).max() <= 32 * 48
    _, _, instances = load_splits(load_card(str(card)), 3, 32, "skip")
    assert not instances[:, :16].any()
    assert instances[:, 16:].any()


def test_each_seed_sees_a_volume_of_its_own_where_the_card_says_so(tiny: Path) -> None:
    card = tiny.with_name("tiny-a.toml")
    card.write_text(card.read_text().replace("seed = 0", "seed = 0\nvolume_per_seed = true"))
    chosen = load_protocol(str(tiny)).select(inits=["rgb"])
    records = [run_cell(job) for job in jobs(chosen)]
    pixels = [record.images["true-foreground/pixels"] for record in records]
    assert pixels[0] != pixels[1]
    assert records[0].dataset == records[1].dataset


def test_a_protocol_may_ask_for_scores_and_for_none_of_instances_that_one_hole_merges(
    tiny: Path,
) -> None:
    asked = [name for name in SCORES.own_names() if SCORES.get(name).compute]
    tiny.write_text(f'{tiny.read_text()}scores = {asked}\narand_3d = "foreground"\n')
    protocol = load_protocol(str(tiny)).select(inits=["rgb"], seeds=[0])
    record = run_cell(jobs(protocol)[0])
    assert record.status == "done", record.error
    assert len(asked) > 10
    assert {*asked, *image_scores(protocol)} == {*record.scores} - {"arand_3d"}
    missing = {name for name in asked if record.scores[name] is None}
    assert missing <= {"answer_offset"}, "two steps do not teach to follow labels"
    assert record.scores["arand_3d"] is None, "its neurites lie between membranes"


def test_one_section_is_kept_to_look_at_and_changes_no_number(job: Job, tmp_path: Path) -> None:
    record = run_cell(job, OutputFolder(tmp_path))
    assert record.model_dump(exclude=TIMINGS) == run_cell(job).model_dump(exclude=TIMINGS)
    _, test, _ = load_splits(job.card, 3, 32, "skip")
    with np.load(OutputFolder(tmp_path).example(job.key), allow_pickle=False) as kept:
        found = dict(kept)
    assert found.pop("section") == 9
    assert found.pop("may_be_shown") == 1, "it is of a phantom"
    assert {name: (a.shape, a.dtype.name) for name, a in found.items()} == {
        "image": ((3, 48, 48), "uint8"),
        "truth": ((48, 48), "uint8"),
        "probability": ((48, 48), "uint8"),
        "attribution": ((3, 48, 48), "uint8"),
    }
    x, truth = test[1:2]
    assert found["truth"].tolist() == truth[0].tolist()
    assert np.corrcoef(found["image"].ravel(), x[0].numpy().ravel())[0, 1] > 0.9999
    assert (found["probability"] > 127).sum() == record.images["foreground/pixels"][1]
    mass = found["attribution"].sum((1, 2), dtype=float)
    shares = [record.images[f"saliency/true-foreground/slice_share[{s}]"][1] for s in KEYS]
    assert mass / mass.sum() == pytest.approx(shares, abs=0.02)


def test_of_many_test_sections_some_may_be_scored_that_are_spread_over_all(tiny: Path) -> None:
    whole = run_cell(jobs(load_protocol(str(tiny)))[0])
    tiny.write_text(tiny.read_text().replace("[scoring]", "[scoring]\nsections = 2"))
    some = run_cell(jobs(load_protocol(str(tiny)))[0])
    assert (whole.images["section"], some.images["section"]) == ([8, 9, 10], [8, 10])
    for name in ("dice@0.5", "arand_2d", "saliency/foreground/imbalance"):
        assert some.images[name] == whole.images[name][::2]
    assert whole.scores["arand_3d"] is not None
    assert some.scores["arand_3d"] is None, "there is a gap between its sections"


def test_of_large_test_sections_the_middle_may_be_scored(job: Job) -> None:
    train, whole, instances = load_splits(job.card, 3, 32, "skip")
    height, width = (length // 2 - 16 for length in whole.image.shape[1:])
    there = (slice(None), slice(height, height + 32), slice(width, width + 32))
    same, middle, cut = load_splits(job.card, 3, 32, "skip", size=32)
    assert torch.equal(same.image, train.image), "training sees all"
    assert torch.equal(middle.image, whole.image[there])
    assert torch.equal(middle.foreground, whole.foreground[there])
    assert cut.shape == instances[there].shape


def test_of_a_large_section_the_middle_is_kept(job: Job) -> None:
    _, test, _ = load_splits(job.card, 3, 32, "skip")
    large = dataclasses.replace(
        test, image=test.image.repeat(1, 4, 3), foreground=test.foreground.repeat(1, 4, 3)
    )
    kept = example(DenseLogits(Summed()), large, job.protocol.scoring)
    assert kept["image"].shape == (3, SIZE, SIZE)
    assert kept["truth"].tolist() == large.foreground[2, 48:144, 24:120].tolist()


def test_scores_are_taken_before_and_while_training_and_change_nothing_of_it(tiny: Path) -> None:
    seen = run_cell(jobs(load_protocol(str(tiny)))[0])
    kept = seen.over_training
    assert kept is not None
    assert (kept.steps, kept.sections) == ([0, 2], [8, 10])
    for name in ("flip_error", "saliency/true-foreground/model_asymmetry"):
        before, after = kept.images[name]
        assert before != after
        # the last look is at the trained network, which is scored on all three sections
        assert after == pytest.approx([seen.images[name][index] for index in (0, 2)], rel=1e-4)
    text = tiny.read_text()
    tiny.write_text("\n".join(line for line in text.split("\n") if "over_training" not in line))
    unseen = run_cell(jobs(load_protocol(str(tiny)))[0])
    assert unseen.over_training is None
    assert (unseen.curve, unseen.scores) == (seen.curve, seen.scores)


def test_the_trained_network_is_kept_where_asked_and_is_the_one_that_was_scored(
    tiny: Path, tmp_path: Path
) -> None:
    tiny.write_text(tiny.read_text().replace('"rgb"', '"rgb+mirror-tied"'))
    job = jobs(load_protocol(str(tiny)))[0]
    output = OutputFolder(tmp_path)
    record = run_cell(job, output, keep_network=True)
    model = create_model("linknet-tu-test_efficientnet", "random")
    model.load_state_dict(torch.load(output.network(job.key), weights_only=True))
    split = load_splits(job.card, 3, 32, "skip")
    scores = score_model(DenseLogits(model.eval()), split[1], split[2], job.card, job.protocol, {})
    assert scores.images["dice@0.5"] == record.images["dice@0.5"]
    assert scores.images["arand_2d"] == record.images["arand_2d"]


def test_without_a_voxel_size_scores_in_nanometres_are_missing(tiny: Path) -> None:
    card = tiny.with_name("tiny-a.toml")
    card.write_text(card.read_text().replace("voxel_size_nm", "# voxel_size_nm"))
    scores = 'scores = ["view_offset", "boundary_displacement", "answer_flip"]'
    tiny.write_text(tiny.read_text().replace("[scoring]", f"[scoring]\n{scores}"))
    record = run_cell(jobs(load_protocol(str(tiny)))[0])
    assert record.status == "done", record.error
    assert record.scores["view_offset"] is None
    assert record.scores["boundary_displacement"] is None
    assert record.scores["answer_flip"] is not None


def records_of(tiny: Path, *inits: str) -> list[Record]:
    names = ", ".join(f'"{init}"' for init in inits)
    text = tiny.read_text().replace('["rgb", "uniform-green"]', f"[{names}]")
    tiny.write_text(text.replace("seeds = [0, 1]", "seeds = [0]"))
    records = [run_cell(job) for job in jobs(load_protocol(str(tiny)))]
    assert [record.error for record in records] == [None] * len(inits)
    return records


def test_a_network_that_is_tied_or_averaged_scores_no_bias(tiny: Path) -> None:
    free, tied, averaged = records_of(tiny, "rgb", "rgb+mirror-tied", "rgb+flip-average")
    for symmetric in (tied, averaged):
        assert max(symmetric.images["flip_error"]) < 1e-6 < min(free.images["flip_error"])
        for name in ("saliency", "slice-shapley"):
            bias = symmetric.scores[f"{name}/true-foreground/model_asymmetry"]
            assert bias == pytest.approx(0, abs=1e-5)
    assert averaged.curve == free.curve, "it acts once a network is trained"
    assert tied.init == "rgb+mirror-tied"
    assert tied.curve[0] != tied.curve[1]


def test_stacks_are_reversed_in_training_alone(tiny: Path) -> None:
    tie = "mirror+mirror-tied"
    plain, flipped, dropped, tied, both, asked = records_of(
        tiny,
        *("rgb", "rgb+zflip-augment", "rgb+slice-dropout"),
        *(tie, f"{tie}+zflip-augment", f"{tie}+flip-loss"),
    )
    assert plain.curve != flipped.curve != dropped.curve != plain.curve
    assert tied.curve == pytest.approx(asked.curve, rel=1e-5), "it has no flip error to lose"
    # what is shown reversed is the same to a network that cannot tell
    assert tied.curve == pytest.approx(both.curve, rel=1e-5)


def test_a_record_tells_the_gain_and_what_was_loaded(tiny: Path) -> None:
    copied, preserved, scratch = records_of(tiny, "mirror", "mirror-preserve", "random")
    assert (copied.gain, preserved.gain) == ("copy", "preserve")
    assert copied.weights.tag == "encoder.safetensors"
    assert copied.weights.digest == preserved.weights.digest
    assert (copied.weights.digest or "").startswith("sha256:")
    assert (scratch.weights.tag, scratch.weights.digest) == (None, None)
    assert copied.weights.licence is None, "the file names none"
    assert len({record.scores["flip_error"] for record in (copied, preserved, scratch)}) == 3


def test_a_cell_is_the_same_whatever_was_built_before(tiny: Path) -> None:
    first, second = jobs(load_protocol(str(tiny)))[::3][:2]  # of another seed and strategy
    alone = run_cell(second)
    _PROTOTYPES.clear()
    run_cell(first)
    assert run_cell(second).scores == alone.scores


class Summed(nn.Module):
    """A mirror-symmetric network: it sees only what the slices are together."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x[:, :1] + x[:, 2:] + 2 * x[:, 1:2])


class OneSided(Summed):
    """A network that never looks at z+1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x[:, :1] + x[:, 1:2])


def scores_of(network: nn.Module, job: Job) -> dict[str, list[float]]:
    split = load_splits(job.card, 3, 32, "skip")
    scores = score_model(DenseLogits(network), split[1], split[2], job.card, job.protocol, {})
    return {name: [v for v in values if v is not None] for name, values in scores.images.items()}


def test_a_mirror_symmetric_network_scores_no_bias_on_any_image(job: Job) -> None:
    found = scores_of(Summed(), job)
    assert found["flip_error"] == pytest.approx([0, 0, 0], abs=1e-7)
    assert found["saliency/true-foreground/model_asymmetry"] == pytest.approx([0, 0, 0], abs=1e-6)


def test_a_one_sided_network_scores_all_of_it(job: Job) -> None:
    found = scores_of(OneSided(), job)
    assert found["saliency/true-foreground/model_asymmetry"] == pytest.approx([-1, -1, -1])
    assert found["saliency/true-foreground/slice_share[+1]"] == [0, 0, 0]
    assert min(found["flip_error"]) > 1e-4


def test_what_goes_wrong_in_a_cell_is_its_failed_record(tiny: Path) -> None:
    ARCHITECTURES.add("test-blurred-first", lambda: nn.Sequential(nn.AvgPool2d(1), Summed()))
    text = tiny.read_text().replace("linknet-tu-test_efficientnet", "test-blurred-first")
    tiny.write_text(text.replace('["rgb", "uniform-green"]', '["random"]'))
    record = run_cell(jobs(load_protocol(str(tiny)))[0])
    assert record.status == "failed"
    assert "The stem cannot be treated: 1 (Summed) mixes slices" in (record.error or "")


def test_a_loss_that_is_not_finite_fails_the_cell_with_its_step(tiny: Path) -> None:
    tiny.write_text(tiny.read_text().replace("learning_rate = 1e-3", "learning_rate = 1e30"))
    record = run_cell(jobs(load_protocol(str(tiny)))[0])
    assert record.status == "failed"
    assert "is nan at step" in (record.error or "") or "is inf at step" in (record.error or "")


def test_what_a_gpu_could_not_do_is_noted() -> None:
    import warnings

    from emsym.cuda_graph import NotCaptured
    from emsym.run.cell import _noting

    found: set[str] = set()
    uncaptured: set[str] = set()
    with _noting(found, uncaptured):
        for name in ("grid_sampler_2d_backward_cuda", "upsample_bilinear2d_backward_out_cuda"):
            warnings.warn(  # as torch does
                f"{name} does not have a deterministic implementation, but you set "
                "'torch.use_deterministic_algorithms(True, warn_only=True)'.",
                stacklevel=1,
            )
        warnings.warn("something else", stacklevel=1)
        warnings.warn(NotCaptured("it waits"), stacklevel=1)
    assert found == {"grid_sampler_2d_backward_cuda", "upsample_bilinear2d_backward_out_cuda"}
    assert uncaptured == {"it waits"}


def test_a_cell_fetches_what_its_machine_lacks_and_refuses_other_data(job: Job) -> None:
    from dataclasses import replace

    other = run_cell(replace(job, data_digest="0" * 64))
    assert other.status == "failed"
    assert "'tiny-a' is another on this machine" in (other.error or "")
