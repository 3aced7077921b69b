"""A tied stem stays symmetric whatever is done to its network; stacks are flipped fairly."""

import copy
import io

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from emsym.errors import UserError
from emsym.models.interventions.mirror_tied import mirror_tie, mirror_untie
from emsym.models.interventions.shown_stacks import zflip
from emsym.models.stem.find import find_stem

pytestmark = pytest.mark.numerical


def network(seed=0, norm_first=False):
    torch.manual_seed(seed)
    front = [nn.BatchNorm2d(3)] if norm_first else []
    return nn.Sequential(
        *front, nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1)
    )


def tied(seed=0, norm_first=False):
    model = network(seed, norm_first)
    mirror_tie(model, find_stem(model))
    return model


def stacks(count=2):
    """Stacks whose slices differ in brightness and contrast."""
    scale = torch.tensor([1.0, 2.0, 5.0]).view(1, 3, 1, 1)
    return (torch.rand(count, 3, 16, 16) + 1) * scale


def train(model, optimizer, steps=20, **autocast):
    for _ in range(steps):
        x = stacks()
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bool(autocast)):
            loss = (model.train()(x).float() - x[:, :1]).square().mean()
        loss.backward()
        optimizer.step()


def asymmetry(model):
    """max|f(x) − f(mirror x)| over max|f(x)|, in float64."""
    model = copy.deepcopy(model).double().eval()
    x = stacks().double()
    with torch.no_grad():
        one, other = model(x), model(x.flip(1))
    return float((one - other).abs().max() / one.abs().max())


def prediction(model):
    torch.manual_seed(9)
    with torch.no_grad():
        return model.eval()(stacks())


OPTIMIZERS = {
    "AdamW": lambda p: torch.optim.AdamW(p, 1e-2, weight_decay=0.1),
    "Adam": lambda p: torch.optim.Adam(p, 1e-2),
    "SGD": lambda p: torch.optim.SGD(p, 1e-2, momentum=0.9, nesterov=True, weight_decay=0.01),
    "RMSprop": lambda p: torch.optim.RMSprop(p, 1e-3, momentum=0.9),
    "Adagrad": lambda p: torch.optim.Adagrad(p, 1e-2),
}
optimizers = pytest.mark.parametrize("build", OPTIMIZERS.values(), ids=OPTIMIZERS)


# --- tied ----------------------------------------------------------------------------------------


def test_tying_takes_the_mean_of_the_weights_and_their_mirror_image():
    model = network()
    assert asymmetry(model) > 1e-3
    before = model[0].weight.detach().clone()
    mirror_tie(model, find_stem(model))
    assert torch.equal(model[0].weight, (before + before.flip(1)) / 2)
    assert asymmetry(model) < 1e-10


@optimizers
def test_no_optimizer_unties_the_weights(build):
    model = tied()
    before = model[0].weight.detach().clone()
    train(model, build(model.parameters()))
    assert not torch.equal(model[0].weight, before)
    assert torch.equal(model[0].weight, model[0].weight.flip(1))
    assert asymmetry(model) < 1e-10


@optimizers
def test_an_optimizer_built_before_goes_on(build):
    model = network()
    own = model[0].weight
    optimizer = build(model.parameters())
    train(model, optimizer, steps=3)
    mirror_tie(model, find_stem(model))
    before = model[0].weight.detach().clone()
    train(model, optimizer)
    assert any(parameter is own for parameter in model.parameters())
    assert not torch.equal(model[0].weight, before)
    assert torch.equal(model[0].weight, model[0].weight.flip(1))


def test_mixed_precision_keeps_the_weights_tied():
    model = tied()
    train(model, OPTIMIZERS["AdamW"](model.parameters()), bfloat16=True)
    assert torch.equal(model[0].weight, model[0].weight.flip(1))
    assert asymmetry(model) < 1e-10


@pytest.mark.parametrize("first", [True, False])
def test_channels_last_keeps_the_weights_tied_and_its_layout(first):
    model = network()
    if first:
        model = model.to(memory_format=torch.channels_last)
    mirror_tie(model, find_stem(model))
    model = model.to(memory_format=torch.channels_last)
    train(model, OPTIMIZERS["AdamW"](model.parameters()))
    assert asymmetry(model) < 1e-10
    mirror_untie(model)
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_weights_that_are_assigned_are_made_symmetric():
    model = tied()
    assigned = torch.randn(4, 3, 3, 3)
    with torch.no_grad():
        model[0].weight = assigned
    torch.testing.assert_close(model[0].weight.detach(), (assigned + assigned.flip(1)) / 2)


def test_an_averaged_model_is_tied():
    model = tied()
    averaged = AveragedModel(model)
    train(model, OPTIMIZERS["SGD"](model.parameters()), steps=3)
    averaged.update_parameters(model)
    train(model, OPTIMIZERS["SGD"](model.parameters()), steps=3)
    averaged.update_parameters(model)
    assert asymmetry(averaged) < 1e-10


def test_half_precision_keeps_the_weights_tied():
    model = tied().to(torch.bfloat16)
    assert torch.equal(model[0].weight, model[0].weight.flip(1))


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_state_dict_comes_back_into_an_equally_tied_network(norm_first):
    model, other = tied(0, norm_first), tied(1, norm_first)
    train(model, OPTIMIZERS["AdamW"](model.parameters()), steps=3)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(prediction(other), prediction(model))
    train(other, OPTIMIZERS["AdamW"](other.parameters()), steps=3)
    assert asymmetry(other) < 1e-10


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_copy_is_tied_and_untied_by_itself(norm_first):
    model = tied(0, norm_first)
    train(model, OPTIMIZERS["AdamW"](model.parameters()), steps=3)
    before = prediction(model)
    twin = copy.deepcopy(model)
    mirror_untie(twin)
    assert torch.equal(prediction(twin), before)
    assert torch.equal(prediction(model), before)
    train(model, OPTIMIZERS["AdamW"](model.parameters()), steps=3)
    assert asymmetry(model) < 1e-10
    assert not torch.equal(prediction(model), before)
    assert torch.equal(prediction(twin), before)


def test_a_copy_outlives_the_untying_of_its_original():
    model = tied()
    twin = copy.deepcopy(model)
    mirror_untie(model)
    train(twin, OPTIMIZERS["AdamW"](twin.parameters()))
    assert asymmetry(twin) < 1e-10


# --- a normalisation in front --------------------------------------------------------------------


def test_running_statistics_in_front_are_tied_in_training():
    model = tied(norm_first=True)
    train(model, OPTIMIZERS["AdamW"](model.parameters()))
    for name in ("running_mean", "running_var", "weight", "bias"):
        value = getattr(model[0], name)
        assert torch.equal(value, value.flip(0)), name
    assert model[0].running_mean[0] > 2
    assert asymmetry(model) < 1e-10


def test_two_forward_passes_may_precede_one_backward_pass():
    model = tied(norm_first=True).train()
    optimizer = OPTIMIZERS["AdamW"](model.parameters())
    before = model[1].weight.detach().clone()
    (model(stacks()).sum() + model(stacks()).sum()).backward()
    optimizer.step()
    assert not torch.equal(model[1].weight, before)
    assert torch.equal(model[1].weight, model[1].weight.flip(1))
    assert asymmetry(model) < 1e-10


def test_evaluating_leaves_running_statistics_alone():
    model = tied(norm_first=True)
    with torch.no_grad():
        model[0].running_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    prediction(model)
    assert model[0].running_mean.tolist() == [1, 2, 3]


def test_statistics_of_a_copy_are_its_own():
    model = tied(norm_first=True)
    twin = copy.deepcopy(model).train()
    twin(stacks())
    assert torch.equal(twin[0].running_mean, twin[0].running_mean.flip(0))
    assert not twin[0].running_mean.eq(0).any()
    assert model[0].running_mean.eq(0).all()


def test_constants_are_tied_once_and_for_all():
    class Normalised(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.tensor([1.0, 2.0, 5.0]).view(1, 3, 1, 1))
            self.stem = nn.Conv2d(3, 2, 3)

        def forward(self, x):
            return self.stem(x - self.mean)

    model = Normalised()
    mirror_tie(model, find_stem(model))
    assert model.mean.flatten().tolist() == [3, 2, 3]
    assert asymmetry(model) < 1e-10


# --- untied ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm_first", [True, False])
def test_untying_leaves_plain_weights_with_equal_outputs(norm_first):
    model = tied(0, norm_first)
    train(model, OPTIMIZERS["AdamW"](model.parameters()), steps=3)
    before = prediction(model)
    mirror_untie(model)
    assert torch.equal(prediction(model), before)
    fresh = network(1, norm_first)
    assert model.state_dict().keys() == fresh.state_dict().keys()
    assert [type(module) for module in model] == [type(module) for module in fresh]
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(prediction(fresh), before)
    assert not any(module._forward_hooks for module in model.modules())


def test_an_untied_network_is_free_to_become_asymmetric():
    model = tied(norm_first=True)
    mirror_untie(model)
    train(model, OPTIMIZERS["AdamW"](model.parameters()))
    assert asymmetry(model) > 1e-3
    assert not torch.equal(model[0].running_mean, model[0].running_mean.flip(0))


def test_an_untied_network_can_be_pickled_and_tied_again():
    model = tied()
    mirror_untie(model)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    mirror_tie(again, find_stem(again))
    assert torch.equal(prediction(again), prediction(model))


def test_other_hooks_and_parametrizations_stay():
    model = tied(norm_first=True)
    nn.utils.parametrizations.weight_norm(model[4])
    hook = model[0].register_forward_hook(lambda *_: None)
    mirror_untie(model)
    assert list(model[0]._forward_hooks) == [hook.id]
    assert nn.utils.parametrize.is_parametrized(model[4])
    assert not nn.utils.parametrize.is_parametrized(model[1])


def test_untying_a_network_that_is_not_tied_changes_nothing():
    model = network()
    before = copy.deepcopy(model.state_dict())
    mirror_untie(model)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("trained", [True, False])
def test_a_frozen_stem_stays_frozen(trained):
    model = network()
    own = model[0].weight.requires_grad_(trained)
    mirror_tie(model, find_stem(model))
    assert own.requires_grad == trained
    assert model[0].weight.requires_grad == trained
    train(model, OPTIMIZERS["SGD"](p for p in model.parameters() if p.requires_grad), steps=2)
    mirror_untie(model)
    assert model[0].weight.requires_grad == trained


def test_a_tied_network_cannot_be_tied_twice():
    with pytest.raises(UserError, match="remove_parametrizations"):
        find_stem(tied())


@pytest.mark.gpu
def test_on_a_gpu_a_tied_network_is_trained_under_autocast_and_stays_symmetric():
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    model = network(norm_first=True).cuda().to(memory_format=torch.channels_last)
    mirror_tie(model, find_stem(model))
    optimizer, scaler = torch.optim.AdamW(model.parameters(), 1e-2), torch.amp.GradScaler("cuda")
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        x = zflip(torch.rand(4, 3, 32, 32, device="cuda"), generator)
        with torch.autocast("cuda", torch.float16):
            error = (model(x) - x[:, 1:2]).square().mean()
        optimizer.zero_grad()
        scaler.scale(error).backward()
        scaler.step(optimizer)
        scaler.update()
    model.eval()
    x = torch.rand(2, 3, 32, 32, device="cuda")
    with torch.no_grad():
        torch.testing.assert_close(model(x), model(x.flip(1)), rtol=1e-5, atol=1e-6)
