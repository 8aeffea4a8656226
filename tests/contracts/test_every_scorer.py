"""Every scorer in ``SCORERS`` keeps the promises of ``evolm.testing``, on every kind of task that it can score."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from evolm.evaluation import Engine
from evolm.models import LanguageModel
from evolm.scorers import SCORERS, Scorer
from evolm.storage import AnswerStore
from evolm.tasks import KINDS, Task, kinds_with
from evolm.testing import ScorerSuite
from evolm.testing.scorers import MakeScorer

ENROLLED = [(name, kind) for name, scorer in SCORERS.items() for kind in kinds_with(*scorer.forms)]
NOT_DECOMPOSABLE = {"mutual_information", "diversity", "relevance"}


@pytest.fixture(scope="module")
def shared_engine(tiny_model: Callable[..., LanguageModel]) -> Iterator[Engine]:
    """An engine whose answers all scorers share: equal requests are computed once."""
    engine = Engine(tiny_model("float32", "off"), AnswerStore(":memory:"))
    yield engine
    engine.close()


class TestEveryScorer(ScorerSuite):
    @pytest.fixture(params=ENROLLED, ids=[f"{name}-{kind}" for name, kind in ENROLLED])
    def enrolled(self, request: pytest.FixtureRequest) -> tuple[str, str]:
        return request.param

    @pytest.fixture
    def scorer(self, enrolled: tuple[str, str]) -> type[Scorer]:
        return SCORERS[enrolled[0]]

    @pytest.fixture
    def kind(self, enrolled: tuple[str, str]) -> str:
        return enrolled[1]

    @pytest.fixture
    def engine(self, shared_engine: Engine) -> Engine:
        return shared_engine

    def test_only_objectives_over_several_items_are_not_decomposable(
        self, enrolled: tuple[str, str], make: MakeScorer, task: Task
    ) -> None:
        assert make(task).decomposable == (enrolled[0] not in NOT_DECOMPOSABLE)


def test_every_kind_of_task_has_its_own_scorer() -> None:
    for kind in KINDS.values():
        assert kind.form in SCORERS[kind.task_scorer(kind.metric)].forms
        assert kind.form in SCORERS[kind.unlabelled_scorer].forms
