import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

from emsym.errors import UserError
from emsym.models.pretrained import pretext
from emsym.models.pretrained.checkpoint import read_state_dict
from emsym.models.stem.find import find_stem

ENCODER = "tu-test_efficientnet"


@pytest.fixture(autouse=True)
def few_steps(monkeypatch, tmp_path):
    """Ten steps on two photographs, and a cache of this test's own."""
    images = [image[:200, :200] for image in pretext.photographs()[:2]]
    monkeypatch.setattr(pretext, "STEPS", 10)
    monkeypatch.setattr(pretext, "photographs", lambda: images)
    monkeypatch.setenv("EMSYM_DATA_DIR", str(tmp_path))


def test_photographs(monkeypatch):
    monkeypatch.undo()
    images = pretext.photographs()
    assert len(images) == 8
    for image in images:
        assert image.ndim == 3
        assert image.shape[2] == 3
        assert min(image.shape[:2]) > pretext.PATCH
        assert image.dtype == np.float32
        assert 0 <= image.min() < 0.1
        assert 0.9 < image.max() <= 1


def test_clean_colours_keep_the_distances_of_cielab():
    images = pretext.photographs()
    colours = pretext.clean_colours(images)
    pixels = np.concatenate([c.reshape(-1, 3) for c in colours])
    assert [c.shape for c in colours] == [image.shape for image in images]
    assert all(c.dtype == np.float32 for c in colours)
    np.testing.assert_allclose(pixels.mean(0), 0, atol=1e-3)
    assert pixels[:, 0].std() == pytest.approx(1, abs=1e-3)
    assert (pixels[:, 1:].std(0) < 1).all()  # people see less of chroma than of lightness


def test_training_is_deterministic_and_leaves_the_callers_state_alone():
    torch.manual_seed(7)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    first = pretext.train_pretext(ENCODER)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    torch.manual_seed(8)
    second = pretext.train_pretext(ENCODER)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_stem_is_learned_and_of_a_fresh_ones_scale():
    torch.manual_seed(0)
    model = smp.Linknet(ENCODER, encoder_weights=None)
    fresh = model.get_parameter(find_stem(model).reads[0].path).detach().clone()
    model.encoder.load_state_dict(pretext.train_pretext(ENCODER))
    learned = model.get_parameter(find_stem(model).reads[0].path).detach()
    assert learned.norm() / fresh.norm() == pytest.approx(1, abs=0.1)
    assert torch.nn.functional.cosine_similarity(learned.flatten(), fresh.flatten(), dim=0) < 0.95


def test_the_file_fits_the_encoder_and_is_made_once(monkeypatch, tmp_path):
    path = pretext.pretext_weights(ENCODER)
    smp.create_model("unet", ENCODER, encoder_weights=None).encoder.load_state_dict(
        read_state_dict(path)
    )
    assert path.parent == tmp_path
    assert path.name == f"pretext-{pretext.SCORING_VERSION}-{ENCODER}.safetensors"
    assert list(tmp_path.glob("*.safetensors")) == [path]
    monkeypatch.setattr(pretext, "train_pretext", None)  # calling it would fail
    assert pretext.pretext_weights(ENCODER) == path


def test_nothing_half_written_has_the_files_name(monkeypatch, tmp_path):
    def killed(_, path):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pretext, "save_file", killed)
        with pytest.raises(KeyboardInterrupt):
            pretext.pretext_weights(ENCODER)
    assert not list(tmp_path.glob("*.safetensors"))
    assert read_state_dict(pretext.pretext_weights(ENCODER))  # the lock is free again
    assert not list(tmp_path.glob("*.partial"))


PROCESS = """
import os, sys, time, torch
from pathlib import Path
from emsym.errors import UserError
from emsym.models.pretrained import pretext

def train(encoder):
    with open("trained", "a") as file:
        file.write(f"{os.getpid()} ")
    time.sleep(1)  # long enough for the other one to ask
    return {"weight": torch.ones(1)}

pretext.train_pretext = train
Path(f"ready-{os.getpid()}").touch()
while len(list(Path().glob("ready-*"))) < 2:
    time.sleep(0.01)
assert pretext.pretext_weights("some").is_file()
"""


@pytest.mark.slow
def test_of_two_processes_one_trains(tmp_path):
    command = [sys.executable, "-c", PROCESS]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    both = [subprocess.Popen(command, cwd=tmp_path, env=environment) for _ in range(2)]
    try:
        assert [process.wait(240) for process in both] == [0, 0]
    finally:
        for process in both:
            process.kill()
    assert len((tmp_path / "trained").read_text().split()) == 1


def test_an_encoder_that_no_pretext_can_be_made_for_is_told_in_a_sentence():
    with pytest.raises(UserError, match=r"'tu-test_vit'.*'imagenet' or a file"):
        pretext.train_pretext("tu-test_vit")
