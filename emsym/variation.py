"""A protocol's content with another value in one place, by which its variants differ."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field


def _may_vary(key: str) -> str:
    if not re.fullmatch(r"slices|border|recipe\.\w+", key):
        raise ValueError(f"only slices, border and recipe.… may vary, not {key!r}")
    return key


Varied = Annotated[str, AfterValidator(_may_vary)]
"""The key of a protocol whose value varies."""

Values = Annotated[tuple[int | float | str, ...], Field(min_length=2)]
"""The values that it has in turn."""


def with_value(content: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return the content of a protocol with a value in place of that of a key, and so named.

    A key of a table is written as ``recipe.steps``. The name becomes NAME-VALUE.

    >>> with_value({"name": "lr", "recipe": {"steps": 9}}, "recipe.steps", 2)
    {'name': 'lr-2', 'recipe': {'steps': 2}}
    """
    table, _, name = key.rpartition(".")
    change = {table: {**content[table], name: value}} if table else {name: value}
    return {**content, **change, "name": f"{content['name']}-{value}"}
