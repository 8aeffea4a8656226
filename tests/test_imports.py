"""The house's imports: no circles, none that points upward, and no two public classes of one name."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]

# Rooms and modules from the ground up; a module imports only from its own line and from those before.
FLOORS: tuple[tuple[str, ...], ...] = (
    (
        "evolm",
        "choices",
        "collapse",
        "errors",
        "fitness",
        "interrupts",
        "lazy",
        "signals",
        "randomness",
        "wording",
        "extras",
        "searches",
        "typed",
    ),
    ("readout_kinds",),
    ("config", "statistics", "two_way", "headroom", "data_access", "storage"),
    ("tasks", "models"),
    ("genomes", "individual", "readouts"),
    ("scorers", "archives"),
    ("evaluation", "observers"),
    ("operators", "strategies", "baselines"),
    ("named_tables", "report", "early"),
    ("artifacts",),
    ("founders",),
    ("export",),
    ("campaign",),
    ("experiments", "callbacks", "pretraining", "scaffold", "schema", "serving", "tune", "progress_view"),
    ("api",),
    ("objective",),
    ("integrations", "testing"),
    ("cli", "lost_output", "streams", "terminal"),
    ("docs_tables", "__main__"),
)
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}


class Edge(NamedTuple):
    """One import.

    Attributes:
        importer: full name of the module that imports.
        imported: full name of the module that defines what is imported.
        line: of the importer.
        for_types: whether it stands under ``TYPE_CHECKING``.
    """

    importer: str
    imported: str
    line: int
    for_types: bool


@cache
def modules() -> dict[str, Path]:
    """Return evolm's modules by their full names."""
    paths = sorted((ROOT / "evolm").rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return dict(zip(names, paths, strict=True))


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def imports(node: ast.AST, for_types: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Yield every import below a node, those inside of functions included, and whether it is for types only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, for_types
        guarded = isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")
        yield from imports(child, for_types or guarded)


@cache
def exports(module: str) -> dict[str, str]:
    """Return the names that a room's ``__init__`` hands on, each with the module that it comes from."""
    if modules()[module].name != "__init__.py":
        return {}
    return {
        alias.asname or alias.name: defining(node.module, alias.name)
        for node, _ in imports(tree(module))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("evolm")
        for alias in node.names
    }


def defining(module: str, name: str) -> str:
    """Return the module that defines what ``from module import name`` imports."""
    if module not in modules():
        return module
    submodule = f"{module}.{name}"
    return submodule if submodule in modules() and name not in exports(module) else exports(module).get(name, module)


@cache
def edges() -> tuple[Edge, ...]:
    """Return all imports of evolm's modules from each other."""
    found = []
    for module in modules():
        for node, for_types in imports(tree(module)):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [defining(node.module or "", alias.name) for alias in node.names]
            found += [Edge(module, name, node.lineno, for_types) for name in names if name in modules()]
    return tuple(edge for edge in found if edge.importer != edge.imported)


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected components of more than one module (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in sorted(graph[module]):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            component = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(component) > 1:
                found.append(sorted(component))

    for module in sorted(graph):
        if module not in index:
            visit(module)
    return found


def room(module: str) -> str:
    """Return the room, or the single module, that a module is in."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def test_no_modules_import_each_other_in_a_circle_not_even_for_types() -> None:
    graph: dict[str, set[str]] = defaultdict(set)
    for edge in edges():
        graph[edge.importer].add(edge.imported)
    assert circles(defaultdict(set, graph)) == []


def test_every_room_has_a_floor() -> None:
    assert sorted({room(module) for module in modules()} - FLOOR.keys()) == []


def test_imports_point_downward() -> None:
    upward = [
        f"{edge.importer}:{edge.line} imports {edge.imported}"
        for edge in edges()
        if edge.importer != "evolm" and FLOOR[room(edge.imported)] > FLOOR[room(edge.importer)]
    ]
    assert upward == []


def test_rooms_of_one_floor_do_not_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = defaultdict(set)
    for edge in edges():
        if room(edge.importer) != room(edge.imported) and edge.importer != "evolm":
            graph[room(edge.importer)].add(room(edge.imported))
    assert circles(graph) == []


def test_no_two_public_classes_share_a_name() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for module in modules():
        for node in tree(module).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(module)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
