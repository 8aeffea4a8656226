"""``evolm tune``: the speed of each size of forward passes on this machine, and the lines for campaign.toml."""

from __future__ import annotations

from pathlib import Path

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from evolm.choices import Dtype
from evolm.errors import ContextExceeded
from evolm.evaluation.tuning import Measured, Workload, measure
from evolm.models import LanguageModel, PassSettings, prepare

CLEARLY = 1.03  # ratio of speeds; smaller differences are noise, and the default stays


def tuned(name: str, dtype: Dtype, workload: Workload, rounds: int) -> list[RenderableType]:
    """Measure, and return a table, a sentence about the measurement, and the advice.

    Raises:
        ModelError: if there is no such model, or its architecture cannot be packed.
        ContextExceeded: if prompt and item do not fit the model's context.
    """
    model = LanguageModel(prepare(name, dtype=dtype, root=Path.cwd()), "off")
    if workload.longest > model.context_length:
        raise ContextExceeded(
            f"--prompt-tokens, --item-tokens: expected at most {model.context_length} tokens in all for {name!r}, "
            f"found {workload.longest} for the longest item"
        )
    found = measure(model, workload, rounds=rounds)
    table = Table("slab_tokens", "tokens a second", "speed", "padding")
    usual = next(one for one in found if one.slab_tokens == PassSettings().slab_tokens)
    for one in found:
        table.add_row(
            f"{one.slab_tokens}",
            f"{one.tokens_per_second:.0f}",
            f"{one.speed / usual.speed:.2f}",
            f"{one.padding:.1%}",
        )
    threads = model.profile.threads
    said = f"One process, {threads} thread{'s' * (threads > 1)}, {model.profile.dtype}, median of {rounds} rounds."
    return [table, Text(said), Text(advice(found, usual))]


def advice(found: list[Measured], usual: Measured) -> str:
    """Return the lines for campaign.toml, or a sentence that the default is as fast."""
    best = max(found, key=lambda one: one.speed)
    if best.speed < CLEARLY * usual.speed:
        return f"The default, {usual.slab_tokens}, is as fast as any: nothing to change."
    return f"For campaign.toml:\n\n[evaluation]\nslab_tokens = {best.slab_tokens}"
