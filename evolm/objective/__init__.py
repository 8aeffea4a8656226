"""The campaign as a function that other optimizers call, and the codec between genomes and vectors."""

from evolm.objective.codec import Codec, Real, Variable
from evolm.objective.objective import Objective

__all__ = ["Codec", "Objective", "Real", "Variable"]
