"""Cards, protocols and the folder of this machine are where they are looked for."""

from pathlib import Path

import pytest

from emsym.errors import UserError
from emsym.paths import cards_folder, data_dir, find_toml, protocols_folder


def test_cards_and_protocols_of_a_checkout_are_found() -> None:
    assert (cards_folder() / "snemi3d.toml").is_file()
    assert (protocols_folder() / "quick.toml").is_file()


def test_a_name_is_looked_up_and_a_path_is_relative_to_the_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").touch()
    assert find_toml("dataset", "mine", tmp_path, Path("elsewhere")) == tmp_path / "mine.toml"
    path = find_toml("dataset", "cards/other.toml", tmp_path, Path("elsewhere"))
    assert path == Path("elsewhere/cards/other.toml")


@pytest.mark.parametrize(
    ("name", "hint"), [("mina", "did you mean 'mine'"), ("zzz", "emsym-bench list datasets")]
)
def test_an_unknown_name_gets_the_nearest_or_the_list(tmp_path: Path, name: str, hint: str) -> None:
    (tmp_path / "mine.toml").touch()
    with pytest.raises(UserError, match=hint):
        find_toml("dataset", name, tmp_path)


def test_the_folder_of_this_machine_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EMSYM_DATA_DIR", "~/kept")
    assert data_dir() == Path.home() / "kept"
    monkeypatch.setenv("EMSYM_DATA_DIR", "")
    assert data_dir().name == "emsym"


def test_a_user_without_a_home_is_asked_for_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(_: str) -> str:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("EMSYM_DATA_DIR", raising=False)
    monkeypatch.setattr("pooch.os_cache", homeless)
    with pytest.raises(UserError, match="set EMSYM_DATA_DIR to a folder"):
        data_dir()
