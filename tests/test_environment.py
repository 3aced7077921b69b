import importlib.metadata
import sys

import psutil
import pytest

from emsym.environment import PACKAGES, _git, _version, environment, peak_memory_mb


def test_a_record_names_the_versions_of_what_decides_its_numbers() -> None:
    told = environment()
    for name in PACKAGES:
        assert told[name] == importlib.metadata.version(name)
    assert str(told["python"]).startswith(f"{sys.version_info[0]}.{sys.version_info[1]}")


def test_a_package_that_is_not_installed_has_no_version() -> None:
    assert _version("no-such-package-of-anybody") is None


def test_a_checkout_tells_its_commit_and_a_command_that_fails_nothing() -> None:
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        pytest.skip("emsym is not a checkout here")
    assert len(commit) == 40
    assert _git("no-such-command") is None


def test_the_peak_of_memory_is_no_less_than_what_is_held_now() -> None:
    held = psutil.Process().memory_info().rss / 1e6
    assert (peak_memory_mb() or 0) > 0.9 * held
