"""evolm: evolutionary optimisation of small local language models.

Start with :func:`evolve` from Python or ``evolm run`` from the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evolm.api import Result, evolve, load_result
    from evolm.campaign.observers import Observer
    from evolm.errors import BudgetSpent
    from evolm.integrations.deap_toolbox import toolbox
    from evolm.integrations.nevergrad_parametrization import NevergradSpace
    from evolm.integrations.objective import Objective
    from evolm.integrations.optuna_sampler import EvolmSampler, optimize, suggest
    from evolm.integrations.pymoo_problem import PymooProblem
    from evolm.integrations.ribs_measures import RibsMeasures
    from evolm.integrations.scipy_loss import scipy_loss

__version__ = "0.1.0"
__all__ = [
    "BudgetSpent",
    "EvolmSampler",
    "NevergradSpace",
    "Objective",
    "Observer",
    "PymooProblem",
    "Result",
    "RibsMeasures",
    "__version__",
    "evolve",
    "load_result",
    "optimize",
    "scipy_loss",
    "suggest",
    "toolbox",
]

_PLACES = {
    "Result": "evolm.api",
    "evolve": "evolm.api",
    "load_result": "evolm.api",
    "Observer": "evolm.campaign.observers",
    "BudgetSpent": "evolm.errors",
    "Objective": "evolm.integrations.objective",
    "toolbox": "evolm.integrations.deap_toolbox",
    "EvolmSampler": "evolm.integrations.optuna_sampler",
    "optimize": "evolm.integrations.optuna_sampler",
    "suggest": "evolm.integrations.optuna_sampler",
    "NevergradSpace": "evolm.integrations.nevergrad_parametrization",
    "PymooProblem": "evolm.integrations.pymoo_problem",
    "RibsMeasures": "evolm.integrations.ribs_measures",
    "scipy_loss": "evolm.integrations.scipy_loss",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``evolm --help`` and workers need not wait for everything."""
    if name not in _PLACES:
        raise AttributeError(f"module 'evolm' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)
