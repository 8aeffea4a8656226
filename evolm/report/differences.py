"""The differences of two genomes' prompts: words, demonstrations and label words, marked one by one.

Nothing here is HTML: pieces of text carry a mark, and the page's template escapes and dresses them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from evolm.readout_kinds import KINDS_OF_READOUTS, WORDS
from evolm.wording import counted

POOLING_TITLES = {
    "last": "at the last token",
    "mean": "averaged over the item",
    "auto": "at the last token and averaged over the item",
}

Summary = dict[str, Any]  # of a genome: kind of chromosome -> summary; or of one chromosome

_WORDS = re.compile(r"\w+(?:['\u2019-]\w+)*|\s+|[^\w\s]")
_UNRELATED = 0.25  # below this similarity, whole texts are marked instead of words


@dataclass(frozen=True)
class Piece:
    """A stretch of text; ``mark`` is ``""`` (in both), ``"ins"`` (only new) or ``"del"`` (only old)."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class ShownDemonstration:
    """One demonstration of a prompt: its fields, its own options, its answer, and its mark as in ``Piece``."""

    fields: dict[str, str]
    options: list[str]
    label: str
    mark: str


@dataclass(frozen=True)
class Side:
    """One of two compared prompts, ready to be shown."""

    instruction: list[Piece]
    demonstrations: list[ShownDemonstration]
    verbalizers: list[tuple[str, Piece]]  # (label, the word that stands for it)
    readout: Piece  # says how labels are read; empty if by their words
    template: Piece
    weights: str  # a sentence about the delta; "" if the genome has none


def compare(old: Summary, new: Summary) -> tuple[Side, Side]:
    """Return both genomes with their differences marked: ``"del"`` in the old one, ``"ins"`` in the new one."""
    before, after = ((genome.get("prompt") or {}).get("instruction") or "" for genome in (old, new))
    old_words, new_words = word_diff(before, after)
    return (
        _side(old, new, old_words, "del"),
        _side(new, old, new_words, "ins"),
    )


def with_chosen(genome: Summary, readout: Summary | None) -> Summary:
    """Return a genome with what the fit of its readout chose; ``readout`` is None if it was not fitted."""
    chosen = {key: value for key, value in (readout or {}).items() if value is not None}
    return {**genome, "readout": {**(genome.get("readout") or {}), **chosen}} if chosen else genome


def word_diff(old: str, new: str) -> tuple[list[Piece], list[Piece]]:
    """Return the old text with its deleted words marked, and the new text with its inserted words marked."""
    a, b = _WORDS.findall(old), _WORDS.findall(new)
    matcher = SequenceMatcher(str.isspace, a, b, autojunk=False)  # blanks alone do not count as common text
    if matcher.ratio() < _UNRELATED:
        return [Piece(old, "del")] if old else [], [Piece(new, "ins")] if new else []
    before: list[Piece] = []
    after: list[Piece] = []
    for operation, i, j, k, m in matcher.get_opcodes():
        before += _pieces(a[i:j], "" if operation == "equal" else "del")
        after += _pieces(b[k:m], "" if operation == "equal" else "ins")
    return before, after


def _pieces(words: list[str], mark: str) -> list[Piece]:
    return [Piece("".join(words), mark)] if words else []


def _side(genome: Summary, other_genome: Summary, words: list[Piece], mark: str) -> Side:
    mine, other = genome.get("prompt") or {}, other_genome.get("prompt") or {}
    theirs = {_key(d) for d in other.get("demonstrations") or []}
    template, before = (str(g.get("template") or "") for g in (mine, other))
    return Side(
        instruction=words,
        demonstrations=[
            ShownDemonstration(
                fields={str(k): str(v) for k, v in (d.get("fields") or {}).items()},
                options=[str(option) for option in d.get("options") or []],
                label=str(d.get("label", "")),
                mark="" if _key(d) in theirs else mark,
            )
            for d in mine.get("demonstrations") or []
        ],
        verbalizers=_verbalizers(mine.get("verbalizers") or {}, other.get("verbalizers") or {}, mark),
        readout=_readout(genome.get("readout") or {}, other_genome.get("readout") or {}, mark),
        template=Piece(template, "" if template == before else mark),
        weights=_weights(genome),
    )


def _key(demonstration: dict[str, Any]) -> str:
    """Return the key of a demonstration: its item's digest, or its record if it has none."""
    return str(demonstration.get("item") or json.dumps(demonstration, sort_keys=True))


def _verbalizers(mine: dict[str, str], other: dict[str, str], mark: str) -> list[tuple[str, Piece]]:
    """Return a row for every label that either side renames; a label without an entry stands for itself."""
    rows = []
    for label in sorted(mine.keys() | other.keys()):
        word = mine.get(label, label)
        rows.append((label, Piece(word, "" if word == other.get(label, label) else mark)))
    return rows


def _readout(mine: Summary, other: Summary, mark: str) -> Piece:
    said = readout_sentence(mine)
    if not (mine.get("strength") and other.get("strength")):  # one that is left open is chosen by the fit
        mine, other = {**mine, "strength": 0.0}, {**other, "strength": 0.0}
    same = readout_sentence(mine) == readout_sentence(other)
    return Piece(said, "" if same else mark) if said else Piece("")


def readout_sentence(readout: Summary) -> str:
    """Return how a readout's genes read labels or options; ``""`` if by their words."""
    kind = readout.get("kind", WORDS)
    if kind == WORDS:
        return ""
    title = KINDS_OF_READOUTS[kind].title if kind in KINDS_OF_READOUTS else kind
    said = f"read by: {title}"
    layers = [readout["layer"]] if readout.get("layer") else readout.get("layers") or []
    if layers:
        said += f", layer{'s' * (len(layers) > 1)} {', '.join(map(str, layers))}"
    if layers and readout.get("pooling") in POOLING_TITLES:
        said += f", {POOLING_TITLES[readout['pooling']]}"
    return said + (f", strength {readout['strength']:.3g}" if readout.get("strength") else "")


def _weights(genome: Summary) -> str:
    """Return a sentence about the delta of a genome; ``""`` if it has none."""
    delta = genome.get("delta")
    if not delta:
        return ""
    if not delta.get("norm"):
        return "The model as it is."
    said = f"The model's weights are changed: genes of length {delta['norm']:.3g}"
    if sigma := delta.get("sigma"):
        said += f", mutated in steps of {sigma:.2g}"
    if learning := delta.get("learning"):
        said += (
            f"; learnt in {counted(learning['count'], 'gradient step')}, at last {learning['steps']} at a time with "
            f"rate {learning['rate']:.2g} and decay {learning['decay']:.2g}"
        )
    return f"{said}."
