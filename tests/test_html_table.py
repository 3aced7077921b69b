"""Small tables in HTML."""

from emsym.html_table import html_lines, html_table


def test_every_text_is_escaped() -> None:
    mark = "<script>&"
    shown = html_table([mark, "b"], [[mark, mark]]) + html_lines([mark])
    assert "<script>" not in shown
    assert shown.count("&lt;script&gt;&amp;") == 4


def test_a_row_is_a_heading_and_its_cells() -> None:
    shown = html_table(["a", "b", "c"], [["1", "2", "3"], ["4", "5", "6"]])
    assert (shown.count("<tr>"), shown.count("<th>"), shown.count("<td>")) == (3, 5, 4)
