import importlib.metadata

from emsym.version import __version__


def test_the_version_is_that_of_the_installed_package() -> None:
    assert __version__ == importlib.metadata.version("emsym")
