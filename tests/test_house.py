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


def test_the_plug_in_for_napari_alone_imports_it() -> None:
    graphics = {"napari", "npe2", "magicgui", "qtpy", "superqt"}
    for name, tree in MODULES.items():
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {
            getattr(node, "module", None) or alias.name for node in nodes for alias in node.names
        }
        if {each.partition(".")[0] for each in names} & graphics:
            assert name == "emsym.napari.widget"
        assert name.startswith("emsym.napari") or not [n for n in names if "emsym.napari" in n]


LIGHT_HALVES = {
    "run_cell": {"emsym.run.workers.tasks", "emsym.run.cell"},
    "mirror_untie": {"emsym.models.stem.symmetrize", "emsym.models.interventions.mirror_tied"},
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


ABOUT_THE_WHOLE = {
    *(
        "test_device_script",
        "test_docs",
        "test_habits",
        "test_house",
        "test_public_api",
        "test_docs",
        "test_paper",
        "test_quick",
        "test_readme",
        "test_workflows",
    ),
    *("auditing/test_libraries", "auditing/test_record", "data/fetching/test_published_addresses"),
    *("data/fetching/test_shipped_cards", "data/reading/test_matrix", "leaderboard/test_coverage"),
    *("real/test_real", "run/test_kill", "scores/test_gpu", "submission/test_hostile"),
}
"""Test files of what several modules do together, or of files that are no modules."""


def test_each_module_has_a_test_file_of_its_name_and_each_test_file_its_module() -> None:
    tests = {
        path.relative_to(ROOT / "tests").with_suffix("").as_posix()
        for path in (ROOT / "tests").rglob("test_*.py")
    }
    expected = {}
    for path in TREES:
        place = path.relative_to(ROOT / "emsym")
        # a package's own file is tested under the package's name, where there is anything to test
        name = place.parent.name if place.stem == "__init__" else place.stem.strip("_")
        expected[(place.parent / f"test_{name}").as_posix()] = place.stem != "__init__"
    assert not {name for name, needed in expected.items() if needed} - tests
    assert not tests - expected.keys() - ABOUT_THE_WHOLE
    assert tests >= ABOUT_THE_WHOLE


def test_docstrings_are_sentences_with_a_subject() -> None:
    """Those of constants and fields, too: every string that stands alone."""
    texts = [
        (path.name, node.value.value)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]
    assert not [each for each in texts if each[1].startswith(("Of ", "What ", "Whom "))]
