"""The OME metadata of a TIFF file: which of its own pages is what; other files are never named."""

from typing import NamedTuple
from xml.etree import ElementTree


class OmeImage(NamedTuple):
    """One image of a file, of this file's own pages."""

    pages: list[int]
    """In the order of the axes."""
    axes: list[tuple[int, str]]
    """The sizes and letters of those that are longer than 1."""
    notes: tuple[str, ...] = ()


def read_ome_images(xml: str, count: int) -> list[OmeImage]:
    """Read which of a file's `count` pages belong to which plane of which image.

    Nothing of an image without pages here, or where they do not fill a grid of planes. Raises
    `ValueError` where there should be more pages.
    """
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return []
    images = [
        _image(pixels, root.get("UUID"), count) for pixels in root.iterfind("{*}Image/{*}Pixels")
    ]
    return [image for image in images if image is not None]


def _image(pixels: ElementTree.Element, own: str | None, count: int) -> OmeImage | None:
    letters = pixels.get("DimensionOrder", "XYZCT")[2:]  # the first changes fastest
    sizes = {letter: int(pixels.get(f"Size{letter}", 1)) for letter in letters}
    channel = pixels.find("{*}Channel")
    samples = int(channel.get("SamplesPerPixel", 1)) if channel is not None else 1
    sizes["C"] = max(1, sizes["C"] // samples)
    planes: dict[tuple[int, ...], int] = {}
    for data in pixels.iterfind("{*}TiffData"):
        uuid = data.find("{*}UUID")
        if uuid is not None and (uuid.text or "").strip() != own:
            continue
        at = [int(data.get(f"First{letter}", 0)) for letter in letters]
        start = int(data.get("IFD", 0))
        several = count - start if "IFD" not in data.attrib else 1
        stop = start + int(data.get("PlaneCount", several))
        if stop > count:
            raise ValueError(f"it ends too early: its metadata tells of {stop} pages, not {count}")
        for page in range(start, stop):
            planes[tuple(reversed(at))] = page
            for place, letter in enumerate(letters):  # the next plane
                at[place] = (at[place] + 1) % sizes[letter]
                if at[place]:
                    break
    indices = [sorted(set(along)) for along in zip(*planes, strict=True)]
    total = 1
    for along in indices:
        total *= len(along)
    if not planes or total != len(planes):
        return None
    stored = 1
    for size in sizes.values():
        stored *= size
    part = f"Of a set of {stored} planes this file holds {total}; no other file was read."
    return OmeImage(
        [planes[at] for at in sorted(planes)],
        [
            (len(along), letter)
            for along, letter in zip(indices, reversed(letters), strict=True)
            if len(along) > 1
        ],
        (part,) if stored != total else (),
    )
