"""``campaign.toml`` to validated sections and back.

Every table of the file is one pydantic model here; an unknown key is an error that names the nearest known one.
Tables whose keys depend on names (``[strategy]``, ``[scorers]``, ...) are plain dictionaries here; their models are
built from the catalogues in :mod:`evolm.named_tables` and applied when the campaign is built.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from evolm.choices import Dtype
from evolm.config_errors import sentence
from evolm.errors import ConfigError
from evolm.readout_kinds import KINDS_OF_READOUTS
from evolm.typed import place, text_of, toml_of, toml_problem, toml_value, with_dotted_keys, without_typed_escapes
from evolm.wording import truth_word

SCHEMA: Final = 1
FILE_NAME = "campaign.toml"
FRAME = "frame"  # task.data of rows that are passed from Python
EXTERNAL: Final = "objective"  # name of the strategy of a run that an external optimizer drives
DEFAULT_STRATEGY: Final = "genetic"
AUTO: Final = "auto"  # name of the strategy that is expanded into stages


class Section(BaseModel):
    """A table of the campaign file: unknown keys are refused, values cannot be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


class ModelSection(Section):
    name: str = Field(
        min_length=1, description="folder, hub id, .gguf file, package:DIST/FILE or openai:http://HOST:PORT/v1"
    )
    revision: str = Field("", description="revision of a hub id; empty = the default branch")
    dtype: Dtype = Field("auto", description="auto = bfloat16 if the hardware multiplies it, else float32")
    device: str = Field("auto", description="auto | cpu | cuda | cuda:1 ...")
    served: str = Field("", description="the server's name of the model; empty = the only one that it lists")
    key_variable: str = Field(
        "OPENAI_API_KEY", description="environment variable with the server's key, if it has one"
    )
    concurrency: int = Field(4, ge=1, description="requests to the server at a time")
    timeout_seconds: float = Field(120.0, gt=0, description="longest wait for an answer of the server")
    retries: int = Field(
        6, ge=0, description="how often a request is repeated that the server could not answer, after longer pauses"
    )
    price_per_million: tuple[NonNegativeFloat, NonNegativeFloat] = Field(
        (0.0, 0.0), description="the server's prices of a million tokens: [read, written]; 0 = none"
    )
    chat_template: Literal["auto", "on", "off"] = Field(
        "auto", description="wrap prompts in the model's chat template; auto = on if it has one"
    )

    _place = field_validator("name")(place)


class SplitSection(Section):
    train: float = Field(0.3, ge=0, description="rows for demonstrations (fraction, or count above 1)")
    dev: float = Field(0.3, gt=0, description="rows that fitness is measured on")
    test: float = Field(0.4, ge=0, description="rows opened once, at the end")
    validation: float | Literal["auto"] = Field(
        "auto", description="rows that choose among the finalists; auto = as many as dev, from rows left over"
    )
    balanced: bool = Field(
        False,
        description="train, dev and validation have as many rows of every label; test keeps the data's proportions",
    )
    seed: int = Field(0, description="of the split, never of the search")


class DataFiles(Section):
    train: str = ""
    dev: str
    test: str = ""

    _places = field_validator("train", "dev", "test")(place)


class ReadSection(Section):
    """How files of rows are read; a key that is not set is recognised from the file."""

    separator: str = Field(
        "", description="character between cells of .csv and .tsv files; empty = recognised: , ; tab | or a sep= line"
    )
    encoding: str = Field("", description="of text files, like cp1252; empty = recognised: UTF-8, UTF-16 or cp1252")
    header: bool | Literal["auto"] = Field(
        "auto", description="whether the first row holds the columns' names; without, they are column_1, column_2 ..."
    )
    quoting: Literal["auto", "quotes", "backslash", "none"] = Field(
        "auto",
        description='quotes = a cell in "..." may hold separators and line breaks; backslash = so, and a quote in it '
        'is written \\"; none = quotes are text; auto = as it fits, and text where a quote is left open',
    )

    @field_validator("separator")
    @classmethod
    def _one_character(cls, separator: str) -> str:
        """Return the character; ``\\t`` and ``tab`` are the tab, which a shell makes hard to type."""
        separator = {"\\t": "\t", "tab": "\t"}.get(separator, separator)
        if separator and (len(separator) > 1 or separator in '"\r\n\0'):
            raise ValueError("expected one character that is no quote and no line break")
        return separator

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str) -> str:
        """Refuse an encoding that Python does not know, or that is not one of text."""
        try:
            "".encode(encoding or "utf-8")
        except (LookupError, ValueError):
            raise ValueError("expected an encoding that Python knows, like utf-8, cp1252 or gb18030") from None
        return encoding


class TaskSection(Section):
    name: str = Field("", description="shown in reports; empty = the name of the data file")
    kind: str = Field("classification", description="classification | choice | generation")
    data: str | DataFiles = Field(
        description="file beside campaign.toml, package:DIST/FILE, datasets:OWNER/NAME[/CONFIG][#SPLIT], "
        "or one of these per split"
    )
    columns: dict[str, str | list[str]] = Field(
        description="template field -> column; `label` is the gold answer; "
        "`options` of a choice task is one column or a list of them"
    )
    labels: dict[str, str] | list[str] = Field(
        default_factory=dict,
        description="raw value -> word; a list = the words of a task without gold; empty = the values themselves",
    )
    bins: dict[str, tuple[float, float]] = Field(
        default_factory=dict,
        description="word -> [lowest, highest] of a numeric label, both included; rows between are left out; "
        "instead of `labels`",
    )
    unlabelled: str = Field(
        "",
        description="more rows, without their label, for self-training; like `data`. Rows of `data` whose label is "
        "empty are used so, too",
    )
    gold: Literal["use", "audit"] = Field(
        "use",
        description="audit = gold labels are hidden from the search and used only in reports and on the test split",
    )
    answer_key: Literal["auto", "text", "letter", "index", "number"] = Field(
        "auto",
        description="how `label` names an option: index counts from 0, number from 1; auto = detected from the rows",
    )
    metric: str = Field(
        "",
        description="accuracy | balanced_accuracy | macro_f1 | exact_match | chrf | token_f1 | rouge_l | perplexity; "
        "empty = the kind's own: balanced_accuracy, accuracy for choice, chrf for generation",
    )
    normalization: Literal["auto", "sum", "tokens", "characters"] = Field(
        "auto",
        description="of answers' log-probabilities; auto = sum if all have as many tokens, else tokens, or "
        "characters for options",
    )
    read: ReadSection = ReadSection()
    pattern: str = Field("", description="regular expression with named groups that cuts text lines into columns")
    exclude: str = Field("", description="regular expression; rows with a matching field are dropped")
    max_chars: int = Field(0, ge=0, description="rows with a longer field are dropped; 0 = no limit")
    split: SplitSection = SplitSection()

    @field_validator("labels", mode="before")
    @classmethod
    def _label_keys_are_text(cls, labels: Any) -> Any:
        """Accept numbers and truth values as raw values from Python, and in TOML numbers without quotes."""
        if not isinstance(labels, Mapping):
            return labels
        return with_dotted_keys({_raw(key): value for key, value in labels.items()})

    _dotted_bins = field_validator("bins", mode="before")(with_dotted_keys)

    _unlabelled_place = field_validator("unlabelled")(place)

    @field_validator("data")
    @classmethod
    def _data_place(cls, data: str | DataFiles) -> str | DataFiles:
        return place(data) if isinstance(data, str) else data

    @field_validator("columns", mode="before")
    @classmethod
    def _column_names_are_text(cls, columns: Any) -> Any:
        """Accept numbers as names of columns from Python: those of a frame without a header."""
        if not isinstance(columns, Mapping):
            return columns
        return {
            field: [_name(one) for one in column] if isinstance(column, list | tuple) else _name(column)
            for field, column in columns.items()
        }

    @property
    def words(self) -> tuple[str, ...]:
        """The labels' words that ``labels`` or ``bins`` give, each once; none if the raw values are the words."""
        if self.bins:
            return tuple(self.bins)
        return tuple(dict.fromkeys(self.labels.values() if isinstance(self.labels, dict) else self.labels))

    @property
    def column_names(self) -> tuple[str, ...]:
        """Columns of the data that the task reads, each once."""
        groups = [[column] if isinstance(column, str) else column for column in self.columns.values()]
        return tuple(dict.fromkeys(column for group in groups for column in group))


def _raw(key: Any) -> str:
    """Return a key of ``labels`` as the text of such a cell; a scalar of NumPy as the one of Python."""
    value = key.item() if hasattr(key, "item") else key
    return truth_word(value) if isinstance(value, bool) else str(value)


def _name(column: Any) -> Any:
    return str(column) if isinstance(column, Integral) and not isinstance(column, bool) else column


class TemplateSection(Section):
    item: str = Field(
        "",
        description="sandboxed Jinja2; a choice task's may use `options`, a list; "
        "empty = a line per field, then `Label:` (`Answer:` for choice and generation)",
    )
    answer: str = Field(
        " {{ label }}",
        description="what follows the item; `label` is the label's word, the option or the target text; "
        "a choice task's may use `letter`",
    )
    separator: str = Field("\n\n", description="between instruction, demonstrations and item")
    system: str = Field("", description="system message; empty = none, not the tokenizer's silent default")

    @field_validator("item", "answer", "separator", "system")
    @classmethod
    def _no_typed_escapes(cls, text: str, info: ValidationInfo) -> str:
        return without_typed_escapes(text, f"template.{info.field_name}")


class PromptSpaceSection(Section):
    instruction: bool = Field(True, description="evolve the instruction")
    demonstrations: tuple[int, int] = Field((0, 8), description="smallest and largest number of demonstrations")
    verbalizers: dict[str, list[str]] = Field(
        default_factory=dict, description="label -> words that may stand for it"
    )
    max_tokens: int = Field(600, gt=0, description="longest prompt, item excluded")

    _dotted_labels = field_validator("verbalizers", mode="before")(with_dotted_keys)


class DeltaSpaceSection(Section):
    encoding: str = Field("subspace", description="lowrank | subspace | scales | singular")
    layers: str | tuple[int, ...] = Field(
        "last:3", description="all | last:N | first:N | auto (the last fifth) | indices"
    )
    target_modules: tuple[str, ...] = Field(
        ("q_proj", "v_proj"), description="last parts of modules' names, as PEFT has them; or all-linear"
    )
    rank: int = Field(1, ge=1, description="of low-rank changes; of singular, how many singular values")
    dimension: int = Field(
        48, ge=1, description="number of genes of subspace; the other encodings determine their own"
    )
    sigma: float = Field(
        0.0,
        ge=0,
        description="step size of random genes and mutations; 0 = 10 for subspace, else 0.1",
    )
    seed: int = Field(0, description="of the fixed random projections, never of the search")


class ReadoutSpaceSection(Section):
    kinds: tuple[str, ...] = Field(
        ("probe", "linear", "words"),
        min_length=1,
        description=f"readouts that may be tried, the founders' first: {' | '.join(KINDS_OF_READOUTS)}",
    )
    layers: Literal["auto"] | tuple[int, ...] = Field(
        "auto",
        description="layers whose states a probe may read, the first is 1; auto = five in the upper half",
    )
    poolings: tuple[Literal["last", "mean"], ...] = Field(
        ("last", "mean"), min_length=1, description="states of the last token, or the mean over the item's tokens"
    )
    strengths: tuple[float, ...] = Field(
        (), description="of the penalty, as genes; the strength that the fit chooses is always one of them"
    )
    rows: int = Field(256, ge=2, description="most train rows that a readout is fitted on")

    @property
    def evolves(self) -> bool:
        """Whether there is a choice, so that readouts differ from genome to genome."""
        known = [KINDS_OF_READOUTS[kind] for kind in set(self.kinds) if kind in KINDS_OF_READOUTS]
        return len(set(self.kinds)) > 1 or any(kind.states or (kind.strength and self.strengths) for kind in known)


class SpaceSection(Section):
    """Tables by kind of chromosome; one from outside is ``"package.module:attribute"``, admitted with --allow."""

    model_config = ConfigDict(extra="allow")  # other kinds are checked when the campaign is built

    prompt: PromptSpaceSection | None = Field(
        default=None, description="the prompts that are allowed; with [space.delta], prompt and delta evolve together"
    )
    delta: DeltaSpaceSection | None = Field(
        default=None,
        description="changes of the weights; without [space.prompt] they evolve under the founder's prompt",
    )
    readout: ReadoutSpaceSection | None = Field(
        default=None,
        description="how labels or options are read off the model; without it, by the likelihood of their words, "
        "calibrated or not",
    )

    @model_validator(mode="after")
    def _prompts_by_default(self) -> SpaceSection:
        """Evolve prompts if no other chromosome has a table."""
        if not self.evolving:
            object.__setattr__(self, "prompt", PromptSpaceSection())
        return self

    @property
    def prompts(self) -> PromptSpaceSection:
        """The prompts that are allowed, also if the prompt does not evolve: the founder's must be among them."""
        return self.prompt or PromptSpaceSection()

    @property
    def evolving(self) -> tuple[str, ...]:
        """The kinds of chromosomes that evolve: those that have a table, unless it leaves no choice of readouts."""
        fixed = self.readout is not None and not self.readout.evolves
        return tuple(name for name in self._named if not (fixed and name == "readout"))

    @property
    def tables(self) -> dict[str, Any]:
        """Kind of chromosome -> its table; the prompt's is always there."""
        return {"prompt": self.prompts} | {name: getattr(self, name) for name in self._named}

    @property
    def _named(self) -> tuple[str, ...]:
        named = [name for name in type(self).model_fields if getattr(self, name) is not None]
        return (*named, *(self.model_extra or {}))


class GenerationSection(Section):
    max_new_tokens: int = Field(64, gt=0, description="longest answer")
    stop_strings: tuple[str, ...] = Field(("\n",), description="an answer ends before the first of these")
    temperature: float = Field(
        0.0, ge=0, description="0 = greedy; else tokens are drawn, with the request's own seed"
    )
    top_p: float = Field(
        1.0, gt=0, le=1, description="draw from the smallest set of likeliest tokens that reaches this probability"
    )
    top_k: int = Field(0, ge=0, description="draw from this many likeliest tokens; 0 = all")
    refine: int = Field(
        0, ge=0, le=3, description="times that an answer is criticised by the model and written anew; 0 = never"
    )

    @field_validator("stop_strings")
    @classmethod
    def _no_empty_stop(cls, stops: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse an empty text: it occurs before the first character of every answer."""
        if "" in stops:
            raise ValueError("expected texts, found an empty one")
        return tuple(without_typed_escapes(stop, "generation.stop_strings") for stop in stops)


class SelfTrainingSection(Section):
    """How the operator `self_training` picks, of rows without gold, those that it learns from."""

    confidence: Literal["margin", "probability", "p_true", "self_consistency", "committee"] = Field(
        "margin",
        description="of an answer: margin or probability of the likeliest label (of a text, the mean probability of "
        "its tokens) | p_true = that the model calls it true | self_consistency = that two answers agree | "
        "committee = agreement with the five best individuals",
    )
    select: Literal["share", "threshold"] = Field(
        "share",
        description="share = the most confident rows, of each label alike | threshold = all rows above a confidence",
    )
    keep: float = Field(
        0.3, gt=0, le=1, description="first share or threshold; a gene that mutates with the learning rate"
    )
    calibrate: bool = Field(
        True, description="divide labels' probabilities by their means over the rows, so that none is preferred"
    )
    pool: int = Field(0, ge=0, description="most unlabelled rows that are used, drawn by their content; 0 = all")
    rows: int = Field(128, ge=1, description="of these, rows that are answered each time before the model learns")
    labelled: float = Field(
        0.5, ge=0, le=1, description="share of a step's rows that are labelled train rows, if there are any"
    )
    warm_up: int = Field(24, ge=0, description="first steps on labelled train rows alone, if there are any")


class FitnessSection(Section):
    combine: Literal["sum", "pareto"] = Field(
        "sum", description="sum = weighted sum of the scorers; pareto = an objective each, with strategy nsga2"
    )
    pick: Literal["first", "knee"] = Field(
        "first",
        description="best of a front: first = highest in the scorer named first; knee = largest sum of objectives, "
        "each scaled to the front's range",
    )


class FinalsSection(Section):
    committee: int = Field(
        5,
        ge=0,
        description="most seats of a committee: individuals whose label probabilities are averaged; it must beat the "
        "best single individual on validation rows; 0 = none",
    )
    soup: int = Field(
        5,
        ge=0,
        description="most deltas in a soup: the average of the best deltas under one prompt; it must beat the best "
        "single individual on validation rows; 0 = none",
    )
    relearn: bool = Field(
        True,
        description="whether the best single individual, if it learnt by gradient, learns once more on train and dev "
        "rows; if this beats it on validation rows, it learns a last time on all rows but test",
    )


class LearningSection(Section):
    """What genes of a delta learn by gradient."""

    loss: Literal["cross_entropy", "margin"] = Field(
        "cross_entropy",
        description="of gradient_step; margin = max(0, margin + s of the best wrong answer - s of the gold one), "
        "s being normalised log-likelihoods (labels and options only)",
    )
    margin: float = Field(1.0, gt=0, description="of the loss margin, in nats")
    reward: dict[str, float | dict[str, Any]] = Field(
        default_factory=dict,
        description="of policy_gradient: a scorer, or scorer = weight; "
        "empty = the campaign's scorers if they can reward single answers, else exact_match",
    )
    samples: int = Field(4, ge=2, description="texts that policy_gradient draws for an item (generation)")
    kl: float = Field(
        0.0,
        ge=0,
        description="policy_gradient subtracts this times the log-likelihood ratio (nats) of an answer under the "
        "changed and the unchanged model from its reward; 0 = off",
    )

    @field_validator("reward", mode="before")
    @classmethod
    def _reward_by_name(cls, reward: Any) -> Any:
        return {reward: 1.0} if isinstance(reward, str) else reward


class GuardSection(Section):
    """Keeps general ability: the perplexity of text that has nothing to do with the task."""

    data: str = Field(
        "",
        description="text file beside campaign.toml, or package:DIST/FILE; empty = openings of public-domain books "
        "that evolm ships",
    )
    max_rise: float = Field(
        0.05, gt=0, description="largest allowed rise of its perplexity over that of the unchanged model; 0.05 = 5 %"
    )
    use: Literal["constraint", "objective"] = Field(
        "constraint",
        description="constraint = an individual within max_rise beats every one beyond it; objective = minus the "
        "logarithm of the perplexity is one more objective, with fitness.combine = 'pareto'",
    )
    tokens: int = Field(1024, ge=128, description="most tokens of the text that are scored for each delta")

    _place = field_validator("data")(place)


class BudgetSection(Section):
    evaluations: int = Field(200, ge=0, description="individuals scored; 0 = no limit")
    items: int = Field(0, ge=0, description="items scored; 0 = no limit")
    tokens: int = Field(0, ge=0, description="tokens, before caching and sharing; 0 = no limit")
    requests: int = Field(0, ge=0, description="requests to a served model, before caching; 0 = no limit")
    seconds: float = Field(0.0, ge=0, description="checked between generations; 0 = no limit")
    plateau: int = Field(0, ge=0, description="generations without a better best; 0 = no limit")
    audit_fall: int = Field(
        0,
        ge=0,
        description="generations in a row whose best scores itself above, and by gold below, the best of an earlier "
        "generation; needs task.gold = 'audit'; 0 = no limit",
    )


class EvaluationSection(Section):
    n_jobs: int | Literal["auto"] = Field("auto", description="worker processes; auto = cores, 1 on a GPU")
    trunk_mb: int = Field(
        256, ge=0, description="memory of each worker for hidden states that deltas share, in MB; 0 = no sharing"
    )
    prefix_mb: int = Field(
        128,
        ge=0,
        description="memory of each worker for prompts' keys and values between batches, in MB; 0 = no reuse",
    )
    slab_tokens: int = Field(
        512,
        ge=128,
        multiple_of=64,
        description="tokens in a pass of the linear layers; `evolm tune` finds the fastest",
    )
    racing: Literal["off", "race", "halving"] = Field(
        "off",
        description="race = candidates are scored on growing blocks of dev items and dropped when they are "
        "significantly worse than the individual that they must beat; halving = the better half stays at every look",
    )
    race_level: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="highest probability that a race drops a candidate as good as the one it must beat",
    )
    race_block: int = Field(
        16, ge=1, description="dev items of the first look of race or halving; each further look has twice as many"
    )


class WriterSection(Section):
    """The model that language operators ask to write, if it is another one than the model that evolves."""

    model: str = Field(
        min_length=1, description="folder, hub id, .gguf file, package:DIST/FILE or openai:http://HOST:PORT/v1"
    )
    revision: str = Field("", description="revision of a hub id; empty = the default branch")
    dtype: Dtype = Field("auto", description="auto = bfloat16 if the hardware multiplies it, else float32")
    device: str = Field("auto", description="auto | cpu | cuda | cuda:1 ...")
    served: str = Field("", description="as in [model], as are the keys below")
    key_variable: str = "OPENAI_API_KEY"
    concurrency: int = Field(4, ge=1)
    timeout_seconds: float = Field(120.0, gt=0)
    retries: int = Field(6, ge=0)
    price_per_million: tuple[NonNegativeFloat, NonNegativeFloat] = (0.0, 0.0)

    _place = field_validator("model")(place)

    @property
    def as_model(self) -> ModelSection:
        """The same keys as those of a campaign's ``[model]``."""
        return ModelSection.model_validate({"name": self.model, **self.model_dump(exclude={"model"})})


class OperatorsSection(Section):
    """Weights of operators by name, and the model that those ask which let a model write."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float]

    writer: WriterSection | None = Field(
        None,
        description="writes for language operators, its tokens charged apart; absent = the model that evolves",
    )

    @property
    def weights(self) -> dict[str, float]:
        """The weights that are given; their names are checked when the campaign is built."""
        return dict(self.__pydantic_extra__)


def strategy_settings(value: Any) -> Any:
    """Return a strategy's name alone, ``strategy = "auto"``, as its table."""
    return {"name": value} if isinstance(value, str) else value


class StageSection(Section):
    """A stage of the main search; it begins with the best individuals of the one before."""

    strategy: dict[str, Any] = Field(
        default_factory=dict,
        description="name and its own keys, or a name; empty = memetic if a delta evolves, else genetic",
    )
    space: tuple[str, ...] = Field(
        (),
        description="kinds of chromosomes that evolve in this stage, like prompt or delta; the others stay as they "
        "are; empty = all of [space]",
    )
    share: float = Field(1.0, gt=0, description="of the budget, relative to the other stages")
    racing: Literal["off", "race", "halving"] | None = Field(
        None, description="like evaluation.racing, for this stage; absent = the same"
    )
    founders: int = Field(5, ge=1, le=5, description="best individuals of earlier stages that this one begins with")
    readout: str = Field(
        "",
        description="kind of readout by which these are read in this stage, and evaluated anew; empty = as they were",
    )

    _strategy_by_name = field_validator("strategy", mode="before")(strategy_settings)

    @field_validator("space", mode="before")
    @classmethod
    def _one_kind(cls, kinds: Any) -> Any:
        return [kinds] if isinstance(kinds, str) else kinds


def stages_of(text: Any) -> Any:
    """Return the stages that a text like ``"prompt+readout -> delta"`` is short for; other values as they are."""
    if not isinstance(text, str):
        return text
    kinds = [[kind.strip() for kind in stage.split("+")] for stage in text.split("->")]
    if not all(kind for stage in kinds for kind in stage):
        raise ValueError('expected kinds of chromosomes like "prompt+readout -> delta"')
    return [{"space": stage} for stage in kinds]


class CampaignConfig(Section):
    """A whole campaign file, every default filled in."""

    schema_version: Literal[1] = Field(SCHEMA, alias="schema", description="version of this format")
    name: str = Field("", description="shown in reports; empty = the folder's name")
    seed: int = Field(0, description="of the search, never of the split")
    founders: list[str] = Field(
        default_factory=list, description="JSONL files, runs or founding populations; [] = written from the task"
    )
    model: ModelSection
    task: TaskSection
    template: TemplateSection = TemplateSection()
    generation: GenerationSection = GenerationSection()
    space: SpaceSection = SpaceSection()
    scorers: dict[str, float | dict[str, Any]] = Field(
        default_factory=dict,
        description="name = weight, or a table with `weight`; "
        "empty = label_likelihood, or the metric of a generation task",
    )
    self_training: SelfTrainingSection = SelfTrainingSection()
    fitness: FitnessSection = FitnessSection()
    strategy: dict[str, Any] = Field(
        default_factory=lambda: {"name": DEFAULT_STRATEGY},
        description="name and its own keys, or a name; auto = stages that suit the task",
    )
    stage: list[StageSection] | None = Field(
        None,
        min_length=1,
        description='stages of the search, instead of [strategy]; "prompt -> delta -> prompt" is short for three',
    )
    operators: OperatorsSection = Field(
        default_factory=OperatorsSection,
        description="operator = weight; 0 = off; `writer = { model = ..., revision, dtype, device }` names another "
        "model that writes for language operators; its tokens are charged apart",
    )
    learning: LearningSection = LearningSection()
    budget: BudgetSection = BudgetSection()
    finals: FinalsSection = FinalsSection()
    guard: GuardSection | None = None
    evaluation: EvaluationSection = EvaluationSection()
    baselines: dict[str, bool] = Field(
        default_factory=dict,
        description="baseline = whether it takes part in the test; those that fit do by default",
    )

    _strategy_by_name = field_validator("strategy", mode="before")(strategy_settings)
    _stages_by_kinds = field_validator("stage", mode="before")(stages_of)

    @field_validator("founders")
    @classmethod
    def _founder_places(cls, founders: list[str]) -> list[str]:
        return list(map(place, founders))

    def to_toml(self) -> str:
        """Return the text of a file that reads back as this campaign."""
        return toml_text(self.model_dump(by_alias=True, mode="json", exclude_none=True))


AnySection = TypeVar("AnySection", bound=BaseModel)


def validate(model: type[AnySection], values: Mapping[str, Any], where: str) -> AnySection:
    """Return ``values`` as ``model``, or raise one sentence.

    Args:
        model: the section's pydantic model.
        values: as from a TOML file, or from Python: see :func:`plain`.
        where: the place that the error message names, e.g. ``"campaign.toml"`` or ``"[strategy]"``.

    Raises:
        ConfigError: for the first wrong or unknown key.
    """
    values = plain(values)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(sentence(model, error, values, where)) from None


def plain(value: Any) -> Any:
    """Return a value as a TOML file would hold it: scalars and arrays of NumPy as Python's, paths as text."""
    if isinstance(value, Mapping):
        return {plain(key): plain(each) for key, each in value.items()}
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def toml_text(tables: Mapping[str, Any]) -> str:
    """Return plain tables as TOML."""
    import tomlkit  # reading a file does without it

    return tomlkit.dumps(tables)


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """Turn ``["budget.evaluations=50", "model.dtype=float32"]`` into nested tables.

    A key is a dotted TOML key, so a part with a dot is quoted: ``scorers."package.module:attribute"=1``. A value is
    read as TOML if it parses, else as text.

    Raises:
        ConfigError: if an assignment has no ``=`` or an empty key, or a value in quotes is no TOML.
    """
    tables: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        parts = _key_parts(key)
        if not equals or not all(parts):
            raise ConfigError(f"--set {assignment!r}: expected key=value, like budget.evaluations=50")
        try:
            overlay(tables, _nest(parts, toml_value(text)))
        except ValueError as error:
            raise ConfigError(f"--set {key}: {error}") from None
    return tables


def own_read(assignments: Sequence[str]) -> dict[str, Any]:
    """Return the keys of ``[task.read]`` that assignments like ``task.read.separator=;`` set.

    Raises:
        ConfigError: for a malformed assignment, or one of another key.
    """
    tables = parse_assignments(assignments)
    others = [f"task.{key}" for key in tables.get("task", {}) if key != "read"] + [k for k in tables if k != "task"]
    if others:
        raise ConfigError(f"--set {others[0]}: expected a key of task.read here, like task.read.separator=;")
    found: dict[str, Any] = tables.get("task", {}).get("read", {})
    return found


def _key_parts(key: str) -> list[str]:
    """Return the parts of a dotted key; parts that TOML wants quoted (``labels.naïve``) may stand bare."""
    try:
        table: Any = toml_of(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return [part.strip() for part in key.split(".")]
    parts: list[str] = []
    while isinstance(table, dict):
        part, table = next(iter(table.items()), ("", 0))
        parts.append(part)
    return parts


def _nest(parts: Sequence[str], value: Any) -> dict[str, Any]:
    return {parts[0]: value if len(parts) == 1 else _nest(parts[1:], value)}


def overlay(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``changes`` into ``base``, table by table, and return ``base``."""
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            overlay(base[key], value)
        else:
            base[key] = dict(value) if isinstance(value, Mapping) else value
    return base


def read_tables(path: Path) -> dict[str, Any]:
    """Read a TOML file as plain tables.

    Raises:
        ConfigError: if the file is missing, unreadable or not TOML.
    """
    try:
        text = text_of(path)
        return toml_of(text)
    except FileNotFoundError:
        raise ConfigError(f"{path}: expected a campaign file, found none") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: expected TOML: {toml_problem(text, error)}") from None


def load(path: Path, overrides: Mapping[str, Any] | None = None) -> CampaignConfig:
    """Read, override and validate a campaign file.

    Args:
        path: the file.
        overrides: nested tables (from ``--set``) that replace values of the file.

    Raises:
        ConfigError: if the file cannot be read or a key or value is wrong.
    """
    tables = read_tables(path)
    changes = dict(overrides or {})
    for each in (tables, changes):
        if "strategy" in each:
            each["strategy"] = strategy_settings(each["strategy"])
    chosen, given = changes.get("strategy"), tables.get("strategy")
    if isinstance(chosen, Mapping) and "name" in chosen:
        tables.pop("stage", None)  # a strategy takes the place of the file's stages
        if not isinstance(given, Mapping) or chosen["name"] != given.get("name"):
            tables["strategy"] = {}  # the file's keys belong to the strategy that is replaced
    if "stage" in changes:
        tables.pop("strategy", None)
    return validate(CampaignConfig, overlay(tables, changes), str(path.name))
