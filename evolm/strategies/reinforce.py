"""REINFORCE: one individual that learns from rewards of its own answers; the baseline of policy gradients.

Williams 1992, https://doi.org/10.1007/BF00992696, with the estimate of :mod:`evolm.operators.policy_gradient`: RLOO
(Ahmadian 2024, https://arxiv.org/abs/2402.14740) for texts, the exact gradient for labels and options. ``[learning]``
says what is rewarded. The learning rate is chosen and individuals are kept as :mod:`evolm.strategies.adam` does.
"""

from __future__ import annotations

from pydantic import Field, PositiveFloat

from evolm.errors import ScorerError
from evolm.individual import Individual
from evolm.operators import POLICY_GRADIENT
from evolm.strategies.adam import Adam, AdamParams


class ReinforceParams(AdamParams):
    learning_rates: list[PositiveFloat] | None = Field(
        None,
        min_length=1,
        description="rates of the grid; absent = a quarter of the delta space's rate, and it",
    )
    batch_size: int = Field(16, ge=1, description="train items in a step")


class Reinforce(Adam):
    """Moves one individual up the gradient of its expected reward; see the module's docstring."""

    Params = ReinforceParams
    learns_by = POLICY_GRADIENT
    multiples = (0.25, 1.0)
    replaces = False

    def _learn(self, parents: list[Individual]) -> list[Individual]:
        """Return the children that learnt something.

        Raises:
            ScorerError: if there is none, and nothing was learnt before.
        """
        children = super()._learn(parents)
        access = self.variation.model_access
        if not children and access is not None and not self.variation.rates[POLICY_GRADIENT].accepted:
            raise ScorerError(
                f"learning.reward: expected answers that differ in reward, found that {access.nothing_learnt}; "
                "another reward, prompt or template may help, or more learning.samples"
            )
        return children
