from emsym.submission.assurance import Assurance


def test_levels_go_from_the_authors_word_to_what_others_saw() -> None:
    assert [str(level) for level in Assurance] == ["self-attested", "recomputed", "reproduced"]


def test_each_level_says_who_computed_the_scores() -> None:
    assert "nobody computed them again" in Assurance.SELF_ATTESTED.meaning
    assert "no network was run" in Assurance.RECOMPUTED.meaning
    assert "run again here agree" in Assurance.REPRODUCED.meaning
