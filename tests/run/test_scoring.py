import math

import numpy as np

from emsym.run.scoring import Scores, summarise


def test_columns_go_on_and_what_is_missing_is_none() -> None:
    scores = Scores()
    scores.extend({"dice": np.array([0.5, math.nan])})
    scores.extend({"dice": np.array([1.0], np.float32)})
    assert scores.images == {"dice": [0.5, None, 1.0]}


def test_a_score_that_no_image_has_is_none() -> None:
    assert summarise({"dice": [None, None]}) == ({"dice": None}, {"dice": 2})
