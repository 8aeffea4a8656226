"""A prompt as a genome: instruction, demonstrations, and the words that stand for labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from evolm.errors import DataError, GenomeError, nearest
from evolm.genomes.base import content_digest
from evolm.tasks import Item, Template


@dataclass(frozen=True)
class Demonstration:
    """A solved example.

    Attributes:
        item: content digest of the train item it was taken from.
        fields: the item's fields, as sorted pairs.
        label: the gold label (not its verbalizer).
    """

    item: str
    fields: tuple[tuple[str, str], ...]
    label: str

    @classmethod
    def from_item(cls, item: Item) -> Demonstration:
        """Show an item with its gold label."""
        if item.gold is None:
            raise DataError(f"item {item.digest}: a demonstration needs a gold label, found none")
        return cls(item.digest, tuple(sorted(item.fields.items())), item.gold)

    def to_record(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"item": self.item, "fields": dict(self.fields), "label": self.label}


@dataclass(frozen=True)
class PromptGenome:
    """What stands before an item.

    Attributes:
        instruction: free text, possibly empty.
        demonstrations: in the order they are shown.
        verbalizers: ``(label, word)`` pairs for labels that are not called by their own name.
        template: name of the template; ``"default"`` is the campaign's own.
    """

    instruction: str
    demonstrations: tuple[Demonstration, ...] = ()
    verbalizers: tuple[tuple[str, str], ...] = ()
    template: str = "default"

    kind: ClassVar[str] = "prompt"

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits over everything the model sees."""
        return content_digest(self.to_record())

    def word(self, label: str) -> str:
        """Return the word that stands for ``label``."""
        return dict(self.verbalizers).get(label, label)

    def prefix(self, template: Template) -> str:
        """Render everything before the item, its separator included."""
        shown = [
            template.item(dict(demo.fields)) + template.answer(self.word(demo.label)) for demo in self.demonstrations
        ]
        pieces = [self.instruction, *shown] if self.instruction else shown
        return "".join(piece + template.separator for piece in pieces)

    def answers(self, template: Template, labels: Sequence[str]) -> tuple[str, ...]:
        """Render the answer of each label."""
        return tuple(template.answer(self.word(label)) for label in labels)

    def parts(self) -> frozenset[str]:
        """Words of the instruction, digests of demonstrations, verbalizers."""
        words = {f"word {word}" for word in self.instruction.lower().split()}
        shown = {f"demonstration {demo.item}" for demo in self.demonstrations}
        return frozenset(words | shown | {f"verbalizer {label} {word}" for label, word in self.verbalizers})

    def to_record(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "kind": self.kind,
            "instruction": self.instruction,
            "demonstrations": [demo.to_record() for demo in self.demonstrations],
            "verbalizers": dict(self.verbalizers),
            "template": self.template,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> PromptGenome:
        """Read back :meth:`to_record`.

        Raises:
            GenomeError: if the record is not one of a prompt.
        """
        try:
            shown = tuple(
                Demonstration(d["item"], tuple(sorted(d["fields"].items())), d["label"])
                for d in record["demonstrations"]
            )
            pairs = tuple(sorted(record["verbalizers"].items()))
            return cls(str(record["instruction"]), shown, pairs, str(record["template"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise GenomeError(f"a prompt genome's record is damaged: {type(error).__name__} {error}") from None


@dataclass(frozen=True)
class PromptSpace:
    """Which prompts may be tried.

    Attributes:
        template: the campaign's template.
        labels: words of the task's labels.
        train: items that demonstrations may be taken from.
        instruction: whether the instruction may change.
        demonstrations: fewest and most demonstrations.
        verbalizers: label -> words that may stand for it, the label's own name among them.
        max_tokens: longest prompt without its item.
        count_tokens: text -> number of tokens.
        instructions: pool that random prompts draw their instruction from.
    """

    template: Template
    labels: tuple[str, ...]
    train: tuple[Item, ...]
    instruction: bool
    demonstrations: tuple[int, int]
    verbalizers: Mapping[str, tuple[str, ...]]
    max_tokens: int
    count_tokens: Callable[[str], int]
    instructions: tuple[str, ...] = ("",)
    _tokens: dict[str, int] = field(default_factory=dict, compare=False, repr=False)

    genome: ClassVar[str] = PromptGenome.kind

    @cached_property
    def by_label(self) -> dict[str, list[Item]]:
        """Train items of each label that has any."""
        groups: dict[str, list[Item]] = {}
        for item in self.train:
            if item.gold is not None:
                groups.setdefault(item.gold, []).append(item)
        return groups

    @property
    def most_demonstrations(self) -> int:
        """Most demonstrations that the train split can give."""
        return min(self.demonstrations[1], sum(map(len, self.by_label.values())))

    def tokens(self, genome: PromptGenome) -> int:
        """Return the prompt's length in tokens, item excluded."""
        if genome.digest not in self._tokens:
            self._tokens[genome.digest] = self.count_tokens(genome.prefix(self.template))
        return self._tokens[genome.digest]

    def outside(self, genome: PromptGenome) -> str:
        """Return why a genome is not in this space, or ``""``."""
        fewest, most = self.demonstrations
        if not fewest <= len(genome.demonstrations) <= most:
            return f"{len(genome.demonstrations)} demonstrations, expected {fewest} to {most}"
        for label, word in genome.verbalizers:
            if word not in self.verbalizers.get(label, ()):
                return f"verbalizer {word!r} for {label!r}, expected one of {list(self.verbalizers.get(label, ()))}"
        if len({genome.word(label) for label in self.labels}) < len(self.labels):
            return "two labels share one word"
        tokens = self.tokens(genome)
        if tokens > self.max_tokens:
            return f"{tokens} tokens, expected at most {self.max_tokens} (space.prompt.max_tokens)"
        return ""

    def draw_item(self, rng: np.random.Generator, taken: set[str]) -> Item | None:
        """Draw a train item whose digest is not taken, each label equally likely; None if there is none."""
        groups = [[i for i in items if i.digest not in taken] for items in self.by_label.values()]
        groups = [items for items in groups if items]
        if not groups:
            return None
        items = groups[rng.integers(len(groups))]
        return items[rng.integers(len(items))]

    def draw_demonstrations(self, rng: np.random.Generator, count: int) -> tuple[Demonstration, ...]:
        """Draw up to ``count`` different demonstrations, their labels as even as possible, in random order."""
        groups = {label: list(rng.permutation(len(items))) for label, items in self.by_label.items()}
        order = list(rng.permutation(sorted(groups)))
        drawn: list[Demonstration] = []
        while len(drawn) < count and any(groups.values()):
            for label in order:
                if groups[label] and len(drawn) < count:
                    drawn.append(Demonstration.from_item(self.by_label[label][groups[label].pop()]))
        return tuple(drawn[i] for i in rng.permutation(len(drawn)))

    def draw_verbalizers(self, rng: np.random.Generator) -> tuple[tuple[str, str], ...]:
        """Draw a word for each label that has a choice."""
        pairs = [(label, words[rng.integers(len(words))]) for label, words in sorted(self.verbalizers.items())]
        return tuple((label, word) for label, word in pairs if word != label)

    def random(self, rng: np.random.Generator) -> PromptGenome:
        """Draw a prompt: instruction from the pool, any number of demonstrations, any verbalizers."""
        instruction = self.instructions[rng.integers(len(self.instructions))]
        fewest, most = self.demonstrations[0], max(self.most_demonstrations, self.demonstrations[0])
        count = int(rng.integers(fewest, most + 1))
        genome = PromptGenome(instruction, self.draw_demonstrations(rng, count), self.draw_verbalizers(rng))
        while self.outside(genome) and len(genome.demonstrations) > fewest:
            genome = replace(genome, demonstrations=genome.demonstrations[:-1])
        return genome

    def founder(self, record: Mapping[str, Any], rng: np.random.Generator, where: str) -> PromptGenome:
        """Read a founder, written by hand or taken from a run.

        Args:
            record: ``instruction``; ``demonstrations`` as a number to draw, or a list of ``{"item": digest}``
                (a train item) or ``{"fields": {...}, "label": ...}``; ``verbalizers``.
            rng: for demonstrations to draw.
            where: what messages call this founder.

        Raises:
            GenomeError: if a key is unknown or the founder lies outside this space.
        """
        known = ("kind", "instruction", "demonstrations", "verbalizers", "template")
        for key in record:
            if key not in known:
                raise GenomeError(f"{where}: unknown key {key!r}{nearest(key, known)}")
        if not isinstance(record.get("instruction", ""), str):
            raise GenomeError(f"{where}: 'instruction' must be text, found {record['instruction']!r}")
        wanted, words = record.get("demonstrations", []), record.get("verbalizers", {})
        if not isinstance(wanted, int) and not (
            isinstance(wanted, list) and all(isinstance(d, dict) for d in wanted)
        ):
            raise GenomeError(f"{where}: 'demonstrations' must be a number or a list of objects, found {wanted!r}")
        if not isinstance(words, dict) or not all(isinstance(word, str) for word in words.values()):
            raise GenomeError(f"{where}: 'verbalizers' must map labels to words, found {words!r}")
        if isinstance(wanted, int):
            shown = self.draw_demonstrations(rng, wanted)
        else:
            shown = tuple(self._demonstration(entry, where) for entry in wanted)
        pairs = tuple(sorted((k, v) for k, v in words.items() if k != v))
        genome = PromptGenome(record.get("instruction", "").strip(), shown, pairs)
        if reason := self.outside(genome):
            raise GenomeError(f"{where}: {reason}")
        return genome

    def _demonstration(self, entry: Mapping[str, Any], where: str) -> Demonstration:
        if isinstance(entry.get("fields"), dict) and "label" in entry:
            if entry["label"] not in self.labels:
                raise GenomeError(
                    f"{where}: a demonstration's label is {entry['label']!r}, expected one of {list(self.labels)}"
                )
            fields = tuple(sorted((str(k), str(v)) for k, v in entry["fields"].items()))
            return Demonstration(str(entry.get("item") or content_digest(fields)), fields, entry["label"])
        match = next((item for item in self.train if item.digest == entry.get("item")), None)
        if match is None:
            raise GenomeError(
                f"{where}: a demonstration names item {entry.get('item')!r}, which is not in the train split"
            )
        return Demonstration.from_item(match)
