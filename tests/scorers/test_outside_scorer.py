"""A scorer from outside the package: one class in a file of the user's, named in [scorers], allowed by the user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evolm.campaign.build import Permissions
from evolm.errors import ConfigError, PermissionNeeded
from tests.support.toy_campaign import ToyCampaign, entries

MODULE = '''
import numpy as np
from pydantic import Field

from evolm.scorers import Evaluation, MeanOfItems, Weighted, mean_or_nan


class Params(Weighted):
    power: float = Field(2.0, gt=0, description="exponent of the gold label's probability")


class Confidence(MeanOfItems):
    """Mean power of the gold label's probability."""

    Params = Params
    needs_gold = True
    limits = (0.0, 1.0)

    def describe(self):
        return {"power": self.params.power}

    def dialogue(self, shown, items):
        task = self.scoring.task
        logprobs = yield from self.scoring.labels.ask(shown, items)
        gold = logprobs[np.arange(len(items)), task.gold_indices(items)]
        scores = np.exp(self.params.power * gold)
        return Evaluation(scores, mean_or_nan(scores, {}), label_logprobs=logprobs)


class NoScorer:
    pass
'''
ALLOWED = Permissions(packages=("my_confidence",))
NAME = "my_confidence:Confidence"


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_confidence.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_campaign_maximises_a_scorer_from_outside_and_races_by_it(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    racing = {"racing": "race", "race_block": 4, "race_level": 0.2}
    campaign = toy(scorers={NAME: {"power": 3.0}}, evaluation=racing, budget={"evaluations": 20})
    run = campaign.run(tmp_path / "run", permissions=ALLOWED).directory
    (head,) = entries(run, "run")
    assert head["scorers"] == {NAME: {"weight": 1.0, "needs_gold": True, "power": 3.0}}
    scored = [entry for entry in entries(run, "individual") if entry["fitness"]]
    assert scored and all(0 < entry["fitness"][0] < 1 for entry in scored)
    assert all(entry["measures"][NAME] == entry["fitness"][0] for entry in scored)


def test_a_scorer_from_outside_is_refused_unless_the_user_allows_its_package(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    with pytest.raises(PermissionNeeded, match="--allow my_confidence"):
        toy(scorers={NAME: 1.0}).run(tmp_path / "run")


@pytest.mark.parametrize(
    ("scorers", "message"),
    [
        ({NAME: {"powr": 1.0}}, "powr"),
        ({"my_confidence:NoScorer": 1.0}, r"a subclass of evolm\.scorers\.Scorer, found the class NoScorer"),
    ],
)
def test_wrong_settings_and_classes_that_are_no_scorers_are_refused(
    toy: Callable[..., ToyCampaign], tmp_path: Path, scorers: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        toy(scorers=scorers).run(tmp_path / "run", permissions=ALLOWED)
