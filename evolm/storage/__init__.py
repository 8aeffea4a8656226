"""Storage: what a run writes to its directory. Nothing is ever unpickled."""

from evolm.storage.answers import AnswerStore, answer_key
from evolm.storage.checkpoint import read_checkpoint, write_checkpoint
from evolm.storage.genes import GeneStore, genes_of
from evolm.storage.journal import Journal, read_entries
from evolm.storage.layout import RunLayout, write_atomically

__all__ = [
    "AnswerStore",
    "GeneStore",
    "Journal",
    "RunLayout",
    "answer_key",
    "genes_of",
    "read_checkpoint",
    "read_entries",
    "write_atomically",
    "write_checkpoint",
]
