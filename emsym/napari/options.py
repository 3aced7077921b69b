"""The options of an audit that a form asks for: those of the command line, field by field."""

from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass
from types import UnionType
from typing import Any, ForwardRef, Literal, Union, get_args, get_origin

from emsym.auditing.inputs import AuditInputs, described_fields
from emsym.errors import UserError

_LAYERS = ("labels", "axes")
"""Fields that a layer answers."""
_LABELS = {"factory": "model"}
"""Options that are not called as their fields are; the command line calls them so, too."""
_DEFAULT = "by default"


@dataclass(frozen=True)
class Option:
    """A field of an audit's inputs as a form shows it."""

    name: str
    """The field's."""
    label: str
    text: str
    """The description of what it means."""
    default: str
    """The text that it begins with; nothing where it is found by default."""
    choices: dict[str, Any] | None
    """The values to choose from, by what is shown; None where it is written."""
    read: Callable[[str], Any]
    """The value of what is written; `ValueError` where it is none."""
    kind: str
    """The kind of value, in words."""


def audit_options() -> list[Option]:
    """Return the options in the order of the fields."""
    return [
        _option(field.name, field.default, kind, text)
        for field, kind, text in described_fields(AuditInputs)
        if field.default is not MISSING and field.name not in _LAYERS
    ]


def read_options(options: Sequence[Option], written: dict[str, str]) -> dict[str, Any]:
    """Return the fields that a user has filled in, by name, of what is written, by name.

    Raises `UserError` for what cannot be read, naming the option.
    """
    values = {}
    for option in options:
        text = written[option.name].strip()
        if text == option.default:
            continue
        if option.choices is not None:
            values[option.name] = option.choices[text]
            continue
        if not text:
            continue
        try:
            values[option.name] = option.read(text)
        except ValueError as error:
            raise UserError(f"{option.label}: write {option.kind}, and not '{text}'.") from error
    return values


def _option(name: str, default: Any, kind: Any, text: str) -> Option:
    if get_origin(kind) in (Union, UnionType):
        kind = get_args(kind)[0]  # beside None, or a single one beside several
    choices: dict[str, Any] | None = None
    if kind is bool:
        choices = {_DEFAULT: None} if default is None else {}
        choices |= {"no": False, "yes": True}
    elif get_origin(kind) is Literal:
        choices = {_DEFAULT: None, **{str(value): value for value in get_args(kind)}}
    if choices is not None:
        shown = next(word for word, value in choices.items() if value == default)
    elif default is None or isinstance(default, tuple):
        shown = ""
    else:
        shown = str(default)
    label = _LABELS.get(name, name.replace("_", " "))
    return Option(name, label, text, shown, choices, *_reader(kind))


def _reader(kind: Any) -> tuple[Callable[[str], Any], str]:
    """Return what reads a value of a type, and what such a value is called."""
    if kind is int:
        return int, "a whole number"
    if kind is float:
        return float, "a number"
    if get_origin(kind) is tuple:
        return _three_numbers, "three numbers, z y x"
    if get_origin(kind) is Sequence:
        return _words, "names, with spaces between them"
    assert kind is str or kind is bool or get_origin(kind) is Literal or _is_text(kind), kind
    return str, "text"


def _is_text(kind: Any) -> bool:
    return isinstance(kind, ForwardRef)


def _three_numbers(text: str) -> tuple[float, float, float]:
    z, y, x = map(float, _words(text))
    return z, y, x


def _words(text: str) -> list[str]:
    """Split what is separated by spaces or commas."""
    return text.replace(",", " ").split()
