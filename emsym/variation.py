"""A protocol's content with another value in one place, by which its variants differ."""

from typing import Any


def with_value(content: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return the content of a protocol with a value in place of that of a key, and so named.

    A key of a table is written as ``recipe.steps``. The name becomes NAME-VALUE.

    >>> with_value({"name": "lr", "recipe": {"steps": 9}}, "recipe.steps", 2)
    {'name': 'lr-2', 'recipe': {'steps': 2}}
    """
    table, _, name = key.rpartition(".")
    change = {table: {**content[table], name: value}} if table else {name: value}
    return {**content, **change, "name": f"{content['name']}-{value}"}
