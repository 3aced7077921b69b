"""One logit per pixel, whatever the section's size, or one plain sentence."""

import time

import pytest
import torch
from torch import nn

from emsym.errors import UserError
from emsym.models.architectures import create_model
from emsym.scores.dense_logits import CHUNK, STRIDE, DenseLogits, shared

pytestmark = pytest.mark.numerical


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


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


# --- chunks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("count", "pixels"), [(1, 32**2), (5, 256**2), (3, 1024**2), (300, 32**2), (0, 9)]
)
def test_chunks_cover_every_row_once_in_order_within_the_memory_bound(threads, count, pixels):
    torch.set_num_threads(threads)
    made = list(DenseLogits(Centre()).in_chunks(lambda part: part, count, pixels))
    assert all(part == result for part, result in made)
    rows = [list(range(count))[part] for part, _ in made]
    assert [row for each in rows for row in each] == list(range(count))
    for each in rows:
        assert len(each) == 1 or len(each) * pixels <= CHUNK
    assert torch.get_num_threads() == threads


def test_chunks_are_halved_where_memory_runs_out_and_nothing_is_done_twice_or_left_out():
    dense, tried, kept = DenseLogits(Centre()), [], []

    def run(part):
        tried.append(part)
        if part.stop - part.start > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return part

    rows = 40
    for part, _ in dense.in_chunks(run, rows, CHUNK // 16):
        kept += range(rows)[part]
    assert kept == list(range(rows))
    assert dense.chunk == 2 * (CHUNK // 16)  # 16, 8, 4, 2
    before = len(tried)
    list(dense.in_chunks(run, rows, CHUNK // 16))
    assert len(tried) - before == rows / 2, "the next call begins with what fitted"


def test_row_that_does_not_fit_at_all_is_told():
    def run(part):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")

    with pytest.raises(UserError, match="1,048,576 pixels does not fit in the memory of cpu"):
        list(DenseLogits(Centre()).in_chunks(run, 3, 1024**2))


def test_one_chunk_at_a_time_is_tried_before_giving_up():
    torch.set_num_threads(2)
    dense, running = DenseLogits(nn.Conv2d(3, 1, 1)), []

    def run(part):
        running.append(part)
        try:
            time.sleep(0.01)
            if len(running) > 1:
                raise torch.OutOfMemoryError("out of memory")
        finally:
            running.remove(part)
        return part

    made = [part for part, _ in dense.in_chunks(run, 6, CHUNK)]
    assert made == [slice(n, n + 1) for n in range(6)]


class Remembers(nn.Module):
    """Keeps what its first layer saw outside of the pass, as hooks for skip connections do."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 1, 1)
        self.first.register_forward_hook(self.keep)

    def keep(self, module, inputs, output):
        self.kept = output

    def forward(self, x):
        deep = self.first(x).relu()
        time.sleep(0.01)  # in which another thread would overwrite it
        return self.last(deep + self.kept)


def test_network_that_remembers_is_not_shared_by_threads():
    torch.set_num_threads(2)
    model, x = Remembers(), stacks(64, 64, count=12)
    dense = DenseLogits(model)
    dense.chunk = 64 * 64
    with torch.no_grad():
        expected = model(x)[:, 0]

    def run(part):
        with torch.no_grad():
            return dense(x[part])

    found = torch.cat([made for _, made in dense.in_chunks(run, 12, 64 * 64)])
    torch.testing.assert_close(found, expected)


def test_copies_for_threads_share_the_weights():
    model = create_model("unet-tu-test_resnet").eval()
    copied = shared(model)
    for one, other in zip(model.state_dict().values(), copied.state_dict().values(), strict=True):
        assert one.data_ptr() == other.data_ptr()
    assert not any(parameter.requires_grad for parameter in copied.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_network_that_counts_on_the_order_in_memory_is_run_as_it_wants():
    class Viewed(nn.Module):
        def forward(self, x):
            n, c, h, w = x.shape
            return x.view(n, c * h, w).view(n, c, h, w)[:, :1]

    x = stacks(32, 32)
    dense = DenseLogits(Viewed())
    assert torch.equal(dense(x), x[:, 0])
    assert not dense.channels_last


@pytest.mark.parametrize("threads", [1, 2])
def test_other_errors_pass_through_and_no_thread_stays(threads):
    torch.set_num_threads(threads)

    def run(part):
        raise ZeroDivisionError(part)

    with pytest.raises(ZeroDivisionError):
        list(DenseLogits(Centre()).in_chunks(run, 100, CHUNK // 4))
    assert torch.get_num_threads() == threads
