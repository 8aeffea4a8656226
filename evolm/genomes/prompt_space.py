"""The space of prompts: which ones may be tried, how they are drawn, and how founders are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from evolm.config import PromptSpaceSection
from evolm.errors import ConfigError, GenomeError, nearest
from evolm.genomes.chromosome import content_digest
from evolm.genomes.phenotype import Phenotype
from evolm.genomes.prompt import CRITIQUES, Demonstration, Prompt
from evolm.genomes.prompt_coding import PromptCoding
from evolm.genomes.space import ChromosomeSpace
from evolm.tasks import Item, Task, Template
from evolm.wording import listed

if TYPE_CHECKING:
    from evolm.models import Model


@dataclass(frozen=True)
class PromptSpace(ChromosomeSpace):
    """The prompts that may be tried.

    Attributes:
        template: the campaign's template.
        labels: words of the task's labels; empty unless all items share them.
        train: items that demonstrations may be taken from.
        instruction: whether the instruction may change.
        demonstrations: fewest and most demonstrations.
        verbalizers: label -> words that may stand for it, the label's own name among them.
        max_tokens: longest prompt without its item.
        count_tokens: text -> number of tokens.
        instructions: pool that random prompts draw their instruction from.
        critiques: questions that may ask for criticism of a draft, if answers are refined.
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
    critiques: tuple[str, ...] = CRITIQUES
    _tokens: dict[str, int] = field(default_factory=dict, compare=False, repr=False)

    Params = PromptSpaceSection
    chromosome = Prompt

    @classmethod
    def build(cls, params: PromptSpaceSection, task: Task, model: Model) -> PromptSpace:
        """Return the space that ``[space.prompt]`` describes.

        Raises:
            ConfigError: if the task has no such label, or not as many labelled train items as must be shown.
        """
        fewest, most = params.demonstrations
        if not 0 <= fewest <= most:
            raise ConfigError(f"space.prompt.demonstrations: expected [fewest, most], found {[fewest, most]}")
        if fewest > len(task.train) or (fewest and not task.has_gold):
            raise ConfigError(
                f"space.prompt.demonstrations: at least {fewest} wanted, found {len(task.train)} labelled train items"
            )
        words = allowed_words(params, task)
        return cls(
            template=task.template,
            labels=task.labels,
            train=task.demonstrable,
            instruction=params.instruction,
            demonstrations=(fewest, most),
            verbalizers={label: choices for label, choices in words.items() if len(choices) > 1},
            max_tokens=params.max_tokens,
            count_tokens=model.count_tokens,
        )

    def with_instructions(self, prompts: Sequence[Prompt]) -> PromptSpace:
        """Return the space whose pools are the instructions of ``prompts``, and their critiques and the defaults."""
        pool = tuple(dict.fromkeys(prompt.instruction for prompt in prompts))
        critiques = tuple(dict.fromkeys((*(prompt.question for prompt in prompts), *CRITIQUES)))
        return replace(self, instructions=pool or ("",), critiques=critiques)

    def neutral(self) -> Prompt:
        """Return the empty prompt."""
        return Prompt("")

    def express(self, chromosome: Prompt, phenotype: Phenotype) -> Phenotype:
        """Show the prompt as it is."""
        return replace(phenotype, prompt=chromosome)

    def coding(self, founders: Sequence[Prompt]) -> PromptCoding:
        """Return the choices that a prompt consists of."""
        return PromptCoding(
            instructions=self.instructions,
            demonstrations=self.demonstrations,
            most_demonstrations=self.most_demonstrations,
            train=self.train,
            verbalizers=self.verbalizers,
            founders=founders,
        )

    def describe(self) -> dict[str, Any]:
        """Return the table ``[space.prompt]`` as it applies to the task."""
        return {
            "instruction": self.instruction,
            "demonstrations": list(self.demonstrations),
            "verbalizers": {label: list(words) for label, words in self.verbalizers.items()},
            "max_tokens": self.max_tokens,
        }

    @cached_property
    def groups(self) -> dict[str, list[Item]]:
        """Train items with gold, by label; one group, ``""``, if items share no labels."""
        groups: dict[str, list[Item]] = {}
        for item in self.train:
            if item.gold is not None:
                groups.setdefault(item.gold if self.labels else "", []).append(item)
        return groups

    @property
    def most_demonstrations(self) -> int:
        """The most demonstrations that the train split can give."""
        return min(self.demonstrations[1], sum(map(len, self.groups.values())))

    def tokens(self, genome: Prompt) -> int:
        """Return the prompt's length in tokens, item excluded."""
        if genome.digest not in self._tokens:
            self._tokens[genome.digest] = self.count_tokens(genome.prefix(self.template))
        return self._tokens[genome.digest]

    def outside(self, genome: Prompt) -> str:
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
        """Draw a train item whose digest is not taken, each group equally likely; None if there is none."""
        groups = [[i for i in items if i.digest not in taken] for items in self.groups.values()]
        groups = [items for items in groups if items]
        if not groups:
            return None
        items = groups[rng.integers(len(groups))]
        return items[rng.integers(len(items))]

    def draw_demonstrations(self, rng: np.random.Generator, count: int) -> tuple[Demonstration, ...]:
        """Draw up to ``count`` different demonstrations, their labels as even as possible, in random order."""
        groups = {label: list(rng.permutation(len(items))) for label, items in self.groups.items()}
        order = list(rng.permutation(sorted(groups)))
        drawn: list[Demonstration] = []
        while len(drawn) < count and any(groups.values()):
            for label in order:
                if groups[label] and len(drawn) < count:
                    drawn.append(Demonstration.from_item(self.groups[label][groups[label].pop()]))
        return tuple(drawn[i] for i in rng.permutation(len(drawn)))

    def draw_verbalizers(self, rng: np.random.Generator) -> tuple[tuple[str, str], ...]:
        """Draw a word for each label that has a choice."""
        pairs = [(label, words[rng.integers(len(words))]) for label, words in sorted(self.verbalizers.items())]
        return tuple((label, word) for label, word in pairs if word != label)

    def random(self, rng: np.random.Generator) -> Prompt:
        """Draw a prompt: instruction from the pool, any demonstrations and verbalizers."""
        instruction = self.instructions[rng.integers(len(self.instructions))]
        fewest, most = self.demonstrations[0], max(self.most_demonstrations, self.demonstrations[0])
        count = int(rng.integers(fewest, most + 1))
        genome = Prompt(instruction, self.draw_demonstrations(rng, count), self.draw_verbalizers(rng))
        return self.shortened(genome)

    def shortened(self, genome: Prompt) -> Prompt:
        """Drop a genome's last demonstrations until it lies inside, or shows the fewest allowed."""
        while self.outside(genome) and len(genome.demonstrations) > self.demonstrations[0]:
            genome = replace(genome, demonstrations=genome.demonstrations[:-1])
        return genome

    def founder(self, record: Mapping[str, Any], rng: np.random.Generator, where: str) -> Prompt:
        """Read a founder's prompt, written by hand or taken from a run.

        Args:
            record: ``instruction``; ``demonstrations`` as a number to draw (fewer if those are too
                long), or a list of ``{"item": digest}`` (a train item) or ``{"fields": {...}, "label": ...}``, with
                ``options`` if items have their own; ``verbalizers``; ``critique``.
            rng: for demonstrations to draw.
            where: what messages call this founder.

        Raises:
            GenomeError: if a key is unknown or the founder lies outside this space.
        """
        _check_founder(record, where)
        wanted, words = record.get("demonstrations", []), record.get("verbalizers", {})
        if isinstance(wanted, int):
            shown = self.draw_demonstrations(rng, wanted)
        else:
            shown = tuple(self._demonstration(entry, where) for entry in wanted)
        pairs = tuple(sorted((k, v) for k, v in words.items() if k != v))
        critique = record.get("critique", "").strip()
        genome = Prompt(record.get("instruction", "").strip(), shown, pairs, critique=critique)
        if isinstance(wanted, int) and wanted <= self.demonstrations[1]:
            genome = self.shortened(genome)  # the draw may be too long
        if reason := self.outside(genome):
            raise GenomeError(f"{where}: {reason}")
        return genome

    def _demonstration(self, entry: Mapping[str, Any], where: str) -> Demonstration:
        if isinstance(entry.get("fields"), dict) and "label" in entry:
            return self._written_demonstration(entry, where)
        match = next((item for item in self.train if item.digest == entry.get("item")), None)
        if match is None:
            raise GenomeError(
                f"{where}: expected demonstrations of the train split, found item {entry.get('item')!r}"
            )
        return Demonstration.from_item(match)

    def _written_demonstration(self, entry: Mapping[str, Any], where: str) -> Demonstration:
        label, options = entry["label"], entry.get("options", [])
        if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
            raise GenomeError(f"{where}: expected a demonstration's options to be a list of texts, found {options!r}")
        known = self.labels or options
        if not isinstance(label, str) or not label.strip() or (known and label not in known):
            expected = f"one of {listed(known)}" if known else "a text"
            raise GenomeError(f"{where}: a demonstration's label is {label!r}, expected {expected}")
        fields = tuple(sorted((str(k), str(v)) for k, v in entry["fields"].items()))
        return Demonstration(str(entry.get("item") or content_digest(fields)), fields, label, tuple(options))


def allowed_words(params: PromptSpaceSection, task: Task) -> dict[str, tuple[str, ...]]:
    """Return label -> words that may stand for it, its own name first.

    Raises:
        ConfigError: if the table names a label that the task does not have.
    """
    for label in params.verbalizers:
        if label not in task.labels:
            raise ConfigError(
                f"space.prompt.verbalizers: {label!r} is no label, expected one of {listed(task.labels)}"
                f"{nearest(label, task.labels)}"
            )
    return {label: tuple(dict.fromkeys((label, *params.verbalizers.get(label, ())))) for label in task.labels}


def _check_founder(record: Mapping[str, Any], where: str) -> None:
    """Refuse unknown keys and values of a wrong type."""
    known = ("instruction", "demonstrations", "verbalizers", "template", "critique")
    for key in record:
        if key not in known:
            raise GenomeError(f"{where}: expected some of {listed(known)}, found {key!r}{nearest(key, known)}")
    for key in ("instruction", "critique"):
        if not isinstance(record.get(key, ""), str):
            raise GenomeError(f"{where}: expected {key!r} to be text, found {record[key]!r}")
    wanted, words = record.get("demonstrations", []), record.get("verbalizers", {})
    number = isinstance(wanted, int) and not isinstance(wanted, bool) and wanted >= 0
    if not number and not (isinstance(wanted, list) and all(isinstance(d, dict) for d in wanted)):
        raise GenomeError(
            f"{where}: expected 'demonstrations' to be a number from 0 or a list of objects, found {wanted!r}"
        )
    if not isinstance(words, dict) or not all(isinstance(word, str) for word in words.values()):
        raise GenomeError(f"{where}: expected 'verbalizers' to map labels to words, found {words!r}")
