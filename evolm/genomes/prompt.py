"""A prompt as a chromosome: instruction, demonstrations, and the words that stand for labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from evolm.errors import DataError, GenomeError
from evolm.genomes.chromosome import Arrays, content_digest
from evolm.tasks import Item, Template


@dataclass(frozen=True)
class Demonstration:
    """A solved example.

    Attributes:
        item: content digest of the train item it was taken from.
        fields: the item's fields, as sorted pairs.
        label: the gold label (not its verbalizer), the right option or the target text.
        options: the item's own options, if it has any.
    """

    item: str
    fields: tuple[tuple[str, str], ...]
    label: str
    options: tuple[str, ...] = ()

    @classmethod
    def from_item(cls, item: Item) -> Demonstration:
        """Show an item with its gold label."""
        if item.gold is None:
            raise DataError(f"item {item.digest}: expected a gold label, which a demonstration needs, found none")
        return cls(item.digest, tuple(sorted(item.fields.items())), item.gold, item.options)

    def text(self, template: Template, word: str) -> str:
        """Render the example with ``word`` for its label."""
        place = self.options.index(self.label) if self.options else None
        return template.item(dict(self.fields), self.options) + template.answer(word, place)

    def to_record(self) -> dict[str, Any]:
        """Return JSON values."""
        record = {"item": self.item, "fields": dict(self.fields), "label": self.label}
        return {**record, "options": list(self.options)} if self.options else record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Demonstration:
        """Read back :meth:`to_record`; a damaged one raises KeyError, TypeError or AttributeError."""
        fields = tuple(sorted((_text(name), _text(value)) for name, value in record["fields"].items()))
        options = tuple(map(_text, record.get("options", ())))
        return cls(_text(record["item"]), fields, _text(record["label"]), options)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, found {value!r}")
    return value


# Questions that ask a model for criticism of its draft; the first is the default.
CRITIQUES = (
    "Is this right? If not, say what is wrong:",
    "Check the answer against the examples above. The mistake in it is:",
    "A better answer would differ in this:",
)


@dataclass(frozen=True)
class Prompt:
    """The text before an item.

    Attributes:
        instruction: free text, possibly empty.
        demonstrations: in the order they are shown.
        verbalizers: ``(label, word)`` pairs for labels that are not called by their own name.
        template: name of the template; ``"default"`` is the campaign's own.
        critique: question that asks for criticism of a draft, if answers are refined; empty = the default.
    """

    instruction: str
    demonstrations: tuple[Demonstration, ...] = ()
    verbalizers: tuple[tuple[str, str], ...] = ()
    template: str = "default"
    critique: str = ""

    @property
    def question(self) -> str:
        """The question that asks for criticism of a draft."""
        return self.critique or CRITIQUES[0]

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits over the record."""
        return content_digest(self.to_record())

    def word(self, label: str) -> str:
        """Return the word that stands for ``label``."""
        return dict(self.verbalizers).get(label, label)

    def prefix(self, template: Template) -> str:
        """Render everything before the item, its separator included."""
        shown = [demo.text(template, self.word(demo.label)) for demo in self.demonstrations]
        pieces = [self.instruction, *shown] if self.instruction else shown
        return "".join(piece + template.separator for piece in pieces)

    def answers(self, template: Template, labels: Sequence[str]) -> tuple[str, ...]:
        """Render the answer of each label, or of each option of an item."""
        return tuple(template.answer(self.word(label), index) for index, label in enumerate(labels))

    def parts(self) -> frozenset[str]:
        """Words of the instruction, digests of demonstrations, verbalizers."""
        words = {f"word {word}" for word in self.instruction.lower().split()}
        shown = {f"demonstration {demo.item}" for demo in self.demonstrations}
        renamed = {f"verbalizer {label} {word}" for label, word in self.verbalizers}
        asked = {f"critique {self.critique}"} if self.critique else set()
        return frozenset(words | shown | renamed | asked)

    def distance(self, other: Prompt) -> float:
        """Return the Jaccard distance of both prompts' parts, in [0, 1]."""
        ours, theirs = self.parts(), other.parts()
        return 1 - len(ours & theirs) / len(ours | theirs) if ours | theirs else 0.0

    def summary(self) -> dict[str, Any]:
        """Return the whole record; it has no arrays."""
        return self.to_record()

    def arrays(self) -> Arrays:
        """Return nothing."""
        return {}

    @classmethod
    def from_summary(cls, summary: Mapping[str, Any], arrays: Arrays) -> Prompt:
        """Read back :meth:`summary`."""
        return cls.from_record(summary)

    def to_record(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "instruction": self.instruction,
            "demonstrations": [demo.to_record() for demo in self.demonstrations],
            "verbalizers": dict(self.verbalizers),
            "template": self.template,
            **({"critique": self.critique} if self.critique else {}),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Prompt:
        """Read back :meth:`to_record`.

        Raises:
            GenomeError: if the record is damaged.
        """
        try:
            shown = tuple(map(Demonstration.from_record, record["demonstrations"]))
            pairs = tuple(sorted((_text(label), _text(word)) for label, word in record["verbalizers"].items()))
            critique = _text(record.get("critique", ""))
            return cls(str(record["instruction"]), shown, pairs, str(record["template"]), critique)
        except (KeyError, TypeError, AttributeError) as error:
            raise GenomeError(f"a prompt's record is damaged: {type(error).__name__} {error}") from None
