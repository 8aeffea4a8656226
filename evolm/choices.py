"""Closed sets of words that the command line and the rooms below share; they import nothing.

The command line lists them in ``--help`` and completes them without importing the rooms.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Dtype: TypeAlias = Literal["auto", "float32", "bfloat16"]
ExportForm: TypeAlias = Literal["prompt", "peft", "merged", "population"]
Size: TypeAlias = Literal["light", "medium", "heavy"]  # of a budget
TABLE_ENDINGS: Final = (".csv", ".tsv", ".jsonl", ".parquet")  # of tables that are written
