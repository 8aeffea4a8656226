"""Tasks: rows from files, their splits, templates that render them, and metrics that score the answers.

Modules that read files need pandas and are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolm.data_access import locate
from evolm.lazy import lazy_exports
from evolm.tasks.items import Item
from evolm.tasks.kinds import CLOSED, EVERY_FORM, KINDS, OPEN, Form, Kind, kinds_with
from evolm.tasks.metrics import METRICS, Metric
from evolm.tasks.splitting import SPLITS
from evolm.tasks.task import Task
from evolm.tasks.template import Template

if TYPE_CHECKING:
    from evolm.tasks.loading import NewRows, load_task, read_items
    from evolm.tasks.tables import READERS, How, Table, ending_of, read_table, stem_of

__all__ = [
    "CLOSED",
    "EVERY_FORM",
    "KINDS",
    "METRICS",
    "OPEN",
    "READERS",
    "SPLITS",
    "Form",
    "How",
    "Item",
    "Kind",
    "Metric",
    "NewRows",
    "Table",
    "Task",
    "Template",
    "ending_of",
    "kinds_with",
    "load_task",
    "locate",
    "read_items",
    "read_table",
    "stem_of",
]

__getattr__ = lazy_exports(
    __name__,
    {
        **dict.fromkeys(("NewRows", "load_task", "read_items"), "evolm.tasks.loading"),
        **dict.fromkeys(("READERS", "How", "Table", "ending_of", "read_table", "stem_of"), "evolm.tasks.tables"),
    },
)
