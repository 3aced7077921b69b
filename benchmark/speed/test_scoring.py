"""Scoring one test image of the quick protocol, and what a whole cell takes beside its network."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from emsym.data.cards import load_card
from emsym.models.architectures import create_model, register_architecture
from emsym.protocol import Protocol, load_protocol
from emsym.run.cell import run_cell, score_model
from emsym.run.job import jobs
from emsym.scores import chunks
from emsym.scores.dense_logits import DenseLogits


@pytest.mark.parametrize("architecture", ["unet-tu-test_resnet", "linknet-tu-test_efficientnet"])
def test_scoring_one_image(
    benchmark: BenchmarkFixture,
    say: Callable[[str], None],
    quick: Protocol,
    neurites: tuple,
    architecture: str,
) -> None:
    _, test, instances = neurites
    one = replace(test, image=test.image[:3], foreground=test.foreground[:3])  # one stack
    dense = DenseLogits(create_model(architecture, "random").eval())
    card, seconds = load_card("phantom-neurites"), {}
    benchmark.pedantic(
        score_model, (dense, one, instances[:1], card, quick, seconds), rounds=5, warmup_rounds=1
    )
    say(f"{architecture}: {seconds}")


@register_architecture("speck")
def speck() -> torch.nn.Module:
    """Return a network that takes no time."""
    return torch.nn.Conv2d(3, 1, 1)


def test_a_cell_beside_its_network(
    say: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once in the chunks of a CPU and once in those of a GPU: is a GPU kept busy by one process?"""
    protocol = load_protocol("quick-1")
    only = {"architectures": ("speck",), "inits": ("random",), "seeds": (0,)}
    (job, *_) = jobs(protocol.model_copy(update=only))
    passes: list[int] = []
    outputs = DenseLogits.outputs

    def counted(self: DenseLogits, x: torch.Tensor) -> torch.Tensor:
        passes.append(len(x))
        return outputs(self, x)

    monkeypatch.setattr(DenseLogits, "outputs", counted)
    run_cell(job)  # which loads what later cells have
    for chunk in (chunks.CHUNK, chunks.GPU_CHUNK):
        monkeypatch.setattr(chunks, "CHUNK", chunk)
        passes.clear()
        start = time.process_time()
        record = run_cell(job)
        assert record.status == "done", record.error
        say(
            "a cell of quick-1 with a network of one pixel: "
            f"{time.process_time() - start:.2f} s of CPU, {len(passes)} passes of "
            f"{chunk:,} pixels at most for {sum(passes)} stacks"
        )
