"""The error that a user can cause, and words for its sentence."""

import traceback
import unicodedata
from collections.abc import Iterable

_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Kinds of characters that steer a terminal, hide, or turn the order of others around."""


class UserError(Exception):
    """One plain sentence: what is wrong and what to do about it.

    The command line prints it without a traceback and exits with code 2.
    """


def escape_unseen(text: str) -> str:
    """Return a text with its control, invisible and direction characters escaped.

    What a stranger chose can then neither begin a line of a log nor look like something else.

    >>> print(escape_unseen(f"a{chr(27)}[2J"))
    a\\x1b[2J
    """
    if text.isprintable():
        return text
    return "".join(
        ascii(sign)[1:-1] if unicodedata.category(sign) in _UNSEEN else sign for sign in text
    )


def one_line(text: str) -> str:
    """Return a text on one line, in which nothing steers a terminal or hides."""
    return escape_unseen(" ".join(text.split()))


def first_names(names: Iterable[object]) -> str:
    """Return the first three of names that a file may have made up: on one line, cut short.

    >>> first_names("abcd")
    'a, b, c, …'
    """
    words = [ascii(name)[1:-1] if not str(name).isprintable() else str(name) for name in names]
    shown = [word if len(word) <= 200 else f"{word[:200]}…" for word in words[:3]]
    return ", ".join(shown) + (", …" if len(words) > 3 else "")


def first_line(error: BaseException) -> str:
    """Return the first line of an error, cut short, or its type where it says nothing.

    >>> first_line(ValueError("far too much\\nto tell"))
    'far too much'
    """
    line = str(error).strip().partition("\n")[0].rstrip(".:")
    return line[:200] or type(error).__name__


def first_three(names: list[str]) -> str:
    """Return the first three of many names, and how many more there are.

    >>> first_three(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def error_with_type(error: BaseException) -> str:
    """Return the type and the message of an error on one line, without a full stop.

    >>> error_with_type(ValueError("far\\n too much."))
    'ValueError: far too much'
    """
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".rstrip(" :.")


def error_with_place(error: BaseException) -> str:
    """Return `error_with_type`, and the file and line where it was raised."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    return f"{error_with_type(error)} ({at.filename}:{at.lineno})"


def ended_by(error: BaseException) -> str:
    """Return the sentence on code of a user's that ends the program, as `sys.exit` does."""
    return (
        f"The program was ended before it was done, by {error_with_place(error)}: let code that is "
        "called from here return, or raise an error."
    )
