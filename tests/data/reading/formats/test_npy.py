"""Arrays saved by NumPy hold no pickled objects."""

import pickle

import numpy as np
from stored_arrays import Intruder, refusal


def test_pickled_objects_are_refused_and_never_run(tmp_path):
    trace = tmp_path / "trace"
    array = np.empty(1, object)
    array[0] = Intruder(trace)
    np.save(tmp_path / "image.npy", array, allow_pickle=True)
    assert "pickled" in refusal(tmp_path / "image.npy", box=(slice(None),))
    assert not trace.exists()
    pickle.loads(pickle.dumps(array[0]))  # it would have been seen
    assert trace.exists()
