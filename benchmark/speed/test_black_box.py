"""The audit of a function that gives no gradients, beside the forward passes that it asks for."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

import emsym

SECTIONS, SIZE = 6, 256


def test_an_audit_of_a_black_box(say: Callable[[str], None]) -> None:
    torch.manual_seed(0)
    model = emsym.create_model("unet-resnet18", "random").eval()
    volume = np.random.default_rng(0).integers(0, 256, (SECTIONS + 2, SIZE, SIZE), dtype=np.uint8)
    seconds, stacks = 0.0, 0

    def black_box(x: Tensor) -> np.ndarray:
        nonlocal seconds, stacks
        start = time.perf_counter()
        with torch.no_grad():
            logits = model(x).numpy()
        seconds, stacks = seconds + time.perf_counter() - start, stacks + len(x)
        return logits

    emsym.audit(black_box, volume, sections=1, target="all")  # what is imported is paid for here
    seconds, stacks = 0.0, 0
    start = time.perf_counter()
    emsym.audit(black_box, volume, sections=SECTIONS, target="all")
    whole = time.perf_counter() - start
    say(
        f"an audit of a black box, {SECTIONS} sections of {SIZE} × {SIZE}: {whole:.1f} s, of which "
        f"{seconds:.1f} s in {stacks} forward passes; {whole / seconds:.2f} × its passes"
    )
