"""Write the rows of this population: functions' documentation in installed packages under BSD licences.

    python extract.py [FILE]

The default FILE is ``functions.jsonl`` beside this script. A row has the name of its package, the first line of a
public function's docstring (``summary``) and the text behind it, up to the list of parameters (``description``).
Source files are parsed and never run.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from inspect import cleandoc
from pathlib import Path

PACKAGES = (
    "joblib",
    "networkx",
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "statsmodels",
    "sympy",
)  # BSD, 3 clauses
SECTION = re.compile(r"\n\s*\n?[A-Z][A-Za-z ]+\n\s*[-=]{3,}|\n\s*(?:\.\. |>>> |:param)")
SUMMARY, DESCRIPTION = (15, 90), (80, 400)  # fewest and most characters


def rows(package: str) -> Iterator[dict[str, str]]:
    """Yield the rows of an installed distribution, in the order of its files; none if it is not installed."""
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        return
    for file in sorted(files, key=str):
        if file.suffix == ".py" and not {"tests", "test", "testing", "_vendor"} & set(file.parts):
            source = Path(file.locate()).read_text(encoding="utf-8", errors="replace")
            yield from ({"package": package, **row} for row in documented(source))


def documented(source: str) -> Iterator[dict[str, str]]:
    """Yield summary and description of each public function whose docstring has both in a fitting length."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
            continue
        head, _, body = cleandoc(ast.get_docstring(node, clean=False) or "").partition("\n\n")
        summary, description = head.strip(), " ".join(SECTION.split(f"\n{body}")[0].split())
        fits = SUMMARY[0] <= len(summary) <= SUMMARY[1] and DESCRIPTION[0] <= len(description) <= DESCRIPTION[1]
        if fits and "\n" not in summary and summary.endswith(".") and description.endswith("."):
            yield {"summary": summary, "description": description}


def main() -> None:
    """Write the file; a summary or a description that occurred before is left out."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("functions.jsonl")
    seen: set[str] = set()
    lines = []
    for package in PACKAGES:
        for row in rows(package):
            if not {row["summary"], row["description"]} & seen:
                seen |= {row["summary"], row["description"]}
                lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    out.write_text("".join(lines), encoding="utf-8")
    print(f"{out}: {len(lines)} functions")


if __name__ == "__main__":
    main()
