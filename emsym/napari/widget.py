"""The widget of the plug-in: a form, the verdict in words, and the maps as layers."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import create_widget
from napari.layers import Image, Labels
from napari.qt.threading import create_worker
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from emsym.auditing.inputs import AuditInputs
from emsym.errors import UserError, error_with_type
from emsym.napari.layer_volume import layer_volume, placed, shown_section
from emsym.napari.map_layers import map_layers, map_origin, map_sentence
from emsym.napari.options import audit_options, read_options
from emsym.napari.own_llvm import import_triton

if TYPE_CHECKING:
    from emsym.auditing.audit import AuditReport
    from emsym.auditing.result import Audit, SectionExample

_FIRST = ("architecture",)
"""Options that stand above the fold."""


class _CancelledError(Exception):
    """The user wants no more sections."""


@dataclass(frozen=True)
class _Failed:
    """The error that a worker ended by; napari would show one that is raised with a traceback."""

    error: Exception


class AuditWidget(QWidget):
    """Audits a network on a layer, and shows what explains its answer in the section shown."""

    progressed = Signal(int, int)
    """How many sections are done, and how many will be at most; emitted by the audit's thread."""
    audited = Signal(object)
    """The finished audit: its inputs, layer, report, and where the voxel size is from."""

    def __init__(self, napari_viewer: Any) -> None:
        """`napari_viewer` is the viewer that it is docked in."""
        super().__init__()
        self.viewer = napari_viewer
        self.report: AuditReport | None = None
        """The last audit that was finished."""
        self._inputs: AuditInputs | None = None
        self._layer: Any = None
        self._worker: Any = None
        self._finish: Callable[[Any], None]
        """The method that is given the result of the worker that runs."""
        self._shown: dict[str, Any] = {}
        """The layers that hold maps, by their keys."""
        self._options = audit_options()
        self._fields = {option.name: _field(option) for option in self._options}
        self._build()
        self.progressed.connect(self._show_progress)
        self.audited.connect(self._finish_audit)

    # --- the form ---------------------------------------------------------------------------------

    def _build(self) -> None:
        self.network = QLineEdit()
        self.network.setPlaceholderText("a file, or a folder that describes a network")
        browse = QPushButton("Choose…")
        browse.clicked.connect(self._choose_network)
        line = QHBoxLayout()
        line.addWidget(self.network)
        line.addWidget(browse)
        # magicgui's lists of layers follow the viewer that their native widgets stand in
        self.image = create_widget(annotation=Image, options={"nullable": True})
        self.labels = create_widget(annotation=Labels, options={"nullable": True})
        form = QFormLayout()
        form.addRow("network", line)
        labels = {option.name: option.label for option in self._options}
        for name in _FIRST:
            form.addRow(labels[name], self._fields[name])
        form.addRow("image", self.image.native)
        form.addRow("labels", self.labels.native)
        more = QWidget()
        rest = QFormLayout(more)
        for option in self._options:
            if option.name not in _FIRST:
                rest.addRow(option.label, self._fields[option.name])
        scroll = QScrollArea()
        scroll.setWidget(more)
        scroll.setWidgetResizable(True)
        scroll.setMinimumHeight(220)
        folded = QCollapsible("More options")
        folded.addWidget(scroll)

        self.audit_button = _button("Audit", self.start_audit)
        self.cancel_button = _button("Cancel", self.cancel)
        self.maps_button = _button("Explain the section shown", self.start_maps)
        self.save_button = _button("Save report…", self._choose_report)
        self.progress = QProgressBar()
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.verdict = QTextBrowser()
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(folded)
        for buttons in (
            (self.audit_button, self.cancel_button),
            (self.maps_button, self.save_button),
        ):
            row = QHBoxLayout()
            for button in buttons:
                row.addWidget(button)
            layout.addLayout(row)
        layout.addWidget(self.progress)
        layout.addWidget(self.message)
        layout.addWidget(self.verdict, stretch=1)
        self._rest()
        self.viewer.layers.events.inserted.connect(self._reset_choices)
        self.viewer.layers.events.removed.connect(self._reset_choices)

    def showEvent(self, event: Any) -> None:  # noqa: D102
        super().showEvent(event)
        self._reset_choices()

    def _reset_choices(self, event: Any = None) -> None:
        first = self.image.value is None
        self.image.reset_choices()
        self.labels.reset_choices()
        images = [layer for layer in self.image.choices if layer is not None]
        if first and images:
            self.image.value = images[0]

    def _choose_network(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "A network")
        if path:
            self.network.setText(path)

    def _inputs_of_form(self) -> tuple[AuditInputs, Any, str]:
        """Return what is to be audited, the image layer, and where the voxel size is from.

        Raises `UserError` for what is missing or cannot be read.
        """
        network, layer, labels = self.network.text().strip(), self.image.value, self.labels.value
        if not network:
            raise UserError("Choose a network: the file of its weights, or of the whole of it.")
        if layer is None:
            raise UserError("Choose an image layer: open a volume, and name it under 'image'.")
        written = {name: _text(field) for name, field in self._fields.items()}
        options = read_options(self._options, written)
        volume = layer_volume(layer)
        note = volume.note
        if "voxel_size" in options:
            note = ""
        else:
            options["voxel_size"] = volume.voxel_size
        inputs = AuditInputs(
            network,
            volume.array,
            None if labels is None else layer_volume(labels).array,
            axes="zyx",  # as napari shows it
            **options,
        )
        return inputs, layer, note

    # --- work in a thread of its own --------------------------------------------------------------

    def start_audit(self) -> None:
        """Audit what the form says, and explain the section that is shown."""
        try:
            inputs, layer, note = self._inputs_of_form()
        except UserError as error:
            self.message.setText(str(error))
            return
        section = shown_section(layer, self.viewer.dims.point)

        def work() -> Any:
            import_triton()
            from emsym.auditing.audit import audit  # imports torch

            words = {field.name: getattr(inputs, field.name) for field in fields(inputs)}
            report = audit(**words | {"progress": self._report_progress})
            # at once, so that it is not lost where the user wants no maps any more
            self.audited.emit((inputs, layer, report, note))
            return section, *_maps(inputs, report.audit, section)

        self._start(work, self._finish_maps, "Loads the network …")

    def start_maps(self) -> None:
        """Explain the section that is shown, of what was audited last."""
        inputs, report, layer = self._inputs, self.report, self._layer
        if inputs is None or report is None:
            return
        section = shown_section(layer, self.viewer.dims.point)

        def work() -> Any:
            return section, *_maps(inputs, report.audit, section)

        self._start(work, self._finish_maps, f"Explains section {section} …")

    def cancel(self) -> None:
        """Ask the audit to stop; it does when the sections at hand are done."""
        if self._worker is not None:
            self._worker.quit()
            self.message.setText("Stops when the sections at hand are done …")

    def _start(self, work: Callable[[], Any], finish: Callable[[Any], None], message: str) -> None:
        if self._worker is not None:
            return

        def run() -> Any:
            try:
                return work()
            except Exception as error:  # whatever a stranger's network or array raises
                return _Failed(error)

        self._worker = create_worker(run, _start_thread=False)
        self._finish = finish
        self._worker.returned.connect(self._end)  # not emitted where it was cancelled
        self._worker.finished.connect(self._rest)
        self.message.setText(message)
        self.progress.setRange(0, 0)  # moves to and fro until a number is known
        self.progress.show()
        for button in (self.audit_button, self.maps_button, self.save_button):
            button.setEnabled(False)
        self.cancel_button.setEnabled(True)
        self._worker.start()

    def _end(self, result: Any) -> None:
        if isinstance(result, _Failed):
            self._fail(result.error)
        else:
            self._finish(result)

    def _report_progress(self, done: int, total: int) -> None:
        """Tell how far the audit is; called in its thread. Raises where it is to stop."""
        worker = self._worker
        if worker is None or worker.abort_requested:
            raise _CancelledError
        self.progressed.emit(done, total)

    def _show_progress(self, done: int, total: int) -> None:
        if self._worker is not None and not self._worker.abort_requested:
            self.progress.setRange(0, total)
            self.progress.setValue(done)
            self.message.setText(f"{done} of at most {total} sections are done.")

    def _rest(self) -> None:
        """Let the form be used again."""
        if self._worker is not None and self._worker.abort_requested:
            self.message.setText("Cancelled.")
        self._worker = None
        self.progress.hide()
        self.audit_button.setEnabled(True)
        self.cancel_button.setEnabled(False)
        for button in (self.maps_button, self.save_button):
            button.setEnabled(self.report is not None)

    def _fail(self, error: Exception) -> None:
        if isinstance(error, UserError):
            self.message.setText(str(error))
        else:
            self.message.setText(
                f"It was ended by an error that was not foreseen ({error_with_type(error)}): where "
                "neither the network nor the volume explains it, please report it."
            )

    def closeEvent(self, event: Any) -> None:  # noqa: D102
        self.cancel()
        super().closeEvent(event)

    # --- what was found ---------------------------------------------------------------------------

    def _finish_audit(self, finished: Any) -> None:
        self._inputs, self._layer, self.report, note = finished
        self.verdict.setHtml(_verdict_html(self.report, note))
        self.message.setText("Explains the section shown …")

    def _finish_maps(self, result: Any) -> None:
        assert self.report is not None
        section, example, problem = result
        if example is not None:
            self._show_maps(example)
            problem = map_sentence(example, self.report.audit, section)
        self.message.setText(problem)

    def _show_maps(self, example: "SectionExample") -> None:
        """Put the maps of a section into the layers of those of the last one, or into new ones."""
        assert self.report is not None
        audited = self.report.audit
        origin = map_origin(audited, example.section)
        place = placed(self._layer, origin)
        for each in map_layers(example, audited):
            told = {"name": each.name, "contrast_limits": each.contrast_limits}
            metadata = {"emsym": {"map": each.key, "section": example.section}}
            layer = self._shown.get(each.key)
            if layer is None or layer not in self.viewer.layers:
                layer = self.viewer.add_image(each.data, **each.look, **told, **place)
                self._shown[each.key] = layer
            else:
                layer.data = each.data
                for name, value in (told | place).items():
                    setattr(layer, name, value)
            layer.metadata = metadata
        self.viewer.layers.selection.active = self._layer
        middle = self._layer.data_to_world((origin[0], 0, 0))
        self.viewer.dims.set_point(self.viewer.dims.ndim - self._layer.ndim, middle[0])

    def _choose_report(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the report", "audit.html", "*.html")
        if path:
            self.save_report(Path(path))

    def save_report(self, path: Path) -> None:
        """Write the report, and its numbers beside it; say where, or why not."""
        assert self.report is not None
        try:
            written = self.report.write(path)
        except UserError as error:
            self.message.setText(str(error))
        else:
            self.message.setText(f"Saved: {written[0]} and {written[1].name}.")


def _maps(
    inputs: AuditInputs, audited: "Audit", section: int
) -> tuple["SectionExample | None", str]:
    """Return the maps of the section, or of the nearest that has any; or else why there are none.

    A finished audit is not lost where they cannot be made.
    """
    from emsym.auditing.section_maps import nearest_whole_stack, section_maps

    near = nearest_whole_stack(section, audited.slices, audited.data.shape[0])
    try:
        return section_maps(replace(inputs, progress=lambda done, total: None), audited, near), ""
    except UserError as error:
        return None, f"Section {near} is not explained: {error}"


def _verdict_html(report: "AuditReport", note: str) -> str:
    """Return what was found, as a notebook shows it, and where the voxel size is from."""
    head = f"<h3>{escape(report.audit.finding.capitalize())}</h3>"
    return head + report._repr_html_() + f"<p>{escape(note)}</p>"


def _button(text: str, do: Any) -> QPushButton:
    button = QPushButton(text)
    button.clicked.connect(lambda: do())
    return button


def _field(option: Any) -> QWidget:
    """Return the field of an option: a list where there are choices, and a line elsewhere."""
    if option.choices is not None:
        field = QComboBox()
        field.addItems(option.choices)
        field.setCurrentText(option.default)
    else:
        field = QLineEdit(option.default)
        field.setPlaceholderText("by default")
    field.setToolTip(option.text)
    return field


def _text(field: QWidget) -> str:
    return field.currentText() if isinstance(field, QComboBox) else field.text()
