"""Rows in every format, their bytes altered: a table, or one sentence that names the file."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolm.tasks import How, read_table
from tests.support.mutations import altered, fuzz
from tests.support.sealed import works_or_refuses
from tests.support.tiers import slow

ROWS = [{"text": f"win a prize {number}", "label": "spam", "n": number, "many": ["a", "b"]} for number in range(12)]


def parquet(compression: str) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), stream, compression=compression, data_page_size=256)
    return stream.getvalue()


CSV = "text,label\n" + "".join(f'"{row["text"]}, now",{row["label"]}\n' for row in ROWS)
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
WHOLE = {
    "rows.csv": CSV.encode(),
    "rows.tsv": CSV.replace(",", "\t").encode("utf-16"),
    "rows.jsonl": JSONL,
    "rows.log": CSV.encode("cp1252"),
    "rows.csv.gz": gzip.compress(CSV.encode()),
    "rows.parquet": parquet("none"),
    "zstd.parquet": parquet("zstd"),
}


def how_of(name: str) -> How:
    return How(pattern="(?P<text>.+)" if name.endswith(".log") else "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").mkdir()
    (tmp_path / "rows").mkdir()
    return tmp_path / "rows"


@pytest.mark.parametrize("name", WHOLE)
def test_unaltered_they_are_read(name: str, folder: Path) -> None:
    """Else the test below would show nothing."""
    (folder / name).write_bytes(WHOLE[name])
    assert len(read_table(name, how_of(name), root=folder).frame) >= 12


@pytest.mark.parametrize("many", [False, slow(True)])
@pytest.mark.parametrize("name", WHOLE)
def test_altered_bytes_are_read_or_refused(name: str, many: bool, folder: Path) -> None:
    own_process = name.endswith(".parquet")  # decodes it, and takes half a second
    how = how_of(name)

    @fuzz((60 if own_process else 500) if many else (4 if own_process else 40))
    @given(altered(WHOLE[name]), st.booleans())
    def check(content: bytes, inside: bool) -> None:
        if name.endswith(".gz") and inside:
            content = gzip.compress(content)
        elif own_process:  # that the file is Parquet is seen from its ends
            content = b"PAR1" + content[4:-4] + b"PAR1"
        (folder / name).write_bytes(content)
        said = works_or_refuses(lambda: read_table(name, how, root=folder), folder)
        assert not said or said.startswith(name)

    check()
