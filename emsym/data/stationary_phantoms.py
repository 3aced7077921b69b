"""Phantoms whose splits, too, have no direction along z: the middle of larger ones.

A phantom of `emsym.data.phantoms` as a whole has no direction, but its first and last sections do:
filters reflect at the ends, where neighbours are therefore more alike than elsewhere, and bodies
find more room there. So among the first sections labels change more to z+1 than to z−1, and among
the last ones less: a split at an end has a direction. Here a larger phantom is made, and a margin
of it cut off on every side that is wider than what its ends reach: what is left is stationary, and
so is every part of it.
"""

from emsym.data.labels import sequential_ids
from emsym.data.phantoms import Fields, Phantom, Shape, draw_fields, render

MARGINS: dict[str, Shape] = {
    "neurites": (25, 27, 27),
    "mitochondria": (35, 35, 35),
    "fibres": (36, 36, 36),
}
"""Pixels that are cut off on every side, along z, y and x: 4 σ, where a filter ends, of the widest
filter that a pixel is made by, and of the one that blurs the image afterwards. Bodies are drawn
beyond the larger phantom by as much as they are long, so that those that reach into what is left
lie at least so far from where bodies end: from 30 pixels on, as many find room as anywhere."""


def draw_larger_fields(kind: str, shape: Shape, seed: int) -> Fields:
    """Draw the randomness of a phantom that is larger than `shape` by the margins of its kind."""
    if kind not in MARGINS or len(shape) != 3:
        return draw_fields(kind, shape, seed)  # which says what is wrong
    depth, height, width = (
        size + 2 * margin for size, margin in zip(shape, MARGINS[kind], strict=True)
    )
    return draw_fields(kind, (depth, height, width), seed)


def render_middle(fields: Fields) -> Phantom:
    """Make the volume of larger fields and cut off its margins; equivariant as `render` is."""
    whole = render(fields)
    inner = tuple(slice(margin, -margin) for margin in MARGINS[fields.kind])
    return Phantom(
        whole.image[inner].copy(),
        whole.semantic[inner].copy(),
        sequential_ids(whole.instances[inner]),
    )


def generate_stationary_phantom(kind: str, shape: Shape, seed: int) -> Phantom:
    """Generate the phantom `kind` of `shape` (Z, Y, X) from `seed`; no part of it has a direction.

    It holds what `emsym.data.phantoms.generate_phantom` says, and takes several times as long.
    """
    return render_middle(draw_larger_fields(kind, shape, seed))
