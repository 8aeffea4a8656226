"""The README of an adapter and of a merged model: origin, prompt, scores, how to load it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evolm.wording import as_code, counted, in_markdown

if TYPE_CHECKING:
    from evolm.export.predictor import Predictor

README = "README.md"
WIDTH = 118

PROMPT = """
**Use it with its prompt.** `prompt.txt` is the text before every answer, with the item's template in the place of the
item; `prompt.json` has the answers' words. It was never scored with another prompt.
"""
EVOLM = """
With evolm: {predict}, {score}{needs}.
"""
ADAPTER = """
```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained({base!r}), {folder!r})
```
"""
MERGED = """
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model, tokenizer = (kind.from_pretrained({folder!r}) for kind in (AutoModelForCausalLM, AutoTokenizer))
```
"""


@dataclass(frozen=True)
class Origin:
    """The origin of an exported delta.

    Attributes:
        name: of the folder that is written.
        model, fingerprint, dtype: of the model that it was evolved on.
        encoding: of its space.
        modules: how many modules it changes.
        layers: how many layers it changes.
        scores: sentences about its scores.
    """

    name: str
    model: str
    fingerprint: str
    dtype: str
    encoding: str
    modules: int
    layers: int
    scores: Sequence[str] = ()

    @classmethod
    def of(cls, prompt: Predictor, name: str, scores: Sequence[str]) -> Origin:
        """Return the origin of a saved prompt's delta; ``name`` and ``scores`` as above."""
        prepared, space = prompt.model.prepared, prompt.space
        return cls(
            name=name,
            model=prepared.name,
            fingerprint=prepared.fingerprint,
            dtype=prepared.dtype,
            encoding=space.settings.encoding,
            modules=len(space.sites),
            layers=len({site.layer for site in space.sites}),
            scores=scores,
        )

    @property
    def sentence(self) -> str:
        """The origin in one sentence."""
        return (
            f"It was evolved by evolm on {as_code(self.model)} in {self.dtype}, fingerprint "
            f"{as_code(self.fingerprint[:16])}, and changes {counted(self.modules, 'module')} in "
            f"{counted(self.layers, 'layer')} (encoding {as_code(self.encoding)})."
        )


def adapter_card(origin: Origin, kind: str, base: str, loadable: bool) -> str:
    """Return the page about an adapter.

    Args:
        origin: of the delta.
        kind: ``"LoRA"`` or ``"IA3"``.
        base: the base model that ``adapter_config.json`` names.
        loadable: whether transformers can load a model by that name.
    """
    unknown = "" if loadable else "transformers finds no model of that name: load the same model in another way.\n\n"
    return _page(
        f"# {in_markdown(origin.name)}: a {kind} adapter for {in_markdown(base)}",
        origin.sentence,
        *origin.scores,
        PROMPT,
        unknown + ADAPTER.format(base=base, folder=origin.name).strip(),
        _commands(origin, f" (both need {as_code(origin.model)})"),
    )


def merged_card(origin: Origin) -> str:
    """Return the page about a merged model."""
    rounded = "" if origin.dtype == "float32" else ", so its answers differ a little from those of the separate delta"
    bits = f"The sum was computed in float32 and is stored in {origin.dtype}{rounded}."
    return _page(
        f"# {in_markdown(origin.name)}: {in_markdown(origin.model)} with an evolved delta in its weights",
        f"{origin.sentence} {bits} Whatever licence that model has applies to this one.",
        *origin.scores,
        PROMPT,
        MERGED.format(folder=origin.name),
        _commands(origin, ""),
    )


def _commands(origin: Origin, needs: str) -> str:
    predict, score = f"evolm predict {origin.name} rows.csv --out answers.csv", f"evolm score {origin.name} rows.csv"
    return EVOLM.format(predict=as_code(predict), score=as_code(score), needs=needs)


def _page(*parts: str) -> str:
    filled = [
        part.strip()
        if "```" in part
        else textwrap.fill(part.strip(), WIDTH, break_long_words=False, break_on_hyphens=False)
        for part in parts
    ]
    return "\n\n".join(filled) + "\n"
