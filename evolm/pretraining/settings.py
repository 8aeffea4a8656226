"""Settings of ``evolm pretrain``."""

from __future__ import annotations

from pydantic import Field, model_validator

from evolm.config import Section

LEAST_VOCABULARY = 300  # all bytes, the end of a text, and some merges


class PretrainSettings(Section):
    layers: int = Field(3, ge=1, le=48, description="of the transformer")
    width: int = Field(96, ge=8, description="channels of a hidden state")
    heads: int = Field(3, ge=1, description="of attention; each has width / heads channels")
    vocabulary: int = Field(1024, ge=LEAST_VOCABULARY, description="tokens of the byte-pair tokenizer")
    context: int = Field(128, ge=8, description="tokens of a training window")
    longest: int = Field(1024, ge=8, description="tokens of the longest text that the model may be given")
    batch: int = Field(4, ge=1, description="windows in a step")
    tokens: int = Field(0, ge=0, description="tokens to train on; 0 = as many as fit into the minutes")
    minutes: float = Field(5.0, gt=0, description="limit that the number of tokens is planned for")
    learning_rate: float = Field(4e-3, gt=0, description="highest, after the warm-up")
    weight_decay: float = Field(0.1, ge=0, description="of matrices")
    clip: float = Field(1.0, gt=0, description="longest gradient")
    patience: int = Field(5, ge=1, description="evaluations without a better validation perplexity before it ends")
    seed: int = Field(0, description="of the first weights and of the order of windows")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> PretrainSettings:
        if self.width % (2 * self.heads):
            raise ValueError(f"width: expected a multiple of twice the {self.heads} heads, found {self.width}")
        if self.longest < self.context:
            raise ValueError(f"longest: expected at least the context ({self.context}), found {self.longest}")
        return self
