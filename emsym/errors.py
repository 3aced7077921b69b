"""The error that a user can cause, and words for its sentence."""

from collections.abc import Iterable


class UserError(Exception):
    """One plain sentence: what is wrong and what to do about it.

    The command line prints it without a traceback and exits with code 2.
    """


def first_names(names: Iterable[object]) -> str:
    """The first three of names that a file may have made up: on one line, cut short.

    >>> first_names("abcd")
    'a, b, c, …'
    """
    words = [ascii(name)[1:-1] if not str(name).isprintable() else str(name) for name in names]
    shown = [word if len(word) <= 200 else f"{word[:200]}…" for word in words[:3]]
    return ", ".join(shown) + (", …" if len(words) > 3 else "")


def first_line(error: BaseException) -> str:
    """The first line of an error, cut short, or its type where it says nothing.

    >>> first_line(ValueError("far too much\\nto tell"))
    'far too much'
    """
    line = str(error).strip().partition("\n")[0].rstrip(".:")
    return line[:200] or type(error).__name__
