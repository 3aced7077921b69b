"""The rules that the package's layout keeps to, so that a newcomer finds the way in it."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
TREES = {
    path: ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "emsym").rglob("*.py")
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {module_name(path): tree for path, tree in TREES.items()}


def imports(tree: ast.AST) -> set[str]:
    """The package's modules that a module imports anywhere but for type checkers."""
    if isinstance(tree, ast.If) and "TYPE_CHECKING" in ast.dump(tree.test):
        return set().union(*map(imports, tree.orelse), set())
    names: set[str] = set()
    if isinstance(tree, ast.Import):
        names = {alias.name for alias in tree.names}
    elif isinstance(tree, ast.ImportFrom):
        assert not tree.level, "imports are absolute"
        whole = f"{tree.module}"
        members = {f"{whole}.{alias.name}" for alias in tree.names}
        names = {member if member in MODULES else whole for member in members}
    return (names & MODULES.keys()).union(*map(imports, ast.iter_child_nodes(tree)))


def test_no_module_imports_itself_by_way_of_others() -> None:
    left = {name: imports(tree) for name, tree in MODULES.items()}
    while free := {name for name, needed in left.items() if not needed & left.keys()}:
        left = {name: needed for name, needed in left.items() if name not in free}
    assert not left, f"in import circles, or in need of them: {sorted(left)}"


def test_nothing_imports_the_face_of_the_package() -> None:
    assert not [name for name, tree in MODULES.items() if "emsym" in imports(tree)]


LIGHT_HALVES = {
    "run_cell": {"emsym.run.workers.tasks", "emsym.run.cell"},
    "mirror_untie": {"emsym.models.stem.symmetrize", "emsym.models.interventions"},
}
"""A function that imports torch only when it is called, and the one that it then calls."""


def is_one_thing(name: str, modules: set[str]) -> bool:
    """Whether a name that several modules define stands for one thing in all of them."""
    if modules == LIGHT_HALVES.get(name):
        return True
    # a command, or two of different groups, and the function that it calls
    others = {module for module in modules if not module.startswith("emsym.cli.")}
    # a registered name with its description, and the heavy module that implements it
    registries = {"emsym.scores.attribution.methods", "emsym.scores.faithfulness.metrics"}
    return len(others) < 2 or (len(others) == 2 and bool(others & registries))


def test_a_public_name_stands_for_one_thing() -> None:
    homes: dict[str, set[str]] = defaultdict(set)
    for module, tree in MODULES.items():
        for node in ast.iter_child_nodes(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].add(module)
    several = {name: where for name, where in homes.items() if len(where) > 1}
    assert not {name: where for name, where in several.items() if not is_one_thing(name, where)}
