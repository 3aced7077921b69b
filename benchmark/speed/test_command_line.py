"""How long a person waits for an answer that needs no network: a whole process each time."""

import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

BENCH = Path(sys.executable).with_name("emsym-bench")


@pytest.mark.parametrize("words", ["--help", "list inits", "plan"])
def test_emsym_bench(benchmark: BenchmarkFixture, words: str) -> None:
    command = [BENCH, *words.split()]
    benchmark.pedantic(
        subprocess.run,
        (command,),
        {"check": True, "capture_output": True},
        rounds=10,
        warmup_rounds=2,
    )
