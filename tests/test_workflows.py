"""What the code host runs: nothing that could be moved, with no more rights than it needs."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[1] / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
PUBLISHES = "pypa/gh-action-pypi-publish"
SIGNS = "sigstore/gh-action-sigstore-python"


def read(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_rights_are_few(path: Path) -> None:
    workflow = read(path)
    assert "pull_request_target" not in path.read_text(), "it would run strangers' code with rights"
    assert "secrets." not in path.read_text()
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            if "uses" in step:
                action, _, commit = step["uses"].partition("@")
                assert re.fullmatch(r"actions/[a-z-]+", action) or action in (PUBLISHES, SIGNS)
                assert re.fullmatch(r"[0-9a-f]{40}", commit)
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
            # what a stranger can choose is never pasted into a script
            assert "github.event" not in step.get("run", "")
            assert "github.head_ref" not in step.get("run", "")
            assert "inputs." not in step.get("run", "")


def test_a_pull_requests_job_installs_main_alone() -> None:
    job = read(FOLDER / "leaderboard.yml")["jobs"]["submission"]
    assert "permissions" not in job
    checkouts = {
        step["with"]["path"]: step["with"]
        for step in job["steps"]
        if "path" in step.get("with", {}) and "ref" in step["with"]
    }
    assert checkouts["main"]["ref"] == "${{ github.event.pull_request.base.sha }}"
    assert checkouts["theirs"]["sparse-checkout"] == "results/submissions"
    scripts = [step["run"] for step in job["steps"] if "run" in step]
    assert [script for script in scripts if "install" in script] == ["python -m pip install ./main"]
    assert not any(re.search(r"(bash|python|sh|\./) *theirs", script) for script in scripts)


def test_only_the_job_that_publishes_may_publish() -> None:
    jobs = read(FOLDER / "leaderboard.yml")["jobs"]
    rights = {name: job["permissions"] for name, job in jobs.items() if "permissions" in job}
    assert rights == {"publish": {"pages": "write", "id-token": "write"}}
    assert jobs["publish"]["needs"] == "build"
    assert jobs["build"]["if"] == "github.event_name == 'push'"


def test_a_release_is_built_without_rights_and_published_without_a_checkout() -> None:
    jobs = read(FOLDER / "release.yml")["jobs"]
    rights = {name: job["permissions"] for name, job in jobs.items() if "permissions" in job}
    assert rights == {"publish": {"id-token": "write"}}
    publish = jobs["publish"]
    assert (publish["needs"], publish["if"]) == ("build", "github.event_name == 'release'")
    actions = [step["uses"].partition("@")[0] for step in publish["steps"]]
    assert actions == ["actions/download-artifact", PUBLISHES]
    assert publish["steps"][1]["with"] == {"attestations": True}


def test_a_submission_is_signed_by_hand_alone_and_by_a_job_that_runs_nothing_of_it() -> None:
    workflow = read(FOLDER / "sign.yml")
    assert list(workflow[True]) == ["workflow_dispatch"]  # YAML takes `on` for a truth value
    jobs = workflow["jobs"]
    rights = {name: job["permissions"] for name, job in jobs.items() if "permissions" in job}
    assert rights == {"sign": {"id-token": "write"}}
    steps = jobs["sign"]["steps"]
    assert not any("run" in step for step in steps)
    actions = [step["uses"].partition("@")[0] for step in steps]
    assert actions == ["actions/download-artifact", SIGNS, "actions/upload-artifact"]


def test_nothing_is_published_but_what_was_made_or_checked() -> None:
    steps = read(FOLDER / "leaderboard.yml")["jobs"]["build"]["steps"]
    paths = [s["with"]["path"] for s in steps if "upload-pages" in s.get("uses", "")]
    assert paths == ["site"]
    (made,) = [step["run"] for step in steps if "site" in step.get("run", "")]
    assert re.findall(r"results/\S+", made) == ["results/submissions"]


@pytest.fixture
def checkouts(tmp_path: Path) -> Path:
    for side in ("main", "theirs"):
        (tmp_path / side / "results" / "submissions" / "old").mkdir(parents=True)
        (tmp_path / side / "results" / "submissions" / "README.md").write_text("how to")
        (tmp_path / side / "results" / "submissions" / "old" / "cells.csv").write_text("x")
    return tmp_path


def script(folder: Path, main: str = "main") -> subprocess.CompletedProcess[str]:
    words = ["bash", str(FOLDER / "validate.sh"), main, "theirs"]
    here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": here}
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, env=environment)


def test_what_main_has_already_is_not_checked_again(checkouts: Path) -> None:
    done = script(checkouts)
    assert (done.returncode, done.stdout) == (0, "0 submissions were checked.\n")


def test_what_is_new_or_changed_is_checked(checkouts: Path) -> None:
    (checkouts / "theirs" / "results" / "submissions" / "old" / "cells.csv").write_text("y")
    done = script(checkouts)
    assert done.returncode == 2
    assert "theirs/results/submissions/old/submission.toml is missing" in done.stderr


def test_all_are_checked_where_there_is_no_main(checkouts: Path) -> None:
    assert script(checkouts, "/dev/null").returncode == 2


@pytest.mark.parametrize("name", [".hidden", "a file", "-rf", "$(touch pwned)"])
def test_whatever_lies_there_is_checked_and_not_run(checkouts: Path, name: str) -> None:
    (checkouts / "theirs" / "results" / "submissions" / name).write_text("x")
    done = script(checkouts)
    assert done.returncode == 2
    assert not list(checkouts.rglob("pwned"))


def test_a_link_in_the_place_of_the_results_is_refused(checkouts: Path) -> None:
    (checkouts / "theirs" / "results").rename(checkouts / "elsewhere")
    (checkouts / "theirs" / "results").symlink_to(checkouts / "elsewhere")
    done = script(checkouts)
    assert done.returncode == 2
    assert "is a link" in done.stderr


def digests(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    words = ["bash", str(FOLDER / "digests.sh"), name]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True)


@pytest.fixture
def submitted(tmp_path: Path) -> Path:
    """The folder of a submission in a checkout."""
    folder = tmp_path / "results" / "submissions" / "ours"
    (folder / "images").mkdir(parents=True)
    (folder / "submission.toml").write_text("title")
    (folder / "images" / "a--b.npz").write_bytes(b"values")
    return folder


def test_the_list_that_is_signed_holds_every_file_and_tells_a_changed_one(
    submitted: Path, tmp_path: Path
) -> None:
    done = digests(tmp_path, "ours")
    assert done.returncode == 0
    names = [line.split("  ")[1] for line in done.stdout.splitlines()]
    assert names == ["images/a--b.npz", "submission.toml"]
    listed = tmp_path / "submission.sha256"
    listed.write_text(done.stdout)
    check = ["sha256sum", "--check", "--strict", str(listed)]
    assert subprocess.run(check, cwd=submitted, capture_output=True).returncode == 0
    (submitted / "submission.toml").write_text("another")
    assert subprocess.run(check, cwd=submitted, capture_output=True).returncode == 1


@pytest.mark.parametrize("name", ["", "../ours", "-rf", "$(touch pwned)", "ours x", "theirs"])
def test_only_a_submission_is_signed(submitted: Path, tmp_path: Path, name: str) -> None:
    done = digests(tmp_path, name)
    assert (done.returncode, done.stdout) == (2, "")
    assert not list(tmp_path.rglob("pwned"))


def test_a_link_is_not_signed(submitted: Path, tmp_path: Path) -> None:
    (submitted / "cells.csv").symlink_to("/etc/hostname")
    done = digests(tmp_path, "ours")
    assert (done.returncode, done.stdout) == (2, "")
