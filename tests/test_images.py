"""Pictures keep the order, mean and shape of the arrays that they are made of."""

import base64
import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from skimage.exposure import equalize_hist

from emsym.images import data_uri, equalise, middle, shrink, stretch


def decoded(uri: str) -> np.ndarray:
    head, data = uri.split(",")
    assert head == "data:image/png;base64"
    return np.array(Image.open(io.BytesIO(base64.b64decode(data))).convert("L"))


def test_equalising_is_scikit_images_with_infinitely_many_bins():
    attribution = np.random.default_rng(0).gamma(1, size=(3, 40, 40))
    expected = equalize_hist(attribution, nbins=2**18)
    np.testing.assert_allclose(equalise(attribution), expected, atol=1e-3)


def test_what_counts_nothing_stays_black():
    attribution = np.zeros((3, 8, 8))
    assert not equalise(attribution).any()
    attribution[0] = np.random.default_rng(0).normal(size=(8, 8))
    before, *others = equalise(attribution)
    assert before.min() > 0
    assert not np.any(others)


@given(arrays(np.float32, (3, 4, 5), elements=st.floats(-5, 5, width=32)))
def test_equalised_maps_keep_the_order_of_all_slices(attribution: np.ndarray):
    grey, magnitude = equalise(attribution).ravel(), np.abs(attribution).ravel()
    order = np.argsort(magnitude)
    assert np.all(np.diff(grey[order]) >= 0)
    np.testing.assert_array_equal(grey == 0, magnitude == 0)
    assert grey.max() == (1 if magnitude.any() else 0)


def test_shrinking_keeps_the_mean_and_the_shape():
    picture = np.random.default_rng(0).random((512, 256))
    shrunk = shrink(picture, 288)
    assert shrunk.shape == (256, 128)
    np.testing.assert_allclose(shrunk, picture.reshape(256, 2, 128, 2).mean((1, 3)), rtol=1e-5)
    assert shrink(picture[:100, :80], 288).shape == (100, 80)
    assert max(shrink(np.ones((2000, 30)), 137).shape) <= 137


def test_a_png_holds_what_was_drawn():
    ramp = np.linspace(0, 1, 32)[None].repeat(3, 0)
    np.testing.assert_allclose(decoded(data_uri(ramp)), ramp * 255, atol=0.51)
    np.testing.assert_array_equal(decoded(data_uri(np.array([[-1.0, 2.0]]))), [[0, 255]])


def test_a_constant_stack_is_drawn():
    assert not stretch(np.full((3, 4, 4), 7.0)).any()


def test_of_a_large_picture_the_middle_is_kept_and_a_small_one_whole() -> None:
    large = np.arange(100 * 98).reshape(1, 100, 98)
    assert np.array_equal(middle(large, 96), large[:, 2:98, 1:97])
    small = np.zeros((3, 40, 30))
    assert middle(small, 96).shape == (3, 40, 30)
