"""What all tests of networks share."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread():
    """Which small networks are fastest with."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
