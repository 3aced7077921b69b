"""A process that keeps freed memory takes none anew for the next tensor, and can give it back."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries know no such settings"
)

CHILD = """
import resource

import torch
from emsym.freed_memory import give_back_freed_memory, keep_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

keep_freed_memory()
tensors = lambda: [torch.ones(2**20) for _ in range(8)]  # of 4 MiB each
for _ in range(4):
    tensors()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    tensors()
taken = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
kept = resident()
give_back_freed_memory()
print(taken, kept - resident())
"""


def test_freed_memory_is_kept_until_it_is_given_back() -> None:
    command = [sys.executable, "-c", CHILD]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    pages, given_back = map(int, done.stdout.split())
    assert pages < 1000  # of 32,768 in four times 32 MiB
    assert given_back > 24e6
