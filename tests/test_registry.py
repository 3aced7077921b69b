import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from emsym.errors import UserError
from emsym.registry import PluginWarning, Registry, load_plugin

PLUGIN = """
from emsym import register_init

@register_init("{name}")
def mine(rgb, slices):
    "Mine."
    return rgb[:, [1] * slices]
"""


@pytest.fixture
def fruit() -> Registry[str]:
    registry = Registry[str]("fruit")
    registry.add("apple", "red")
    return registry


def test_an_unknown_name_gets_the_nearest(fruit: Registry[str]) -> None:
    with pytest.raises(UserError, match="no fruit 'appel'; did you mean 'apple'"):
        fruit.get("appel")


def test_a_far_name_is_told_where_to_look(fruit: Registry[str]) -> None:
    with pytest.raises(UserError, match="list fruits"):
        fruit.get("zzzz")


def test_a_collision_names_both_places(fruit: Registry[str]) -> None:
    with pytest.raises(UserError) as caught:
        fruit.add("apple", "green")
    assert str(caught.value).count(f"{__file__}:") == 2
    assert fruit.get("apple") == "red"


def test_names_match_a_pattern(fruit: Registry[str]) -> None:
    fruit.add("apricot", "orange")
    fruit.add("pear", "green")
    assert fruit.names("ap*") == ["apple", "apricot"]


def test_a_name_that_follows_a_pattern_is_resolved() -> None:
    registry = Registry[int]("number", resolve=lambda name: int(name) if name.isdigit() else None)
    assert registry.get("42") == 42
    with pytest.raises(UserError):
        registry.get("many")


def write(path: Path, name: str) -> Path:
    path.write_text(PLUGIN.format(name=name))
    return path


def test_a_plugin_file_registers_and_its_source_is_digested(tmp_path: Path) -> None:
    from emsym.models.inits import INITS

    path = write(tmp_path / "mine.py", "test-plugin-mine")
    assert load_plugin(path)
    assert INITS.summary("test-plugin-mine") == "Mine."
    assert len(INITS.source_digest("test-plugin-mine") or "") == 64
    assert INITS.source_digest("rgb") is None
    assert load_plugin(path), "a file loaded twice is no collision"


@pytest.mark.parametrize(
    "tail", ["raise RuntimeError('oh dear')", "syntax error", "import no_such_module_anywhere"]
)
def test_a_broken_plugin_is_reported_and_leaves_nothing(tmp_path: Path, tail: str) -> None:
    from emsym.models.inits import INITS

    path = write(tmp_path / "broken.py", "test-plugin-broken")
    path.write_text(path.read_text() + "\n" + tail)
    before = INITS.names()
    with pytest.warns(PluginWarning, match=r"broken\.py is skipped"):
        assert not load_plugin(path)
    assert INITS.names() == before


def test_a_plugin_that_takes_a_name_is_skipped_with_both_places(tmp_path: Path) -> None:

    path = write(tmp_path / "taken.py", "uniform-green")
    with pytest.warns(PluginWarning, match=r"inits\.py:\d+ and at .*taken\.py:\d+"):
        assert not load_plugin(path)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with entry points, on the path as an installed one is: one good, three not."""
    site = tmp_path / "site"
    site.mkdir()
    write(site / "good_inits.py", "from-a-package")
    (site / "bad_inits.py").write_text("raise RuntimeError('not today')")
    (site / "idle_inits.py").write_text("")
    info = site / "other_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[emsym.inits]\nfrom-a-package = good_inits\nfrom-a-bad-one = bad_inits\n"
        "from-an-idle-one = idle_inits\nrgb = good_inits\n"
    )
    return site


def test_entry_points_are_listed_unimported_and_loaded_by_name(installed: Path) -> None:
    code = """
import sys, warnings
warnings.simplefilter("always")
from emsym import list_inits
from emsym.models.inits import INITS
assert "from-a-package" in list_inits() and "good_inits" not in sys.modules
assert "good_inits" in INITS.summary("from-a-package")
INITS.get("from-a-package"); assert INITS.source_digest("from-a-package")
for bad in ("from-a-bad-one", "from-an-idle-one"):
    try: INITS.get(bad)
    except Exception as error: print(type(error).__name__, error)
assert INITS.source_digest("rgb") is None
assert "torch" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(installed), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("UserError There is no init") == 2
    for why in ("not today", "does not register", "the init 'rgb' exists at"):
        assert why in done.stderr


def test_the_entry_point_groups_are_free_of_emsyms_own() -> None:
    assert not importlib.metadata.entry_points(group="emsym.inits")
