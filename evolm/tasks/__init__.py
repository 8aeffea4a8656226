"""Tasks: rows from files, in splits, written by templates and judged by metrics."""

from __future__ import annotations

from evolm.data_access import locate
from evolm.tasks.items import Item
from evolm.tasks.kinds import CLOSED, EVERY_FORM, KINDS, OPEN, Form, Kind, kinds_with
from evolm.tasks.loading import load_task, read_items
from evolm.tasks.metrics import METRICS, Metric
from evolm.tasks.sources import READERS, read_table
from evolm.tasks.splitting import SPLITS
from evolm.tasks.task import Task
from evolm.tasks.template import Template

__all__ = [
    "CLOSED",
    "EVERY_FORM",
    "KINDS",
    "METRICS",
    "OPEN",
    "READERS",
    "SPLITS",
    "Form",
    "Item",
    "Kind",
    "Metric",
    "Task",
    "Template",
    "kinds_with",
    "load_task",
    "locate",
    "read_items",
    "read_table",
]
