"""All symmetry scores of a network: known answers, missing values, and shared passes that agree."""

import numpy as np
import pytest
import torch
from torch import nn

from emsym import UserError, create_model, symmetrize
from emsym.models.interventions.mirror_tied import mirror_tie
from emsym.models.stem.find import find_stem
from emsym.scores.attribution.methods import ATTRIBUTIONS, register_attribution
from emsym.scores.chunks import CHUNK
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.measure import measure

pytestmark = pytest.mark.numerical

METHODS = ("saliency", "input-x-gradient", "smoothgrad", "slice-shapley")
MAPS = METHODS[:-1]


class Seen:
    """Stacks in memory, and which of them were asked for."""

    def __init__(self, x, truth=None):
        self.x, self.truth, self.asked = x, truth, []

    def __len__(self):
        return len(self.x)

    def __getitem__(self, part):
        self.asked.append(part)
        return self.x[part], None if self.truth is None else self.truth[part]


class Weighted(nn.Module):
    """A nonlinear network that sees nothing but the sum of its slices, each with its weight."""

    def __init__(self, *weights):
        super().__init__()
        torch.manual_seed(0)
        self.register_buffer("weights", torch.tensor(weights).view(1, -1, 1, 1))
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 1, 1))

    def forward(self, x):
        return self.net((x * self.weights).sum(1, keepdim=True))


def stacks(count=3, slices=3, size=40, seed=0):
    return torch.randn(count, slices, size, size, generator=torch.Generator().manual_seed(seed))


def columns(model, x, truth=None, targets=("all",), attributions=METHODS, **settings):
    made = {}
    for found in measure(DenseLogits(model, **settings), Seen(x, truth), targets, attributions):
        for name, values in found.columns.items():
            made.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in made.items()}


def test_network_that_looks_at_one_slice_alone():
    found = columns(Weighted(1.0, 0.0, 0.0), stacks())
    for name in METHODS:
        # a map has zeros there; T, a sum of 40² logits, may round them another way for other stacks
        # of a pass, by some ε of its largest terms, and its share is a part of less than them
        room = 1e-5 if name == "slice-shapley" else 0
        for s, share in (("-1", 1), ("+0", 0), ("+1", 0)):
            np.testing.assert_allclose(found[f"{name}/all/slice_share[{s}]"], share, 0, room)
        np.testing.assert_allclose(found[f"{name}/all/neighbour_asymmetry"], -1, 0, room)
        np.testing.assert_allclose(found[f"{name}/all/model_asymmetry"], -1, 0, room)
        np.testing.assert_allclose(found[f"{name}/all/data_asymmetry"], 0, 0, room)
    values = {s: found[f"slice-shapley/all/slice_shapley[{s}]"] for s in ("-1", "+1")}
    assert (np.abs(values["+1"]) <= 1e-5 * np.abs(values["-1"])).all()
    assert (values["-1"] != 0).all()
    for name in MAPS:
        np.testing.assert_array_equal(found[f"{name}/all/mirror_distance"], 1)


@pytest.mark.parametrize("weights", [(0.5, 2.0, 0.5), (1.0, 1.0, 1.0), (0.3, -1.0, 2.0, -1.0, 0.3)])
def test_mirror_symmetric_network_has_no_bias_on_any_image(weights):
    found = columns(Weighted(*weights), stacks(slices=len(weights)))
    np.testing.assert_allclose(found["flip_error"], 0, atol=1e-6)
    for name in METHODS:
        np.testing.assert_allclose(found[f"{name}/all/model_asymmetry"], 0, atol=1e-5)
        assert np.abs(found[f"{name}/all/data_asymmetry"]).max() < 1
    for name in MAPS:
        np.testing.assert_allclose(found[f"{name}/all/mirror_distance"], 0, atol=1e-5)
    # z−1 and z+1 hold other noise, which is told as the data's
    assert np.abs(found["input-x-gradient/all/data_asymmetry"]).max() > 1e-3


def test_tied_network_has_no_bias_by_any_registered_method_that_covers_it():
    model = create_model("unet-tu-test_resnet", "random").eval()
    mirror_tie(model, find_stem(model))
    names = [n for n in MAPS if n in ATTRIBUTIONS.names()]
    found = columns(model, stacks(2, size=64), attributions=[*names, "slice-shapley"])
    for name, values in found.items():
        if name.endswith("/model_asymmetry") or name == "flip_error":
            np.testing.assert_allclose(values, 0, atol=2e-4, err_msg=name)


def test_swapping_the_sides_in_a_network_flips_the_sign():
    one = columns(Weighted(0.3, 1.0, 2.0), stacks())
    other = columns(Weighted(2.0, 1.0, 0.3), stacks())
    for name in METHODS:
        there = one[f"{name}/all/model_asymmetry"]
        np.testing.assert_allclose(other[f"{name}/all/model_asymmetry"], -there, rtol=1e-4)
        assert (there > 0.3).all()
    np.testing.assert_allclose(one["flip_error"], other["flip_error"], rtol=1e-4)


def test_shares_of_a_linear_network_are_its_weights():
    model = nn.Conv2d(3, 1, 1)
    with torch.no_grad():
        model.weight[:] = torch.tensor([3.0, 6.0, -1.0]).view(1, 3, 1, 1)
    found = columns(model, stacks(), attributions=("saliency",))
    for s, share in (("-1", 0.3), ("+0", 0.6), ("+1", 0.1)):
        np.testing.assert_allclose(found[f"saliency/all/slice_share[{s}]"], share, rtol=1e-6)


def test_every_target_has_its_own_pixels():
    x = stacks(2)
    truth = torch.zeros(2, 40, 40)
    truth[0, :10] = 1
    model = nn.Conv2d(3, 1, 1)
    targets = ("foreground", "true-foreground", "background", "all")
    found = columns(model, x, truth, targets, ("saliency",))
    np.testing.assert_array_equal(found["true-foreground/pixels"], [400, 0])
    np.testing.assert_array_equal(found["all/pixels"], [1600, 1600])
    np.testing.assert_array_equal(
        found["foreground/pixels"] + found["background/pixels"], [1600, 1600]
    )


def test_empty_target_is_missing_and_never_zero():
    truth = torch.zeros(2, 40, 40, dtype=torch.bool)
    truth[0, 5:9] = True
    found = columns(Weighted(1.0, 2.0, 3.0), stacks(2), truth, ("true-foreground",))
    of_target = {n: v for n, v in found.items() if "/true-foreground/" in n}
    assert len(of_target) > 20
    for name, values in of_target.items():
        assert np.isnan(values).tolist() == [False, True], name


def test_network_that_always_answers_the_same_has_no_shares():
    class Constant(nn.Module):
        def forward(self, x):
            return x[:, :1] * 0 + 3

    found = columns(Constant(), stacks())
    for name in METHODS:
        for score in ("slice_share[-1]", "imbalance", "model_asymmetry"):
            assert np.isnan(found[f"{name}/all/{score}"]).all()
    assert np.isnan(found["slice-shapley/all/slice_shapley[-1]"]).all()
    np.testing.assert_array_equal(found["flip_error"], 0)
    np.testing.assert_array_equal(found["flip_dice"], 1)


def test_shapley_values_that_are_mere_rounding_are_missing():
    model = create_model("unet-tu-test_resnet", "random").eval()
    with torch.no_grad():
        next(model.parameters()).zero_()  # it sees nothing, and still answers
    found = columns(model, stacks(2, size=64), attributions=("saliency", "slice-shapley"))
    for name, values in found.items():
        if "slice_share" in name or "slice_shapley" in name:
            assert np.isnan(values).all(), name


def test_gradient_that_is_not_finite_is_missing():
    class Rooted(nn.Module):  # √0 has no slope
        def forward(self, x):
            return ((x - x.detach()).abs().sum(1, keepdim=True)).sqrt() + x[:, :1]

    found = columns(Rooted(), stacks(), attributions=("saliency",))
    for score in ("slice_share[-1]", "model_asymmetry", "mirror_distance"):
        assert np.isnan(found[f"saliency/all/{score}"]).all()


def test_method_that_gives_something_else_than_a_value_per_pixel_is_named():
    @register_attribution("test-flat")
    def flat(dense, x, mask):
        return x.sum(1, keepdim=True)

    with pytest.raises(UserError, match=r"'test-flat' gives \(3, 1, 40, 40\) for stacks of"):
        columns(Weighted(1.0, 2.0, 3.0), stacks(), attributions=("test-flat",))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_output_that_is_not_finite_is_an_error(bad):
    class Broken(nn.Module):
        def forward(self, x):
            return x[:, :1] / 0 if bad == float("inf") else x[:, :1] * bad

    with pytest.raises(ArithmeticError, match="not finite"):
        columns(Broken(), stacks())


def test_unknown_method_is_told_before_anything_is_run():
    with pytest.raises(UserError, match="did you mean 'saliency'"):
        columns(nn.Identity(), stacks(), attributions=("salience",))


def test_one_of_several_classes_is_explained():
    model = nn.Conv2d(3, 2, 1)
    with torch.no_grad():
        model.weight[:] = torch.tensor([[1.0, 0, 0], [0, 0, 2]]).view(2, 3, 1, 1)
    for channel, side in ((0, "-1"), (1, "+1")):
        found = columns(model, stacks(), channel=channel)
        for name in METHODS:
            np.testing.assert_allclose(found[f"{name}/all/slice_share[{side}]"], 1, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_scores_do_not_depend_on_chunks_threads_or_neighbours(threads):
    before = torch.get_num_threads()
    model = create_model("unet-tu-test_resnet", "random").eval()
    x = stacks(3, size=32)
    try:
        torch.set_num_threads(threads)
        whole = columns(model, x, attributions=("saliency", "slice-shapley"))
    finally:
        torch.set_num_threads(before)
    dense = DenseLogits(model)
    dense.chunk = CHUNK // CHUNK  # a section at a time
    seen = Seen(x)
    for index, found in enumerate(measure(dense, seen, ("all",), ("saliency", "slice-shapley"))):
        for name, values in found.columns.items():
            np.testing.assert_allclose(values, whole[name][index : index + 1], rtol=1e-3, atol=1e-6)


def test_a_part_of_the_stacks_has_the_same_numbers():
    model, x = Weighted(1.0, 2.0, 3.0), stacks(5)
    whole = columns(model, x)
    parts = [
        found
        for which in (slice(0, 2), slice(2, 5))
        for found in measure(DenseLogits(model), Seen(x), ("all",), METHODS, which=which)
    ]
    assert [index for part in parts for index in range(5)[part.part]] == list(range(5))
    for name, values in whole.items():
        found = np.concatenate([part.columns[name] for part in parts])
        np.testing.assert_allclose(found, values, rtol=1e-5, atol=1e-6)


def test_what_the_network_answers_to_no_slice_is_asked_once():
    asked = []

    class Counting(Weighted):
        def forward(self, x):
            asked.extend(not each.any() for each in x)
            return super().forward(x)

    x = stacks(3, size=256)  # each a chunk by itself
    assert len(columns(Counting(1.0, 2.0, 3.0), x)["all/pixels"]) == 3
    assert sum(asked) == 1
    # of each stack: two with gradients, and what other than these and nothing its slices make
    assert len(asked) == 3 * (2 + 11 + 25 * 2) + 1


def test_maps_are_those_of_the_method_alone():
    model, x = Weighted(1.0, 2.0, 3.0), stacks()
    truth = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(1)) > 0.5
    found = next(measure(DenseLogits(model), Seen(x, truth), ("all", "true-foreground"), MAPS))
    for name in MAPS:
        alone = ATTRIBUTIONS.get(name)(DenseLogits(model), x, truth)
        torch.testing.assert_close(found.maps[name, "true-foreground"], alone)


def test_symmetrized_network_is_measured_as_such():
    model = create_model("unet-tu-test_resnet", "random").eval()
    biased = columns(model, stacks(2, size=64), attributions=("saliency",))
    symmetrize(model, "rgb+mirror-tied")
    tied = columns(model, stacks(2, size=64), attributions=("saliency",))
    assert np.abs(tied["saliency/all/model_asymmetry"]).max() < 1e-4
    assert np.abs(biased["saliency/all/model_asymmetry"]).min() > 1e-3
