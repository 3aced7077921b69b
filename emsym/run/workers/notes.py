"""Notes that a worker process sends of what it is doing."""

import sys
import time
from collections.abc import Callable

NOTE_EVERY = 0.2
"""Seconds between two notes of one phase."""
WAITING = "waiting"
"""The beginning of a phase that does not count against a time limit."""


class _Notes:
    """Where the notes of this process go."""

    def __init__(self) -> None:
        self.listener: Callable[[tuple[str, int]], None] | None = None
        self.phase, self.at = "", 0.0


_NOTES = _Notes()


def send_to(listener: Callable[[tuple[str, int]], None]) -> None:
    """Send this process's notes there: what it is doing, and the bytes that it holds of GPUs."""
    _NOTES.listener = listener


def begin_task() -> None:
    """Let the next note be sent, whatever the last one said."""
    _NOTES.phase = ""


def note(phase: str, detail: str = "") -> None:
    """Send what this process is doing to whoever listens.

    Calling it often is cheap: notes of one phase are sent five times a second at most.
    """
    now = time.monotonic()
    if _NOTES.listener is None or (phase == _NOTES.phase and now - _NOTES.at < NOTE_EVERY):
        return
    _NOTES.phase, _NOTES.at = phase, now
    _NOTES.listener((f"{phase} {detail}".rstrip(), _gpu_memory()))


def _gpu_memory() -> int:
    """Bytes that this process holds of GPUs; torch is not imported to know it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    return sum(torch.cuda.memory_reserved(index) for index in range(torch.cuda.device_count()))
