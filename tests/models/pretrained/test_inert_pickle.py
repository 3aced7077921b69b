"""Objects beside tensors become stand-ins: tensors are read, and nothing of the objects is run."""

import argparse
import os
import pickle
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from emsym.errors import UserError
from emsym.models.pretrained.checkpoint import read_checkpoint
from emsym.models.pretrained.inert_pickle import Inert, load_with_inert, module_state


class Settings(dict):
    """As configurations of many libraries are."""


class History(list):
    """As a list of losses may be."""


class Runs:
    """What runs a function when it is unpickled."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def network() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2))
    model.register_buffer("passing", torch.zeros(1), persistent=False)
    return model


@pytest.mark.parametrize("archive", [True, False])
def test_tensors_beside_objects_of_any_class_are_read(tmp_path: Path, archive: bool) -> None:
    counts = defaultdict(list)
    counts["a"].append(1)
    objects = {
        "best": np.float64(0.25),
        "curve": np.arange(3),
        "arguments": argparse.Namespace(rate=1e-3),
        "settings": Settings(depth=Settings(levels=4)),
        "history": History([0.5, 0.25]),
        "counts": counts,
        "path": Path("here"),
    }
    state = network().state_dict()
    path = tmp_path / "net.pt"
    torch.save({"state_dict": state, **objects}, path, _use_new_zipfile_serialization=archive)
    content = load_with_inert(path, mmap=archive)
    assert list(content) == ["state_dict", *objects]
    assert all(torch.equal(content["state_dict"][name], state[name]) for name in state)
    assert isinstance(content["best"], Inert)
    assert content["settings"] == {"depth": {"levels": 4}}
    assert content["history"] == [0.5, 0.25]
    checkpoint = read_checkpoint(path)
    assert checkpoint.place == "state_dict"
    assert not checkpoint.whole


def test_a_pickled_module_has_its_state_dict() -> None:
    assert module_state(network()) == {}  # one that is no stand-in has a state_dict of its own
    assert module_state(np.float64(1)) == {}


def test_a_module_within_a_file_has_its_state_dict(tmp_path: Path) -> None:
    model = network()
    torch.save({"epoch": 1, "model": model}, tmp_path / "net.pt")
    state = module_state(load_with_inert(tmp_path / "net.pt", mmap=True)["model"])
    assert list(state) == list(model.state_dict())
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("function", [os.system, eval, exec, os.mkdir, print])
def test_nothing_that_a_file_says_is_called(
    tmp_path: Path, function, archive: bool, capsys: pytest.CaptureFixture
) -> None:
    trace = tmp_path / "trace"
    argument = {
        os.system: f"mkdir {trace}",
        os.mkdir: str(trace),
        print: "I ran",
    }.get(function, f"__import__('os').mkdir({str(trace)!r})")
    path = tmp_path / "net.pt"
    torch.save(
        {"state_dict": network().state_dict(), "best": Runs(function, argument)},
        path,
        _use_new_zipfile_serialization=archive,
    )
    with suppress(UserError):  # some functions are refused by their name, others are stand-ins
        read_checkpoint(path)
    assert not trace.exists()
    assert "I ran" not in capsys.readouterr().out


def test_a_stand_in_cannot_be_written() -> None:
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(Inert())


@pytest.mark.parametrize(
    ("content", "key", "place", "others"),
    [
        ({"model_state": 1, "init": {}}, None, "model_state", ()),
        ({"network_weights": 1, "epoch": 3}, None, "network_weights", ()),
        ({"net": 1, "opt": {"state": {0: {"exp_avg": torch.zeros(1)}}}}, None, "net", ()),
        ({"anything": 1}, None, "anything", ()),
        ({"trainer": {"model": 1}}, None, "trainer.model", ()),
        ({"state_dict_ema": 1, "state_dict": 1}, None, "state_dict", ("state_dict_ema",)),
        (
            {"state_dict_ema": 1, "state_dict": 1},
            "state_dict_ema",
            "state_dict_ema",
            ("state_dict",),
        ),
        ({"mine": 1, "mine_ema": 1}, None, "mine", ("mine_ema",)),
    ],
)
def test_weights_are_found_under_any_key(tmp_path: Path, content, key, place, others) -> None:
    state = network().state_dict()

    def filled(value):
        if isinstance(value, dict):
            return {name: filled(each) for name, each in value.items()}
        return state if value == 1 else value

    content = {
        name: filled(value) if value is not state else value for name, value in content.items()
    }
    torch.save(content, tmp_path / "net.pt")
    checkpoint = read_checkpoint(tmp_path / "net.pt", key)
    assert (checkpoint.place, checkpoint.others) == (place, others)
    assert list(checkpoint.state) == list(state)


def test_of_two_networks_one_must_be_named(tmp_path: Path) -> None:
    state = network().state_dict()
    torch.save({"generator": state, "critic": state}, tmp_path / "net.pt")
    with pytest.raises(UserError, match=r"2 networks, under generator, critic: .*--weights-key"):
        read_checkpoint(tmp_path / "net.pt")
    assert read_checkpoint(tmp_path / "net.pt", "critic").place == "critic"
    with pytest.raises(UserError, match="no weights under 'other': there are generator, critic"):
        read_checkpoint(tmp_path / "net.pt", "other")
