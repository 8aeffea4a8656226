"""``[model]``, which evolves, and ``[operators.writer]``, which writes for language operators."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, NonNegativeFloat, field_validator

from evolm.choices import Dtype
from evolm.config.base import Section
from evolm.typed import place


def _of_a_key(name: str) -> str:
    """Refuse a variable that may hold another secret, which a campaign file would send to its server."""
    if not name.endswith("API_KEY"):
        raise ValueError("expected the name of an environment variable that ends in API_KEY")
    return name


KeyVariable: TypeAlias = Annotated[str, AfterValidator(_of_a_key)]


class ModelSection(Section):
    name: str = Field(
        min_length=1, description="folder, hub id, .gguf file, package:DIST/FILE or openai:http://HOST:PORT/v1"
    )
    revision: str = Field("", description="revision of a hub id; empty = the default branch")
    dtype: Dtype = Field("auto", description="auto = what the hardware multiplies fastest, float32 or bfloat16")
    device: str = Field("auto", description="auto | cpu | cuda | cuda:1 ...")
    served: str = Field("", description="the server's name of the model; empty = the only one that it lists")
    key_variable: KeyVariable = Field(
        "OPENAI_API_KEY", description="environment variable with the server's key, if it has one; ends in API_KEY"
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


class WriterSection(Section):
    """The model that language operators ask to write, if it is another one than the model that evolves."""

    model: str = Field(
        min_length=1, description="folder, hub id, .gguf file, package:DIST/FILE or openai:http://HOST:PORT/v1"
    )
    revision: str = Field("", description="revision of a hub id; empty = the default branch")
    dtype: Dtype = Field("auto", description="auto = what the hardware multiplies fastest, float32 or bfloat16")
    device: str = Field("auto", description="auto | cpu | cuda | cuda:1 ...")
    served: str = Field("", description="as in [model], as are the keys below")
    key_variable: KeyVariable = "OPENAI_API_KEY"
    concurrency: int = Field(4, ge=1)
    timeout_seconds: float = Field(120.0, gt=0)
    retries: int = Field(6, ge=0)
    price_per_million: tuple[NonNegativeFloat, NonNegativeFloat] = (0.0, 0.0)

    _place = field_validator("model")(place)

    @property
    def as_model(self) -> ModelSection:
        """The same keys as those of a campaign's ``[model]``."""
        return ModelSection.model_validate({"name": self.model, **self.model_dump(exclude={"model"})})
