"""A data set at a glance: sections, what is labelled in them, one slice stack, label fractions."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from emsym.data.cards import Card
from emsym.data.inspecting.foreground_fraction import Fractions
from emsym.data.inspecting.scale_bar import draw_scale_bar
from emsym.data.reading.lazy_array import LazyArray
from emsym.data.volume import Sections, open_volume
from emsym.wording import offset_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOUR = (0.95, 0.45, 0.1, 0.5)
_PIXELS = 400
"""About the side of a section as drawn."""
_LONGEST = 3
"""The middle is drawn of a section that is longer than so many times its other side."""
_SHALLOWEST, _DEEPEST = 8, 256
"""The fewest and the most sections that the view from the side goes through."""
_HIGHEST = 3.2
"""The most inches that it is high."""


def draw_preview(card: Card, shares: Fractions, slices: int = 3) -> bytes:
    """A PNG of a data set with all its tasks.

    Two sections of either split, once as they are and once with each task's foreground in colour;
    the S slices of one stack of the test split; the XZ view from the side, x across and z down; and
    the label fractions. A scale bar stands in the first section and in the view from the side,
    which has the proportions of the voxels; where their size is not known, the titles say so.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    chosen = card.single_task_cards()
    volumes = [open_volume(each) for each in chosen]
    height, width = (
        min(side, _LONGEST * min(volumes[0].shape[1:])) for side in volumes[0].shape[1:]
    )
    step = max(1, round(max(height, width) / _PIXELS))
    middle = tuple(
        slice((whole - side) // 2, (whole + side) // 2, step)
        for whole, side in zip(volumes[0].shape[1:], (height, width), strict=True)
    )
    places = [
        (f"{name}, z = {z}", z)
        for name, (start, stop) in card.split.ranges().items()
        for z in (start + (stop - start) // 4, start + 3 * (stop - start) // 4)
    ]
    start, stop = card.split.test
    first = max(start, (start + stop - slices) // 2)
    stack = volumes[0].read(first, min(first + slices, stop)).image[:, *middle]
    sections = [[_part(volume.read(z, z + 1), middle) for _, z in places] for volume in volumes]
    limits = tuple(np.percentile(np.stack([part.image for part in sections[0]]), (0.5, 99.5)))

    size = card.known_voxel_size
    proportion = (1.0 if size is None else size[0] / size[2]) / step
    top, side = _side(card, volumes[0].image, middle[1], proportion, first + slices // 2)

    cell = 9.5 / len(places) * height / width
    bars = 0.5 + 0.42 * len(shares)
    deep = min(9.5 * proportion * side.shape[0] / side.shape[1], _HIGHEST)
    rows = [cell] * (1 + len(chosen)) + [9.5 / max(len(stack), 4) * height / width, deep, bars]
    with mpl.rc_context({"font.size": 9, "axes.titlesize": 9}):
        figure = Figure(
            figsize=(9.5, sum(rows) + 0.4 + 0.2 * len(rows)), dpi=120, layout="constrained"
        )
        parts: Any = figure.subfigures(len(rows), 1, height_ratios=rows)
        plain = parts[0].subplots(1, len(places))
        for axis, (title, _), part in zip(plain, places, sections[0], strict=True):
            _show(axis, part.image[0], limits, title)
        draw_scale_bar(plain[0], step, None if size is None else size[2])
        for rank, (each, pictures) in enumerate(zip(chosen, sections, strict=True), start=1):
            axes = parts[rank].subplots(1, len(places))
            for axis, part in zip(axes, pictures, strict=True):
                _show(axis, part.image[0], limits, ", ".join(each.tasks))
                colour = np.zeros((*part.foreground.shape[1:], 4))
                colour[part.foreground[0]] = _COLOUR
                axis.imshow(colour)
        axes = parts[-3].subplots(1, max(len(stack), 4))
        for axis in axes:
            axis.set_axis_off()
        for index, section in enumerate(stack):
            offset = index - len(stack) // 2
            title = offset_name(offset) if offset else f"one stack, z = {first + index}"
            _show(axes[index], section, limits, title)
        axis = parts[-2].subplots(1, 1)
        unknown = "" if size else "; voxel size unknown, so its proportions are, too"
        through = f"z = {top} to {top + len(side) - 1}"
        title = f"XZ view: x across, {through} down, y = {volumes[0].shape[1] // 2}"
        _show(axis, side, limits, title + unknown, proportion)
        draw_scale_bar(axis, step, None if size is None else size[2])
        _bars(parts[-1].subplots(1, 1), shares)
        figure.suptitle(f"{card.name}: {card.title}", fontsize=10)
        png = io.BytesIO()
        figure.savefig(png, metadata={"Software": None})
    return png.getvalue()


def _part(whole: Sections, place: tuple[slice, ...]) -> Sections:
    return Sections(whole.image[:, *place], whole.foreground[:, *place], None)


def _side(
    card: Card, image: LazyArray, across: slice, proportion: float, centre: int
) -> tuple[int, np.ndarray]:
    """Return the first section of the view from the side, and the view: (sections, X).

    It goes through what both splits span, but is no higher than it is wide: then it is of the
    sections around the `centre`. A voxel is drawn `proportion` times as high as wide.
    """
    ends = [*card.split.train, *card.split.test]
    columns = len(range(*across.indices(image.shape[2])))
    depth = min(max(ends) - min(ends), max(round(columns / proportion), _SHALLOWEST), _DEEPEST)
    start = min(max(centre - depth // 2, min(ends)), max(ends) - depth)
    blocks = image.blocks(start, start + depth, whole=True)
    rows = [block[:, image.shape[1] // 2, across] for _, block in blocks]
    return start, np.concatenate(rows)


def _show(
    axis: "Axes",
    section: np.ndarray,
    limits: tuple[float, ...],
    title: str,
    proportion: float = 1.0,
) -> None:
    axis.imshow(section, cmap="gray", vmin=limits[0], vmax=limits[1], aspect=proportion)
    axis.set_title(title)
    axis.set_axis_off()


def _bars(axis: "Axes", shares: Fractions) -> None:
    names = [(task, split) for task, by_split in shares.items() for split in by_split]
    values = [shares[task][split] for task, split in names]
    colours = ["#30343b" if split == "train" else "#8a8f98" for _, split in names]
    bars = axis.barh(range(len(names)), values, color=colours, height=0.7)
    axis.bar_label(bars, [f"{value:.3f}" for value in values], padding=3)
    axis.set_yticks(range(len(names)), [f"{task}, {split}" for task, split in names])
    axis.invert_yaxis()
    axis.set_xlim(0, max([*values, 0.01]) * 1.15)
    axis.set_title("share of the split's pixels")
    axis.spines[["top", "right"]].set_visible(False)
