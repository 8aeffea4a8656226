"""evolm: evolutionary optimisation of small local language models.

Start with :func:`evolve` from Python or ``evolm run`` from the command line. Adapters for other optimizers are in
:mod:`evolm.integrations`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolm.lazy import lazy_exports

if TYPE_CHECKING:
    from evolm.api import Result, evolve, load_result
    from evolm.errors import BudgetSpent
    from evolm.objective import Objective
    from evolm.observers import Observer

__version__ = "0.1.0"
__all__ = ["BudgetSpent", "Objective", "Observer", "Result", "__version__", "evolve", "load_result"]

__getattr__ = lazy_exports(
    __name__,
    {
        "Result": "evolm.api",
        "evolve": "evolm.api",
        "load_result": "evolm.api",
        "Observer": "evolm.observers",
        "BudgetSpent": "evolm.errors",
        "Objective": "evolm.objective",
    },
)
