"""The phantoms have no direction along z, and the tests that say so can fail."""

from dataclasses import replace

import numpy as np
import pytest

from emsym.data.phantoms import KINDS, MIN_SHAPE, Phantom, draw_fields, generate_phantom, render

SHAPE = (20, 80, 72)
FRACTIONS = {  # of each class from 1 on, in one volume of SHAPE
    "neurites": [(0.18, 0.32)],
    "mitochondria": [(0.04, 0.18)],
    "fibres": [(0.04, 0.15), (0.004, 0.05)],
}


@pytest.fixture(scope="module", params=KINDS)
def phantom(request):
    return request.param, generate_phantom(request.param, SHAPE, 1)


# --- each volume is the mirror image of an equally likely one -------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("shape", "seed"), [(SHAPE, 0), ((13, 65, 64), 1), (MIN_SHAPE, 2)])
def test_render_is_equivariant(kind, shape, seed):
    fields = draw_fields(kind, shape, seed)
    there, back = render(fields), render(fields.mirror_image())
    np.testing.assert_array_equal(back.semantic, there.semantic[::-1])
    np.testing.assert_array_equal(back.instances, there.instances[::-1])
    # A sum in another order may round to the next grey value.
    difference = np.abs(back.image.astype(int) - there.image[::-1])
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 1e-4
    assert not np.array_equal(there.image, there.image[::-1])


def _arrays(fields):
    yield from fields.along_z.items()
    yield from fields.fixed.items()
    for name, bodies in fields.bodies.items():
        yield from ((f"{name}.{part}", values) for part, values in vars(bodies).items())


@pytest.mark.parametrize("kind", KINDS)
def test_mirrored_is_an_involution(kind):
    fields = draw_fields(kind, MIN_SHAPE, 0)
    once = dict(_arrays(fields.mirror_image()))
    twice = dict(_arrays(fields.mirror_image().mirror_image()))
    for name, values in _arrays(fields):
        np.testing.assert_array_equal(twice[name], values)
        assert once[name].dtype == values.dtype
    assert any(not np.array_equal(once[name], values) for name, values in _arrays(fields))


# --- the mirrored draws are equally likely --------------------------------------------------------


def _t(samples):
    """Student's t of each column of (n, k) samples against a mean of 0."""
    samples = np.asarray(samples)
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    return samples.mean(axis=0) / np.maximum(error, 1e-12)  # a moment may be 0 in every sample


def _odd_moments(fields):
    """Return moments of the draws that change sign when z is reversed; mean 0 if it has no say."""
    moments = []
    for values in fields.along_z.values():
        z = np.arange(len(values)) - (len(values) - 1) / 2
        section = values.reshape(len(values), -1).mean(axis=1)
        moments += [z @ section, z @ section**2, section[1:] @ section[:-1] ** 2]
        moments[-1] -= section[:-1] @ section[1:] ** 2
    for bodies in fields.bodies.values():
        long, side, _ = np.moveaxis(bodies.axes, 1, 0)
        height = bodies.centre[:, 0]
        moments += [
            height.mean(),
            (height * bodies.shade).mean(),
            (height * bodies.semi[:, 0]).mean(),
        ]
        moments += [
            long[:, 0].mean(),
            (long[:, 0] * long[:, 1]).mean(),
            np.linalg.det(bodies.axes).mean(),
        ]
        moments += [(bodies.bend * side[:, 0]).mean(), (long[:, 0] * bodies.centre[:, 1]).mean()]
    return moments


@pytest.mark.parametrize("kind", KINDS)
def test_draws_are_symmetric(kind):
    moments = [_odd_moments(draw_fields(kind, MIN_SHAPE, seed)) for seed in range(50)]
    mirrored = _odd_moments(draw_fields(kind, MIN_SHAPE, 0).mirror_image())
    np.testing.assert_allclose(mirrored, -np.array(moments[0]), rtol=1e-2, atol=1e-4)
    assert np.abs(_t(moments)).max() < 4


def test_tilted_draws_are_noticed():
    def tilted(seed):
        fields = draw_fields("fibres", MIN_SHAPE, seed)
        fibres = fields.bodies["fibres"]
        axes = fibres.axes.copy()
        axes[:, 0, :2] = np.abs(axes[:, 0, :2])
        return replace(fields, bodies={"fibres": replace(fibres, axes=axes)})

    assert np.abs(_t([_odd_moments(tilted(seed)) for seed in range(30)])).max() > 8


# --- and nothing in the finished volumes points along z -------------------------------------------


def _correlation(a, b):
    spread = max(a.std() * b.std(), 1e-12)  # there may be no foreground
    return np.mean((a - a.mean()) * (b - b.mean())) / spread


def _directions(phantom):
    """Return statistics of a volume that change sign when z is reversed."""
    image, foreground = phantom.image.astype(float), phantom.semantic > 0
    z = np.arange(len(image)) - (len(image) - 1) / 2
    steps = np.diff(image.mean(axis=(1, 2)))
    return {
        "leak": _correlation(image[:-1], foreground[1:]) - _correlation(image[1:], foreground[:-1]),
        "moment": z @ foreground.mean(axis=(1, 2)),
        "brightness": z @ image.mean(axis=(1, 2)),
        "sawtooth": np.mean((steps - steps.mean()) ** 3),
        "contrast": z @ image.std(axis=(1, 2)),
    }


def _smeared(phantom):
    """Let half of each section shine through into the next."""
    image = phantom.image.astype(float)
    image[1:] = 0.5 * image[1:] + 0.5 * image[:-1]
    return replace(phantom, image=image)


def _shrinking(phantom):
    """Take away more foreground in every section, until none is left."""
    columns = np.arange(phantom.semantic.shape[2])
    kept = columns >= 4 * np.arange(len(phantom.semantic))[:, None]
    return replace(phantom, semantic=phantom.semantic * kept[:, None])


def _fading(phantom):
    """Lose two grey values from each section to the next."""
    return replace(
        phantom, image=phantom.image - 2.0 * np.arange(len(phantom.image))[:, None, None]
    )


def _charging(phantom):
    """Brighten slowly and fall back at once, again and again, from a different start each time."""
    start = int(phantom.image[0, 0, 0])
    ramp = 12.0 * ((np.arange(len(phantom.image)) + start) % 4)
    return replace(phantom, image=phantom.image + ramp[:, None, None])


def _washing_out(phantom):
    """Lose two per cent of the contrast in every section."""
    factor = 0.98 ** np.arange(len(phantom.image))[:, None, None]
    return replace(phantom, image=120 + (phantom.image - 120.0) * factor)


TAMPERED = {
    "leak": _smeared,
    "moment": _shrinking,
    "brightness": _fading,
    "sawtooth": _charging,
    "contrast": _washing_out,
}


@pytest.fixture(scope="module", params=KINDS)
def volumes(request):
    return [generate_phantom(request.param, (12, 64, 48), seed) for seed in range(30)]


def test_volumes_have_no_direction(volumes):
    t = _t([list(_directions(volume).values()) for volume in volumes])
    assert np.abs(t).max() < 3.5, dict(zip(TAMPERED, t, strict=True))


@pytest.mark.parametrize("name", TAMPERED)
def test_a_direction_is_noticed(volumes, name):
    t = _t([[_directions(TAMPERED[name](volume))[name]] for volume in volumes])
    assert np.abs(t) > 5


# --- what the volumes hold ------------------------------------------------------------------------


def test_shapes_and_types(phantom):
    _, volume = phantom
    assert volume.image.shape == volume.semantic.shape == volume.instances.shape == SHAPE
    assert volume.image.dtype == volume.semantic.dtype == np.uint8
    assert volume.instances.dtype == np.int32
    assert np.mean((volume.image == 0) | (volume.image == 255)) < 1e-2
    assert volume.image.std() > 20


def test_instances_agree_with_classes(phantom):
    kind, volume = phantom
    of_instances = {"neurites": 0, "mitochondria": 1, "fibres": 1}[kind]
    np.testing.assert_array_equal(volume.instances > 0, volume.semantic == of_instances)
    ids = np.unique(volume.instances)
    np.testing.assert_array_equal(ids, np.arange(len(ids)))
    assert len(ids) > 5


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_foreground_fractions(kind, seed):
    semantic = generate_phantom(kind, SHAPE, seed).semantic
    fractions = np.bincount(semantic.ravel())[1:] / semantic.size
    for fraction, (low, high) in zip(fractions, FRACTIONS[kind], strict=True):
        assert low < fraction < high


def test_classes_differ_in_grey_value_yet_overlap(phantom):
    _, volume = phantom
    background = volume.image[volume.semantic == 0].astype(float)
    for label in range(1, volume.semantic.max() + 1):
        foreground = volume.image[volume.semantic == label].astype(float)
        contrast = abs(foreground.mean() - background.mean()) / background.std()
        assert 0.8 < contrast < 3


def test_adjacent_sections_know_of_the_central_one(phantom):
    _, volume = phantom
    image, foreground = volume.image.astype(float), volume.semantic == 1
    within = _correlation(image, foreground)
    across = _correlation(image[1:], foreground[:-1])
    assert 0.3 < across / within < 1


def test_the_seed_decides(phantom):
    kind, volume = phantom
    again, other = generate_phantom(kind, SHAPE, 1), generate_phantom(kind, SHAPE, 2)
    for name in Phantom.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(volume, name))
        assert not np.array_equal(getattr(other, name), getattr(volume, name))


@pytest.mark.parametrize("kind", KINDS)
def test_smallest_shape(kind):
    assert generate_phantom(kind, MIN_SHAPE, 0).image.shape == MIN_SHAPE


def test_unknown_kind_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'axons'.*neurites, mitochondria, fibres"):
        generate_phantom("axons", SHAPE, 0)


@pytest.mark.parametrize("shape", [(7, 32, 32), (8, 31, 32), (8, 32, 31), (64, 64)])
def test_too_small_a_shape_names_the_smallest(shape):
    with pytest.raises(ValueError, match=r"at least \(8, 32, 32\)"):
        generate_phantom("fibres", shape, 0)
