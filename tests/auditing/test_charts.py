"""Bars and outlines begin and end where their values say."""

from emsym.auditing.charts import bars, outlines
from emsym.auditing.result import Interval


def test_bars_begin_at_zero_and_share_a_scale():
    low, high = bars([Interval(value=-0.5), Interval(value=0.5), Interval(value=1.0)])[:2]
    assert (low.zero, low.start, low.length) == (333.3, 0, 333.3)
    assert (high.zero, high.start, high.length) == (333.3, 333.3, 333.3)
    (whisker,) = bars([Interval(value=0.5, low=0.25, high=1.0)])
    assert whisker.whisker == (250, 1000)
    (short,) = bars([Interval(value=0.2)], beside=[Interval(value=0.4)])
    assert short.length == 500


def test_outlines_stack_the_shares_of_each_filter_and_leave_out_zeros():
    paths, filters = outlines([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25], [None, None, None]])
    assert filters == 2
    # the filter that leans to the slices before comes first: they reach from 0 to 50, then to 10
    assert paths[0] == "M0 0V0H500V0H1000V10H500V50H0Z"
    assert paths[2] == "M0 75V75H500V30H1000V100H500V100H0Z"
    assert outlines([]) == ([], 0)
