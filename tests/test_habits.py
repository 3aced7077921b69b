"""What a project shows to the outside: citation, versions, hooks, workflows and their rules."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import emsym

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


def test_the_citation_is_valid() -> None:
    """By the schema of the Citation File Format 1.2.0 (CC BY 4.0, its authors)."""
    jsonschema = pytest.importorskip("jsonschema", reason="pip install 'emsym[test]'")
    schema = json.loads((ROOT / "tests/fixtures/citation-1.2.0.schema.json").read_text())
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    jsonschema.validate(citation, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**citation, "authors": []}, schema)


def test_all_name_the_same_version_and_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == citation["version"] == emsym.__version__
    assert project["license"] == citation["license"]


@pytest.mark.parametrize(("tag", "code"), [("v" + emsym.__version__, 0), ("v9.9.9", 2)])
def test_a_release_is_refused_whose_tag_is_another_version(tag: str, code: int) -> None:
    done = run("bash", ".github/workflows/version.sh", tag)
    assert done.returncode == code
    assert ("9.9.9" in done.stderr) == (code == 2)


def test_hooks_check_what_ci_checks() -> None:
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = {hook["id"] for repo in repos for hook in repo["hooks"]}
    in_ci = set(re.findall(r"^\.venv/bin/(ruff \w+|mypy)", (ROOT / ".ci/run").read_text(), re.M))
    assert in_ci == {"ruff check", "ruff format", "mypy"}
    assert {name.replace(" ", "-") for name in in_ci} <= hooks


def test_templates_can_be_read() -> None:
    for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text())
        if path.name != "config.yml":
            assert {"name", "description", "body"} <= form.keys(), path.name
            names = [part["id"] for part in form["body"]]
            assert len(names) == len(set(names))
    assert (GITHUB / "pull_request_template.md").is_file()


def test_zizmor_finds_nothing() -> None:
    zizmor = Path(sys.executable).with_name("zizmor")
    if not zizmor.exists():
        pytest.skip("pip install 'emsym[test]'")
    done = run(str(zizmor), "--offline", "--no-progress", "--persona", "pedantic", ".github")
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_red_that_has_no_written_reason() -> None:
    pytest.importorskip("sp_repo_review", reason="pip install 'emsym[test]'")
    done = run(sys.executable, "-m", "repo_review", ".", "--format", "json")
    checks = json.loads(done.stdout)["checks"]
    assert len(checks) > 50
    assert not {
        name: check["err_msg"] for name, check in checks.items() if check["result"] is False
    }


def locked() -> dict[str, list[tuple[Requirement, int]]]:
    """The requirements of the lock by name, each with the number of its hashes."""
    found: dict[str, list[tuple[Requirement, int]]] = {}
    for entry in re.split(r"\n(?! )", (ROOT / "requirements.lock").read_text().strip()):
        line, *hashes = entry.replace(" \\\n", "\n").split("\n")
        assert all(re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}", each) for each in hashes), entry
        requirement = Requirement(line)
        found.setdefault(canonicalize_name(requirement.name), []).append((requirement, len(hashes)))
    return found


def wanted(extra: str) -> list[Requirement]:
    """The requirements of the project and of an extra, with the extras that it names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked, extras = [], [extra]
    for each in extras:
        for text in project["optional-dependencies"][each]:
            requirement = Requirement(text)
            if requirement.name == project["name"]:
                extras += sorted(requirement.extras)
            else:
                asked.append(requirement)
    return [*map(Requirement, project["dependencies"]), *asked]


def test_the_lock_pins_all_that_the_tests_need_within_the_projects_bounds() -> None:
    lock = locked()
    for requirement in wanted("test"):
        pinned = lock.get(canonicalize_name(requirement.name), [])
        assert pinned, f"{requirement}: `CONTRIBUTING.md` says how the lock is made again"
        for each, _ in pinned:
            (version,) = [one.version for one in each.specifier]
            assert requirement.specifier.contains(version), f"{each} is not {requirement}"


def test_the_lock_holds_one_version_with_hashes_of_each_and_no_address() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text()
    for pinned in locked().values():
        for requirement, hashes in pinned:
            assert [one.operator for one in requirement.specifier] == ["=="]
            assert requirement.url is None
            assert hashes
