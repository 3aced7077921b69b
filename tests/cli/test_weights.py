"""`weights` as a user meets it."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from emsym.cli.weights import weights
from emsym.errors import UserError
from emsym.models.pretrained.hub import WEIGHTS_DIR

FILE = "test_efficientnet.safetensors"


@pytest.fixture
def imagenet(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny protocol, which asks for ImageNet's weights; a folder beside it has a file."""
    monkeypatch.delenv(WEIGHTS_DIR, raising=False)
    tiny.write_text(tiny.read_text().replace('"encoder.safetensors"', '"imagenet"'))
    (tiny.parent / "files").mkdir()
    shutil.copy(tiny.parent / "encoder.safetensors", tiny.parent / "files" / FILE)
    return tiny


def said(protocol: Path, *words: str | Path) -> str:
    command = [*map(str, words), "--protocol", str(protocol)]
    done = CliRunner().invoke(weights, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_folder_is_listed_named_verified_and_copied(
    imagenet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = imagenet.parent / "files"
    place = folder / FILE
    assert said(imagenet, "path", "--from", folder) == f"{place}\n"
    assert said(imagenet, "list", "--from", folder).startswith(
        f"tu-test_efficientnet  {place}  sha256:"
    )
    assert f"fits  {place}" in said(imagenet, "verify", "--from", folder)
    copy = imagenet.parent / "copy"
    monkeypatch.setenv(WEIGHTS_DIR, str(copy))
    assert f"fits  {copy / FILE}" in said(imagenet, "fetch", "--from", folder)
    assert (copy / FILE).read_bytes() == place.read_bytes()


def test_what_is_missing_is_listed_and_ends_the_other_commands(
    imagenet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = imagenet.parent / "empty"
    empty.mkdir()
    assert "tu-test_efficientnet  not here: " in said(imagenet, "list", "--from", empty)
    for command in ("path", "verify"):
        with pytest.raises(UserError, match="has no weights of"):
            said(imagenet, command, "--from", empty)
    with pytest.raises(UserError, match="Set EMSYM_WEIGHTS_DIR to the folder"):
        said(imagenet, "fetch")
    monkeypatch.setenv(WEIGHTS_DIR, str(imagenet.parent / "new"))
    with pytest.raises(UserError, match="has no weights of 'tu-test_efficientnet'"):
        said(imagenet, "fetch", "--from", empty)


def test_a_protocol_that_names_its_weights_takes_no_folder(tiny: Path) -> None:
    assert "encoder.safetensors  sha256:" in said(tiny, "list")
    with pytest.raises(UserError, match="says itself where its weights are"):
        said(tiny, "list", "--from", tiny.parent)
