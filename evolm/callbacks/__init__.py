"""Callbacks for trackers of experiments, each with an extra of its name: ``pip install 'evolm[tensorboard]'``.

Callbacks of your own inherit from :class:`evolm.Observer`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evolm.callbacks.mlflow import MLflow
    from evolm.callbacks.tensorboard import TensorBoard

__all__ = ["MLflow", "TensorBoard"]

_PLACES = {"MLflow": "mlflow", "TensorBoard": "tensorboard"}


def __getattr__(name: str) -> Any:
    """Import on first use: a tracker's package takes seconds, and few have both."""
    if name not in _PLACES:
        raise AttributeError(f"module 'evolm.callbacks' has no attribute {name!r}")
    return getattr(import_module(f"evolm.callbacks.{_PLACES[name]}"), name)
