"""Observers for trackers of experiments, each with an extra of its name: ``pip install 'evolm[tensorboard]'``.

Observers of your own inherit from :class:`evolm.Observer`. Each is imported on first use: a tracker's package takes
seconds to import, and most installations have one of them at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolm.lazy import lazy_exports

if TYPE_CHECKING:
    from evolm.callbacks.mlflow import MLflow
    from evolm.callbacks.tensorboard import TensorBoard

__all__ = ["MLflow", "TensorBoard"]

__getattr__ = lazy_exports(
    __name__, {"MLflow": "evolm.callbacks.mlflow", "TensorBoard": "evolm.callbacks.tensorboard"}
)
