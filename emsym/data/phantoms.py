"""Synthetic volumes after the paper's three data sets, with no direction along z.

The *distribution* of each phantom is exactly invariant under reversing z, so whatever difference a
network makes between z−1 and z+1 on them is the network's own. That holds by construction:

1. `draw_fields` puts all randomness into `Fields`: independent noise, places and orientations
   whose joint distribution `Fields.mirror_image`, an involution, leaves as it is;
2. `render` is deterministic and equivariant: `render(fields.mirror_image())` is `render(fields)`
   with z reversed, and every object keeps its id.

Therefore no renderer may walk along z, and every filter is symmetric and reflects at both ends.
Arrays are (Z, Y, X) and lengths are in pixels; body coordinates count from the volume's centre,
where reversing z only changes signs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree
from scipy.stats import ortho_group

Array = NDArray[np.floating[Any]]
Shape = tuple[int, int, int]

MIN_SHAPE: Shape = (8, 32, 32)
_REACH = 11.0  # distance maps end here: no body is thicker than this less its spacing
_FLIP = np.array([-1, 1, 1], np.float32)


@dataclass(frozen=True)
class Phantom:
    """A volume with its labels, all (Z, Y, X).

    image: uint8 grey values, 0 … 255. semantic: uint8 classes, 0 the background.
    instances: int32 ids 1 … n without gaps, 0 where there is no instance.
    """

    image: NDArray[np.uint8]
    semantic: NDArray[np.uint8]
    instances: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Bodies:
    """N ellipsoids or cylinders, drawn alike in every place and orientation.

    centre (N, 3): from the volume's centre, uniform. axes (N, 3, 3): rows are the body's own
    orthonormal axes u, v, w, uniform over O(3) (handedness too, since mirroring changes it).
    semi (N, 3): semi-axes along u, v, w. bend (N,): the body follows v = −bend · u².
    shade (N,): how strongly it is stained, about 1.
    """

    centre: Array
    axes: Array
    semi: Array
    bend: Array
    shade: Array

    def mirror_image(self) -> Bodies:
        """Reverse z: the z components change sign."""
        return replace(self, centre=self.centre * _FLIP, axes=self.axes * _FLIP)


@dataclass(frozen=True, eq=False)
class Fields:
    """All the randomness of one phantom.

    along_z: independent standard normals, first axis z. bodies: see `Bodies`.
    fixed: what does not depend on z at all.
    """

    kind: str
    shape: Shape
    along_z: dict[str, Array]
    bodies: dict[str, Bodies]
    fixed: dict[str, Array]

    def mirror_image(self) -> Fields:
        """Return the equally likely fields of the volume seen from its other end; an involution."""
        return replace(
            self,
            along_z={name: values[::-1] for name, values in self.along_z.items()},
            bodies={name: bodies.mirror_image() for name, bodies in self.bodies.items()},
        )


# --- neurites ------------------------------------------------------------------------------------


def _draw_neurites(shape: Shape, rng: np.random.Generator) -> Fields:
    spacing, margin = 19.0, 24.0
    rows, columns = (np.arange(-margin, size + margin, spacing) for size in shape[1:])
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    noise = _white_noise(
        shape, rng, "warp_y", "warp_x", "organelle", "stain", "texture", "grain", "snow"
    )
    noise["drift"] = rng.standard_normal((shape[0], len(grid), 2))
    noise["jitter"] = rng.standard_normal((shape[0], 2))
    noise["exposure"] = rng.standard_normal((shape[0], 2))
    fixed: dict[str, Array] = {
        "seeds": grid + spacing * rng.uniform(-0.5, 0.5, grid.shape),
        "power": rng.uniform(0, 130, len(grid)),  # px²: lets thin and thick neurites be neighbours
    }
    return Fields("neurites", shape, noise, {}, fixed)


def _render_neurites(fields: Fields) -> Phantom:
    noise, fixed = fields.along_z, fields.fixed
    # Smoothed white noise wanders like a neurite and, unlike a random walk, looks the same from
    # both ends.
    paths = fixed["seeds"] + 5.0 * _smooth(noise["drift"], (6, 0, 0))
    lift = np.sqrt(fixed["power"].max() - fixed["power"])
    warp = np.stack([_smooth(noise[name], (4, 6, 6)) for name in ("warp_y", "warp_x")], axis=-1)
    pixels = np.moveaxis(np.indices(fields.shape[1:]), 0, -1)
    places = pixels + 2.3 * warp + 0.4 * noise["jitter"][:, None, None]

    owner = np.empty(fields.shape, np.int32)
    depth = np.empty(fields.shape, np.float32)  # distance from the membrane's middle
    for z, (path, place) in enumerate(zip(paths, places, strict=True)):
        # A third coordinate turns the nearest-seed search into one for a power diagram.
        tree = KDTree(np.column_stack([path, lift]))
        far, near = tree.query(np.pad(place, ((0, 0), (0, 0), (0, 1))), k=2)
        apart = np.linalg.norm(path[near[..., 0]] - path[near[..., 1]], axis=-1)
        owner[z] = near[..., 0] + 1
        depth[z] = (far[..., 1] ** 2 - far[..., 0] ** 2) / (2 * apart)

    membrane = depth < 1.3
    stain = np.clip(0.9 + 0.4 * _smooth(noise["stain"], (0, 4, 4)), 0.1, 1.4)
    organelle = _soft_step(_smooth(noise["organelle"], (1.2, 4, 4)) - 1.5, 0.1) * _soft_step(
        depth - 3.5, 0.7
    )
    image = 172 + 13 * _smooth(noise["texture"], (0.4, 1.5, 1.5)) - 52 * organelle
    image -= 85 * stain * np.exp(-((depth / 1.6) ** 2))
    image = gaussian_filter(image, (0.35, 0.7, 0.7))
    gain, offset = noise["exposure"].T[:, :, None, None]
    image = (image - 150) * (1 + 0.08 * gain) + 150 + 7 * offset
    image += _camera_noise(noise, white=20, blurred=9, sigma=(0, 1, 1))
    return _labelled_phantom(image, membrane, np.where(membrane, 0, owner))


# --- mitochondria --------------------------------------------------------------------------------


def _draw_mitochondria(shape: Shape, rng: np.random.Generator) -> Fields:
    noise = _white_noise(shape, rng, *"abcd", "wiggle", "texture", "grain", "snow")
    noise["exposure"] = rng.standard_normal((shape[0], 1, 1))
    bodies = {
        "mitochondria": _draw_bodies(shape, rng, 5e-4, [(12, 24), (6, 9), (6, 9)], bend=0.012),
        "vesicles": _draw_bodies(shape, rng, 5e-4, [(2, 6), (2, 5), (2, 5)]),
    }
    return Fields("mitochondria", shape, noise, bodies, {})


def _render_mitochondria(fields: Fields) -> Phantom:
    noise, shape = fields.along_z, fields.shape
    ids, depth, axial, shade = _place_bodies(fields.bodies["mitochondria"], shape, spacing=1)
    _, vesicle, _, dark = _place_bodies(
        fields.bodies["vesicles"], shape, spacing=2, obstacles=depth
    )

    # Cells are where one of four smooth fields is the largest; membranes, where two are.
    cells = np.sort([_smooth(noise[name], (8, 8, 8)) for name in "abcd"], axis=0)
    membrane = np.exp(-(((cells[-1] - cells[-2]) / 0.13) ** 2)) * _soft_step(depth - 2, 0.7)
    cristae = np.cos(2 * np.pi * axial / 5.5 + 1.3 * _smooth(noise["wiggle"], (3, 3, 3)))
    rim = np.exp(-((depth / 1.3) ** 2))

    image = 168 + 7 * _smooth(noise["texture"], (2, 2, 2)) - 52 * membrane
    image -= shade * (_soft_step(-depth, 0.5) * (50 + 20 * cristae) + 32 * rim)
    image -= dark * (42 * _soft_step(-vesicle, 0.5) + 30 * np.exp(-((vesicle / 1.3) ** 2)))
    image = gaussian_filter(image, 0.7) + 3 * noise["exposure"]
    image += _camera_noise(noise, white=20, blurred=5, sigma=(1, 1, 1))
    return _labelled_phantom(image, ids > 0, ids)


# --- fibres --------------------------------------------------------------------------------------


def _draw_fibres(shape: Shape, rng: np.random.Generator) -> Fields:
    bodies = {
        "fibres": _draw_bodies(shape, rng, 2.5e-4, [(30, 60), (3, 4)]),
        "pores": _draw_bodies(shape, rng, 1.2e-3, [(3, 7), (3, 6), (3, 6)]),
    }
    noise = _white_noise(shape, rng, "texture", "grain", "snow")
    return Fields("fibres", shape, noise, bodies, {})


def _render_fibres(fields: Fields) -> Phantom:
    noise, shape = fields.along_z, fields.shape
    ids, fibre, _, bright = _place_bodies(
        fields.bodies["fibres"], shape, spacing=0.5, cylinders=True
    )
    pores, pore, _, dark = _place_bodies(fields.bodies["pores"], shape, spacing=1, obstacles=fibre)

    image = 112 + 6 * _smooth(noise["texture"], (8, 8, 8))
    image = image + 66 * bright * _soft_step(-fibre, 0.4) - 58 * dark * _soft_step(-pore, 0.4)
    image = gaussian_filter(image, 1.0) + _camera_noise(noise, white=20, blurred=9, sigma=(1, 1, 1))
    return _labelled_phantom(image, np.where(ids > 0, 1, 2 * (pores > 0)), ids)


# --- shared by all -------------------------------------------------------------------------------


def _white_noise(shape: Shape, rng: np.random.Generator, *names: str) -> dict[str, Array]:
    return {name: rng.standard_normal(shape, dtype=np.float32) for name in names}


def _draw_bodies(
    shape: Shape,
    rng: np.random.Generator,
    density: float,
    semi: list[tuple[float, float]],
    bend: float = 0.0,
) -> Bodies:
    """Draw `density` bodies per voxel; `semi` holds each semi-axis's range (two: v and w alike)."""
    # Centres may lie outside by a body's length: no end of the volume is emptier than its middle.
    half = np.array(shape) / 2 + semi[0][1]
    n = round(density * float(np.prod(2 * half)))
    lengths = np.column_stack([rng.uniform(low, high, n) for low, high in semi])
    return Bodies(
        centre=(rng.uniform(-1, 1, (n, 3)) * half).astype(np.float32),
        axes=ortho_group.rvs(3, size=n, random_state=rng).reshape(n, 3, 3).astype(np.float32),
        semi=lengths[:, [0, 1, -1]].astype(np.float32),
        bend=rng.uniform(-bend, bend, n).astype(np.float32),
        shade=rng.uniform(0.7, 1.15, n).astype(np.float32),
    )


def _place_bodies(
    bodies: Bodies,
    shape: Shape,
    spacing: float,
    obstacles: Array | None = None,
    cylinders: bool = False,
) -> tuple[NDArray[np.int32], Array, Array, Array]:
    """Put bodies in one after the other, leaving out those that would touch an earlier one.

    `obstacles`: a distance map of what is there already. All four results are volumes: ids; the
    distance to the nearest surface, negative inside; and of that body u and the shade.
    """
    ids = np.zeros(shape, np.int32)
    axial, shades = np.zeros((2, *shape), np.float32)
    nearest = np.full(shape, _REACH, np.float32)
    middle = (np.array(shape) - 1) / 2

    spines = _spines(bodies)
    for i in _separate_bodies(spines, bodies.semi[:, 1:].max(axis=1), spacing):
        centre, axes, semi, bend = bodies.centre[i], bodies.axes[i], bodies.semi[i], bodies.bend[i]
        if obstacles is not None:
            at = np.clip(np.rint(spines[i] + middle).astype(int), 0, np.array(shape) - 1)
            if (obstacles[tuple(at.T)] < semi[1:].max() + spacing).any():
                continue

        extent = np.abs(axes).T @ (semi + _REACH + abs(bend) * semi[0] ** 2)
        first = np.clip(np.ceil(centre + middle - extent).astype(int), 0, shape)
        last = np.clip(np.floor(centre + middle + extent).astype(int) + 1, 0, shape)
        if (first >= last).any():
            continue
        box = tuple(slice(*ends) for ends in zip(first, last, strict=True))
        voxels = (np.arange(*ends) for ends in zip(first, last, strict=True))
        offsets = (at - c for at, c in zip(voxels, middle + centre, strict=True))
        z, y, x = np.ix_(*(offset.astype(np.float32) for offset in offsets))
        u, v, w = (axis[0] * z + axis[1] * y + axis[2] * x for axis in axes)
        v = v + bend * u**2
        distance = (_cylinder if cylinders else _ellipsoid)(u, v, w, semi)

        closer = distance < nearest[box]
        nearest[box][closer] = distance[closer]
        axial[box][closer] = u[closer]
        shades[box][closer] = bodies.shade[i]
        ids[box][closer & (distance < 0)] = i + 1
    return ids, nearest, axial, shades


def _spines(bodies: Bodies) -> Array:
    """Return points along every body's middle, (N, K, 3), no farther apart than it is wide."""
    count = int(np.ceil(2 * bodies.semi[:, 0].max() / bodies.semi[:, 1:].min())) + 1
    u = np.linspace(-1, 1, count) * bodies.semi[:, :1]
    long, side = bodies.axes[:, None, 0], bodies.axes[:, None, 1]
    return (
        bodies.centre[:, None]
        + u[..., None] * long
        - (bodies.bend[:, None] * u**2)[..., None] * side
    )


def _separate_bodies(spines: Array, radius: Array, spacing: float) -> NDArray[np.intp]:
    """Return the indices of bodies that stay clear of every earlier one that stays."""
    # Outside the volume too, or else bodies would crowd at its ends.
    pairs = KDTree(spines.reshape(-1, 3)).query_pairs(
        2 * radius.max() + spacing, output_type="ndarray"
    )
    points = spines.reshape(-1, 3)[pairs]
    first, second = np.sort(pairs // spines.shape[1], axis=1).T
    distance = np.linalg.norm(points[:, 0] - points[:, 1], axis=1)
    touching = (first < second) & (distance < radius[first] + radius[second] + spacing)
    clear = np.ones(len(spines), bool)
    for code in np.unique(first[touching] * len(spines) + second[touching]):
        earlier, later = divmod(int(code), len(spines))
        clear[later] &= not clear[earlier]
    return np.flatnonzero(clear)


def _cylinder(u: Array, v: Array, w: Array, semi: Array) -> Array:
    return np.maximum(np.abs(u) - semi[0], np.hypot(v, w) - semi[1])


def _ellipsoid(u: Array, v: Array, w: Array, semi: Array) -> Array:
    """Distance to first order: the implicit function over its gradient."""
    level = np.sqrt((u / semi[0]) ** 2 + (v / semi[1]) ** 2 + (w / semi[2]) ** 2)
    slope = np.sqrt((u / semi[0] ** 2) ** 2 + (v / semi[1] ** 2) ** 2 + (w / semi[2] ** 2) ** 2)
    return level * (level - 1) / np.maximum(slope, 1e-6)


def _smooth(noise: Array, sigma: tuple[float, float, float]) -> Array:
    """Blur white noise and bring it back to unit variance."""
    blurred = gaussian_filter(noise, sigma, mode="reflect")
    # In double precision the sum's order, which mirroring changes, leaves no trace.
    return blurred / blurred.dtype.type(blurred.std(dtype=np.float64))


def _soft_step(x: Array, width: float) -> Array:
    """Return a soft step from 0 (x ≪ 0) to 1 (x ≫ 0)."""
    return 0.5 + 0.5 * np.tanh(x / width)


def _camera_noise(
    noise: dict[str, Array], white: float, blurred: float, sigma: tuple[float, float, float]
) -> Array:
    return white * noise["snow"] + blurred * _smooth(noise["grain"], sigma)


def _labelled_phantom(
    image: Array, semantic: NDArray[np.generic], ids: NDArray[np.int32]
) -> Phantom:
    present = np.unique(ids)
    present = present[present > 0]
    contiguous = np.zeros(ids.max(initial=0) + 1, np.int32)
    contiguous[present] = np.arange(1, len(present) + 1)
    return Phantom(
        image=np.clip(np.rint(image), 0, 255).astype(np.uint8),
        semantic=semantic.astype(np.uint8),
        instances=contiguous[ids],
    )


# --- front door ----------------------------------------------------------------------------------

_Draw = Callable[[Shape, np.random.Generator], Fields]
_Render = Callable[[Fields], Phantom]
_RECIPES: dict[str, tuple[_Draw, _Render]] = {
    "neurites": (_draw_neurites, _render_neurites),
    "mitochondria": (_draw_mitochondria, _render_mitochondria),
    "fibres": (_draw_fibres, _render_fibres),
}
KINDS = tuple(_RECIPES)


def draw_fields(kind: str, shape: Shape, seed: int) -> Fields:
    """Draw a phantom's randomness; `kind`, `shape` and `seed` as in `generate_phantom`."""
    if kind not in _RECIPES:
        raise ValueError(f"no phantom is called {kind!r}; there are {', '.join(KINDS)}")
    if len(shape) != 3 or any(size < least for size, least in zip(shape, MIN_SHAPE, strict=True)):
        raise ValueError(f"a phantom's shape (Z, Y, X) is at least {MIN_SHAPE}, not {shape}")
    return _RECIPES[kind][0](shape, np.random.default_rng(seed))


def render(fields: Fields) -> Phantom:
    """Make the volume from its randomness, deterministically and alike from both ends of z."""
    return _RECIPES[fields.kind][1](fields)


def generate_phantom(kind: str, shape: Shape, seed: int) -> Phantom:
    """Generate the phantom `kind` of `shape` (Z, Y, X), at least `MIN_SHAPE`, from `seed`.

    - "neurites", after SNEMI (serial-section SEM of cortex, anisotropic): neurites about 20 px
      wide run roughly along z and shift by about 1 px from section to section; each section has its
      own jitter, exposure and staining. semantic: 1 membrane (about 3 px thick, 24 %),
      0 inside. instances: neurites, 0 on membrane.
    - "mitochondria", after Lucchi (FIB-SEM of hippocampus, isotropic): bent ellipsoids 12 – 18 px
      thick and 24 – 48 px long with cristae, among faint membranes and vesicles as dark as they
      are. semantic: 1 mitochondrion (about 9 %). instances: mitochondria.
    - "fibres", after GF-PA66 (X-ray CT of glass fibre reinforced polyamide, isotropic): straight
      bright fibres of radius 3 – 4 px in all directions, and dark pores. semantic: 0 matrix,
      1 fibre (about 8 %), 2 pore (1 – 2 %). instances: fibres alone.

    The same arguments give the same phantom. A volume smaller than a structure or two may lack it.
    """
    return render(draw_fields(kind, shape, seed))
