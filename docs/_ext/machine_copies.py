"""Copies of the site for programs: ``PAGE.md`` beside each ``PAGE.html``, ``llms.txt`` and ``llms-full.txt``.

``llms.txt`` is an index in the form of https://llmstxt.org; ``llms-full.txt`` holds all pages, in the order of the
site. Copies are plain Markdown: generated blocks are expanded, included files are inserted, directives that take
docstrings become the docstrings' text.
"""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

from generated_blocks import expanded
from page_texts import summary, title
from sphinx.application import Sphinx

_FENCE = re.compile(r"^```\{(?P<name>[\w-]+)\}(?P<argument>[^\n]*)\n(?P<body>.*?)^```\n?", re.MULTILINE | re.DOTALL)
_DIRECTIVE = re.compile(r"^\.\. auto\w+:: (?P<name>[\w.]+)\n(?P<options>(?:   :.*\n?)*)", re.MULTILINE)
_COMMENT = re.compile(r"^<!-- (?:not run|file|tier|extras|tested by): .*? -->\n", re.MULTILINE)


def _object(name: str) -> Any:
    """Return the module, class or function of a dotted name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        return getattr(_object(module), attribute)


def _signature(found: Any) -> str:
    try:
        return str(inspect.signature(found))
    except (TypeError, ValueError):
        return ""


def _described(name: str, members: bool, level: int = 2) -> str:
    """Return an object's signature and docstring as Markdown, with its public members if wanted."""
    found = _object(name)
    text = inspect.getdoc(found) or ""
    if inspect.ismodule(found):
        own = [each for each in vars(found).values() if inspect.isclass(each) and each.__module__ == name]
        parts = [text, *(_described(f"{name}.{each.__name__}", False) for each in own if members)]
        return "\n\n".join(parts)
    parts = [f"{'#' * level} {name}\n\n```python\n{name.rpartition('.')[2]}{_signature(found)}\n```", text]
    if members:
        public = [key for key, value in vars(found).items() if not key.startswith("_") and inspect.getdoc(value)]
        for key in public:
            member = inspect.getattr_static(found, key)
            member = member.fget if isinstance(member, property) else getattr(found, key)
            parts.append(f"{'#' * (level + 1)} {key}\n\n{inspect.getdoc(member) or ''}")
    return "\n\n".join(parts)


def plain(text: str, folder: Path) -> str:
    """Return a page's source as plain Markdown.

    Args:
        text: of the page.
        folder: that of the page; included files are relative to it.
    """

    def replaced(found: re.Match[str]) -> str:
        name, argument, body = found["name"], found["argument"].strip(), found["body"]
        if name == "include":
            start = re.search(r":start-line: (\d+)", body)
            lines = (folder / argument).read_text(encoding="utf-8").splitlines()
            return "\n".join(lines[int(start[1]) if start else 0 :]) + "\n"
        if name == "eval-rst":
            wanted = [(each["name"], ":members:" in each["options"]) for each in _DIRECTIVE.finditer(body)]
            return "\n\n".join(_described(*each) for each in wanted) + "\n"
        return ""

    return _COMMENT.sub("", _FENCE.sub(replaced, expanded(text))).strip() + "\n"


def write(app: Sphinx, exception: Exception | None) -> None:
    """Write the copies if the site was built."""
    if exception is not None or app.builder.format != "html":
        return
    order = [app.config.root_doc, *_in_order(app, app.config.root_doc)]
    copies: dict[str, str] = {}
    for name in order:
        source = Path(app.env.doc2path(name))
        copies[name] = plain(source.read_text(encoding="utf-8"), source.parent)
        target = app.outdir / f"{name}.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(copies[name], encoding="utf-8")
    first = copies[app.config.root_doc]
    lines = [f"# {app.config.project}", "", f"> {summary(first)}"]
    for caption, names in _captions(app):
        lines += ["", f"## {caption}", ""]
        lines += [f"- [{title(copies[name])}]({name}.md): {summary(copies[name])}" for name in names]
    (app.outdir / "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (app.outdir / "llms-full.txt").write_text("\n\n".join(copies.values()), encoding="utf-8")


def _in_order(app: Sphinx, name: str) -> list[str]:
    """Return the pages below a page, depth first."""
    found = []
    for child in app.env.toctree_includes.get(name, []):
        found += [child, *_in_order(app, child)]
    return found


def _captions(app: Sphinx) -> list[tuple[str, list[str]]]:
    """Return the captions of the first page's tables of contents, each with its pages in order."""
    from sphinx.addnodes import toctree

    trees = app.env.get_doctree(app.config.root_doc).findall(toctree)
    return [
        (tree["caption"], [page for name in tree["includefiles"] for page in (name, *_in_order(app, name))])
        for tree in trees
    ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
