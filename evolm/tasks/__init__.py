"""Tasks: rows from files, in splits, written by templates and judged by metrics."""

from __future__ import annotations

from evolm.location import locate
from evolm.tasks.checks import KINDS
from evolm.tasks.metrics import CLASSIFICATION_METRICS
from evolm.tasks.rows import Item
from evolm.tasks.sources import READERS, read_table
from evolm.tasks.splitting import SPLITS
from evolm.tasks.task import Task, load_task, read_items
from evolm.tasks.template import Template

__all__ = [
    "CLASSIFICATION_METRICS",
    "KINDS",
    "READERS",
    "SPLITS",
    "Item",
    "Task",
    "Template",
    "load_task",
    "locate",
    "read_items",
    "read_table",
]
