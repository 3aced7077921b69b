"""Whatever is sent is sound, or it is refused in one sentence that names the file."""

import csv
import io
import shutil
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from submission_edits import CELLS, GROUP, MANIFEST, SHEET, Files

from emsym.errors import UserError
from emsym.submission.validate import validate

TEXTS = st.sampled_from(
    [
        *("nan", "Infinity", "-inf", "1e999", "0x1p3", "", "null", "true", "[]", "{}", "''", '"""'),
        *(
            "<script>alert(1)</script>",
            "](javascript:alert(1))",
            "../../../etc/passwd",
            "C:\\con",
            "\0",
            "\x1b[2J",
        ),
        *("\u202e", "\ufeff", "\ud7ff", "𝔘", "9" * 400, "-1", "1.5", "[" * 3000, "a." * 2000),
        *("=cmd|' /C calc'!A0", "%s%n", "${HOME}", "__proto__", "x" * 5000, "\r\n", ",,,,", "#"),
    ]
)


@st.composite
def mutations(draw: st.DrawFn) -> Callable[[Files], None]:
    """One change of a submission's files, small and sly or large and rude."""
    kind = draw(st.sampled_from(["bytes", "cut", "text", "cell", "array", "move", "encode"]))
    at, seed = draw(st.floats(0, 1, exclude_max=True)), draw(st.integers(0, 2**32 - 1))
    text, noise = draw(TEXTS | st.text(max_size=20)), draw(st.binary(min_size=1, max_size=40))
    which = draw(st.integers(0, 99))

    def mutate(files: Files) -> None:
        names = sorted(files)
        name = names[which % len(names)]
        content = files[name]
        place = int(at * max(len(content), 1))
        if kind == "bytes":
            files[name] = content[:place] + noise + content[place + which % 3 * len(noise) :]
        elif kind == "cut":
            files[name] = content[:place]
        elif kind == "text":
            name = (SHEET, MANIFEST, CELLS)[which % 3]
            words = files[name].decode("utf-8", "replace").split('"')
            words[int(at * len(words))] = text
            files[name] = '"'.join(words).encode("utf-8", "surrogatepass")
        elif kind == "cell":
            lines = files[CELLS].decode("utf-8", "replace").split("\n")
            cells = lines[which % len(lines)].split(",")
            cells[int(at * len(cells))] = text
            lines[which % len(lines)] = ",".join(cells)
            files[CELLS] = "\n".join(lines).encode("utf-8", "surrogatepass")
        elif kind == "array" and zipfile.is_zipfile(io.BytesIO(files.get(GROUP, b""))):
            files[GROUP] = rewrite(files[GROUP], which, np.random.default_rng(seed), text)
        elif kind == "move":
            other = names[seed % len(names)]
            files[name], files[other] = files[other], files[name]
        elif kind == "encode":
            codec = ("utf-16", "utf-7", "utf-8-sig", "latin-1", "utf-32")[which % 5]
            files[name] = content.decode("latin-1").encode(codec)

    return mutate


def rewrite(content: bytes, which: int, rng: np.random.Generator, text: str) -> bytes:
    """An npz in which one array is another: its bytes, its type, its shape or its name."""
    stream = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, RuntimeError, zlib.error):
        return content
    with zipfile.ZipFile(stream, "w") as archive:
        for at, (name, npy) in enumerate(members):
            if at == which % len(members):
                match which % 5:
                    case 0:
                        at_byte = int(rng.integers(max(len(npy), 1)))
                        npy = npy[:at_byte] + bytes([rng.integers(256)]) + npy[at_byte + 1 :]
                    case 1:
                        npy = npy[: int(rng.integers(max(len(npy), 1)))]
                    case 2:
                        npy = npy.replace(b"<f4", [b"|O8", b"<f8", b"<c8", b"<M8"][rng.integers(4)])
                    case 3:
                        npy = npy.replace(b"(4, 3)", b"(3, 4)").replace(b"(4,)", b"(9,)")
                    case 4:
                        name = f"{text[:50]}.npy"
            archive.writestr(name.replace("\0", "") or "x", npy)
    return stream.getvalue()


@settings(
    max_examples=600,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(changes=st.lists(mutations(), min_size=1, max_size=3))
def test_whatever_is_sent_is_sound_or_refused_in_one_sentence(
    packed: Any, changes: list[Callable[[Files], None]]
) -> None:
    root, files = packed.root, packed.files
    changed = dict(files)
    for change in changes:
        change(changed)
    folder = root / "ours-1"
    for name, content in changed.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    before = snapshot(root)
    try:
        with warnings.catch_warnings(action="error"):  # it would be a second sentence
            report = validate(folder, str(root / "tiny.toml"))
    except UserError as error:
        told = str(error)
        assert str(folder) in told
        assert told.isprintable()  # so it is one line
        assert len(told) < 1000
    else:  # then the change was one of words, or of nothing
        assert report.counts["done"] > 0
        for name in (CELLS, GROUP):
            assert meaning(name, changed[name]) == meaning(name, files[name])
    finally:
        assert snapshot(root) == before, "nothing was written"
        shutil.rmtree(folder)


def snapshot(root: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.stat().st_mtime_ns) for path in root.rglob("*"))


def meaning(name: str, content: bytes) -> object:
    """What the scores and values of a file are, however they are written."""
    if name == CELLS:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
        facts = ("weights_tag", "weights_digest", "seconds", "peak_memory_mb", "error")
        told = [{k: v for k, v in row.items() if k not in facts} for row in rows]
        return [{k: number(v) for k, v in row.items() if k != "arand_3d"} for row in told]
    with np.load(io.BytesIO(content)) as arrays:
        looks = {name for name in arrays if name.startswith("over_training/")}
        return {
            n: np.round(np.nan_to_num(arrays[n], nan=-9).astype(float), 4).tolist()
            for n in arrays
            if n not in looks | {"keys"}
        }


def number(text: str) -> object:
    try:
        return round(float(text), 4)
    except ValueError:
        return text
