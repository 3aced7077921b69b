"""Networks that are built to look, or to answer, at a known place along z."""

import numpy as np
import pytest
from optional_sections import Mix, sections_of

from emsym.data.phantoms import generate_phantom
from emsym.errors import UserError
from emsym.scores.optional.offsets import answer_offset, view_offset

pytestmark = pytest.mark.numerical

RNG = np.random.default_rng(0)
STACK = RNG.standard_normal((3, 5, 32, 32))
TRUTH = RNG.random((3, 32, 32)) > 0.5
LABELS = generate_phantom("neurites", (9, 32, 32), 0).semantic == 1
LABEL_STACKS = np.stack([LABELS[z - 2 : z + 3] for z in (2, 4, 6)])


@pytest.mark.parametrize("place", [-2, -1, 0, 1, 2])
def test_a_network_that_looks_at_one_slice_looks_there(place: int) -> None:
    weights = [float(at == place) for at in range(-2, 3)]
    assert view_offset(sections_of(Mix(*weights), STACK, TRUTH)) == pytest.approx([30 * place] * 3)


@pytest.mark.parametrize("part", [0.1, 0.25, 0.5])
def test_between_slices_of_one_content_it_is_the_mean_of_their_places(part: float) -> None:
    alike = np.repeat(STACK[:, :1], 5, 1)
    found = view_offset(sections_of(Mix(0, 0, 1 - part, part, 0), alike, TRUTH))
    assert found == pytest.approx([30 * part] * 3, rel=1e-5)


@pytest.mark.parametrize("part", [0.0, 0.1, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("step", [-1, 1])
def test_an_answer_between_two_sections_is_found_where_it_is(part: float, step: int) -> None:
    weights = np.zeros(5)
    weights[2 + step], weights[2] = part, weights[2] + 1 - part
    network = Mix(*weights, as_probability=True)
    sections = sections_of(network, LABEL_STACKS, LABELS[[2, 4, 6]], slice_truth=LABEL_STACKS)
    assert answer_offset(sections) == pytest.approx([30 * part * step] * 3, abs=1e-3)


def test_a_network_that_treats_both_sides_alike_has_no_offset() -> None:
    noisy = LABEL_STACKS - 0.5 + RNG.standard_normal(LABEL_STACKS.shape)
    truth = LABELS[[2, 4, 6]]
    sections = sections_of(Mix(0.2, 0.7, 1, 0.7, 0.2), noisy, truth, slice_truth=LABEL_STACKS)
    for offset in (view_offset, answer_offset):
        assert np.abs(offset(sections)).max() < 1e-3


def test_an_answer_that_does_not_follow_labels_has_no_place() -> None:
    sections = sections_of(Mix(0, 0, 0, 0, 0), STACK, TRUTH, slice_truth=LABEL_STACKS)
    assert np.isnan(answer_offset(sections)).all()


@pytest.mark.parametrize("part", [0.1, 0.5])
def test_on_grey_sections_that_differ_it_is_found_within_a_fifth(part: float) -> None:
    phantom = generate_phantom("neurites", (12, 64, 64), 5)
    grey = (phantom.image - phantom.image.mean()) / phantom.image.std()
    places = (3, 5, 7)
    stacks = np.stack([grey[z - 1 : z + 2] for z in places])
    truth = phantom.semantic[list(places)] == 1
    sections = sections_of(Mix(0, part - 1, -part, gain=3.0), stacks, truth)
    assert view_offset(sections).mean() == pytest.approx(30 * part, rel=0.2)


def test_an_empty_target_or_labels_that_do_not_change_have_none() -> None:
    still = np.repeat(LABELS[None, :1], 5, 1)
    sections = sections_of(Mix(0, 0, 0, 1, 0), still, np.zeros_like(TRUTH[:1]), slice_truth=still)
    assert np.isnan(view_offset(sections)).all()
    assert np.isnan(answer_offset(sections)).all()


def test_neighbours_without_labels_have_no_answer_offset() -> None:
    assert np.isnan(answer_offset(sections_of(Mix(0, 0, 0, 1, 0), STACK, TRUTH))).all()


def test_without_shapley_values_a_protocol_is_told_to_name_them() -> None:
    sections = sections_of(Mix(0, 1, 0), STACK[:, :3], TRUTH, attributions=("saliency",))
    with pytest.raises(UserError, match="name slice-shapley among"):
        view_offset(sections)
