"""Integrations: other people's optimizers call evolm. An optimizer is one file; what all of them need is
:class:`~evolm.integrations.objective.Objective`."""

from evolm.integrations.codec import Codec, Real, Variable
from evolm.integrations.objective import Objective

__all__ = ["Codec", "Objective", "Real", "Variable"]
