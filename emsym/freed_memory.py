"""Memory that is freed, which this process keeps for the next tensor or gives back to the system.

By default glibc gives back the end of its heap as soon as some of it is free. The next tensor then
takes memory anew, which the system fills with zeros page by page: a fifth to a third of the time of
a training step on a CPU. Other C libraries know no such settings, and are left as they are.
"""

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # numbers of parameters in glibc's malloc.h

LARGEST_KEPT = 2**25
"""Bytes of a block from which on it is given back when it is freed; glibc takes no larger limit."""


def keep_freed_memory() -> None:
    """Let this process keep freed memory, but for large blocks: its peak stays what it was."""
    with suppress(AttributeError, OSError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, LARGEST_KEPT)
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def give_back_freed_memory() -> None:
    """Give back to the system what this process holds of freed memory."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
