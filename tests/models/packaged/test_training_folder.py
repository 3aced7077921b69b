"""Folders of MONAI and nnU-Net give what can be read without their code, or the way to it."""

from pathlib import Path

import pytest

from emsym.errors import UserError
from emsym.models.packaged.training_folder import bundle_package, results_package


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_the_program_of_a_bundle_is_taken(tmp_path: Path) -> None:
    assert bundle_package(tmp_path, own=False) is None
    made(tmp_path, "configs/inference.json", "models/model.pt")
    with pytest.raises(
        UserError, match=r"models/model\.pt with --model FILE\.py:NAME.*ckpt_export"
    ):
        bundle_package(tmp_path, own=False)
    weights = bundle_package(tmp_path, own=True)
    assert weights is not None
    assert weights.file == tmp_path / "models/model.pt"
    made(tmp_path, "models/model.ts")
    program = bundle_package(tmp_path, own=False)
    assert program is not None
    assert program.file == tmp_path / "models/model.ts"
    assert "models/model.ts was taken" in program.notes[0]


def test_results_of_nnu_net_lead_to_the_weights_of_a_fold(tmp_path: Path) -> None:
    made(tmp_path, "plans.json")
    assert results_package(tmp_path, own=True) is None
    made(tmp_path, "dataset.json", "fold_0/checkpoint_final.pth")
    told = r"fold_0/checkpoint_final\.pth, with --model FILE\.py:NAME"
    with pytest.raises(UserError, match=told):
        results_package(tmp_path, own=False)
    weights = results_package(tmp_path, own=True)
    assert weights is not None
    assert weights.file == tmp_path / "fold_0/checkpoint_final.pth"
    made(tmp_path, "fold_1/checkpoint_final.pth")
    with pytest.raises(UserError, match=told):
        results_package(tmp_path, own=True)
