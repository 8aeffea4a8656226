"""Expands ``<!-- generated: NAME -->`` in pages to the table NAME of ``evolm.docs_tables``.

Pages hold the marker, never the table, so no table can be out of date.
"""

from __future__ import annotations

from sphinx.application import Sphinx

from evolm.docs_tables import expanded


def expand(app: Sphinx, docname: str, source: list[str]) -> None:
    """Expand the markers of a page."""
    source[0] = expanded(source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("source-read", expand)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
