"""`list` as a user meets it: real processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from emsym.cli.list import KINDS, list_

BENCH = Path(sys.executable).with_name("emsym-bench")


def listed(*words: str, cwd: Path) -> str:
    done = subprocess.run(
        [BENCH, "list", *words], cwd=cwd, capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


@pytest.mark.parametrize(
    ("what", "pattern", "expected"),
    [
        ("inits", "uniform-g*", "uniform-green"),
        ("inits", "mir*-preserve", "mirror-preserve"),
        ("interventions", "mirror*", "mirror-tied"),
        ("datasets", "gf*fibres", "gf-pa66:fibres"),
        ("architectures", "unet-resnet34", "unet-resnet34"),
        ("architectures", "dpt-tu-vit_t*", "dpt-tu-vit_tiny_patch16_224"),
        ("encoders", "tu-convnext_*", "tu-convnext_atto"),
        ("protocols", "qu*", "quick"),
    ],
)
def test_names_like_a_pattern(tmp_path: Path, what: str, pattern: str, expected: str) -> None:
    assert listed(what, pattern, cwd=tmp_path).split()[0] == expected


def test_architectures_are_counted_by_decoder_and_a_plugins_are_named(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from emsym import register_architecture\n"
        "@register_architecture('unet-mine')\n"
        "def mine():\n    'My own.'\n"
    )
    lines = listed("architectures", "--plugin", "mine.py", cwd=tmp_path).splitlines()
    assert len(lines) == 12 + 1 + 1
    assert lines[0].split()[0] == "unet-ENCODER"
    assert lines[-2].split() == ["unet-mine", "My", "own."]


def test_one_encoder_is_told_in_full(tmp_path: Path) -> None:
    told = listed("encoders", "tu-mobileone_s0", cwd=tmp_path)
    assert "model.stem.conv_kxk.0.conv (Conv2d)" in told
    assert "decoders: unet" in told
    assert "refused: model.stem_dct" in listed("encoders", "tu-csatv2", cwd=tmp_path)


@pytest.mark.parametrize("what", ["inits", "architectures", "encoders", "interventions"])
def test_listing_imports_no_torch(what: str) -> None:
    code = (
        f"import sys; sys.argv = ['emsym-bench', 'list', '{what}']\n"
        "from emsym.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print({'torch', 'timm', 'segmentation_models_pytorch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_json_names_what_the_text_names(tmp_path: Path) -> None:
    told = json.loads(listed("inits", "mirror*", "--json", cwd=tmp_path))
    text = listed("inits", "mirror*", cwd=tmp_path).splitlines()
    assert told["what"] == "inits"
    assert [each["name"] for each in told["names"]] == [line.split()[0] for line in text]
    assert all(each["summary"] in line for each, line in zip(told["names"], text, strict=True))
    told = json.loads(listed("encoders", "tu-csatv2", "--json", cwd=tmp_path))
    assert told["encoder"]["refused"].startswith("model.stem_dct")


def test_help_names_what_can_be_listed() -> None:
    told = " ".join(CliRunner().invoke(list_, ["--help"]).output.split())
    assert f"WHAT is {', '.join(KINDS[:-1])} or {KINDS[-1]}." in told
    told = CliRunner().invoke(list_, ["nonsense"]).output
    assert "Invalid value for 'WHAT': 'nonsense' is not one of 'datasets'" in told
