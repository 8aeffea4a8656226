'''Contract suites: what evolm expects of a strategy, a scorer, an operator or a chromosome, as tests for pytest.

evolm runs them over its own catalogues. A package that adds a strategy or a scorer inherits them: a class whose name
begins with ``Test`` and a fixture that says what is tested::

    import numpy as np
    import pytest

    from evolm.scorers import Evaluation, MeanOfItems
    from evolm.strategies import RandomSearch
    from evolm.testing import ScorerSuite, StrategySuite, prompt_search

    class FewAtATime(RandomSearch):
        """Draws random genomes, three at a time."""

        def next(self, told):
            return self.randoms(3)

    class ShortItems(MeanOfItems):
        """The share of items that are shorter than 20 characters."""

        limits = (0.0, 1.0)

        def dialogue(self, shown, items):
            yield []  # a round without requests
            scores = np.array([float(len(self.scoring.task.template.item(item.fields)) < 20) for item in items])
            return Evaluation(scores, float(scores.mean()))

    class TestFewAtATime(StrategySuite):
        @pytest.fixture
        def make(self):
            return lambda seed=0: FewAtATime(FewAtATime.Params(population_size=6), prompt_search(seed))

    class TestShortItems(ScorerSuite):
        @pytest.fixture
        def scorer(self):
            return ShortItems

``prompt_search`` is a small search over prompts without a model; ``ScorerSuite`` runs on ``small_task`` and
``tiny_model``, a random Llama of two layers. ``TableScorer`` gives genomes a fitness without a model, and
``InventedGradients`` stands for the model of a strategy that learns by gradient.
'''

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "evolm.testing.chromosomes", "evolm.testing.operators", "evolm.testing.scorers", "evolm.testing.strategies"
)

from evolm.testing.chromosomes import ChromosomeSuite  # noqa: E402
from evolm.testing.gradients import InventedGradients  # noqa: E402
from evolm.testing.operators import OperatorSuite  # noqa: E402
from evolm.testing.scorers import ScorerSuite  # noqa: E402
from evolm.testing.small import prompt_search, scoring, small_space, small_task, tiny_model  # noqa: E402
from evolm.testing.strategies import GenomeSuite, SearchSuite, StrategySuite  # noqa: E402
from evolm.testing.table_scorer import TableScorer  # noqa: E402

__all__ = [
    "ChromosomeSuite",
    "GenomeSuite",
    "InventedGradients",
    "OperatorSuite",
    "ScorerSuite",
    "SearchSuite",
    "StrategySuite",
    "TableScorer",
    "prompt_search",
    "scoring",
    "small_space",
    "small_task",
    "tiny_model",
]
