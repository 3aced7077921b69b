"""Extensions as users bring them: an installed package, a local file, and bad ones of both."""

import csv
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from emsym.errors import UserError
from emsym.plugins import load_factory
from emsym.protocol import load_protocol

BENCH = Path(sys.executable).with_name("emsym-bench")
NETWORK = "linknet-tu-test_efficientnet"

# A package whose strategy needs two modules.
PACKAGE = {
    "pyproject.toml": """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "lab-inits"
version = "1.0"

[project.entry-points."emsym.inits"]
packaged-red = "lab_inits.strategies"

[project.entry-points."emsym.architectures"]
packaged-net = "lab_inits.networks"
""",
    "lab_inits/__init__.py": "",
    "lab_inits/planes.py": "RED = 0\n",
    "lab_inits/strategies.py": '''
from emsym import register_init
from lab_inits.planes import RED

@register_init("packaged-red")
def packaged_red(rgb, slices):
    """The red plane, by way of a package."""
    return rgb[:, [RED] * slices]
''',
    "lab_inits/networks.py": '''
from torch import nn

from emsym import register_architecture

@register_architecture("packaged-net")
def packaged_net():
    """Two convolutions."""
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))
''',
}

LOCAL = '''
from emsym import register_architecture, register_init

@register_init("{name}")
def local_blue(rgb, slices):
    """The blue plane, by way of a file."""
    return rgb[:, [2] * slices]

@register_architecture("{name}-net")
def local_net():
    """One convolution."""
    from torch import nn

    return nn.Conv2d(3, 1, 3, padding=1)
'''


def bench(
    *words: object, cwd: Path, site: Path | None = None, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """`emsym-bench` where `site` is a folder of installed packages."""
    return subprocess.run(
        [sys.executable, *options, BENCH, *map(str, words)],
        cwd=cwd,
        env={**os.environ, **({"PYTHONPATH": str(site)} if site else {})},
        capture_output=True,
        text=True,
        timeout=300,
    )


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


# --- good ones ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the package is installed into, by way of a wheel and without a network."""
    folder = tmp_path_factory.mktemp("package")
    source = write(folder / "source", PACKAGE)
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check"]
    offline = ["--quiet", "--no-index", "--no-deps"]
    build = ["wheel", *offline, "--no-build-isolation", "--wheel-dir", folder, source]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", *offline, "--target", folder / "site", wheel], check=True)
    return folder / "site"


@pytest.fixture(scope="session")
def ran(site: Path, tiny_files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs with the package's and a file's strategies and networks; not to write."""
    folder = tmp_path_factory.mktemp("ran")
    for name, content in tiny_files.items():
        (folder / name).write_bytes(content)
    write(folder, {"local.py": LOCAL.format(name="local-blue")})
    inits = ("--init", "rgb", "--init", "packaged-red", "--init", "local-blue")
    nets = ("--architecture", "packaged-net", "--architecture", "local-blue-net")
    # what the protocol's weights fit, and what they do not
    for chosen in (inits, (*nets, "--init", "random")):
        words = ("run", "--protocol", "tiny.toml", "--seed", 0, "--plugin", "local.py", *chosen)
        done = bench(*words, "--workers", 1, cwd=folder, site=site)
        assert done.returncode == 0, done.stderr
        assert "skipped" not in done.stderr
    return folder


def records(folder: Path) -> dict[tuple[str, str], dict]:
    found = map(
        json.loads, (path.read_text() for path in folder.glob("emsym-results/records/*.json"))
    )
    return {(record["architecture"], record["init"]): record for record in found}


def test_what_is_installed_is_listed_without_being_imported(site: Path, tmp_path: Path) -> None:
    for what, name in (("inits", "packaged-red"), ("architectures", "packaged-net")):
        done = bench("list", what, "packaged*", cwd=tmp_path, site=site, options=("-Ximporttime",))
        assert done.returncode == 0
        assert done.stdout.splitlines()[0].startswith(f"{name}  (from lab_inits.")
        imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert "emsym.registry" in imported
        assert not {"torch", "lab_inits"} & imported


def test_what_a_file_registers_is_listed(tmp_path: Path) -> None:
    write(tmp_path, {"local.py": LOCAL.format(name="local-blue")})
    done = bench("list", "inits", "local-blue", "--plugin", "local.py", cwd=tmp_path)
    assert done.stdout == "local-blue  The blue plane, by way of a file.\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "init"),
    [
        (NETWORK, "packaged-red"),
        (NETWORK, "local-blue"),
        ("packaged-net", "random"),
        ("local-blue-net", "random"),
    ],
)
def test_it_runs_and_stands_on_the_leaderboard_under_its_own_name(
    ran: Path, architecture: str, init: str
) -> None:
    assert records(ran)[architecture, init]["status"] == "done"
    rows = list(csv.DictReader((ran / "emsym-results" / "leaderboard.csv").open()))
    assert (architecture, init) in {(row["architecture"], row["init"]) for row in rows}
    markdown = (ran / "emsym-results" / "leaderboard.md").read_text()
    assert f"`{init}`" in markdown
    assert architecture.replace("_", "\\_") in markdown


@pytest.mark.slow
def test_it_was_the_plug_ins_own_code_that_ran(ran: Path) -> None:
    scores = {init: r["images"] for (net, init), r in records(ran).items() if net == NETWORK}
    assert len({json.dumps(images) for images in scores.values()}) == 3


@pytest.mark.slow
def test_records_hold_the_digest_of_the_source(ran: Path) -> None:
    found = records(ran)
    own = hashlib.sha256((ran / "local.py").read_bytes()).hexdigest()
    assert found[NETWORK, "local-blue"]["init_source"] == own
    assert found["local-blue-net", "random"]["architecture_source"] == own
    packaged = found[NETWORK, "packaged-red"]["init_source"]
    assert re.fullmatch(r"[0-9a-f]{64}", packaged)
    assert found["packaged-net", "random"]["architecture_source"] == packaged
    assert found[NETWORK, "rgb"]["init_source"] is None
    assert found[NETWORK, "rgb"]["architecture_source"] is None


@pytest.mark.slow
def test_a_change_in_a_helper_module_is_a_new_cell(ran: Path, site: Path, tmp_path: Path) -> None:
    words = ("plan", "--protocol", ran / "tiny.toml", "--seed", 0, "--init", "packaged-red")
    words += ("--output", ran / "emsym-results")
    assert "1 stored, 0 to run" in bench(*words, cwd=tmp_path, site=site).stdout
    edited = write(tmp_path / "edited", {**PACKAGE, "lab_inits/planes.py": "RED = 1 - 1\n"})
    for info in site.glob("*.dist-info"):
        (edited / info.name).symlink_to(info)
    assert "0 stored, 1 to run" in bench(*words, cwd=tmp_path, site=edited).stdout


SCORES = '''
from emsym import register_attribution, register_metric

@register_attribution("local-map")
def local_map(dense, x, mask):
    """The same everywhere but on z−1."""
    made = x * 0 + 1
    made[:, 0] = 2
    return made

@register_metric("local-metric", better="low")
def local_metric(total, x, a, steps):
    """T of the stack as it is."""
    return float(total(x[None])[0])
'''


@pytest.mark.slow
def test_methods_and_metrics_of_a_file_are_scored_under_their_names(
    tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "scores.py").write_text(SCORES)
    head = tiny.read_text().partition("[scoring]")[0]
    tiny.write_text(
        f'{head}[scoring]\nattributions = ["local-map"]\n'
        'faithfulness = {metrics = ["local-metric"], steps = 4, sections = 1}\n'
    )
    words = ("run", "--protocol", tiny, "--seed", 0, "--init", "rgb", "--plugin")
    done = bench(*words, tmp_path / "scores.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(next((tmp_path / "emsym-results/records").glob("*.json")).read_text())
    assert record["scores"]["local-map/true-foreground/slice_share[-1]"] == pytest.approx(0.5)
    assert "local-map/true-foreground/local-metric" in record["scores"]
    own = hashlib.sha256((tmp_path / "scores.py").read_bytes()).hexdigest()
    assert record["scoring_sources"] == {
        "attribution local-map": own,
        "metric local-metric": own,
    }
    assert (
        "local-map of the true-foreground"
        in (tmp_path / "emsym-results/leaderboard.md").read_text()
    )
    for what in ("attributions", "metrics"):
        listed = bench("list", what, "local-*", "--plugin", tmp_path / "scores.py", cwd=tmp_path)
        assert listed.stdout.startswith("local-m")


OWN_SCORE = '''
import numpy as np

from emsym import ScoredSections, register_score

@register_score("sureness", title="sure | ness", better="high", bounds=(0, 1), digits=2)
def sureness(sections: ScoredSections) -> np.ndarray:
    """How far the probability is from the threshold."""
    n, slices, height, width = sections.x.shape
    assert sections.truth.dtype == bool
    assert sections.attributions["saliency", "true-foreground"].shape == sections.x.shape
    assert sections.masks["true-foreground"].shape == sections.mirrored.shape
    values = np.abs(sections.probability - sections.threshold).mean((1, 2))
    values[0] = np.nan
    return values
'''


@pytest.mark.slow
def test_a_score_of_a_file_lands_in_record_tables_page_and_submission(
    tiny: Path, tmp_path: Path
) -> None:
    plain = load_protocol(str(tiny)).digest
    (tmp_path / "own.py").write_text(OWN_SCORE)
    tiny.write_text(f'{tiny.read_text()}scores = ["sureness"]\n')
    assert load_protocol(str(tiny)).digest != plain
    words = ("run", "--protocol", tiny, "--seed", 0, "--plugin", tmp_path / "own.py")
    done = bench(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = [json.loads(p.read_text()) for p in (tmp_path / "emsym-results/records").glob("*.json")]
    own = hashlib.sha256((tmp_path / "own.py").read_bytes()).hexdigest()
    for record in found:
        values = record["images"]["plugin/sureness"]
        assert values[0] is None
        assert record["missing"]["plugin/sureness"] >= 1
        known = [value for value in values if value is not None]
        assert record["scores"]["plugin/sureness"] == pytest.approx(sum(known) / len(known))
        assert record["scoring_sources"] == {"score sureness": own}
    results = tmp_path / "emsym-results"
    assert "plugin/sureness" in (results / "leaderboard.csv").read_text()
    assert "plugin/sureness" in (results / "cells.csv").read_text().splitlines()[0]
    assert "sure \\\\| ness ↑" in (results / "leaderboard.md").read_text()
    assert "How far the probability is" in (results / "leaderboard.md").read_text()
    page = (results / "index.html").read_text()
    assert "sure | ness" in page
    assert "How far the probability is" in page
    listed = bench("list", "scores", "sure*", "--plugin", tmp_path / "own.py", cwd=tmp_path)
    assert listed.stdout == "sureness  How far the probability is from the threshold.\n"
    unknown = bench(*words[:5], cwd=tmp_path)
    assert unknown.returncode == 2
    assert "There is no score 'sureness'" in unknown.stderr


# --- bad ones -------------------------------------------------------------------------------------

MINE = LOCAL.format(name="mine")
BAD_FILES = {
    "raises.py": (MINE + "\nraise RuntimeError('oh dear')", "RuntimeError: oh dear"),
    "leaves.py": (MINE + "\nimport sys\nsys.exit(0)", "SystemExit: 0"),
    "taken.py": (MINE + LOCAL.format(name="rgb"), r"inits\.py:\d+ and at .*taken\.py:\d+"),
    "named.py": (LOCAL.format(name="mine+more"), r"'mine\+more' cannot be called that.*named\.py"),
    "binary.py": ("\x7fELF\0\0", "is skipped: "),
    "empty.py": ("", "registers nothing"),
    "idle.py": ("from emsym.data.reading.readers import register_reader", "registers nothing"),
    "mine.txt": (MINE, r"name ends in \.py"),
}


@pytest.fixture
def bad_files(tmp_path: Path) -> tuple[str, ...]:
    """Words that name all of them, and then a good one."""
    write(tmp_path, {name: content for name, (content, _) in BAD_FILES.items()})
    write(tmp_path, {"good.py": LOCAL.format(name="good")})
    return tuple(word for name in (*BAD_FILES, "good.py") for word in ("--plugin", name))


@pytest.mark.parametrize("command", ["list", "run"])
def test_each_bad_file_is_told_in_a_line_and_nothing_is_done(
    tmp_path: Path, bad_files: tuple[str, ...], command: str
) -> None:
    words = {"list": ("inits",), "run": ("--init", "good")}[command]
    done = bench(command, *words, *bad_files, cwd=tmp_path)
    told = done.stderr.splitlines()
    for (name, (_, why)), line in zip(BAD_FILES.items(), told, strict=False):
        assert name in line
        assert re.search(why, line)
    assert "could not be loaded, so that nothing was done" in told[-1]
    assert (done.returncode, done.stdout, len(told)) == (2, "", len(BAD_FILES) + 1)
    assert not (tmp_path / "emsym-results").exists()


def test_a_script_is_no_file_of_a_network(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "leaves.py": "import sys\nsys.exit(3)\n",
            "asks.py": "import argparse\np = argparse.ArgumentParser()\np.add_argument('x')\n"
            "p.parse_args(['--lr'])\n",
        },
    )
    for name, code in (("leaves", 3), ("asks", 2)):
        told = rf"{name}\.py ends the program when it is loaded \(SystemExit: {code}\): put"
        with pytest.raises(UserError, match=told):
            load_factory(f"{tmp_path / name}.py:build")


def test_a_folder_is_no_plug_in(tmp_path: Path) -> None:
    (tmp_path / "folder.py").mkdir()
    done = bench("list", "inits", "--plugin", "folder.py", cwd=tmp_path)
    assert done.returncode == 2
    assert "'folder.py' is a directory" in done.stderr
    assert "Traceback" not in done.stderr


BAD_POINTS = {
    "raising": (LOCAL.format(name="raising") + "\nraise RuntimeError('not today')", "not today"),
    "leaving": ("raise SystemExit", r"bad_leaving is skipped: SystemExit$"),
    "idle": ("", "it does not register the init 'idle'"),
    "greedy": (
        LOCAL.format(name="greedy") + LOCAL.format(name="mirror"),
        r"inits\.py:\d+ and at .*bad_greedy\.py:\d+",
    ),
    "absent": (None, "No module named 'bad_absent'"),
}
TOLD_UNIMPORTED = {
    "rgb": r"good_one is skipped: the init 'rgb' exists at .*inits\.py:\d+",
    "mine+more": r"good_one is skipped: The init 'mine\+more' cannot be called that",
}


@pytest.fixture(scope="module")
def bad_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as of an installed package whose entry points are bad, but for one."""
    modules = {f"bad_{name}.py": code for name, (code, _) in BAD_POINTS.items() if code is not None}
    points = [f"{name} = bad_{name}" for name in BAD_POINTS]
    points += [f"{name} = good_one" for name in ("good", *TOLD_UNIMPORTED)]
    return write(
        tmp_path_factory.mktemp("bad"),
        {
            **modules,
            "good_one.py": LOCAL.format(name="good"),
            "bad-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n",
            "bad-1.0.dist-info/entry_points.txt": "\n".join(["[emsym.inits]", *points]),
        },
    )


def test_bad_entry_points_leave_the_list_as_it_is(bad_site: Path, tmp_path: Path) -> None:
    done = bench("list", "inits", cwd=tmp_path, site=bad_site)
    assert done.returncode == 0
    listed = [line.split()[0] for line in done.stdout.splitlines()]
    assert {"rgb", "good"} <= set(listed)
    assert listed.count("rgb") == 1
    assert "mine+more" not in listed
    told = done.stderr.splitlines()
    assert len(told) == len(TOLD_UNIMPORTED)
    for why in TOLD_UNIMPORTED.values():
        assert any(re.search(why, line) for line in told)


@pytest.mark.parametrize("name", BAD_POINTS)
def test_a_bad_entry_point_says_why_it_cannot_run(
    bad_site: Path, tmp_path: Path, name: str
) -> None:
    done = bench("run", "--init", name, "--seed", 0, cwd=tmp_path, site=bad_site)
    assert done.returncode == 2
    told = done.stderr.splitlines()
    assert any(re.search(BAD_POINTS[name][1], line) for line in told)
    assert f"There is no init '{name}'" in told[-1]
    assert len(told) == len(TOLD_UNIMPORTED) + 2, "a line each"
    assert not (tmp_path / "emsym-results").exists()
