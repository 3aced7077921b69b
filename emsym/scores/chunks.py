"""A network run in chunks: as many stacks at once as memory and caches hold, on all threads."""

import copy
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor, nn

from emsym.errors import UserError
from emsym.freed_memory import give_back_freed_memory
from emsym.models.copying import kept_tensors

T = TypeVar("T")

CHUNK = 2**16
"""Pixels of one pass on a CPU: four sections of 128². The feature maps of larger passes leave its
caches, and are as large as what the C library takes from the system anew each time."""

GPU_CHUNK = 2**20
"""Pixels of one pass on a GPU, at most: 64 sections of 128², so that a cell of `quick-1` scores in
35 passes, and other cells find memory, too. No GPU has been asked yet whether more are faster."""

BYTES_PER_PIXEL = 2**14
"""GPU memory that a pixel of a pass is reckoned to take; where that is too little, chunks are
halved."""


class ChunkedNetwork(nn.Module):
    """A network whose passes are cut into chunks, with a copy of it for each thread."""

    chunk: int
    """Pixels of one pass through the network; halved where they do not fit in memory."""

    def __init__(self, model: nn.Module) -> None:
        """`model` is in eval mode; its parameters' gradients are never asked for."""
        super().__init__()
        self.model = model
        first = next((t for t in (*model.parameters(), *model.buffers())), torch.empty(0))
        self.device = first.device
        self.chunk = _chunk(self.device)
        self._copies: list[nn.Module] = []
        self._thread = threading.local()

    @property
    def thread_model(self) -> nn.Module:
        """The network to be used in this thread."""
        return getattr(self._thread, "model", self.model)

    def at_once(self, pixels: int) -> int:
        """How many sections of that many pixels are worked on together: a chunk for each thread."""
        return max(1, self.chunk // pixels) * self._threads(pixels)

    def in_chunks(
        self, run: Callable[[slice], T], count: int, pixels: int
    ) -> Iterator[tuple[slice, T]]:
        """(part, run(part)) in order, for slices of range(count) of at most `chunk` pixels.

        `pixels` is those of one of the `count` rows. On a CPU as many chunks as torch has threads
        are run at once, each on one thread, which wastes less than many threads on one chunk;
        sections larger than a chunk are run one after the other on all threads, which takes less
        memory. Where memory runs out, the chunk is halved and the work goes on.

        Raises `UserError` where a single row does not fit.
        """
        start = 0
        if pixels > self.chunk and self.device.type == "cpu":
            give_back_freed_memory()  # after a large pass, 0.4 GB
        while start < count:
            size, threads = max(1, self.chunk // pixels), self._threads(pixels)
            parts = [slice(at, min(at + size, count)) for at in range(start, count, size)]
            try:
                for part, made in self._each(run, parts, threads):
                    yield part, made
                    start = part.stop
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if size == threads == 1:
                    raise UserError(
                        f"A pass over {pixels:,} pixels does not fit in the memory of "
                        f"{self.device}: take smaller sections."
                    ) from error
                self.chunk = (size // 2) * pixels if size > 1 else pixels - 1  # one at a time

    def _threads(self, pixels: int) -> int:
        """How many chunks are run at once."""
        if self.device.type != "cpu" or pixels > self.chunk:
            return 1
        if next(self.model.parameters(), None) is None:  # it hides what it is, as a function does
            return 1
        threads = torch.get_num_threads()
        try:
            while len(self._copies) < threads > 1:
                self._copies.append(shared(self.model))
        except Exception:  # whatever keeps a stranger's network from being copied
            return 1
        return threads

    def _each(
        self, run: Callable[[slice], T], parts: list[slice], threads: int
    ) -> Iterator[tuple[slice, T]]:
        if threads == 1 or len(parts) == 1:
            for part in parts:
                with _float32(self.device):
                    made = run(part)
                yield part, made
            return
        spare = list(self._copies)

        def begin() -> None:  # each thread has a network of its own, lest one keep what it saw
            torch.set_num_threads(1)
            self._thread.model = spare.pop()

        pool = ThreadPoolExecutor(threads, initializer=begin)
        try:
            ahead = [pool.submit(run, part) for part in parts[:threads]]
            for number, part in enumerate(parts):
                made = ahead.pop(0).result()
                if number + threads < len(parts):  # no more at once than memory was reckoned for
                    ahead.append(pool.submit(run, parts[number + threads]))
                yield part, made
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)  # the pool's threads have set it for later ones


def shared(model: nn.Module) -> nn.Module:
    """A copy of a network over the same memory; no gradient is taken of its parameters.

    What is raised comes from modules that cannot be copied.
    """
    if isinstance(model, torch.jit.ScriptModule):
        return model  # keeps nothing between calls
    # by .data, as captum's LRP writes the weights back: no other copy is to take that for a change
    memo: dict[int, Tensor] = {id(each): each.detach() for each in kept_tensors(model)}
    memo |= {id(each): each.data for each in model.buffers()}
    for each in model.parameters():
        memo[id(each)] = nn.Parameter(each.data, requires_grad=False)
    return copy.deepcopy(model, memo)


def _float32(device: torch.device) -> AbstractContextManager:
    """Convolutions in float32, on a GPU, too, where they take TF32 by default."""
    if device.type != "cuda":
        return nullcontext()
    flags = torch.backends.cudnn
    return flags.flags(flags.enabled, flags.benchmark, None, flags.deterministic, allow_tf32=False)


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error says that memory ran out, on a CPU or a GPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        "allocate memory" in str(error)  # a RuntimeError of torch's allocator on a CPU
    )


def _chunk(device: torch.device) -> int:
    if device.type != "cuda":
        return CHUNK
    free, _ = torch.cuda.mem_get_info(device)
    return max(CHUNK, min(GPU_CHUNK, free // BYTES_PER_PIXEL))
