"""Small tables in HTML, as notebooks show a result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of plain texts, with the first of each row as its heading.

    >>> html_table(["slice", "share"], [["z−1", "<.5"]])
    '<table><tr><th>slice</th><th>share</th></tr><tr><th>z−1</th><td>&lt;.5</td></tr></table>'
    """
    lines = ["".join(f"<th>{escape(text)}</th>" for text in head)]
    for first, *others in rows:
        lines.append(f"<th>{escape(first)}</th>" + "".join(f"<td>{escape(o)}</td>" for o in others))
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def html_lines(lines: Iterable[str]) -> str:
    """Return a paragraph for each sentence.

    >>> html_lines(["a < b"])
    '<p>a &lt; b</p>'
    """
    return "".join(f"<p>{escape(line)}</p>" for line in lines)
