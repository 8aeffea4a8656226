"""The effect of each choice in which individuals differ: instruction, demonstrations, label words, readout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evolm.readout_kinds import KINDS_OF_READOUTS, WORDS
from evolm.report.additive import fit_effects
from evolm.report.differences import POOLING_TITLES
from evolm.report.items import shortened
from evolm.report.reading import Entry, RunRecord

LEAST = 12  # genomes that must be scored
OFTEN = 2  # genomes with a choice, and without it
MOST = 40  # choices of a kind that are in the model, the most frequent
SHOWN = 8  # choices of a kind that the page shows
TITLE = 160  # characters
CLOSE = 2e-3  # the journal rounds item scores

INSTRUCTION, DEMONSTRATION, LABEL_WORD, TEMPLATE = "instruction", "demonstration", "label word", "template"
READOUT, LAYER, POOLING = "readout", "layer", "states"
KINDS = (INSTRUCTION, DEMONSTRATION, LABEL_WORD, TEMPLATE, READOUT, LAYER, POOLING)


@dataclass(frozen=True)
class Choice:
    """Something that a genome has or has not.

    Attributes:
        kind: a value of ``KINDS``.
        key: identifies it within its kind.
        rivals: names the choices that exclude each other; ``""`` if it is alone.
        title: for people.
    """

    kind: str
    key: str
    rivals: str
    title: str


@dataclass(frozen=True)
class EffectRow:
    """The effect of a choice on the score on dev.

    Attributes:
        title: of the choice.
        count: genomes that have it.
        effect: expected score with it minus without it.
        interval: of 95 %.
    """

    title: str
    count: int
    effect: float
    interval: tuple[float, float]

    @property
    def clear(self) -> bool:
        """Whether the interval does not hold 0."""
        return self.interval[0] > 0 or self.interval[1] < 0


@dataclass(frozen=True)
class EffectTable:
    """Effects by kind of choice.

    Attributes:
        kinds: ``(kind, rows by falling effect, choices that are left out)``.
        genomes: how many were scored.
        over_items: whether the intervals cover other rows too.
        reach: the largest absolute end of an interval shown, for bars.
    """

    kinds: Sequence[tuple[str, Sequence[EffectRow], int]]
    genomes: int
    over_items: bool
    reach: float


def effect_table(record: RunRecord) -> EffectTable | None:
    """Return the effects of the choices that at least two scored genomes have and two have not; None without any.

    All searches of a run are read, random search too, whose genomes no selection made alike.
    """
    entries = _scored(record)
    if len(entries) < LEAST:
        return None
    mine = [dict.fromkeys(choices(entry.get("genome") or {})) for entry in entries]
    counts = Counter(choice for each in mine for choice in each)
    kept = [choice for choice, count in counts.items() if OFTEN <= count <= len(entries) - OFTEN]
    modelled = [choice for kind in KINDS for choice in _frequent(kept, kind, counts)]
    scores = np.array([entry["score"] for entry in entries], dtype=float)
    if not modelled or not np.ptp(scores):
        return None
    has = np.array([[choice in each for choice in modelled] for each in mine], dtype=float)
    names = {name: number for number, name in enumerate(dict.fromkeys(choice.rivals for choice in modelled))}
    groups = [names[choice.rivals] if choice.rivals else -1 for choice in modelled]
    found = fit_effects(has, groups, scores, _item_scores(entries, scores))
    rows = [
        EffectRow(choice.title, counts[choice], float(mean), (float(mean - half), float(mean + half)))
        for choice, mean, half in zip(modelled, found.means, found.halves, strict=True)
    ]
    kinds = []
    for kind in KINDS:
        of_kind = [row for choice, row in zip(modelled, rows, strict=True) if choice.kind == kind]
        if of_kind:
            shown = _telling(of_kind)
            kinds.append((kind, shown, len({c for c in counts if c.kind == kind}) - len(shown)))
    reach = max(max(map(abs, row.interval)) for _, shown, _ in kinds for row in shown)
    return EffectTable(kinds, len(entries), found.over_items, reach)


def choices(genome: Entry) -> Iterator[Choice]:
    """Yield the choices of a genome's summary."""
    prompt, readout = genome.get("prompt") or {}, genome.get("readout") or {}
    if "instruction" in prompt:
        text = str(prompt["instruction"])
        yield Choice(INSTRUCTION, text, INSTRUCTION, shortened(text, TITLE) or "no instruction")
    for shown in prompt.get("demonstrations") or []:
        fields = " · ".join(map(str, (shown.get("fields") or {}).values()))
        key = str(shown.get("item") or fields)
        yield Choice(DEMONSTRATION, key, "", f"{shortened(fields, TITLE)} → {shown.get('label', '')}")
    for label, word in (prompt.get("verbalizers") or {}).items():
        yield Choice(LABEL_WORD, f"{label}\n{word}", f"{LABEL_WORD} {label}", f"{label} → {word}")
    if prompt.get("template"):
        yield Choice(TEMPLATE, str(prompt["template"]), TEMPLATE, str(prompt["template"]))
    if readout:
        kind = str(readout.get("kind", WORDS))
        title = KINDS_OF_READOUTS[kind].title if kind in KINDS_OF_READOUTS else kind
        yield Choice(READOUT, kind, READOUT, title)
        layers = [readout["layer"]] if readout.get("layer") else readout.get("layers") or []
        if layers:
            yield Choice(LAYER, str(layers), LAYER, ", ".join(map(str, layers)))
        if layers and readout.get("pooling"):
            pooling = str(readout["pooling"])
            yield Choice(POOLING, pooling, POOLING, POOLING_TITLES.get(pooling, pooling))


def _scored(record: RunRecord) -> list[Entry]:
    """Return the individuals that were scored on all dev items, each genome once."""
    found: dict[str, Entry] = {}
    for entry in record.entries:
        if entry.get("type") == "individual" and isinstance(entry.get("score"), int | float):
            found.setdefault(str(entry.get("digest") or entry.get("id")), entry)
    return [entry for entry in found.values() if np.isfinite(entry["score"])]


def _frequent(kept: Sequence[Choice], kind: str, counts: Counter[Choice]) -> list[Choice]:
    return sorted((choice for choice in kept if choice.kind == kind), key=lambda choice: -counts[choice])[:MOST]


def _item_scores(entries: Sequence[Entry], scores: np.ndarray) -> np.ndarray | None:
    """Return ``(n, items)`` scores whose means are the scores; None if the journal has none such."""
    rows = [entry.get("item_scores") for entry in entries]
    if any(row is None for row in rows) or len({len(row) for row in rows if row is not None}) != 1:
        return None
    values = np.array(rows, dtype=float)  # None becomes NaN
    same = values.shape[1] > 1 and np.all(np.abs(values.mean(axis=1) - scores) < CLOSE)
    return values if same else None


def _telling(rows: Sequence[EffectRow]) -> list[EffectRow]:
    """Return the rows with the largest effects for their error, by falling effect."""
    certain = sorted(rows, key=lambda row: -abs(row.effect) / max(row.interval[1] - row.interval[0], 1e-12))
    return sorted(certain[:SHOWN], key=lambda row: -row.effect)
