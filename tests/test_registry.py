import hashlib
import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from emsym.errors import UserError
from emsym.plugins import load_plugin
from emsym.registry import PluginWarning, Registry

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


def test_one_of_your_own_is_given_with_a_plugin(fruit: Registry[str]) -> None:
    """It is said where none of the kind was given."""
    with pytest.raises(UserError, match=r"them\. One of your own is given with --plugin FILE\."):
        Registry[str]("nut").get("pecan")
    with pytest.raises(UserError) as caught:
        fruit.get("appel")
    assert "--plugin" not in str(caught.value)


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


def resolve_digits(name: str) -> int | None:
    return int(name) if name.isdigit() else None


def test_what_is_resolved_comes_from_where_the_function_is() -> None:
    from emsym.models.architectures import ARCHITECTURES

    registry = Registry[int]("number", resolve=resolve_digits)
    assert registry.entry("42").file == Path(__file__)
    assert not registry.entry("42").own
    own = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    assert registry.source_digest("42") == own
    assert ARCHITECTURES.source_digest("unet-efficientnet-b0") is None
    assert ARCHITECTURES.entry("unet-efficientnet-b0").file.name == "architectures.py"


@pytest.mark.parametrize("name", ["a+b", "", "-a", ".a", "a b", "a/b", "ä", "a\n", None])
def test_a_name_that_cannot_be_part_of_another_or_of_a_file_is_refused(
    fruit: Registry[str], name: str
) -> None:
    with pytest.raises(UserError, match=r"cannot be called that.*test_registry\.py:\d+\.$"):
        fruit.add(name, "red")
    assert fruit.names() == ["apple"]


@pytest.mark.parametrize("name", ["unet-tu-tf_efficientnet_b0", "v2.1", "2d", "Unet"])
def test_letters_digits_and_three_signs_make_a_name(fruit: Registry[str], name: str) -> None:
    fruit.add(name, "red")
    assert name in fruit.names()


def write(path: Path, name: str) -> Path:
    path.write_text(PLUGIN.format(name=name))
    return path


def test_a_plugin_file_registers_and_its_source_is_digested(tmp_path: Path) -> None:
    from emsym.models.inits import INITS

    path = write(tmp_path / "mine.py", "test-plugin-mine")
    assert load_plugin(path)
    assert INITS.summary("test-plugin-mine") == "Mine."
    own = hashlib.sha256(path.read_bytes()).hexdigest()
    assert INITS.source_digest("test-plugin-mine") == own
    assert INITS.source_digest("rgb") is None
    before = INITS.get("test-plugin-mine")
    assert load_plugin(path), "a file loaded twice is no collision"
    assert INITS.get("test-plugin-mine") is before


def test_a_plugin_that_was_edited_takes_the_place_of_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emsym.models.inits import INITS

    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = write(tmp_path / "edited.py", "test-plugin-before")
    assert load_plugin(path)
    INITS.source_digest("test-plugin-before")
    stat = path.stat()
    path.write_text(path.read_text().replace("before", "edited").replace("[1]", "[2]"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # so quick that no clock tells
    assert load_plugin(path)
    assert not INITS.names("test-plugin-before*")
    assert INITS.names("test-plugin-edited")
    own = hashlib.sha256(path.read_bytes()).hexdigest()
    assert INITS.source_digest("test-plugin-edited") == own
    path.write_text("oh dear")
    with pytest.warns(PluginWarning, match="is skipped"):
        assert not load_plugin(path)
    assert not INITS.names("test-plugin-edited*")


def test_a_plugin_file_in_a_package_is_digested_alone(tmp_path: Path) -> None:
    from emsym.models.inits import INITS

    (tmp_path / "__init__.py").touch()
    path = write(tmp_path / "alone.py", "test-plugin-alone")
    assert load_plugin(path)
    own = hashlib.sha256(path.read_bytes()).hexdigest()
    assert INITS.source_digest("test-plugin-alone") == own


def test_what_has_no_source_file_has_no_digest(fruit: Registry[str]) -> None:
    exec(compile("fruit.add('plum', 'blue')", "<stdin>", "exec"), {"fruit": fruit})
    assert fruit.get("plum") == "blue"
    with pytest.raises(UserError, match=r"'plum' cannot be read at <stdin>:1.* with --plugin\.$"):
        fruit.source_digest("plum")


@pytest.mark.parametrize(
    "tail",
    [
        "raise RuntimeError('oh dear')",
        "syntax error",
        "import no_such_module_anywhere",
        "raise SystemExit",
    ],
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
    done = run(code, installed)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("UserError There is no init") == 2
    for why in ("not today", "does not register", "the init 'rgb' exists at"):
        assert why in done.stderr


def run(code: str, site: Path) -> subprocess.CompletedProcess[str]:
    """A fresh process in which `site` is a folder of installed packages."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(site), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )


def offer(site: Path, points: str) -> None:
    """Make what lies in `site` an installed package with these entry points."""
    info = site / "lab-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[emsym.inits]\n{points}\n")


def test_another_thread_may_ask_while_an_entry_point_is_imported(tmp_path: Path) -> None:
    offer(tmp_path, "threaded = threaded_inits")
    (tmp_path / "threaded_inits.py").write_text(
        "import threading, time\n"
        "from emsym.models.inits import INITS\n"
        "asking = threading.Thread(target=lambda: INITS.get('mirror'), daemon=True)\n"
        "asking.start()\n"
        "asking.join(10)\n"
        "assert not asking.is_alive(), 'it waits for ever'\n"
        "time.sleep(0.2)\n" + PLUGIN.format(name="threaded")
    )
    code = """
import warnings
from concurrent.futures import ThreadPoolExecutor
from emsym.models.inits import INITS
warnings.simplefilter("error")
with ThreadPoolExecutor(4) as pool:
    print(len(set(pool.map(INITS.get, ["threaded"] * 4))))
"""
    done = run(code, tmp_path)
    assert done.stdout == "1\n", done.stderr


def test_a_package_that_fails_leaves_nothing_but_what_did_not_fail(tmp_path: Path) -> None:
    offer(tmp_path, "sound = sound_inits\nbroken = broken_inits")
    write(tmp_path / "sound_inits.py", "sound")
    path = write(tmp_path / "broken_inits.py", "broken")
    path.write_text(f"import sound_inits\n{path.read_text()}\nraise RuntimeError('oh dear')")
    code = """
from emsym.errors import UserError
from emsym.models.inits import INITS
try: INITS.get("broken")
except UserError as error: print(error)
print(INITS.names("broken*"), bool(INITS.get("sound")))
"""
    done = run(code, tmp_path)
    assert done.stdout.startswith("There is no init 'broken'"), done.stderr
    assert done.stdout.endswith("[] True\n")
    assert done.stderr.count("oh dear") == 1


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder with a package whose strategy lies two levels down, beside an unrelated module."""
    folder = tmp_path / "lab" / "strategies"
    folder.mkdir(parents=True)
    (tmp_path / "lab" / "__init__.py").touch()
    (tmp_path / "lab" / "helper.py").write_text("PLANE = 1\n")
    (folder / "__init__.py").touch()
    write(folder / "green.py", "lab-green")
    write(tmp_path / "single.py", "lab-single")
    (tmp_path / "__init__.py").touch()  # astray: the folder is on the path, and so no package
    return tmp_path


def digests(folder: Path) -> list[str]:
    """Of the strategies in the package and in the module, as a new process has them."""
    code = """
import lab.strategies.green, single
from emsym.models.inits import INITS
print(INITS.source_digest("lab-green"), INITS.source_digest("lab-single"))
"""
    done = run(code, folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    "edit",
    [
        lambda lab: (lab / "helper.py").write_text("PLANE = 2\n"),
        lambda lab: (lab / "helper.py").rename(lab / "helpers.py"),
        lambda lab: (lab / "helper.py").rename(lab / "strategies" / "helper.py"),
        lambda lab: (lab / "strategies" / "green.py").open("a").write("# more\n"),
        lambda lab: (lab / "new.py").touch(),
    ],
    ids=["change", "rename", "move", "own", "new"],
)
def test_an_edit_of_any_module_of_a_package_shows(lab: Path, edit: Callable[[Path], None]) -> None:
    packaged, single = digests(lab)
    edit(lab / "lab")
    edited, untouched = digests(lab)
    assert edited != packaged
    assert untouched == single


def test_neither_place_nor_bytecode_nor_data_is_in_a_digest(lab: Path) -> None:
    before = digests(lab)
    assert before[1] == hashlib.sha256((lab / "single.py").read_bytes()).hexdigest()
    assert list(lab.rglob("*.pyc"))
    (lab / "lab" / "left-over.pyc").write_bytes(b"0")
    (lab / "lab" / "weights.bin").write_bytes(b"0")
    (lab / "lab" / ".#helper.py").symlink_to("someone@somewhere")  # as an editor locks a file
    assert digests(lab) == before
    assert digests(lab.rename(lab.parent / "elsewhere")) == before


def test_the_entry_point_groups_are_free_of_emsyms_own() -> None:
    assert not importlib.metadata.entry_points(group="emsym.inits")
