"""Prompts as choices: instruction, number of demonstrations and which, each label's word, question for criticism."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evolm.errors import GenomeError
from evolm.genomes.prompt import Demonstration, Prompt
from evolm.genomes.variables import ChoiceCoding, Variable
from evolm.tasks import Item


class PromptCoding(ChoiceCoding):
    """The variables of a space of prompts; a choice of one is no variable.

    Args:
        instructions: that can be chosen.
        demonstrations: fewest and most.
        most_demonstrations: the most that the train split can give.
        train: items that demonstrations can be made of.
        verbalizers: label -> words, at least two.
        founders: prompts; their demonstrations can be chosen even if they are not train items, and of questions that
            ask for criticism theirs alone.
    """

    def __init__(
        self,
        *,
        instructions: tuple[str, ...],
        demonstrations: tuple[int, int],
        most_demonstrations: int,
        train: Sequence[Item],
        verbalizers: Mapping[str, tuple[str, ...]],
        founders: Sequence[Prompt],
    ) -> None:
        items = [Demonstration.from_item(item) for item in train if item.gold is not None]
        shown = [demonstration for prompt in founders for demonstration in prompt.demonstrations]
        slots = max([most_demonstrations, *(len(prompt.demonstrations) for prompt in founders)])
        self.demonstrations = {each.item: each for each in [*shown, *items]}
        self.labels = sorted(verbalizers)
        # The number is a variable of its own: without it, nearly every random point would fill all slots.
        counts = tuple(range(min(demonstrations[0], slots), slots + 1))
        self.slots = [(f"demonstration_{number}", tuple(self.demonstrations)) for number in range(1, slots + 1)]
        self._all: list[tuple[str, tuple[Any, ...]]] = [
            ("instruction", instructions),
            ("demonstrations", counts),
            *self.slots,
            *((f"verbalizer_{label}", verbalizers[label]) for label in self.labels),
            ("critique", tuple(dict.fromkeys(prompt.critique for prompt in founders)) or ("",)),
        ]
        super().__init__([Variable(name, choices) for name, choices in self._all if len(choices) > 1])

    def chromosome(self, values: Sequence[Any]) -> Prompt:
        """Return the prompt of the variables' values.

        Slots beyond the number of demonstrations are ignored; an item in several slots is shown once, in the first.
        """
        given = iter(values)
        instruction, count, *others, critique = [
            next(given) if len(choices) > 1 else choices[0] for _, choices in self._all
        ]
        items = dict.fromkeys(others[: len(self.slots)][:count])
        words = zip(self.labels, others[len(self.slots) :], strict=True)
        return Prompt(
            instruction,
            tuple(self.demonstrations[item] for item in items),
            tuple((label, word) for label, word in words if word != label),
            critique=critique,
        )

    def values(self, chromosome: Prompt) -> list[Any]:
        """Return the variables' values of a prompt; slots that are ignored hold the first item.

        Raises:
            GenomeError: if it shows more demonstrations than there are slots, or differs in something that leaves no
                choice.
        """
        items = [demonstration.item for demonstration in chromosome.demonstrations]
        if len(items) > len(self.slots):
            raise GenomeError(f"a prompt: expected at most {len(self.slots)} demonstrations, found {len(items)}")
        unused = [next(iter(self.demonstrations))] * (len(self.slots) - len(items)) if self.slots else []
        words = [chromosome.word(label) for label in self.labels]
        values = [chromosome.instruction, len(items), *items, *unused, *words, chromosome.critique]
        for (name, choices), value in zip(self._all, values, strict=True):
            if len(choices) == 1 and value != choices[0]:
                raise GenomeError(f"{name}: expected {choices[0]!r}, the only choice, found {value!r}")
        return [value for (_, choices), value in zip(self._all, values, strict=True) if len(choices) > 1]
