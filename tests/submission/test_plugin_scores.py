"""Submissions with a plug-in's score: within its bounds where it is known, else finite."""

import numpy as np
import pytest

from emsym.errors import UserError
from emsym.plugins import load_plugin
from emsym.protocol import load_protocol
from emsym.run.job import jobs
from emsym.scores.catalogue import SCORES
from emsym.submission.pack import pack
from emsym.submission.validate import validate

PLUGIN = '''
from emsym import register_score

@register_score("own", bounds=(0, {most}))
def own(sections):
    """Something."""
'''


@pytest.fixture
def packed_with_own(tiny, made_up, keep, fill_in, monkeypatch):
    monkeypatch.setattr(SCORES, "_entries", dict(SCORES._entries))
    tiny.write_text(f'{tiny.read_text()}scores = ["own"]\n')
    (tiny.parent / "own.py").write_text(PLUGIN.format(most=1))
    assert load_plugin(tiny.parent / "own.py")
    protocol = load_protocol(str(tiny))
    for job in jobs(protocol):
        assert list(job.scoring_sources) == ["score own"]
        keep(tiny.parent / "run", made_up(job))
    folder = tiny.parent / "results" / "submissions" / "ours-1"
    pack(tiny.parent / "run", protocol, folder)
    fill_in(folder)
    return folder


def test_a_sound_one_validates(tiny, packed_with_own):
    report = validate(packed_with_own, str(tiny))
    assert "plugin/own" in report.submission.score_names
    assert np.isfinite(report.submission.cells["plugin/own"]).all()


def test_it_validates_where_the_plugin_is_not(tiny, packed_with_own):
    SCORES._entries = {k: entry for k, entry in SCORES._entries.items() if entry.own}
    assert validate(packed_with_own, str(tiny)).counts["done"] == 4


def test_a_value_beyond_the_bounds_is_told(tiny, packed_with_own):
    (tiny.parent / "own.py").write_text(PLUGIN.format(most=0.01))
    assert load_plugin(tiny.parent / "own.py")
    with pytest.raises(UserError, match=r"a value of plugin/own is not within 0 and 0\.01"):
        validate(packed_with_own, str(tiny))
