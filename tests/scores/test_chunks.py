"""Work in chunks: every row once, on all threads, within the memory that there is."""

import time

import pytest
import torch
from torch import nn

from emsym.errors import UserError
from emsym.models.architectures import create_model
from emsym.scores.chunks import CHUNK, ChunkedNetwork, shared
from emsym.scores.dense_logits import DenseLogits

pytestmark = pytest.mark.numerical


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("count", "pixels"), [(1, 32**2), (5, 256**2), (3, 1024**2), (300, 32**2), (0, 9)]
)
def test_chunks_cover_every_row_once_in_order_within_the_memory_bound(threads, count, pixels):
    torch.set_num_threads(threads)
    made = list(ChunkedNetwork(nn.Identity()).in_chunks(lambda part: part, count, pixels))
    assert all(part == result for part, result in made)
    rows = [list(range(count))[part] for part, _ in made]
    assert [row for each in rows for row in each] == list(range(count))
    for each in rows:
        assert len(each) == 1 or len(each) * pixels <= CHUNK
    assert torch.get_num_threads() == threads


def test_chunks_are_halved_where_memory_runs_out_and_nothing_is_done_twice_or_left_out():
    dense, tried, kept = ChunkedNetwork(nn.Identity()), [], []

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
        list(ChunkedNetwork(nn.Identity()).in_chunks(run, 3, 1024**2))


def test_one_chunk_at_a_time_is_tried_before_giving_up():
    torch.set_num_threads(2)
    dense, running = ChunkedNetwork(nn.Conv2d(3, 1, 1)), []

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
    model, x = Remembers(), torch.randn(12, 3, 64, 64)
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


@pytest.mark.parametrize("threads", [1, 2])
def test_other_errors_pass_through_and_no_thread_stays(threads):
    torch.set_num_threads(threads)

    def run(part):
        raise ZeroDivisionError(part)

    with pytest.raises(ZeroDivisionError):
        list(ChunkedNetwork(nn.Identity()).in_chunks(run, 100, CHUNK // 4))
    assert torch.get_num_threads() == threads
