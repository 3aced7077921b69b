"""What all tests of networks share."""

import pytest


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """Which small networks are fastest with."""
