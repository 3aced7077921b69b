"""The planes, the opposite inputs and the tensors of a stem are told apart slice by slice."""

import torch
from stem_networks import Net, conv, normalised, patches
from torch import nn

from emsym.models.stem.find import find_stem
from emsym.models.stem.slice_tracer import Read
from emsym.models.stem.stem import opposite_inputs, slice_inputs, slice_planes, stem_tensors


def test_planes_come_in_the_order_of_the_slices() -> None:
    model = Net(lambda net, x: net.stem(x.flip(1)), stem=conv())
    (read,) = find_stem(model).reads
    assert torch.equal(slice_planes(model.stem.weight, read), model.stem.weight.flip(1))


def test_the_pixels_of_a_patch_are_one_plane() -> None:
    model = Net(lambda net, x: net.stem(patches(x)), stem=nn.Linear(48, 8))
    (read,) = find_stem(model).reads
    planes = slice_planes(model.stem.weight, read)
    assert planes.shape == (8, 3, 16, 1)
    assert torch.equal(planes.flatten(1), model.stem.weight)


def test_opposite_inputs_are_an_involution_that_keeps_what_reads_no_slice() -> None:
    read = Read("stem", "Conv2d", "weight", 1, (0, 0, -1, 1, 1, 2, 2))
    opposite = opposite_inputs(read)
    assert opposite == (5, 6, 2, 3, 4, 0, 1)
    assert [opposite[index] for index in opposite] == list(range(7))
    assert slice_inputs(read).tolist() == [[0, 1], [3, 4], [5, 6]]


def test_tensors_are_those_in_the_network_s_memory() -> None:
    model = normalised((3,))
    tensors = stem_tensors(model, find_stem(model))
    assert set(tensors) == {"stem.weight", "mean", "std"}
    assert all(
        tensor.data_ptr() == model.get_buffer(name).data_ptr()
        for name, tensor in tensors.items()
        if name != "stem.weight"
    )
