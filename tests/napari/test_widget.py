"""The widget in a viewer of napari: the verdict, the maps, and a sentence for whatever is wrong."""

import threading
import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("napari", reason="pip install 'emsym[napari]' 'napari[pyside6]' pytest-qt")
pytest.importorskip("pytestqt", reason="pip install pytest-qt")

import torch
from audited_networks import NAME, network

from emsym.auditing.result import Audit
from emsym.data.phantoms import generate_phantom
from emsym.napari.own_llvm import import_triton
from emsym.napari.widget import AuditWidget

pytestmark = pytest.mark.usefixtures("one_thread")
PHANTOM = generate_phantom("neurites", (9, 64, 64), 0)
WAIT = 240_000
"""Milliseconds."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import_triton()  # a viewer has drawn by now: see there
    path = tmp_path_factory.mktemp("weights") / "net.pt"
    torch.save(network().state_dict(), path)
    return path


@pytest.fixture
def docked(make_napari_viewer: Callable) -> tuple[Any, AuditWidget]:
    viewer = make_napari_viewer()
    widget = AuditWidget(viewer)
    viewer.window.add_dock_widget(widget, name="emsym")
    return viewer, widget


def fill(widget: AuditWidget, weights: Path, **more: str) -> None:
    widget.network.setText(str(weights))
    for name, text in {"architecture": NAME, "attribution": "saliency", **more}.items():
        widget._fields[name].setText(text)


def wait(qtbot: Any, widget: AuditWidget) -> None:
    qtbot.waitUntil(lambda: widget._worker is None, timeout=WAIT)


def test_the_manifest_is_valid_and_names_what_is_there() -> None:
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(str(files("emsym.napari") / "napari.yaml"))
    manifest.validate_imports()
    assert manifest.name == "emsym"
    (contribution,) = manifest.contributions.widgets
    (command,) = manifest.contributions.commands
    assert contribution.command == command.id
    assert (
        command.python_name.import_name == "emsym.napari.widget:AuditWidget"
        if hasattr(command.python_name, "import_name")
        else command.python_name == "emsym.napari.widget:AuditWidget"
    )


def test_the_entry_point_is_the_manifest() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    module, _, file = project["entry-points"]["napari.manifest"]["emsym"].partition(":")
    assert files(module).joinpath(file).is_file()


def test_napari_docks_the_widget_of_the_manifest(make_napari_viewer: Callable, npe2pm: Any) -> None:
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(str(files("emsym.napari") / "napari.yaml"))
    with npe2pm.tmp_plugin(manifest=manifest):
        _, widget = make_napari_viewer().window.add_plugin_dock_widget("emsym")
    assert isinstance(widget, AuditWidget)


def test_a_network_and_a_layer_give_a_verdict_and_maps_of_the_section_shown(
    docked: tuple[Any, AuditWidget], weights: Path, qtbot: Any, tmp_path: Path
) -> None:
    viewer, widget = docked
    image = viewer.add_image(PHANTOM.image, name="raw", scale=(50, 4, 4), translate=(100, 0, 8))
    fill(widget, weights, size="48", sections="3")
    viewer.dims.set_point(0, 100 + 50 * 5)
    progress: list[tuple[int, int]] = []
    widget.progressed.connect(lambda *numbers: progress.append(numbers))
    widget.audit_button.click()
    assert not widget.audit_button.isEnabled()
    wait(qtbot, widget)
    assert widget.report is not None, widget.message.text()
    assert progress[0] == (0, 3)
    assert progress[-1] == (3, 3)
    said = widget.verdict.toPlainText()
    assert widget.report.audit.verdict in said
    assert "Voxels of 50 × 4 × 4 nm (z, y, x), by the layer's scale" in said
    assert "The layers are of section 5" in widget.message.text()
    assert "48 × 48 pixels in its middle" in widget.message.text()
    assert widget.report.audit.data.voxel_size_nm == (50, 4, 4)
    maps = {layer.metadata["emsym"]["map"]: layer for layer in viewer.layers if layer is not image}
    assert list(maps) == ["probability", "flip error", "z−1", "z", "z+1"]
    for layer in maps.values():
        assert layer.data.shape == (1, 48, 48)
        # where the pixels lie that they are of, in the section that is shown
        np.testing.assert_allclose(layer.translate, (350, 32, 40))
        np.testing.assert_allclose(layer.scale, image.scale)
    assert maps["z−1"].data.any()

    # another section: the same layers, as the user has set them
    maps["z−1"].visible = False
    viewer.dims.set_point(0, 100)  # the first has no section before it
    widget.maps_button.click()
    wait(qtbot, widget)
    assert len(viewer.layers) == 6
    assert not maps["z−1"].visible
    assert maps["z−1"].metadata["emsym"]["section"] == 1
    assert viewer.dims.point[0] == 150  # where they are seen
    assert "section 0 was shown" in widget.message.text()

    widget.save_report(tmp_path / "audit.html")
    assert (tmp_path / "audit.html").exists()
    numbers = Audit.model_validate_json((tmp_path / "audit.json").read_text())
    assert numbers.verdict == widget.report.audit.verdict
    widget.save_report(tmp_path / "audit.html")
    assert "exists" in widget.message.text()


def test_labels_and_an_array_that_is_read_as_it_is_sliced(
    docked: tuple[Any, AuditWidget], weights: Path, qtbot: Any
) -> None:
    import dask.array

    viewer, widget = docked
    viewer.add_image(dask.array.from_array(PHANTOM.image, (1, 64, 64)))
    viewer.add_labels(PHANTOM.semantic)
    widget._reset_choices()
    widget.labels.value = viewer.layers[1]
    fill(widget, weights, sections="2")
    widget.start_audit()
    wait(qtbot, widget)
    assert widget.report is not None, widget.message.text()
    assert widget.report.audit.headline == "saliency/true-foreground"
    assert widget.report.audit.dice is not None


def test_it_can_be_cancelled(
    docked: tuple[Any, AuditWidget], weights: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, widget = docked
    viewer.add_image(PHANTOM.image)
    begun, go_on = threading.Event(), threading.Event()
    report = widget._report_progress

    def held(done: int, total: int) -> None:
        begun.set()
        assert go_on.wait(WAIT / 1000)
        report(done, total)

    monkeypatch.setattr(widget, "_report_progress", held)
    fill(widget, weights)
    widget.start_audit()
    qtbot.waitUntil(begun.is_set, timeout=WAIT)
    widget.cancel_button.click()
    go_on.set()
    wait(qtbot, widget)
    assert widget.message.text() == "Cancelled."
    assert widget.report is None
    assert len(viewer.layers) == 1
    assert widget.audit_button.isEnabled()


@pytest.mark.parametrize(
    ("data", "kind", "options", "words"),
    [
        (None, {}, {}, "Choose an image layer"),
        (np.zeros((64, 64, 3), np.uint8), {"rgb": True}, {}, "is a colour image"),
        (PHANTOM.image[0], {}, {}, "is a single section"),
        (PHANTOM.image, {}, {"channel": "red"}, "channel: write a whole number"),
        (PHANTOM.image, {}, {"architecture": "unet-resnet99"}, "resnet99"),
        (PHANTOM.image, {}, {"architecture": "unet-resnet18"}, "net.pt"),
        (PHANTOM.image[:2], {}, {}, "fewer than the 3 of one slice stack"),
        (np.zeros_like(PHANTOM.image), {}, {}, "is 0 everywhere"),
    ],
)
def test_what_a_user_can_do_wrong_is_a_sentence(
    docked: tuple[Any, AuditWidget],
    weights: Path,
    qtbot: Any,
    data: np.ndarray | None,
    kind: dict,
    options: dict,
    words: str,
) -> None:
    viewer, widget = docked
    if data is not None:
        viewer.add_image(data, **kind)
    fill(widget, weights, **options)
    widget.start_audit()
    wait(qtbot, widget)
    assert words in widget.message.text()
    assert "Traceback" not in widget.message.text()
    assert widget.report is None
    assert widget.audit_button.isEnabled()


def test_what_nobody_foresaw_is_a_sentence_too(
    docked: tuple[Any, AuditWidget], weights: Path, qtbot: Any
) -> None:
    """Such as of a volume whose file is gone when it is read."""
    import dask.array

    viewer, widget = docked
    gone = threading.Event()

    def block(part: np.ndarray) -> np.ndarray:
        if gone.is_set():
            raise OSError("the disk is gone")
        return part

    viewer.add_image(dask.array.from_array(PHANTOM.image, (1, 64, 64)).map_blocks(block))
    fill(widget, weights)
    gone.set()
    widget.start_audit()
    wait(qtbot, widget)
    gone.clear()
    assert "not foreseen (OSError: the disk is gone)" in widget.message.text()
    assert widget.audit_button.isEnabled()


def test_without_a_network_it_says_so(docked: tuple[Any, AuditWidget]) -> None:
    viewer, widget = docked
    viewer.add_image(PHANTOM.image)
    widget.start_audit()
    assert widget.message.text().startswith("Choose a network")
