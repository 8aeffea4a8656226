"""Storage: the files of a run's directory. Nothing is ever unpickled."""

from evolm.storage.answers import AnswerStore, answer_key
from evolm.storage.checkpoint import read_checkpoint, write_checkpoint
from evolm.storage.files import disk_errors, write_atomically, write_new_files
from evolm.storage.genes import GeneStore
from evolm.storage.journal import Journal, read_entries, read_placed
from evolm.storage.layout import RunLayout
from evolm.storage.shared_ledger import SharedLedger

__all__ = [
    "AnswerStore",
    "GeneStore",
    "Journal",
    "RunLayout",
    "SharedLedger",
    "answer_key",
    "disk_errors",
    "read_checkpoint",
    "read_entries",
    "read_placed",
    "write_atomically",
    "write_checkpoint",
    "write_new_files",
]
