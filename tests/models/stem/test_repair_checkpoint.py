"""Files of weights are repaired without touching anything else in them."""

import copy
from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from emsym.errors import UserError
from emsym.models.architectures import ARCHITECTURES, register_architecture
from emsym.models.pretrained.checkpoint import read_checkpoint
from emsym.models.stem.repair_checkpoint import symmetrize_checkpoint
from emsym.plugins import load_factory

NAME, STEM = "unet-tu-test_resnet", "encoder.model.conv1.0.weight"


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(0)
    return smp.create_model("unet", "tu-test_resnet", encoder_weights=None).state_dict()


def assert_only_the_stem_differs(before, after, stem=STEM):
    assert list(before) == list(after)
    differing = [name for name in before if not torch.equal(before[name], after[name])]
    assert differing == [stem]


@pytest.mark.parametrize("architecture", [None, NAME])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_only_the_stem_is_changed(tmp_path, weights, architecture, suffix):
    source, target = tmp_path / f"net{suffix}", tmp_path / f"out{suffix}"
    save_file(weights, source) if suffix == ".safetensors" else torch.save(weights, source)
    content = source.read_bytes()
    changes = symmetrize_checkpoint(source, "uniform-green", target, architecture)
    assert source.read_bytes() == content
    after = read_checkpoint(target).state
    assert_only_the_stem_differs(weights, {name: after[name] for name in weights})
    assert torch.equal(after[STEM], weights[STEM][:, 1:2].expand_as(weights[STEM]))
    assert changes.changes[0].name == STEM
    assert changes.changes[0].after == pytest.approx([changes.changes[0].before[1]] * 3)


def test_the_network_may_be_a_function_of_ones_own(tmp_path, weights):
    torch.save(weights, tmp_path / "net.pt")
    (tmp_path / "mine.py").write_text(
        "from emsym.models.architectures import ARCHITECTURES\n"
        f"build = ARCHITECTURES.get({NAME!r})\n"
        "def broken():\n    raise RuntimeError('not today')\n"
        "def nothing(): pass\n"
    )
    mine = f"{tmp_path / 'mine.py'}:"
    source, target = tmp_path / "net.pt", tmp_path / "out.pt"
    changes = symmetrize_checkpoint(source, "mirror", target, factory=f"{mine}build")
    assert changes.followed
    assert_only_the_stem_differs(weights, torch.load(target, weights_only=True))
    for name, told in (
        ("broken", r"fails \(RuntimeError: not today\)"),
        ("nothing", "returns None, and no network"),
    ):
        with pytest.raises(UserError, match=told):
            symmetrize_checkpoint(source, "mirror", None, factory=f"{mine}{name}")
    with pytest.raises(UserError, match="not both"):
        symmetrize_checkpoint(source, "mirror", None, NAME, factory=f"{mine}build")


def test_a_stem_under_several_names_is_changed_under_all(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "class Decoder(nn.Module):\n"
        "    def __init__(self, encoder):\n"
        "        super().__init__()\n"
        "        self.encoder = encoder\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.encoder = nn.Conv2d(3, 2, 3)\n"
        "        self.decoder = Decoder(self.encoder)\n"
        "    def forward(self, x):\n"
        "        return self.encoder(x)\n"
    )
    mine = f"{tmp_path / 'mine.py'}:Net"
    model = load_factory(mine)()
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    torch.save({"network_weights": state}, tmp_path / "net.pt")
    symmetrize_checkpoint(tmp_path / "net.pt", "mirror", tmp_path / "out.pt", factory=mine)
    after = read_checkpoint(tmp_path / "out.pt").state
    names = ["module.encoder.weight", "module.decoder.encoder.weight"]
    assert torch.equal(after[names[0]], after[names[1]])
    assert torch.equal(after[names[1]][:, 0], after[names[1]][:, 2])
    assert not torch.equal(after[names[1]], state[names[1]])


def test_the_network_of_a_folder_is_described_in_it(tmp_path):
    torch.manual_seed(0)
    model = smp.create_model("unet", "tu-test_resnet", encoder_weights=None, in_channels=5)
    model.save_pretrained(tmp_path / "saved")
    source, target = tmp_path / "saved", tmp_path / "out.safetensors"
    changes = symmetrize_checkpoint(source, "rgb+mirror-tied", target)
    assert changes.followed
    before, after = model.state_dict(), load_file(tmp_path / "out.safetensors")
    assert_only_the_stem_differs(before, {name: after[name] for name in before})


@pytest.mark.parametrize("architecture", [None, NAME])
def test_what_else_a_checkpoint_holds_is_kept(tmp_path, weights, architecture):
    prefixed = {f"model.{name}": value for name, value in weights.items()}
    content = {"epoch": 3, "state_dict": prefixed, "lr": [1e-3, 1e-4]}
    torch.save(content, tmp_path / "net.ckpt.pt")
    symmetrize_checkpoint(tmp_path / "net.ckpt.pt", "mirror", tmp_path / "out.pt", architecture)
    after = torch.load(tmp_path / "out.pt", weights_only=True)
    assert (after["epoch"], after["lr"]) == (3, [1e-3, 1e-4])
    assert_only_the_stem_differs(prefixed, after["state_dict"], f"model.{STEM}")


def test_weights_of_more_slices_can_be_mirrored(tmp_path):
    torch.manual_seed(0)
    wide = smp.create_model("unet", "tu-test_resnet", encoder_weights=None, in_channels=5)
    torch.save(wide.state_dict(), tmp_path / "net.pt")
    symmetrize_checkpoint(tmp_path / "net.pt", "rgb+mirror-tied", tmp_path / "out.pt", NAME)
    wide.load_state_dict(torch.load(tmp_path / "out.pt", weights_only=True))
    wide.eval().double()
    x = torch.rand(1, 5, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(wide(x), wide(x.flip(1)), rtol=1e-6, atol=1e-9)


def test_a_checkpoint_can_be_made_to_read_more_slices(tmp_path, weights):
    torch.save(weights, tmp_path / "net.pt")
    for architecture in (None, NAME):
        target = tmp_path / f"out-{architecture}.pt"
        symmetrize_checkpoint(tmp_path / "net.pt", "uniform-mean", target, architecture, 5)
        wide = smp.create_model("unet", "tu-test_resnet", encoder_weights=None, in_channels=5)
        wide.load_state_dict(torch.load(target, weights_only=True))


def test_a_stem_of_two_branches_needs_the_network(tmp_path, monkeypatch):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(3, 2, 1)

        def forward(self, x):
            return self.a(x) + self.b(x)

    torch.save(Two().state_dict(), tmp_path / "net.pt")
    with pytest.raises(UserError, match=r"2 tensors \(a\.weight, b\.weight\).*--architecture"):
        symmetrize_checkpoint(tmp_path / "net.pt", "uniform-green", tmp_path / "out.pt")
    monkeypatch.setattr(ARCHITECTURES, "_entries", dict(ARCHITECTURES._entries))
    register_architecture("two")(Two)
    changes = symmetrize_checkpoint(tmp_path / "net.pt", "uniform-red", tmp_path / "out.pt", "two")
    assert [change.name for change in changes.changes] == ["a.weight", "b.weight"]
    after = torch.load(tmp_path / "out.pt", weights_only=True)
    assert all(torch.equal(after[k][:, 0], after[k][:, 2]) for k in ("a.weight", "b.weight"))


def test_a_dry_run_writes_nothing(tmp_path, weights):
    torch.save(weights, tmp_path / "net.pt")
    changes = symmetrize_checkpoint(tmp_path / "net.pt", "uniform-green", None)
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt"]
    assert "encoder.model.conv1.0.weight" in str(changes)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda state: state.pop("decoder.blocks.0.conv1.0.weight"), "1 tensor missing"),
        (lambda state: state.update({STEM: state[STEM].to(torch.int8)}), "must be float32"),
        (lambda state: state.update({STEM: torch.zeros(16, 4, 3, 3)}), "odd number"),
        (lambda state: state.update({STEM: torch.zeros(16, 3, 7, 7)}), "of another shape"),
        (lambda state: state.update({STEM: torch.zeros(3)}), "of another shape"),
        (lambda state: state.update({f"ema.{STEM}": state[STEM]}), "holds 2 networks"),
        (
            lambda state: state.update(
                {STEM.replace("weight", "parametrizations.weight.original"): state.pop(STEM)}
            ),
            "mirror_untie",
        ),
        (lambda state: state.pop(STEM), f"there is no '{STEM}'"),
    ],
    ids=["missing", "integers", "even", "kernel", "flat", "two", "tied", "no-stem"],
)
def test_weights_of_another_network_are_refused(tmp_path, weights, spoil, told):
    state = copy.copy(weights)
    spoil(state)
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(UserError, match=told) as caught:
        symmetrize_checkpoint(tmp_path / "net.pt", "rgb", tmp_path / "out.pt", NAME)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.pt").exists()


@pytest.mark.parametrize(
    ("init", "output", "told"),
    [
        ("random", "out.pt", "random-stem"),
        ("uniform-green+zflip-augment", "out.pt", "trained"),
        ("uniform-gren", "out.pt", "did you mean"),
        ("uniform-green", "net.pt", "exists"),
        ("uniform-green", "out.onnx", "must end in"),
        ("uniform-green", "out.safetensors", "weights alone"),
        ("uniform-green", "net.pt/out.pt", "cannot be written"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(tmp_path, weights, init, output, told):
    torch.save({"state_dict": weights, "epoch": 1}, tmp_path / "net.pt")
    before = (tmp_path / "net.pt").read_bytes()
    with pytest.raises(UserError, match=told) as caught:
        symmetrize_checkpoint(tmp_path / "net.pt", init, tmp_path / output)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "net.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt"]


def test_a_safetensors_file_says_that_it_is_torchs(tmp_path, weights):
    save_file(weights, tmp_path / "net.safetensors", {"author": "me"})
    out = tmp_path / "out.safetensors"
    symmetrize_checkpoint(tmp_path / "net.safetensors", "rgb", out)
    assert b'"format":"pt"' in out.read_bytes()[:200]
    assert b'"author":"me"' in out.read_bytes()[:200]
    assert_equal = all(torch.equal(v, weights[k]) for k, v in load_file(out).items())
    assert assert_equal


@pytest.mark.real
def test_real_weights_from_the_file_alone(tmp_path, shared: Path):
    path = shared / "weights/mobilenetv2_100.safetensors"
    changes = symmetrize_checkpoint(path, "uniform-green", tmp_path / "out.safetensors")
    assert changes.changes[0].before == pytest.approx([0.850, 1.389, 0.664], abs=1e-3)
    assert changes.changes[0].after == pytest.approx([1.389] * 3, abs=1e-3)


@pytest.mark.parametrize("architecture", [None, NAME])
def test_no_slices_at_all_are_refused(tmp_path, weights, architecture):
    torch.save(weights, tmp_path / "net.pt")
    with pytest.raises(UserError, match="odd number"):
        symmetrize_checkpoint(tmp_path / "net.pt", "rgb", tmp_path / "o.pt", architecture, 0)


def test_names_of_a_hostile_file_are_not_printed_raw(tmp_path):
    torch.save({"\x1b[31mweight\ninjected": torch.ones(2, 3, 1, 1)}, tmp_path / "net.pt")
    told = str(symmetrize_checkpoint(tmp_path / "net.pt", "rgb", None))
    assert "\x1b" not in told
    assert len(told.splitlines()) == 4


def test_what_a_state_dict_knows_besides_its_tensors_is_kept(tmp_path, weights):
    torch.save(weights, tmp_path / "net.pt")
    symmetrize_checkpoint(tmp_path / "net.pt", "mirror", tmp_path / "out.pt")
    after = torch.load(tmp_path / "out.pt", weights_only=True)
    assert type(after) is type(weights)
    assert after._metadata == weights._metadata


def test_a_link_that_lies_in_the_way_is_not_followed(tmp_path, weights):
    torch.save(weights, tmp_path / "net.pt")
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "out.pt.partial").symlink_to(tmp_path / "victim")
    symmetrize_checkpoint(tmp_path / "net.pt", "mirror", tmp_path / "out.pt")
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (tmp_path / "out.pt").is_symlink()


def test_a_checkpoint_keeps_its_suffix(tmp_path, weights):
    torch.save({"state_dict": weights, "epoch": 1}, tmp_path / "net.ckpt")
    changes = symmetrize_checkpoint(tmp_path / "net.ckpt", "mirror", tmp_path / "out.ckpt")
    assert changes.symmetric
    assert torch.load(tmp_path / "out.ckpt", weights_only=True)["epoch"] == 1


def test_what_stays_asymmetric_is_told(tmp_path, weights):
    torch.save(weights, tmp_path / "net.pt")
    changes = symmetrize_checkpoint(tmp_path / "net.pt", "rgb", None)
    assert not changes.symmetric
    assert "still treated differently" in str(changes)


def test_a_pickled_network_becomes_a_state_dict_and_is_told_so(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 1, 1))
    torch.save(model, tmp_path / "net.pt")
    for file, reader, load in (
        ("out.pt", "torch.load", torch.load),
        ("out.safetensors", "safetensors.torch.load_file", load_file),
    ):
        told = str(symmetrize_checkpoint(tmp_path / "net.pt", "mirror", tmp_path / file))
        assert "a pickled network (torch.nn.modules.container.Sequential)" in told
        assert f'`model.load_state_dict({reader}("{file}"))`' in told
        model.load_state_dict(load(tmp_path / file))  # as it says
        assert torch.equal(model[0].weight[:, 0], model[0].weight[:, 2])


def test_what_only_unpickling_would_read_is_left_out_and_told(tmp_path, weights):
    torch.save({"best": np.float64(1), "epoch": 3, "net": weights}, tmp_path / "net.pt")
    changes = symmetrize_checkpoint(tmp_path / "net.pt", "mirror", tmp_path / "out.pt")
    assert "holds objects beside tensors" in changes.notes[0]
    assert list(torch.load(tmp_path / "out.pt", weights_only=True)) == list(weights)
    torch.save({"epoch": 3, "net": weights}, tmp_path / "plain.pt")
    assert symmetrize_checkpoint(tmp_path / "plain.pt", "mirror", None).notes == ()


def test_a_question_for_the_network_names_the_one_that_fits(tmp_path, weights):
    torch.save({**weights, "more.weight": torch.zeros(2, 3, 1, 1)}, tmp_path / "two.pt")
    with pytest.raises(UserError, match="with --architecture DECODER-tu-test_resnet, an"):
        symmetrize_checkpoint(tmp_path / "two.pt", "mirror", None)
    late = {"final.weight": torch.zeros(2, 3, 1, 1)}
    torch.save(
        {"state_dict": late, "hyper_parameters": {"arch": "Unet", "encoder": "resnet18"}},
        tmp_path / "late.pt",
    )
    with pytest.raises(UserError, match=r"late layer.*with --architecture unet-resnet18, as"):
        symmetrize_checkpoint(tmp_path / "late.pt", "mirror", None)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_precision_stay_so(tmp_path, weights, dtype):
    """An audit reads them, and advises to repair them."""
    half = {k: v.to(dtype) if v.is_floating_point() else v for k, v in weights.items()}
    torch.save(half, tmp_path / "half.pt")
    changes = symmetrize_checkpoint(
        tmp_path / "half.pt", "rgb+mirror-tied", tmp_path / "new.pt", NAME
    )
    assert changes.symmetric
    new = torch.load(tmp_path / "new.pt")
    assert {name: tensor.dtype for name, tensor in new.items()} == {
        name: tensor.dtype for name, tensor in half.items()
    }
    stem = new[changes.changes[0].name]
    torch.testing.assert_close(stem, stem.flip(1), rtol=0, atol=0)
