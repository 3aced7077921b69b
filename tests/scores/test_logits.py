"""One logit per pixel, whatever the section's size, or one plain sentence."""

import pytest
import torch
from torch import nn

from emsym.errors import UserError
from emsym.models.architectures import create_model
from emsym.scores.logits import CHUNK, STRIDE, DenseLogits, chunks, probabilities


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
        assert torch.equal(DenseLogits(model)(x), model(x)[:, 0])


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
        (lambda x: (x[:, :1], x), "tuple"),
        (lambda x: {"out": x[:, :1]}, "dict"),
        (lambda x: x[:, 0], r"\(2, 64, 64\)"),
        (lambda x: x, r"\(2, 3, 64, 64\)"),
        (lambda x: x[:, :1, ::2, ::2], r"\(2, 1, 32, 32\)"),
        (lambda x: x[:1, :1], r"\(1, 1, 64, 64\)"),
        (lambda x: x.mean((2, 3)), r"\(2, 3\)"),
    ],
)
def test_network_that_is_not_dense_is_refused(answer, told):
    with pytest.raises(UserError, match=f"The network gives {told} instead of one logit per pixel"):
        DenseLogits(Gives(answer))(stacks(50, 64))


@pytest.mark.parametrize(
    ("count", "size"), [(1, (32, 32)), (5, (256, 256)), (3, (1024, 1024)), (300, (32, 32))]
)
def test_chunks_cover_every_image_once_within_the_memory_bound(count, size):
    x = torch.empty(count, 1, *size, device="meta")
    parts = [list(range(count))[part] for part in chunks(x)]
    assert [index for part in parts for index in part] == list(range(count))
    for part in parts:
        assert len(part) == 1 or len(part) * size[0] * size[1] <= CHUNK


def test_probability_is_the_sigmoid_of_every_image_whatever_the_chunks():
    model, x = Centre(), stacks(192, 192, count=9)
    found = probabilities(DenseLogits(model), x)
    assert len(model.seen) > 1
    torch.testing.assert_close(found, x[:, 1].sigmoid())
    assert not found.requires_grad
