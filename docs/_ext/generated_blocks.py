"""Expands ``<!-- generated: NAME -->`` in pages.

Pages hold the marker, never the generated text, so no table can be out of date. ``NAME`` is a table of
``evolm.docs_tables``, ``populations``, ``measured NAME`` for the result in a founding population's README, ``result
NAME`` for one of ``benchmarks/results``, ``other results``, ``all results``, ``recipes``, or ``attacks``.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import benchmark_results
import founding_populations
from page_texts import summary, title
from sphinx.application import Sphinx

from evolm.docs_tables import BLOCKS
from evolm.wording import markdown_table

DOCS = Path(__file__).parents[1]
MARKER = re.compile(r"^<!-- generated: ([\w -]+) -->$", re.MULTILINE)


def shown_results() -> set[str]:
    """Return the names of the results that have a page."""
    pages = [path.read_text(encoding="utf-8") for path in (DOCS / "results").glob("*.md")]
    return set(re.findall(r"<!-- generated: result (\w+) -->", "\n".join(pages)))


def recipes() -> str:
    """Return a table of the recipes in the order of the site, each with its first sentence."""
    names = re.findall(r"^recipes/(\S+)$", (DOCS / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
    texts = {name: (DOCS / "recipes" / f"{name}.md").read_text(encoding="utf-8") for name in names if name != "index"}
    rows = [(f"[{title(text)}]({name}.md)", summary(text)) for name, text in texts.items()]
    return markdown_table(("recipe", "what it does"), rows)


def attacks() -> str:
    """Return a table of the tests with hostile files, from their names and the modules' docstrings."""
    tests = DOCS.parent / "tests"
    rows = []
    for path in sorted([*(tests / "security").glob("test_*.py"), *(tests / "fuzz").glob("test_*.py")]):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [
            node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        ]
        said = [name.removeprefix("test_").replace("_s_", "'s ").replace("_", " ") for name in names]
        place = path.relative_to(tests.parent).as_posix()
        rows.append((f"`{place}`", (ast.get_docstring(tree) or "").splitlines()[0], "; ".join(said)))
    return markdown_table(("tests", "what", "each shows that"), rows)


def block(name: str) -> str:
    """Return the generated text of a marker.

    Raises:
        KeyError: no text has this name.
    """
    if name.startswith("result "):
        return benchmark_results.result(name.removeprefix("result "))
    if name.startswith("measured "):
        return founding_populations.measured(name.removeprefix("measured "))
    own = {
        "populations": founding_populations.gallery,
        "all results": benchmark_results.overview,
        "recipes": recipes,
        "attacks": attacks,
        "other results": lambda: benchmark_results.other_results(shown_results()),
    }
    return {**BLOCKS, **own}[name]()


def expanded(text: str) -> str:
    """Return a page with its markers expanded."""
    return MARKER.sub(lambda found: without_directives(block(found[1])), text)


def without_directives(text: str) -> str:
    """Return generated Markdown, which may quote names of any origin, with its directives as plain fences."""
    return re.sub(r"^(\s*(?:`{3,}|~{3,}|:{3,}))\{", r"\1 {", text, flags=re.MULTILINE)


def expand(app: Sphinx, docname: str, source: list[str]) -> None:
    """Expand the markers of a page."""
    source[0] = expanded(source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("source-read", expand)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
