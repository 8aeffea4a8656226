"""The tables that users bring: one file per format, read as text.

Every cell becomes its text in the file: ``1`` is never ``1.0``, and ``NA`` is a word. Missing cells stay missing;
:mod:`evolm.tasks.rows` decides about their rows. A format is one file and one row in ``READERS``.
"""

from __future__ import annotations

from evolm.tasks.tables.cells import cell_text
from evolm.tasks.tables.files import ending_of, stem_of
from evolm.tasks.tables.how import How, Table
from evolm.tasks.tables.reading import READERS, read_table

__all__ = ["READERS", "How", "Table", "cell_text", "ending_of", "read_table", "stem_of"]
