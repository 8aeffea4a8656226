"""``[task]``: the rows, how they are read and split, and what is asked about them."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any, Literal

from pydantic import Field, field_validator

from evolm.config.base import Section
from evolm.typed import place, with_dotted_keys
from evolm.wording import truth_word

FRAME = "frame"  # task.data of rows that are passed from Python


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
