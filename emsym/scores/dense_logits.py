"""A segmentation network as the scores see it: one logit per pixel, sections of any size."""

import copy
import ctypes
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TypeVar

import torch
from torch import Tensor, nn

from emsym.errors import UserError

T = TypeVar("T")

STRIDE = 32
"""Networks halve their input five times, so height and width must be multiples of this."""

CHUNK = 2**16
"""Pixels of one pass on a CPU: four sections of 128². The feature maps of larger passes leave its
caches, and are as large as what the C library takes from the system anew each time."""

ROUNDING = 1e-6
"""Relative differences of T up to this are what single precision leaves of none."""

BYTES_PER_PIXEL = 2**14
"""Of GPU memory that a pixel of a pass is reckoned to take; where that is too little, chunks are
halved."""


class DenseLogits(nn.Module):
    """(N, S, H, W) → (N, H, W): reflects the input up to the network's stride and crops the logit.

    The network gives (N, C, H, W) for H and W that are multiples of the stride: with C = 1 the
    logit of the foreground, else those of C classes, of which one, `channel`, is looked at.
    Raises `UserError` when the network gives anything else.
    """

    chunk: int
    """Pixels of one pass through the network; halved where they do not fit in memory."""

    def __init__(self, model: nn.Module, channel: int = 0) -> None:
        """`model` is in eval mode; its parameters' gradients are never asked for."""
        super().__init__()
        self.model = model
        self.channel = channel
        self.reversed = False
        first = next((t for t in (*model.parameters(), *model.buffers())), torch.empty(0))
        self.device = first.device
        self.chunk = _chunk(self.device)
        # Convolutions on a CPU are up to twice as fast this way; a network that cannot is told from
        # its first answer.
        self.channels_last = self.device.type == "cpu"
        self._copies: list[nn.Module] = []
        self._thread = threading.local()

    def outputs(self, x: Tensor) -> Tensor:
        """The logits of all classes, (N, C, H, W)."""
        if self.reversed:
            x = x.flip(1)
        height, width = x.shape[-2:]
        below, right = -height % STRIDE, -width % STRIDE
        mode = "reflect" if below < height and right < width else "replicate"
        padded = nn.functional.pad(x, (0, right, 0, below), mode=mode) if below + right else x
        logits = self._answer(padded)
        size = (len(x), "classes", *padded.shape[-2:])
        if not isinstance(logits, Tensor):
            raise UserError(
                f"The network gives a {type(logits).__name__} instead of the logits, {size}: wrap "
                "it in a module that returns them alone."
            )
        if logits.ndim != 4 or (len(logits), *logits.shape[2:]) != (size[0], *size[2:]):
            raise UserError(
                f"The network gives {tuple(logits.shape)} instead of one logit per pixel and "
                f"class, {size}."
            )
        if logits.is_complex():
            raise UserError("The network gives complex numbers instead of real logits.")
        if self.channel >= logits.shape[1]:
            raise UserError(
                f"There is no class {self.channel}: the network gives {logits.shape[1]} of them, "
                "counted from 0."
            )
        return logits[..., :height, :width]

    def _answer(self, x: Tensor) -> object:
        model = getattr(self._thread, "model", self.model)
        if self.channels_last:
            try:
                return model(x.contiguous(memory_format=torch.channels_last))
            except RuntimeError as error:  # as of `view`, where a network counts on the order
                if _out_of_memory(error):
                    raise
                answer = model(x)
                self.channels_last = False
                return answer
        return model(x)

    def forward(self, x: Tensor) -> Tensor:
        """The logit that is looked at, (N, H, W)."""
        return self.outputs(x)[:, self.channel]

    def probability(self, outputs: Tensor) -> Tensor:
        """(N, C, H, W) logits → (N, H, W) in 0..1, of the class that is looked at.

        The logistic function of one logit, softmax over several.
        """
        if outputs.shape[1] == 1:
            return outputs[:, 0].sigmoid()
        return outputs.softmax(1)[:, self.channel]

    def predicted(self, outputs: Tensor, threshold: float) -> Tensor:
        """(N, C, H, W) logits → (N, H, W) bool, where the class is predicted.

        One logit: its probability is above `threshold`. Several: it is the greatest of them.
        """
        if outputs.shape[1] == 1:
            return outputs[:, 0].sigmoid() > threshold
        return outputs.argmax(1) == self.channel

    def mirrored(self) -> "DenseLogits":
        """The network that sees every stack reversed; it shares the weights.

        A(mirror x) is the mirror image of what explains this network's answer to x: so methods
        that draw noise see the same noise on the same slice, and a mirror-symmetric network has
        no asymmetry but rounding by any of them.
        """
        other = copy.copy(self)
        other.reversed = not self.reversed
        return other

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
            _trim()
        while start < count:
            size, threads = max(1, self.chunk // pixels), self._threads(pixels)
            parts = [slice(at, min(at + size, count)) for at in range(start, count, size)]
            try:
                for part, made in self._each(run, parts, threads):
                    yield part, made
                    start = part.stop
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
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
    memo: dict[int, Tensor] = {id(each): each.data for each in model.buffers()}
    for each in model.parameters():
        memo[id(each)] = nn.Parameter(each.data, requires_grad=False)
    return copy.deepcopy(model, memo)


def _float32(device: torch.device) -> AbstractContextManager:
    """Convolutions in float32, on a GPU, too, where they take TF32 by default."""
    if device.type != "cuda":
        return nullcontext()
    flags = torch.backends.cudnn
    return flags.flags(flags.enabled, flags.benchmark, None, flags.deterministic, allow_tf32=False)


def _trim() -> None:
    """Give back to the system what glibc keeps of freed memory: after a large pass, 0.4 GB."""
    with suppress(AttributeError, OSError, TypeError):  # there are other C libraries
        ctypes.CDLL(None).malloc_trim(0)


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        "allocate memory" in str(error)  # a RuntimeError of torch's allocator on a CPU
    )


def _chunk(device: torch.device) -> int:
    if device.type != "cuda":
        return CHUNK
    free, _ = torch.cuda.mem_get_info(device)
    return max(CHUNK, min(2**24, free // BYTES_PER_PIXEL))
