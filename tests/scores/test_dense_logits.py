"""One logit per pixel, whatever the section's size, or one plain sentence."""

import pytest
import torch
from torch import nn

from emsym.errors import UserError
from emsym.models.architectures import create_model
from emsym.scores.dense_logits import STRIDE, DenseLogits

pytestmark = pytest.mark.numerical


class Centre(nn.Module):
    """Gives the central slice as the logit and remembers the sizes that it saw."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(tuple(x.shape))
        return x[:, x.shape[1] // 2, None]


class Gives(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        return self.answer(x)


def stacks(*size, count=2, slices=3):
    return torch.randn(count, slices, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(32, 64), (33, 64), (40, 100), (63, 95), (20, 24), (7, 50)])
def test_sections_of_any_size_come_back_pixel_for_pixel(size):
    model, x = Centre(), stacks(*size)
    logits = DenseLogits(model)(x)
    assert torch.equal(logits, x[:, 1])
    for side in model.seen[0][-2:]:
        assert side % STRIDE == 0
    assert model.seen[0][-2] - size[0] < STRIDE
    assert model.seen[0][-1] - size[1] < STRIDE


def test_section_that_fits_is_what_the_network_gives():
    model, x = create_model("unet-tu-test_resnet").eval(), stacks(64, 32)
    with torch.no_grad():
        torch.testing.assert_close(DenseLogits(model)(x), model(x)[:, 0])


def test_unet_reads_a_section_that_does_not_fit():
    model = create_model("unet-tu-test_resnet").eval()
    with torch.no_grad():
        logits = DenseLogits(model)(stacks(50, 37))
    assert logits.shape == (2, 50, 37)
    assert logits.isfinite().all()


def test_gradient_reaches_every_pixel_through_the_padding():
    x = stacks(40, 40).requires_grad_()
    DenseLogits(Centre())(x).sum().backward()
    assert torch.equal(x.grad[:, 1], torch.ones(2, 40, 40))
    assert not x.grad[:, [0, 2]].any()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda x: (x[:, :1], x), "a tuple"),
        (lambda x: {"out": x[:, :1]}, "a dict"),
        (lambda x: x[:, 0], r"\(2, 64, 64\)"),
        (lambda x: x[:, :1, ::2, ::2], r"\(2, 1, 32, 32\)"),
        (lambda x: x[:1, :1], r"\(1, 1, 64, 64\)"),
        (lambda x: x.mean((2, 3)), r"\(2, 3\)"),
    ],
)
def test_network_that_is_not_dense_is_refused(answer, told):
    with pytest.raises(UserError, match=f"The network gives {told} instead of "):
        DenseLogits(Gives(answer))(stacks(50, 64))


def test_complex_numbers_are_no_logits():
    with pytest.raises(UserError, match="complex numbers instead of real logits"):
        DenseLogits(Gives(lambda x: torch.complex(x[:, :1], x[:, :1])))(stacks(32, 32))


# --- classes --------------------------------------------------------------------------------------


def test_one_of_several_classes_is_looked_at():
    x = stacks(32, 32)
    for channel in range(3):
        dense = DenseLogits(nn.Identity(), channel)
        assert torch.equal(dense(x), x[:, channel])
        outputs = dense.outputs(x)
        torch.testing.assert_close(dense.probability(outputs), x.softmax(1)[:, channel])
        assert torch.equal(dense.predicted(outputs, 0.99), x.argmax(1) == channel)


def test_one_logit_is_the_foregrounds():
    x = stacks(32, 32)
    dense = DenseLogits(Centre())
    outputs = dense.outputs(x)
    torch.testing.assert_close(dense.probability(outputs), x[:, 1].sigmoid())
    assert torch.equal(dense.predicted(outputs, 0.7), x[:, 1].sigmoid() > 0.7)


def test_class_that_there_is_not_is_refused():
    with pytest.raises(UserError, match="no class 3: the network gives 3"):
        DenseLogits(nn.Identity(), 3)(stacks(32, 32))


# --- mirror ---------------------------------------------------------------------------------------


def test_mirrored_network_sees_every_stack_reversed():
    model, x = create_model("unet-tu-test_resnet").eval(), stacks(64, 64)
    dense = DenseLogits(model)
    with torch.no_grad():
        torch.testing.assert_close(dense.mirrored()(x), dense(x.flip(1)))
        torch.testing.assert_close(dense.mirrored().mirrored()(x), dense(x))


def test_network_that_counts_on_the_order_in_memory_is_run_as_it_wants():
    class Viewed(nn.Module):
        def forward(self, x):
            n, c, h, w = x.shape
            return x.view(n, c * h, w).view(n, c, h, w)[:, :1]

    x = stacks(32, 32)
    dense = DenseLogits(Viewed())
    assert torch.equal(dense(x), x[:, 0])
    assert not dense.channels_last
