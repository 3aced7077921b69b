"""Triton is imported bound to its own symbols, and all else as before."""

import os
import sys
from pathlib import Path

import pytest

from emsym.napari.own_llvm import import_triton

DEEP = getattr(os, "RTLD_DEEPBIND", None)


@pytest.mark.skipif(DEEP is None, reason="only Linux binds libraries that way")
@pytest.mark.parametrize("error", ["", "raise ImportError", "raise ZeroDivisionError"])
def test_flags_hold_for_triton_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    (tmp_path / "triton.py").write_text(f"import sys\nflags = sys.getdlopenflags()\n{error}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    before = sys.getdlopenflags()
    if error == "raise ZeroDivisionError":  # a broken one is not hidden
        with pytest.raises(ZeroDivisionError):
            import_triton()
    else:
        import_triton()
    assert sys.getdlopenflags() == before
    if not error:
        assert sys.modules["triton"].flags & DEEP
    sys.modules.pop("triton", None)
