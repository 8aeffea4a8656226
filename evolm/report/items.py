"""The table of test items: what the best, finalists and baselines answered to each, and kinds of items to look at.

An answer is right or wrong if answers are closed, or if the metric is an exact match. Other metrics grade an answer;
then items are told apart by quartiles of the grades in this run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evolm.baselines import BASELINES, BEST
from evolm.baselines.majority import MAJORITY
from evolm.baselines.single import SINGLE
from evolm.report.reading import Entry, RunRecord
from evolm.report.tables import ScoreRow, score_rows
from evolm.tasks.kinds.base import OPEN
from evolm.tasks.metrics import METRICS
from evolm.wording import counted

MOST = 2000  # rows of the page's table
TEXT, ANSWER = 240, 120  # characters of an item's field and of a generated text
RIGHT_OR_WRONG = "exact_match"  # the metric of open answers with outcomes 0 and 1

ALL_WRONG, DIFFERENT, BEST_WRONG, LOST, WON = "w", "d", "b", "l", "g"  # kinds of items
NO_ANSWER = "no answer"


@dataclass(frozen=True)
class ItemColumn:
    """A contestant of the test.

    Attributes:
        name: its title.
        score: on the test split.
        outcomes: ``(n_test,)``, of several draws the first.
        texts: its generated texts; empty if answers are closed.
        model: False for a constant answer, which does not count when items are told apart.
        baseline: its name in ``BASELINES``; ``""`` if it is the best or a finalist.
    """

    name: str
    score: float
    outcomes: NDArray[np.float64]
    texts: Sequence[str] = ()
    model: bool = True
    baseline: str = ""


@dataclass(frozen=True)
class ItemAnswer:
    """An answer to an item; ``right`` is None if the metric grades answers."""

    text: str
    right: bool | None


@dataclass(frozen=True)
class ItemRow:
    """A test item.

    Attributes:
        number: its place in the test split, counted from 1.
        fields: ``(name, text)``; empty if the run did not keep the texts.
        digest: of the item.
        gold: its gold answer in words; ``""`` if the run did not keep it.
        label: the index of its gold label; None if the task has no labels.
        answers: one per column.
        kinds: of those in :attr:`ItemTable.kinds` that it is of.
    """

    number: int
    fields: Sequence[tuple[str, str]]
    digest: str
    gold: str
    label: int | None
    answers: Sequence[ItemAnswer]
    kinds: str


@dataclass(frozen=True)
class ItemTable:
    """All test items, or the most telling of them.

    Attributes:
        columns: the best first, then finalists, then baselines by falling score.
        rows: in the order of the split.
        kinds: ``(key, title, items of that kind)``, for a menu.
        labels: the task's labels; empty if it has none.
        cut: a sentence about items that are left out, or ``""``.
        notes: sentences about the columns and the kinds.
    """

    columns: Sequence[ItemColumn]
    rows: Sequence[ItemRow]
    kinds: Sequence[tuple[str, str, int]]
    labels: Sequence[str]
    cut: str
    notes: Sequence[str]


def item_table(record: RunRecord) -> ItemTable | None:
    """Return the table of a run's test items; None if the test split was not opened."""
    kept = record.outcomes or {}
    if not record.test or not kept.get("items") or BEST not in (kept.get("outcomes") or {}):
        return None
    columns = list(_columns(record, kept))
    gold = np.asarray(kept["gold"])
    closed = set(METRICS[kept["metric"]].forms).isdisjoint(OPEN)
    right = _right(columns, gold, closed, kept["metric"])
    kinds = _kinds(columns, right, record.test.get("strongest_baseline"))
    labels = [str(label) for label in record.task.get("labels") or []] if closed else []
    shown = _shown(kinds, right, len(gold))
    rows = [_row(int(place), kept, columns, right, kinds, labels) for place in shown]
    return ItemTable(
        columns,
        rows,
        [(key, title, int(of.sum())) for key, (title, of) in kinds.items()],
        labels,
        _cut(len(rows), len(gold)),
        list(_notes(record, columns, right)),
    )


def realised(record: RunRecord) -> dict[int, float]:
    """Return the test scores of the finalists that answered the test items, the winner's among them, by id."""
    finalists = (record.outcomes or {}).get("finalists") or []
    found = {each["id"]: float(each["score"]) for each in finalists}
    winner, test = (record.result or {}).get("best") or {}, record.test or {}
    own = test.get(SINGLE.name if record.form else BEST)
    if found and own is not None and "id" in winner:
        found[winner["id"]] = own
    return found


def _columns(record: RunRecord, kept: Entry) -> Iterator[ItemColumn]:
    texts = kept.get("predictions") or {}

    def column(row: ScoreRow) -> ItemColumn:
        name, outcomes = row.name.split(" (")[0], np.asarray(kept["outcomes"][row.key][0], dtype=float)
        baseline = row.key if row.key in BASELINES else ""
        return ItemColumn(name, row.score, outcomes, texts.get(row.key) or (), row.key != MAJORITY.name, baseline)

    best, *others = [column(row) for row in score_rows(record) if row.key in kept["outcomes"]]
    yield best
    for each in kept.get("finalists") or []:
        outcomes = np.asarray(each["outcomes"], dtype=float)
        yield ItemColumn(f"finalist #{each['id']}", each["score"], outcomes, each.get("predictions") or ())
    yield from others


def _right(
    columns: Sequence[ItemColumn], gold: NDArray[np.integer], closed: bool, metric: str
) -> NDArray[np.bool_] | None:
    """Return ``(columns, n)`` whether answers are right; None if the metric grades them."""
    if not closed and metric != RIGHT_OR_WRONG:
        return None
    return np.stack([each.outcomes == gold if closed else each.outcomes >= 1 for each in columns])


def _kinds(
    columns: Sequence[ItemColumn], right: NDArray[np.bool_] | None, strongest: str | None
) -> dict[str, tuple[str, NDArray[np.bool_]]]:
    """Return key -> (title, ``(n,)`` whether an item is of that kind)."""
    models = np.array([each.model for each in columns])
    rival = next((place for place, each in enumerate(columns) if each.baseline and each.baseline == strongest), None)
    outcomes = np.stack([each.outcomes for each in columns])
    if right is None:
        highest, spread = outcomes[models].max(axis=0), np.ptp(outcomes[models], axis=0)
        return {
            ALL_WRONG: ("all answers are poor", highest <= np.quantile(highest, 0.25)),
            DIFFERENT: ("the answers differ most", (spread >= np.quantile(spread, 0.75)) & (spread > 0)),
            **({} if rival is None else _beside(outcomes[0], outcomes[rival], "better", "poorer")),
        }
    return {
        ALL_WRONG: ("all are wrong", ~right[models].any(axis=0)),
        DIFFERENT: ("they disagree", np.ptp(outcomes[models], axis=0) > 0),
        BEST_WRONG: ("the best is wrong", ~right[0]),
        **({} if rival is None else _beside(right[0], right[rival], "right", "wrong")),
    }


def _beside(
    best: NDArray[Any], rival: NDArray[Any], more: str, less: str
) -> dict[str, tuple[str, NDArray[np.bool_]]]:
    """Return the items on which the best and the strongest baseline differ."""
    if more == "right":
        titles = "the best is wrong, the strongest baseline right", "the best is right, the strongest baseline wrong"
    else:
        titles = f"the best is {less} than the strongest baseline", f"the best is {more} than the strongest baseline"
    return {LOST: (titles[0], best < rival), WON: (titles[1], best > rival)}


def _shown(
    kinds: dict[str, tuple[str, NDArray[np.bool_]]], right: NDArray[np.bool_] | None, n: int
) -> NDArray[np.integer]:
    """Return the places of the items that are shown: those of the most kinds first, if all are too many."""
    if n <= MOST:
        return np.arange(n)
    weight = np.sum([of for _, of in kinds.values()], axis=0)
    return np.sort(np.argsort(-weight, kind="stable")[:MOST])


def _row(
    place: int,
    kept: Entry,
    columns: Sequence[ItemColumn],
    right: NDArray[np.bool_] | None,
    kinds: dict[str, tuple[str, NDArray[np.bool_]]],
    labels: Sequence[str],
) -> ItemRow:
    inputs, options, targets = (kept.get(key) or [] for key in ("inputs", "options", "targets"))
    fields = inputs[place] if place < len(inputs) else {}
    words = options[place] if place < len(options) else labels
    gold = int(kept["gold"][place])
    target = targets[place] if place < len(targets) else words[gold] if gold < len(words) and not targets else ""
    return ItemRow(
        number=place + 1,
        fields=[(str(name), shortened(str(text), TEXT)) for name, text in fields.items()],
        digest=str(kept["items"][place]),
        gold=shortened(str(target), ANSWER),
        label=gold if labels else None,
        answers=[
            ItemAnswer(_answer(column, place, words), None if right is None else bool(right[index, place]))
            for index, column in enumerate(columns)
        ],
        kinds="".join(key for key, (_, of) in kinds.items() if of[place]),
    )


def _answer(column: ItemColumn, place: int, words: Sequence[str]) -> str:
    """Return an answer: a label or option, or a generated text with its grade, or the grade alone."""
    outcome = float(column.outcomes[place])
    if words:
        known = 0 <= outcome < len(words)
        return shortened(str(words[int(outcome)]), ANSWER) if known else NO_ANSWER
    if place < len(column.texts):
        return f"{shortened(column.texts[place], ANSWER)} ({outcome:.2f})"
    return f"{outcome:.2f}" if np.isfinite(outcome) else NO_ANSWER


def shortened(text: str, most: int) -> str:
    """Return a text in at most so many characters; an ellipsis stands for the rest."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _cut(shown: int, all_items: int) -> str:
    if shown == all_items:
        return ""
    return (
        f"{shown:,} of {all_items:,} test items are shown, those first that are of the most kinds in the menu; all "
        "are in test.json beside this page."
    )


def _notes(record: RunRecord, columns: Sequence[ItemColumn], right: NDArray[np.bool_] | None) -> Iterator[str]:
    finalists = [each for each in columns if each.name.startswith("finalist ")]
    if finalists:
        yield f"The test answers of {counted(len(finalists), 'finalist')} beside the best decide nothing."
    draws = (record.test or {}).get("draws") or {}
    for column in columns:
        if column.baseline in draws:
            yield f"Of “{column.name}” the first of {len(draws[column.baseline])} draws is shown."
    if any(not each.model for each in columns):
        yield "The constant answer does not count when items are told apart."
    if right is None:
        yield (
            f"Answers are graded by {record.metric}: “poor” are items whose best answer is in the lowest quarter of "
            "all items, “differ most” those whose best and poorest answers are furthest apart, in the upper quarter."
        )
