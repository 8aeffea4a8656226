"""Written predictions: rows and labels of any content come back, and are nothing else in the file."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolm.config import ReadSection
from evolm.export.predicted_rows import PredictedRows
from evolm.export.tables import WRITERS, table_bytes
from evolm.tasks import How, read_table
from tests.support.mutations import fuzz
from tests.support.tiers import slow

UNICODE = st.characters(exclude_categories=["Cs"])
# Cells that end a row or a cell, open a formula of a spreadsheet, control a terminal, or are markup.
CELLS = st.sampled_from(
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        '=HYPERLINK("http://x")',
        'a","b',
        "a\r\nb",
        "\r",
        "\t",
        "\x1b[2J",
        "<b>",
        "{}",
        "NaN",
    ]
) | st.text(UNICODE, min_size=1, max_size=8).filter(str.strip)

NAMES = ["text", "=1+1", "label", 'a"b', "<b>"]


@pytest.mark.parametrize("examples", [25, slow(100)])
@pytest.mark.parametrize("ending", [ending for ending in WRITERS if ending != ".parquet"])
def test_every_cell_comes_back_as_it_was(ending: str, examples: int, tmp_path: Path) -> None:
    """A formula of a spreadsheet is text like any other: changed cells would be wrong for every other program."""

    @fuzz(examples)
    @given(
        st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4),
        st.sampled_from(["text", "=1+1", "label", 'a"b', "<b>"]),
    )
    def check(rows: list[tuple[str, str]], name: str) -> None:
        frame = pd.DataFrame({name: [text for text, _ in rows]})
        labels = np.array([label for _, label in rows], dtype=object)
        table = PredictedRows.of(frame, {"label": labels}, {})
        content = table_bytes(table, ending, "frame")
        (tmp_path / f"rows{ending}").write_bytes(content)
        how = How(ReadSection(header=True, quoting="quotes", separator={".csv": ",", ".tsv": "\t"}.get(ending, "")))
        found = read_table(f"rows{ending}", how, root=tmp_path).frame
        assert found.iloc[:, 0].tolist() == frame.iloc[:, 0].tolist()
        assert found.iloc[:, 1].tolist() == labels.tolist()
        if ending == ".jsonl":
            assert [json.loads(line) for line in io.BytesIO(content)]

    check()
