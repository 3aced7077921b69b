"""Triton imported so that the viewer's graphics driver does not get into its way.

Mesa's drivers load LLVM with its symbols open to all libraries. Triton, which PyTorch imports where
it is installed, has an LLVM of its own, of another version; once a viewer has drawn, it would find
Mesa's, and Python would end with a segmentation fault. Bound to its own symbols, it does not.
"""

import os
import sys
from contextlib import suppress


def import_triton() -> None:
    """Import Triton, where it is installed, bound to its own symbols; do it before PyTorch does."""
    deep = getattr(os, "RTLD_DEEPBIND", None)  # of Linux alone, as Triton is
    if deep is None:
        return
    before = sys.getdlopenflags()
    sys.setdlopenflags(before | deep)
    try:
        with suppress(ImportError):
            import triton  # noqa: F401
    finally:
        sys.setdlopenflags(before)
