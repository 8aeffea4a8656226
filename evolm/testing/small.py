"""Small real things that suites run on: tasks of every kind, a random Llama of two layers, a space of prompts."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from evolm.config import TaskSection, TemplateSection
from evolm.genomes import CHROMOSOMES, PROMPT, Prompt, PromptSpace, Space, prompt_genome
from evolm.models import Decoding, LanguageModel, Model, prepare
from evolm.operators import operators_for
from evolm.scorers import LabelProbabilities, Scoring
from evolm.strategies import SearchContext
from evolm.tasks import KINDS, Task, load_task
from evolm.testing.tiny_model import write_tiny_model

ANIMALS = ("cat", "dog", "cow", "hen", "pig", "bee")
ROWS = 40
INSTRUCTIONS = ("Which animal is it?", "Read the text, then name the animal in one word.")


def _frames() -> dict[str, pd.DataFrame]:
    """Return rows of a task of every kind that evolm has."""
    numbers = range(ROWS)
    return {
        "classification": pd.DataFrame(
            {"text": [f"{ANIMALS[i % 2]} {i}" for i in numbers], "label": [ANIMALS[i % 2] for i in numbers]}
        ),
        "choice": pd.DataFrame(
            {
                "text": [f"Which one, {i}?" for i in numbers],
                "options": [[ANIMALS[i % 6], ANIMALS[(i + 1) % 6], "a fish"][: 2 + i % 2] for i in numbers],
                "label": [ANIMALS[(i + i % 2) % 6] for i in numbers],
            }
        ),
        "generation": pd.DataFrame(
            {"text": [f"{ANIMALS[i % 6]} {i}" for i in numbers], "label": [ANIMALS[i % 6] for i in numbers]}
        ),
    }


@cache
def small_task(kind: str = "classification") -> Task:
    """Return a task of that kind with gold: 40 rows, split into train, dev and test."""
    frame = _frames()[kind]
    section = TaskSection(kind=kind, data="frame", columns={name: name for name in frame.columns})
    return load_task(section, TemplateSection(), root=Path(), frame=frame)


@cache
def _tiny_folder() -> tempfile.TemporaryDirectory[str]:
    """Return the tiny model's folder; it is removed at the end of the process."""
    folder = tempfile.TemporaryDirectory()
    write_tiny_model(Path(folder.name))
    return folder


@cache
def tiny_model() -> LanguageModel:
    """Return the model of :func:`~evolm.testing.tiny_model.write_tiny_model` in float32, loaded once per process."""
    return LanguageModel(prepare(_tiny_folder().name, dtype="float32", device="cpu"), "off")


def scoring(
    task: Task,
    model: Model,
    normalization: str = "auto",
    words: Mapping[str, Sequence[str]] = {},
    decoding: Decoding = Decoding(max_new_tokens=8),
) -> Scoring:
    """Return the input of a scorer's constructor; the length of a prompt is its number of words."""
    labels = None if KINDS[task.kind].open else LabelProbabilities(task, model, normalization, words)
    return Scoring(task, model, labels, decoding, lambda genome: len(genome.prefix(task.template).split()))


def small_prompts(**changes: Any) -> PromptSpace:
    """Return a space of prompts over :func:`small_task`, tokens counted as words, some attributes changed."""
    task = small_task()
    settings: dict[str, Any] = {
        "template": task.template,
        "labels": task.labels,
        "train": task.train,
        "instruction": True,
        "demonstrations": (0, 3),
        "verbalizers": {"cat": ("cat", "kitten"), "dog": ("dog", "puppy")},
        "max_tokens": 120,
        "count_tokens": lambda text: len(text.split()),
        "instructions": INSTRUCTIONS,
    }
    return PromptSpace(**{**settings, **changes})


def small_space(**changes: Any) -> Space:
    """Return the space of genomes whose only chromosome is a prompt of :func:`small_prompts`."""
    return Space({PROMPT: small_prompts(**changes)}, {})


def prompt_search(seed: int = 0) -> SearchContext:
    """Return the context of a search over :func:`small_space`: two founders and all operators on prompts."""
    operators = [(operator, operator.weight) for operator in operators_for({PROMPT: CHROMOSOMES[PROMPT]})]
    founders = [prompt_genome(Prompt(text)) for text in INSTRUCTIONS]
    return SearchContext(small_space(), founders, operators, seed)
