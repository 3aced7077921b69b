"""Sections follow each other as their names count, whatever the form of the numbers."""

import random

import pytest

from emsym.data.reading.section_order import centres_of_whole_stacks, find_gaps, in_order

SERIES = {
    "plain": [f"s{n}.png" for n in range(8, 12)],
    "padded": [f"z{n:04d}.tif" for n in range(8, 12)],
    "mixed": ["s8.tif", "s09.tif", "s10.TIF", "s0011.tif"],
    "negative": ["z-2.tif", "z-1.tif", "z0.tif", "z1.tif"],
    "signs": ["z-10um.tif", "z-5um.tif", "z+0um.tif", "z+5um.tif"],
    "dash": ["s-9.tif", "s-10.tif", "s-11.tif"],
    "decimals": ["z0.25.tif", "z0.5.tif", "z1.0.tif", "z10.0.tif"],
    "decimals with p": ["z0p5.tif", "z1.tif", "z1p5.tif", "z10.tif"],
    "levels": ["s1.8.tif", "s1.9.tif", "s1.10.tif", "s2.1.tif"],
    "full-width": ["s９.png", "s１０.png", "s１１.png"],
    "one varies": [f"2024-01-02_x{n}_b3.tif" for n in (9, 10, 11)],
    "both grow": ["s9_t100.tif", "s10_t205.tif", "s11_t1000.tif"],
    "one counts": ["s9_77.tif", "s10_12.tif", "s11_54.tif"],
    "archive": ["7.h5", "8.h5", "10.h5"],
}


@pytest.mark.parametrize("kind", SERIES)
def test_names_count(kind: str) -> None:
    names = SERIES[kind]
    for seed in range(4):
        mixed = random.Random(seed).sample(names, len(names))
        assert [mixed[place] for place in in_order(mixed)] == names


@pytest.mark.parametrize(
    "names",
    [
        ["s1.tif", "s1 (1).tif", "s2.tif"],
        ["s1.tif", "s1 - Copy.tif"],
        ["a_1.tif", "b_2.tif"],
        ["left.tif", "right.tif"],
        ["c0_z1.tif", "c0_z2.tif", "c1_z1.tif", "c1_z2.tif"],
        ["s1.tif", "s01.tif", "s2.tif"],
        ["s5_900.tif", "s7_200.tif", "s8_500.tif"],
        ["v1.2.tif", "v1.3.tif", "v1.11.tif"],
    ],
)
def test_names_without_one_order_are_asked_about(names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"pattern|digits"):
        in_order(names)


def test_gaps_are_told() -> None:
    for numbers in (range(8, 11), (0, 5), range(0, 90, 10)):
        assert find_gaps([f"s{n}.png" for n in numbers]) == ([], [])
    gaps = find_gaps([f"s{n:03d}.png" for n in (1, 3, 4, 6)])
    assert gaps.places == [1, 3]
    assert "2, 5 are missing: stacks that would reach across" in gaps.notes[0]
    uneven = find_gaps([f"s{n}.png" for n in (0, 4, 8, 11)])
    assert uneven.places == []
    assert "not evenly spaced" in uneven.notes[0]


@pytest.mark.parametrize(
    ("slices", "breaks", "centres"),
    [
        (1, [3], [0, 1, 2, 3, 4, 5, 6]),
        (3, [3], [1, 4, 5]),
        (5, [3], []),
        (3, [1, 6], [2, 3, 4]),
        (3, [], [1, 2, 3, 4, 5]),
    ],
)
def test_no_stack_reaches_across_a_gap(slices: int, breaks: list[int], centres: list[int]) -> None:
    found = [*centres_of_whole_stacks(7, slices, breaks)]
    assert found == centres
    half = slices // 2
    for z in range(half, 7 - half):  # one run of sections holds the whole stack, or it is left out
        runs = [sum(place <= each for place in breaks) for each in range(z - half, z + half + 1)]
        assert (z in found) == (len({*runs}) == 1)
