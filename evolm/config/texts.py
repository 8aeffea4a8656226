"""``[template]`` and ``[generation]``: how prompts are rendered, and how answers are written."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from evolm.config.base import Section
from evolm.typed import without_typed_escapes


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
