"""Collapse: when it is one, what it costs an individual, and that it cannot win a search without gold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolm.archives import BestFound
from evolm.campaign.budget import Ledger, spent
from evolm.collapse import FEWEST, about_collapse, collapse_violation, text_measures
from evolm.config import BudgetSection
from evolm.errors import ConfigError
from evolm.genomes import Prompt, prompt_genome
from evolm.individual import Individual
from evolm.report import RunRecord
from evolm.report.self_score import course, generation_audits, self_score_figure
from tests.support.synthetic_run import write_lines
from tests.support.toy_campaign import ToyCampaign, entries, result_of, write_rows

CHANT = "no no no no no no no no no no"


@pytest.mark.parametrize(
    ("texts", "largest", "repeated"),
    [
        (["a", " A ", "b", "c"], 0.5, 0.0),
        ([CHANT, "one two three four five six seven eight nine ten", CHANT], 2 / 3, 2 / 3),
        (["no no no", "yes"], 0.5, 0.0),  # too short to repeat itself
        ([""], 1.0, 0.0),
    ],
)
def test_texts_are_compared_and_their_repetitions_counted(texts: list[str], largest: float, repeated: float) -> None:
    assert text_measures(texts) == pytest.approx({"largest_share": largest, "repeated_share": repeated})


def test_few_items_or_a_rare_label_are_no_collapse() -> None:
    assert text_measures([]) == {}
    assert collapse_violation({"largest_share": 1.0}, FEWEST - 1) == 0
    assert collapse_violation({"largest_share": 1.0}, FEWEST) == pytest.approx(0.03)
    assert collapse_violation({"largest_share": 0.96, "repeated_share": 0.5}, 100) == 0
    assert collapse_violation({"largest_share": 0.1, "repeated_share": 0.9}, 100) == pytest.approx(0.4)
    assert about_collapse({"largest_share": 0.99}, 100) == "it gives one answer to 99% of the dev items"
    assert about_collapse({"repeated_share": 0.75}, 100) == "75% of its texts repeat themselves"
    assert about_collapse({"largest_share": 0.9}, 100) == ""


def individual(number: int, score: float, violation: float = 0.0, **measures: float) -> Individual:
    made = Individual(number, prompt_genome(Prompt(f"prompt {number}")))
    made.accept((score, 0.0), score, np.zeros(1), measures, violation=violation)
    return made


def test_a_collapsed_individual_is_not_the_best_however_sure_it_is() -> None:
    found = BestFound(3)
    assert found.update([individual(0, 0.9, 0.03), individual(1, 0.8, 0.01)])
    assert found.best is not None and found.best.id == 1
    assert found.update([individual(2, 0.1)])
    assert found.best.id == 2 and not found.update([individual(3, 1.0, 0.03)])


# -- in a campaign -------------------------------------------------------------------------------------------


def blind(toy: Callable[..., ToyCampaign], **changes: Any) -> ToyCampaign:
    """The toy campaign without gold and with enough dev rows; a constant function is its self-score."""
    split = {"train": 0, "dev": FEWEST, "test": 12, "validation": 0}
    settings = {"task__gold": "audit", "scorers": {"sure": 1.0}, "task__split": split, "budget__evaluations": 6}
    made = toy(**{**settings, **changes})
    write_rows(made.folder / "toy.csv", [(f"text number {i}", ("spam", "ham")[i % 2]) for i in range(60)])
    return made


def test_a_search_in_which_all_have_collapsed_has_no_winner(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    made = blind(toy, template={"item": "Text: {{ text[:1] }}\nLabel:"})  # to the model, all items are alike
    run = made.run(tmp_path / "run", functions={"sure": lambda item, predicted, probabilities: 1.0})
    people = entries(run.directory, "individual", "main")
    assert {each["measures"]["largest_share"] for each in people} == {1.0}
    assert all(each["violation"] == pytest.approx(0.03) for each in people)
    claim = result_of(run.directory)["claim"]
    assert claim.startswith("No winner: every individual has collapsed; of the best, it gives one answer to 100% of")


def test_gold_that_the_search_sees_judges_by_itself(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    made = blind(toy, task__gold="use", scorers={}, template={"item": "Say ham.\n{{ text[:1] }}"})
    run = made.run(tmp_path / "run")
    assert all("violation" not in each for each in entries(run.directory, "individual", "main"))


# -- the stop ------------------------------------------------------------------------------------------------


def test_a_search_ends_when_it_thinks_more_of_itself_and_is_worth_less() -> None:
    ledger, budget = Ledger(evaluations=1), BudgetSection(evaluations=99, audit_fall=2)
    course_of = [(0.1, 0.5), (0.2, 0.6), (0.3, 0.55), (0.1, 0.5), (0.4, 0.4), (0.5, 0.59)]
    falls = []
    for number, (itself, gold) in enumerate(course_of):
        better_by_gold = individual(10 + number, itself - 0.05, gold=0.99)  # not the generation's best
        ledger.follow_audit([better_by_gold, individual(number, itself, gold=gold)])
        falls.append(ledger.audit_falls)
        assert bool(spent(budget, ledger, 1, 0)) == (number == 5)
    assert falls == [0, 0, 1, 0, 1, 2]
    assert ledger.audit_peak == (0.2, 0.6)
    assert spent(budget, ledger, 1, 0).startswith("2 generations score themselves higher than one of gold 0.600")
    assert json.loads(json.dumps(ledger.to_record()))["audit_falls"] == 2


def test_without_an_audit_there_is_nothing_to_follow(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.follow_audit([individual(0, 0.5)])
    assert ledger.audit_peak == ()
    with pytest.raises(ConfigError, match=r"budget.audit_fall: expected task.gold = 'audit'.*found 'use'"):
        toy(budget__audit_fall=2).run(tmp_path / "run")
    with pytest.raises(ConfigError, match="expected a limit above 0"):
        toy(budget={"evaluations": 0, "audit_fall": 2}, task__gold="audit").run(tmp_path / "run")


def record_of(folder: Path, pairs: list[tuple[float, float]]) -> RunRecord:
    """A run with one individual a generation, and one that has collapsed in the last."""
    task = {"metric": "accuracy", "gold": "audit", "labels": ["ham", "spam"]}
    people = [
        {
            "type": "individual",
            "search": "main",
            "id": number,
            "generation": number,
            "items": 50,
            "score": itself,
            "fitness": [itself, 0.0],
            "measures": {"gold": gold, "largest_share": 0.6},
        }
        for number, (itself, gold) in enumerate(pairs)
    ]
    sure = {"id": 99, "generation": len(pairs) - 1, "score": 9.0, "fitness": [9.0, 0.0], "violation": 0.03}
    people.append({**people[0], **sure, "measures": {"gold": 0.5, "largest_share": 1.0}})
    write_lines(folder / "journal.jsonl", [{"type": "run", "task": task, "scorers": {}}, *people])
    return RunRecord.read(folder)


def test_the_report_tells_self_score_and_gold_generation_by_generation(tmp_path: Path) -> None:
    record = record_of(tmp_path, [(0.1, 0.5), (0.2, 0.7), (0.3, 0.6)])
    audits = generation_audits(record)
    assert [(each.itself, each.gold, each.collapsed) for each in audits] == [
        (0.1, 0.5, 0),
        (0.2, 0.7, 0),
        (0.3, 0.6, 1),
    ]
    said = course(audits, record.metric)
    assert "from 0.100 to 0.300 (+0.200)" in said and "from 0.500 to 0.600 (+0.100)" in said
    assert "worth most in generation 1 (0.700)" in said
    assert "1 individual collapsed and could not win" in said
    figure = self_score_figure(record)
    assert figure is not None and len(figure.axes) == 2


def test_nothing_is_told_of_a_search_that_sees_gold_or_has_just_begun(tmp_path: Path) -> None:
    short = record_of(tmp_path, [(0.1, 0.5), (0.2, 0.7)])
    assert course(generation_audits(short), "accuracy") == ""
    (tmp_path / "seen").mkdir()
    task = {"metric": "accuracy", "gold": "use", "labels": []}
    write_lines(tmp_path / "seen" / "journal.jsonl", [{"type": "run", "task": task, "scorers": {}}])
    seen = RunRecord.read(tmp_path / "seen")
    assert generation_audits(seen) == [] and self_score_figure(seen) is None
