"""From names to objects: the only place where a campaign's words become things.

Every section whose keys depend on a name is checked against that name's ``Params`` here. Names are those of the
catalogues; ``package.module:attribute`` reaches code outside, and only where the user admitted the package (from
Python, or with ``--allow PACKAGE``): a campaign file can never run code on its own word.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import joblib
import pandas as pd

from evolm.config import BudgetSection, Campaign, validate
from evolm.errors import ConfigError, ContextExceeded, GenomeError, PermissionNeeded, nearest
from evolm.evaluation.engine import Engine
from evolm.evaluation.evaluator import Evaluator
from evolm.genomes import PromptSpace
from evolm.models import LanguageModel, prepare
from evolm.operators import OPERATORS, Operator
from evolm.randomness import Randomness, derive_seed
from evolm.scorers import SCORERS, FunctionScorer, LabelLikelihood, Scorer
from evolm.storage import AnswerStore
from evolm.strategies import STRATEGIES, SearchSpace, Strategy
from evolm.tasks import Task, load_task, locate

WRITTEN_FOUNDERS = (
    "",
    "Classify the {thing} as {labels}.",
    "Read the {thing} and decide which label fits it: {labels}.",
    "Each {thing} below belongs to one of these classes: {labels}. Name the class.",
    "You label {thing}s. Answer with one of {labels}, and nothing else.",
    "Decide: {labels}?",
)


@dataclass(frozen=True)
class Permissions:
    """What the user admits beyond a campaign's own folder and installed packages.

    Attributes:
        packages: packages whose code a campaign may name.
        data_roots: folders that data may be read from.
        trusted_data: the data's place came from the user, not from the campaign file.
    """

    packages: tuple[str, ...] = ()
    data_roots: tuple[Path, ...] = ()
    trusted_data: bool = False


@dataclass
class Parts:
    """A campaign's objects, ready to run."""

    config: Campaign
    task: Task
    model: LanguageModel
    engine: Engine
    evaluator: Evaluator
    likelihood: LabelLikelihood
    space: PromptSpace
    founders: list[Any]
    founder_names: dict[str, str] = field(default_factory=dict)
    permissions: Permissions = Permissions()

    def strategy(self, settings: Mapping[str, Any], seed: int) -> Strategy:
        """Build a strategy from its table, for one search."""
        kind, params = strategy_of(settings, self.permissions)
        operators = chosen_operators(self.config.operators, self.space.genome)
        search = SearchSpace(self.space, self.founders, operators, seed, self.founder_names)
        return kind(params, search)


def build(
    config: Campaign,
    root: Path,
    *,
    permissions: Permissions = Permissions(),
    frame: pd.DataFrame | Mapping[str, pd.DataFrame] | None = None,
    functions: Mapping[str, Callable[..., float]] | None = None,
    answers: Path | str = ":memory:",
    instructions: Sequence[str] = (),
) -> Parts:
    """Build a campaign's objects.

    Args:
        config: the validated campaign file.
        root: folder that its relative paths start from.
        permissions: what it may reach beyond that folder.
        frame: rows that stand for ``task.data``.
        functions: scorers given from Python, by the name they have in ``[scorers]``.
        answers: the answer cache's file.
        instructions: founders given on the command line.

    Raises:
        EvolmError: if anything named does not exist, does not fit or is not admitted.
    """
    strategy_of(config.strategy, permissions)
    check_budget(config.budget)
    chosen_operators(config.operators, PromptSpace.genome)
    task = load_task(
        config.task,
        config.template,
        root=root,
        admitted=permissions.data_roots,
        trusted=permissions.trusted_data,
        frame=frame,
    )
    words = allowed_words(config, task)
    plans = [_scorer_plan(name, value, permissions, functions or {}) for name, value in config.scorers.items()]
    if not plans:
        raise ConfigError(f"scorers: expected at least one of {sorted(SCORERS)}, found none")
    needs_gold = [name for name, kind, *_ in plans if getattr(kind, "needs_gold", False)]
    if needs_gold and not task.has_gold:
        raise ConfigError(f"scorers: {needs_gold[0]!r} needs gold labels, but task.columns maps no 'label'")
    section = config.model
    model = LanguageModel(
        prepare(section.name, revision=section.revision, dtype=section.dtype, device=section.device, root=root),
        section.chat_template,
    )
    settings = next((params for _, kind, params, _ in plans if kind is LabelLikelihood), LabelLikelihood.Params())
    likelihood = LabelLikelihood(task, model, settings, words)
    scorers: dict[str, tuple[Scorer, float]] = {}
    for name, kind, _, weight in plans:
        scorer = likelihood if kind is LabelLikelihood else FunctionScorer(kind, likelihood)
        scorers[name] = (scorer, weight)
    space = prompt_space(config, task, model, words)
    founders, names = load_founders(config, space, root, permissions, instructions)
    space = with_instructions(space, founders)
    check_context(model, likelihood, task, founders, names)
    engine = Engine(model, AnswerStore(answers), jobs(config.evaluation.n_jobs, model))
    return Parts(
        config, task, model, engine, Evaluator(engine, scorers), likelihood, space, founders, names, permissions
    )


def jobs(wanted: int | str, model: LanguageModel) -> int:
    """Return the number of workers: cores for ``"auto"``, 1 on a GPU."""
    if wanted == "auto":
        return 1 if model.profile.device != "cpu" else int(joblib.cpu_count())
    if int(wanted) < 1:
        raise ConfigError(f"evaluation.n_jobs: expected at least 1 or 'auto', found {wanted}")
    return int(wanted)


def lookup(name: str, catalogue: Mapping[str, Any], permissions: Permissions, where: str) -> Any:
    """Return what ``name`` stands for in a catalogue, or outside code that the user admitted.

    Raises:
        ConfigError: if the name is unknown or the code cannot be imported.
        PermissionNeeded: if it names code that was not admitted.
    """
    if name in catalogue:
        return catalogue[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ConfigError(
            f"{where}: {name!r} is unknown, expected one of {sorted(catalogue)}{nearest(name, catalogue)}"
        )
    package = module.split(".")[0]
    if package not in permissions.packages:
        raise PermissionNeeded(f"{where}: {name!r} is code outside evolm; admit it with --allow {package}")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{where}: {name!r} cannot be imported: {error}") from None


def check_budget(budget: BudgetSection) -> None:
    """Refuse a search that would never end."""
    if not any(budget.model_dump().values()):
        limits = ", ".join(BudgetSection.model_fields)
        raise ConfigError(f"budget: expected a limit above 0 on at least one of {limits}, found none")


def strategy_of(settings: Mapping[str, Any], permissions: Permissions) -> tuple[type[Strategy], Any]:
    """Return a strategy's class and its checked parameters."""
    name = str(settings.get("name", "genetic"))
    kind = lookup(name, STRATEGIES, permissions, "strategy.name")
    values = {key: value for key, value in settings.items() if key != "name"}
    return kind, validate(kind.Params, values, f"[strategy] {name}")


def chosen_operators(weights: Mapping[str, float], genome: str) -> list[tuple[Operator, float]]:
    """Return the operators for a kind of genome with their weights, those of weight 0 left out."""
    for name, weight in weights.items():
        if name not in OPERATORS:
            raise ConfigError(f"operators: {name!r} is unknown{nearest(name, OPERATORS)}")
        if weight < 0:
            raise ConfigError(f"operators.{name}: expected a weight of at least 0, found {weight}")
    mine = [(o, weights.get(o.name, o.weight)) for o in OPERATORS.values() if o.genome == genome]
    chosen = [(operator, weight) for operator, weight in mine if weight > 0]
    if not any(operator.role == "mutation" for operator, _ in chosen):
        raise ConfigError("operators: expected at least one mutation with a weight above 0, found none")
    return chosen


def _scorer_plan(
    name: str,
    value: float | Mapping[str, Any],
    permissions: Permissions,
    functions: Mapping[str, Callable[..., float]],
) -> tuple[str, Any, Any, float]:
    kind = functions[name] if name in functions else lookup(name, SCORERS, permissions, "scorers")
    settings = value if isinstance(value, Mapping) else {"weight": value}
    params = validate(getattr(kind, "Params", LabelLikelihood.Params), settings, f"[scorers] {name}")
    return name, kind, params, float(params.weight)


def allowed_words(config: Campaign, task: Task) -> dict[str, tuple[str, ...]]:
    """Return label -> words that may stand for it, its own name first."""
    choices = config.space.prompt.verbalizers
    for label in choices:
        if label not in task.labels:
            raise ConfigError(
                f"space.prompt.verbalizers: {label!r} is no label, expected one of {list(task.labels)}"
                f"{nearest(label, task.labels)}"
            )
    return {label: tuple(dict.fromkeys((label, *choices.get(label, ())))) for label in task.labels}


def prompt_space(
    config: Campaign, task: Task, model: LanguageModel, words: Mapping[str, tuple[str, ...]]
) -> PromptSpace:
    """Return the space of prompts that ``[space.prompt]`` describes."""
    section = config.space.prompt
    fewest, most = section.demonstrations
    if not 0 <= fewest <= most:
        raise ConfigError(f"space.prompt.demonstrations: expected [fewest, most], found {[fewest, most]}")
    if fewest > len(task.train) or (fewest and not task.has_gold):
        raise ConfigError(
            f"space.prompt.demonstrations: at least {fewest} wanted, found {len(task.train)} labelled train items"
        )
    return PromptSpace(
        template=task.template,
        labels=task.labels,
        train=task.train,
        instruction=section.instruction,
        demonstrations=(fewest, most),
        verbalizers={label: choices for label, choices in words.items() if len(choices) > 1},
        max_tokens=section.max_tokens,
        count_tokens=model.count_tokens,
    )


def with_instructions(space: PromptSpace, founders: Sequence[Any]) -> PromptSpace:
    """Return the space with the founders' instructions as the pool of random prompts."""
    pool = tuple(dict.fromkeys(founder.instruction for founder in founders))
    return replace(space, instructions=pool or ("",))


def check_context(
    model: LanguageModel, likelihood: LabelLikelihood, task: Task, founders: Sequence[Any], names: Mapping[str, str]
) -> None:
    """Refuse a founder that does not fit the model's context with the longest item it will meet.

    Raises:
        ContextExceeded: naming the founder, and by how many tokens it is too long.
    """
    items = (*task.dev, *task.validation, *task.test)
    longest = max(items, key=lambda item: sum(map(len, item.fields.values())))
    for founder in founders:
        try:
            model.tokenize(likelihood.requests(founder, [longest]))
        except ContextExceeded as error:
            raise ContextExceeded(f"founder {names[founder.digest]}: {error}") from None


def load_founders(
    config: Campaign, space: PromptSpace, root: Path, permissions: Permissions, instructions: Sequence[str]
) -> tuple[list[Any], dict[str, str]]:
    """Return the distinct founders in order, and digest -> where each comes from.

    Those of the command line come first, then the files'; where there are none, they are written from the
    labels.
    """
    rng = Randomness(derive_seed("founders", config.seed)).numpy
    records = [({"instruction": text}, f"--founder {index + 1}") for index, text in enumerate(instructions)]
    for source in config.founders:
        path = locate(source, root, permissions.data_roots)
        records += _founder_records(path)
    if not records:
        records = [({"instruction": text}, "written from the labels") for text in written_founders(space)]
    founders, names = [], {}
    for record, where in records:
        founder = space.founder(record, rng, where)
        if founder.digest not in names:
            founders.append(founder)
            names[founder.digest] = where
    return founders, names


def _founder_records(path: Path) -> list[tuple[dict[str, Any], str]]:
    records = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise GenomeError(f"{path.name}: expected a file of founders: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path.name}:{number}"
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise GenomeError(f"{where}: expected a JSON object: {error}") from None
        if not isinstance(record, dict):
            raise GenomeError(f"{where}: expected a JSON object, found {type(record).__name__}")
        records.append((record, where))
    if not records:
        raise GenomeError(f"{path.name}: expected founders, found an empty file")
    return records


def written_founders(space: PromptSpace) -> list[str]:
    """Return instructions written from nothing but the labels and the first field's name."""
    *most, last = space.labels
    labels = f"{', '.join(most)} or {last}"
    thing = space.template.fields[0].replace("_", " ")
    return [text.format(labels=labels, thing=thing) for text in WRITTEN_FOUNDERS]
