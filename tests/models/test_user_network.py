"""A function of a user's builds the network, or one sentence says what it does instead."""

import sys
from collections.abc import Callable

import pytest
import torch
from torch import nn

from emsym.errors import UserError
from emsym.models.architectures import ARCHITECTURES
from emsym.models.user_network import build_user_network


def failing() -> None:
    raise ValueError("weights folder\nnot mounted")


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (failing, r"fails \(ValueError: weights folder not mounted\): let it return the network"),
        (lambda: sys.exit(0), r"fails \(SystemExit: 0\)"),
        (lambda: sys.exit(), r"fails \(SystemExit\)"),
        (lambda: None, "returns None, and no network: let it return the network alone"),
        (lambda: (nn.Conv2d(3, 1, 1), 3), "returns a tuple, and no network"),
        (lambda: nn.Identity, "returns the class Identity, .* a network of it, as by calling it"),
        (lambda: torch.sigmoid, "returns a builtin_function_or_method, and no network"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3, 1), nn.LazyLinear(1)), "run it once"),
    ],
)
def test_what_is_no_network_is_told(build: Callable[[], object], told: str) -> None:
    with pytest.raises(UserError, match=rf"'mine\.py:build'.*{told}"):
        build_user_network("mine.py:build", build)


def test_a_user_who_presses_ctrl_c_is_heard() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_user_network("mine.py:build", interrupted)


def test_a_plug_in_that_is_a_function_of_stacks_takes_no_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ARCHITECTURES, "_entries", dict(ARCHITECTURES._entries))
    ARCHITECTURES.add("whole", lambda: torch.sigmoid)
    with pytest.raises(UserError, match=r"'whole' is a whole network, .* audit it by its name"):
        build_user_network("whole", ARCHITECTURES.get("whole"))
