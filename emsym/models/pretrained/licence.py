"""The licence of pretrained weights, where timm or the file itself names one."""

from pathlib import Path

from emsym.errors import one_line

LONGEST = 80
"""Characters of a licence's name that are kept, as in ``CC-BY-NC-4.0``; what is no name is cut."""


def licence_of_timm(tag: str) -> str | None:
    """Return the licence that timm names for weights of its own, such as ``resnet50.a1_in1k``.

    None where it names none.

    >>> licence_of_timm("mobilenetv2_100.ra_in1k")
    'apache-2.0'
    """
    import timm

    config = timm.models.get_pretrained_cfg(tag)
    return config.license if config else None


def licence_of_file(path: Path) -> str | None:
    """Return the licence in the metadata of a .safetensors file, under ``license`` or ``licence``.

    None where it names none, and for files of other kinds, which have no such place.
    """
    if path.suffix != ".safetensors":
        return None
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError):  # whoever reads its tensors says what is wrong
        return None
    told = metadata.get("license") or metadata.get("licence") or ""
    return one_line(told)[:LONGEST] or None
