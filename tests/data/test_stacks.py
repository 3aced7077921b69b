"""Stacks: slices, labels and augmentation stay aligned, and nothing leaks between splits."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from emsym.data.cards import load_card
from emsym.data.stacks import Normalisation, Split, SplitSubset, read_splits
from emsym.data.volume import Sections
from emsym.errors import UserError

SHAPE = (11, 20, 24)
PATCH = 8
Z, Y, X = np.indices(SHAPE)
CODE = torch.from_numpy((Z * 10_000 + Y * 100 + X).astype(np.float32))
"""Each pixel's value says where it is; exact in single precision."""


AS_STORED = Normalisation(0, 1)


def coded(slices, border="skip", first=0):
    return Split(CODE, CODE, AS_STORED, slices, border, first)


def sample(slices, augment, seed=0, count=64, border="skip"):
    generator = torch.Generator().manual_seed(seed)
    return coded(slices, border).sample(count, PATCH, augment, generator)


def places(values):
    """Codes → z, y, x."""
    codes = values.round().long()
    return codes // 10_000, codes // 100 % 100, codes % 100


class InMemory:
    """A volume that is not on disk."""

    def __init__(self, image, foreground):
        self.image, self.foreground, self.breaks = image, foreground, ()

    def read(self, start, stop, instances=False):
        return Sections(self.image[start:stop], self.foreground[start:stop], None)


def flat():
    """A card and a volume whose splits have unlike grey levels."""
    card = load_card("phantom-fibres")
    ranges = card.split.model_copy(update={"train": (2, 8), "test": (8, 14)})
    card = card.model_copy(update={"split": ranges})
    rng = np.random.default_rng(0)
    image = rng.integers(0, 60, (16, 8, 8)).astype(np.uint8)
    image[8:] += 150
    return card, InMemory(image, rng.random(image.shape) > 0.5)


# --- sampled patches ------------------------------------------------------------------------------


@pytest.mark.parametrize("slices", [1, 3, 5, 7, 11])
@pytest.mark.parametrize(
    "augment", [(), ("flip",), ("turn",), ("flip", "turn")], ids=lambda a: "+".join(a) or "none"
)
def test_every_slice_and_the_label_show_the_same_window(slices, augment):
    images, labels = sample(slices, augment)
    assert images.shape == (64, slices, PATCH, PATCH)
    assert labels.shape == (64, 1, PATCH, PATCH)
    z, y, x = places(images)
    label_z, label_y, label_x = places(labels)
    assert torch.equal(y, label_y.expand_as(y))
    assert torch.equal(x, label_x.expand_as(x))
    # the label is the central slice's, and slices rise from z−k to z+k, whatever is augmented
    offsets = torch.arange(slices)[None, :, None, None] - slices // 2
    assert torch.equal(z, label_z + offsets)
    assert label_z.flatten(1).unique(dim=1).shape == (64, 1)


@pytest.mark.parametrize(
    ("augment", "expected"), [((), 1), (("flip",), 4), (("turn",), 4), (("flip", "turn"), 8)]
)
def test_augmentation_is_every_symmetry_of_the_square_and_no_other(augment, expected):
    _, labels = sample(1, augment, count=256)
    _, y, x = places(labels[:, 0])
    y = y - y.amin((1, 2), keepdim=True)
    x = x - x.amin((1, 2), keepdim=True)
    window = PATCH * y + x  # where each pixel of the patch came from inside its window
    upright = torch.arange(PATCH * PATCH).reshape(PATCH, PATCH)
    symmetries = [
        torch.rot90(torch.flip(upright, (0,)) if flipped else upright, turns)
        for flipped, turns in itertools.product((False, True), range(4))
    ]
    seen = set()
    for patch in window:
        matches = [i for i, symmetry in enumerate(symmetries) if torch.equal(patch, symmetry)]
        assert len(matches) == 1
        seen |= set(matches)
    assert len(seen) == expected
    assert 0 in seen
    if augment == ("turn",):
        assert seen == {0, 1, 2, 3}  # turns alone mirror nothing


@pytest.mark.parametrize("augment", [(), ("flip", "turn")])
def test_patches_reach_every_corner_and_every_centre(augment):
    images, labels = sample(3, augment, count=4000)
    z, y, x = places(images)
    assert (z.min(), z.max()) == (0, SHAPE[0] - 1)
    assert (y.min(), y.max()) == (0, SHAPE[1] - 1)
    assert (x.min(), x.max()) == (0, SHAPE[2] - 1)
    assert set(places(labels)[0].unique().tolist()) == set(range(1, SHAPE[0] - 1))


def test_patch_as_large_as_the_section_is_the_section():
    square = CODE[1:, :20, 2:22]  # a view that does not begin where its memory does
    whole = Split(square, square, AS_STORED, 3, "skip", first=0)
    images, _ = whole.sample(4, 20, (), torch.Generator().manual_seed(0))
    for stack in images:
        centre = int(places(stack)[0][1, 0, 0]) - 1
        assert torch.equal(stack, whole.image[centre - 1 : centre + 2])


def test_brightness_is_one_scale_and_shift_for_all_slices_and_leaves_the_label():
    image = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    images, labels = Split(image, CODE, AS_STORED, 3, "skip", 0).sample(
        32, PATCH, ("brightness",), torch.Generator().manual_seed(1)
    )
    fits = []
    for stack, label in zip(images, labels, strict=True):
        z, y, x = places(label[0])
        original = torch.stack([image[z + d, y, x] for d in (-1, 0, 1)])
        design = torch.stack([original.flatten(), torch.ones(original.numel())], 1)
        fit = torch.linalg.lstsq(design, stack.flatten()[:, None]).solution
        torch.testing.assert_close(design @ fit, stack.flatten()[:, None], atol=1e-5, rtol=0)
        fits.append(fit.flatten())
    scale, shift = torch.stack(fits, 1)
    assert scale.min() >= 0.8 - 1e-5
    assert scale.max() <= 1.2 + 1e-5
    assert shift.abs().max() <= 0.2 + 1e-5
    assert scale.std() > 0.05
    assert shift.std() > 0.05


def test_generator_decides_the_batches():
    augment = ("flip", "turn", "brightness")
    first, again, other = (sample(3, augment, seed) for seed in (0, 0, 1))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_sampling_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    sample(3, ("flip", "turn", "brightness"))
    assert torch.equal(torch.get_rng_state(), before)


# --- whole sections -------------------------------------------------------------------------------


@pytest.mark.parametrize("slices", [1, 3, 5, 7, 11])
def test_stacks_are_all_windows_along_z_with_the_central_label(slices):
    split = coded(slices, first=30)
    stacks, labels = split[:]
    count, half = SHAPE[0] - slices + 1, slices // 2
    assert stacks.shape == (count, slices, *SHAPE[1:])
    assert labels.shape == (count, *SHAPE[1:])
    for n in range(count):
        assert torch.equal(stacks[n], CODE[n : n + slices])
        assert torch.equal(labels[n], CODE[n + half])
    assert split.sections == [30 + half + n for n in range(count)]


# --- borders --------------------------------------------------------------------------------------


def test_mirror_reflects_at_the_ends_without_repeating_them():
    split = coded(5, "mirror", first=30)
    assert split.neighbours(0) == [2, 1, 0, 1, 2]
    assert split.neighbours(1) == [1, 0, 1, 2, 3]
    assert split.neighbours(10) == [8, 9, 10, 9, 8]
    stacks, labels = split[:]
    assert torch.equal(labels, CODE)
    assert torch.equal(stacks[0], CODE[[2, 1, 0, 1, 2]])
    assert split.sections == list(range(30, 41))


@pytest.mark.parametrize("slices", [1, 3, 5, 7, 11])
def test_mirrored_patches_are_centred_on_every_section(slices):
    images, labels = sample(slices, ("flip", "turn"), count=500, border="mirror")
    centres = places(labels)[0][:, 0, 0, 0]
    assert set(centres.tolist()) == set(range(SHAPE[0]))
    split = coded(slices, "mirror")
    for stack, centre in zip(places(images)[0][:, :, 0, 0].tolist(), centres.tolist(), strict=True):
        assert stack == split.neighbours(centre)


@pytest.mark.parametrize("slices", [1, 3, 5, 7])
def test_both_borders_agree_on_the_sections_that_have_all_neighbours(slices):
    skipped, _ = coded(slices)[:]
    mirrored, _ = coded(slices, "mirror")[:]
    half = slices // 2
    assert torch.equal(mirrored[half : len(mirrored) - half], skipped)


# --- elastic --------------------------------------------------------------------------------------


def bent(image, seed=0, patch=64):
    split = Split(image, (image > 0).byte(), AS_STORED, 3, "skip", 0)
    plain = split.sample(16, patch, (), torch.Generator().manual_seed(seed))
    warped = split.sample(16, patch, ("elastic",), torch.Generator().manual_seed(seed))
    return plain, warped


def test_elastic_bends_all_slices_and_the_label_alike():
    noise = np.random.default_rng(0).normal(size=(80, 80)).astype(np.float32)
    smooth = torch.from_numpy(gaussian_filter(noise, 4))
    (_, unbent), (images, labels) = bent(smooth.expand(5, 80, 80).contiguous())
    assert torch.equal(images[:, 0], images[:, 1])
    assert torch.equal(images[:, 0], images[:, 2])
    assert set(labels.unique().tolist()) == {0.0, 1.0}
    shown = (images[:, 1:2] > 0).float()
    assert (shown == labels).float().mean() > 0.97  # a label moves to the nearest pixel
    assert (shown == unbent).float().mean() < 0.95


def test_elastic_moves_pixels_a_little():
    ramp = torch.arange(80.0).expand(5, 80, 80).contiguous()
    (before, _), (after, _) = bent(ramp)
    moved = (after - before)[..., 8:-8, 8:-8]  # away from the reflection at the edges
    assert 0.3 < moved.std() < 3
    assert moved.abs().max() < 8
    assert (moved[0] - moved[1]).abs().max() > 0.5  # each sample its own way


# --- splits ---------------------------------------------------------------------------------------


def test_normalisation_is_of_the_training_split_alone():
    card, volume = flat()
    train, test = (split[:][0] for split in read_splits(card, volume, 1, "skip")[:2])
    assert train.mean().item() == pytest.approx(0, abs=1e-5)
    assert train.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    grey = volume.image[2:8].astype(np.float64)
    expected = (volume.image[8:14] - grey.mean()) / grey.std()
    np.testing.assert_allclose(test[:, 0].numpy(), expected, rtol=1e-5)
    changed = volume.image.copy()
    changed[8:] = 255 - changed[8:]
    changed[:2] = 255
    again = read_splits(card, InMemory(changed, volume.foreground), 1, "skip")[0]
    assert torch.equal(again[:][0], train)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_scale_is_numpys(dtype):
    image = np.random.default_rng(0).integers(0, 256, (5, 30, 40)).astype(dtype)
    scale = Normalisation.from_image(image)
    assert scale.mean == pytest.approx(image.mean(dtype=np.float64), rel=1e-12)
    assert scale.sd == pytest.approx(image.std(dtype=np.float64), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_split_holds_grey_levels_in_as_few_bytes_as_torch_can(dtype):
    card, volume = flat()
    stored = InMemory(volume.image.astype(dtype), volume.foreground)
    train, _, _ = read_splits(card, stored, 3, "skip")
    assert train.image.element_size() == (1 if dtype is np.uint8 else 4)
    assert train.foreground.element_size() == 1
    assert torch.equal(train[:][0], read_splits(card, volume, 3, "skip")[0][:][0])


@pytest.mark.parametrize("border", ["skip", "mirror"])
@pytest.mark.parametrize("slices", [1, 3, 5])
def test_stacks_never_leave_their_split(slices, border):
    card, volume = flat()
    levels = np.broadcast_to(np.arange(16, dtype=np.float32)[:, None, None], (16, 8, 8))
    train, test, _ = read_splits(card, InMemory(levels.copy(), volume.foreground), slices, border)
    scale = train.scale
    generator = torch.Generator().manual_seed(0)
    for split, (start, stop) in ((train, (2, 8)), (test, (8, 14))):
        patches, _ = split.sample(200, 4, ("flip", "turn"), generator)
        for stacks in (split[:][0], patches):
            sections = (stacks * scale.sd + scale.mean).round().unique().tolist()
            assert sections == list(range(start, stop))
        half = slices // 2 if border == "skip" else 0
        assert split.sections == list(range(start + half, stop - half))


def test_labels_belong_to_the_sections_that_the_split_names():
    card, volume = flat()
    for split in read_splits(card, volume, 5, "skip")[:2]:
        _, labels = split[:]
        np.testing.assert_array_equal(labels.numpy(), volume.foreground[split.sections])


def test_constant_training_image_stays_finite():
    scale = Normalisation.from_image(np.full((3, 4, 4), 7.0))
    assert torch.equal(scale(torch.full((1, 4, 4), 7.0)), torch.zeros(1, 4, 4))


def test_the_scale_is_the_same_on_any_number_of_threads():
    """To the last bit: a worker that read the volume on more threads must train alike."""
    image = np.random.default_rng(0).integers(0, 255, (6, 300, 300)).astype(np.uint8)
    before = torch.get_num_threads()
    try:
        scales = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            scales.append(Normalisation.from_image(image))
    finally:
        torch.set_num_threads(before)
    assert scales[0] == scales[1] == scales[2]


@pytest.mark.gpu
def test_a_batch_is_made_on_the_device_of_its_split():
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    from dataclasses import replace

    here = coded(3)
    there = replace(here, image=CODE.cuda(), foreground=CODE.cuda())
    for augment, tolerance in ((("flip", "turn"), 0), (("brightness", "elastic"), 0.5)):
        ours, theirs = (
            split.sample(16, PATCH, augment, torch.Generator().manual_seed(0))
            for split in (here, there)
        )
        for mine, other in zip(ours, theirs, strict=True):
            assert other.is_cuda
            torch.testing.assert_close(mine, other.cpu(), rtol=0, atol=tolerance)


# --- pixels without a label -----------------------------------------------------------------------


@pytest.mark.parametrize("augment", [(), ("flip", "turn"), ("flip", "turn", "elastic")])
def test_pixels_without_a_label_are_told_apart_in_patches_and_sections(augment):
    image = CODE
    known = X % 3 > 0
    foreground = torch.from_numpy((X % 3 == 2).astype(np.uint8))
    split = Split(image, foreground, AS_STORED, 3, "skip", 0, torch.from_numpy(known))
    images, labels = split.sample(16, PATCH, augment, torch.Generator().manual_seed(0))
    assert set(labels.unique().tolist()) == {-1, 0, 1}
    if "elastic" not in augment:
        x = places(images[:, 1:2])[2]
        assert torch.equal(labels, torch.where(x % 3 == 2, 1.0, torch.where(x % 3 == 1, 0.0, -1.0)))
    assert torch.equal(split.labelled(slice(2, 4)), torch.from_numpy(known[3:5]))
    assert split.to(torch.device("cpu")).known is not None
    assert coded(3).labelled(slice(2, 4)) is None
    some = SplitSubset(split, [5, 0])
    assert torch.equal(some.labelled(slice(0, 1)), torch.from_numpy(known[6:7]))


@pytest.mark.parametrize(
    ("border", "centres"), [("skip", [1, *range(4, 10)]), ("mirror", [0, 1, *range(4, 11)])]
)
def test_no_stack_reaches_across_a_missing_section(border, centres):
    split = replace(coded(3, border, first=2), breaks=(3,))
    assert [*split.centres] == centres
    assert split.sections == [2 + centre for centre in centres]
    x, labels = split[:]
    assert len(split) == len(x) == len(labels) == len(centres)
    for stack, centre in zip(x, centres, strict=True):
        assert torch.equal(stack, CODE[split.neighbours(centre)])
    drawn, _ = split.sample(200, 1, (), torch.Generator().manual_seed(0))
    seen = {tuple(places(window[:, 0, 0])[0].tolist()) for window in drawn}
    assert seen == {tuple(split.neighbours(centre)) for centre in centres}


def test_a_gap_lies_where_it_does_in_the_volume_and_leaves_stacks():
    card, volume = flat()  # train 2 to 8, test 8 to 14
    volume.breaks = (5, 8, 12)
    train, test, _ = read_splits(card, volume, 3, "skip")
    assert (train.breaks, test.breaks) == ((3,), (4,))
    assert (train.sections, test.sections) == ([3, 6], [9, 10])
    volume.breaks = (3, 5, 7)
    with pytest.raises(
        UserError, match=r"In the train split of .* no 3 sections follow each other"
    ):
        read_splits(card, volume, 3, "skip")
