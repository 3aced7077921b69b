"""Training learns, reports every step, repeats itself, and stops where the loss breaks."""

import copy
import math

import pytest
import torch
from torch import nn

from emsym.errors import UserError
from emsym.models.architectures import create_model
from emsym.protocol import Recipe
from emsym.train import LossCurve, labelled_loss, loss, train

pytestmark = pytest.mark.numerical


def recipe(steps=30, **changes):
    settings = {"steps": steps, "batch_size": 4, "patch": 32, "learning_rate": 1e-2}
    return Recipe(**{**settings, **changes})


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 1, 1)
    )


def bright(seed=0):
    """Batches in which the foreground is where the central slice is bright."""
    generator = torch.Generator().manual_seed(seed)

    def batch():
        images = torch.randn(4, 3, 32, 32, generator=generator)
        return images, (images[:, 1:2] > 0).float()

    return batch


def test_loss_falls_and_the_network_learns():
    model = network()
    curve = train(model, bright(), recipe(60))
    assert curve[-1] < curve[0] / 2
    images, labels = bright(seed=9)()
    with torch.no_grad():
        right = ((model(images) > 0) == labels.bool()).float().mean()
    assert right > 0.9


@pytest.mark.slow
def test_real_network_trains_in_a_few_steps():
    model = create_model("unet-tu-test_resnet")
    curve = train(model, bright(), recipe(12))
    assert min(curve[-3:]) < curve[0]


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_curve_batches_and_progress_are_one_per_step(steps):
    calls = {"batches": 0, "progress": 0}
    batches = bright()

    def count(what):
        calls[what] += 1
        return batches() if what == "batches" else None

    curve = train(network(), lambda: count("batches"), recipe(steps), lambda *_: count("progress"))
    assert len(curve) == steps
    assert calls == {"batches": steps, "progress": steps}
    assert all(isinstance(value, float) for value in curve)


def test_first_loss_is_the_untrained_networks():
    model = network()
    before = copy.deepcopy(model).train()
    images, labels = bright()()
    expected = loss(before(images), labels).item()
    assert train(model, bright(), recipe(2))[0] == pytest.approx(expected)


def test_network_is_trained_in_train_mode_and_left_in_eval_mode():
    model = network().eval()
    modes = []
    model.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    train(model, bright(), recipe(3))
    assert modes == [True] * 3
    assert not any(module.training for module in model.modules())
    assert model[1].running_mean.abs().sum() > 0


def test_same_network_and_batches_give_the_same_weights():
    def once(seed):
        model = network()
        return train(model, bright(seed), recipe(5)), model.state_dict()

    (first, weights), (again, same), (other, _) = once(0), once(0), once(1)
    assert first == again
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert first != other


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_loss_that_is_not_finite_stops_at_its_step(value):
    batches, taken = bright(), []

    def batch():
        images, labels = batches()
        taken.append(len(taken) + 1)
        return images * value if len(taken) == 3 else images, labels

    with pytest.raises(ArithmeticError, match=r"loss is nan at step 3"):
        train(network(), batch, recipe(10))
    assert taken == [1, 2, 3]


def test_losses_are_read_now_and_then_and_named_by_their_step():
    curve = LossCurve(3)
    for value in (1.0, 2.0, 3.0, 4.0):
        curve.append(torch.tensor(value))
    assert curve.values() == [1, 2, 3, 4]
    curve.append(torch.tensor(float("nan")))
    curve.append(torch.tensor(1.0))
    with pytest.raises(ArithmeticError, match="loss is nan at step 5"):
        curve.append(torch.tensor(1.0))


def test_every_weight_is_trained():
    model = create_model("unet-tu-test_resnet", "mirror")
    before = {name: value.clone() for name, value in model.named_parameters()}
    train(model, bright(), recipe(2))
    for name, value in model.named_parameters():
        assert not torch.equal(value, before[name]), name


# --- the loss -------------------------------------------------------------------------------------


def test_known_losses():
    target = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 1, 2, 2)
    undecided = torch.zeros(1, 1, 2, 2)  # p = ½ everywhere: BCE ln 2, soft Dice (2 + 1)/(4 + 1)
    assert float(loss(undecided, target)) == pytest.approx(0.693147 + 1 - 3 / 5, abs=1e-5)
    assert float(loss(100 * (2 * target - 1), target)) == pytest.approx(0, abs=1e-6)
    assert float(loss(100 * (1 - 2 * target), target)) > 100


def test_empty_target_has_a_loss_that_falls_with_the_prediction():
    nothing = torch.zeros(1, 1, 4, 4)
    losses = [float(loss(torch.full_like(nothing, level), nothing)) for level in (3, 0, -3, -100)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == pytest.approx(0, abs=1e-6)


def test_visits_are_made_in_eval_mode_and_change_nothing_of_the_training():
    def trained(visits):
        torch.manual_seed(0)
        model = nn.Sequential(network(), nn.Dropout(0.5))
        seen = []

        def visit(step):
            seen.append((step, model.training))
            torch.rand(3)  # numbers that dropout would else have drawn

        curve = train(model, bright(), recipe(6), visit=visit, visits=visits)
        return curve, seen

    curve, seen = trained((0, 4, 6))
    assert seen == [(0, False), (4, False), (6, False)]
    assert trained(())[0] == curve


@pytest.mark.parametrize(("precision", "close"), [("bfloat16", 0.05), ("float16", 0.02)])
def test_mixed_precision_is_of_training_alone(precision, close):
    model, seen = network(), []
    model[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    curve = train(
        model,
        bright(),
        recipe(20, precision=precision),
        visit=lambda step: model(torch.zeros(1, 3, 32, 32)),
        visits=(0, 20),
    )
    assert set(seen[1:-1]) == {getattr(torch, precision)}
    assert seen[0] == seen[-1] == torch.float32, "scores are taken in full precision"
    assert all(weight.dtype == torch.float32 for weight in model.parameters())
    reference = train(network(), bright(), recipe(20))
    assert curve == pytest.approx(reference, abs=close)
    assert curve != reference


def test_pixels_without_a_label_count_in_no_loss():
    torch.manual_seed(0)
    logits = torch.randn(2, 1, 8, 8, requires_grad=True)
    target = (torch.rand(2, 1, 8, 8) > 0.5).float()
    torch.testing.assert_close(labelled_loss(logits, target), loss(logits, target))
    target[..., :3] = -1
    error = labelled_loss(logits, target)
    torch.testing.assert_close(error, loss(logits[..., 3:], target[..., 3:]))
    error.backward()
    assert not logits.grad[..., :3].any()
    assert logits.grad[..., 3:].all()
    assert labelled_loss(logits, torch.full_like(target, -1)).item() == 0


def test_volumetric_networks_are_trained_too():
    """Their weights have five dimensions, which no order of four is for."""

    class Volumetric(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv3d(1, 4, 3, padding=1)
            self.last = nn.Conv2d(12, 1, 1)

        def forward(self, x):
            return self.last(self.first(x[:, None]).flatten(1, 2))

    torch.manual_seed(0)
    model = Volumetric()
    curve = train(model, bright(), recipe(20))
    assert curve[-1] < curve[0]
    assert all(parameter.is_contiguous() for parameter in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("visits", [(), (0, 5, 10)])
def test_double_precision_agrees_where_single_drifts_apart(visits):
    """Rounding differs by processor; here one pass in another order of the batch stands for it."""

    def run(precision, order):
        def batches():
            images, labels = drawn()
            return images[order], labels[order]

        drawn, model = bright(), network()
        curve = train(
            model,
            batches,
            recipe(40, precision=precision),
            visit=lambda step: seen.append(next(model.parameters()).dtype),
            visits=visits,
        )
        assert next(model.parameters()).dtype == torch.float32
        return torch.tensor(curve, dtype=torch.float64)

    seen = []
    straight, turned = [0, 1, 2, 3], [3, 1, 0, 2]
    apart = (run("float64", straight) - run("float64", turned)).abs().max()
    assert apart < 1e-12
    assert (run("float32", straight) - run("float32", turned)).abs().max() > 1e3 * apart
    assert set(seen) <= {torch.float32}
    torch.testing.assert_close(
        run("float64", straight).float(), run("float32", straight).float(), rtol=1e-3, atol=1e-4
    )


def test_a_network_of_other_channels_or_another_size_is_told():
    with pytest.raises(UserError, match=r"gives \(4, 2, 32, 32\) in training instead of one logit"):
        train(nn.Conv2d(3, 2, 3, padding=1), bright(), recipe(1))
    with pytest.raises(UserError, match=r"gives \(4, 1, 16, 16\) in training"):
        train(nn.Conv2d(3, 1, 3, padding=1, stride=2), bright(), recipe(1))


def test_progress_hears_the_loss_and_the_rate_of_each_step() -> None:
    heard: list[tuple[float, float]] = []
    curve = train(
        network(), bright(), recipe(10), lambda curve, rate: heard.append((curve.last, rate))
    )
    assert [loss for loss, _ in heard] == curve
    rates = [rate for _, rate in heard]
    assert max(rates) == pytest.approx(recipe(10).learning_rate)
    assert rates[-1] < rates[0] < max(rates)


def test_of_a_gpu_the_last_loss_that_was_read_is_told() -> None:
    curve = LossCurve(2)
    assert math.isnan(curve.last)
    for value in (1.0, 2.0, 3.0):
        curve.append(torch.tensor(value))
    assert curve.last == 2.0
    assert curve.values() == [1.0, 2.0, 3.0]
