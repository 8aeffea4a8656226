"""``evolm tune``: the speed of dtypes and sizes of passes on this machine, and the lines for campaign.toml."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from evolm.choices import Dtype
from evolm.errors import ContextExceeded
from evolm.evaluation.tuning import Measured, Workload, measure, speed_of
from evolm.models import LanguageModel, PassSettings, prepare
from evolm.models.profile import best_device, multiplied_dtypes

CLEARLY = 1.03  # ratio of speeds; smaller differences are noise, and the default stays


def tuned(name: str, dtype: Dtype, workload: Workload, rounds: int) -> list[RenderableType]:
    """Measure, and return a table, a sentence about the measurement, and the advice.

    Raises:
        ModelError: if there is no such model, or its architecture cannot be packed.
        ContextExceeded: if prompt and item do not fit the model's context.
    """
    models = [
        LanguageModel(prepare(name, dtype=each, root=Path.cwd()), "off")
        for each in (multiplied_dtypes(best_device()) if dtype == "auto" else [dtype])
    ]
    first = models[0]
    if workload.longest > first.context_length:
        raise ContextExceeded(
            f"--prompt-tokens, --item-tokens: expected at most {first.context_length} tokens in all for {name!r}, "
            f"found {workload.longest} for the longest item"
        )
    dtypes, model = _dtypes(models, workload, rounds)
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
    faster = "" if model is first else model.profile.dtype
    return [*dtypes, table, Text(said), Text(advice(found, usual, faster))]


def _dtypes(
    models: list[LanguageModel], workload: Workload, rounds: int
) -> tuple[list[RenderableType], LanguageModel]:
    """Return a table of the models' speeds, and the first one unless another is clearly faster.

    Args:
        models: the model in each dtype; of a single one, nothing is measured.
        workload: the requests.
        rounds: timed passes of each.
    """
    if len(models) == 1:
        return [], models[0]
    speeds = speed_of(models, workload, rounds)
    table = Table("dtype", "tokens a second", "speed")
    for each, speed in zip(models, speeds, strict=True):
        table.add_row(each.profile.dtype, f"{speed:.0f}", f"{speed / speeds[0]:.2f}")
    best = int(np.argmax(speeds))
    return [table], models[best] if speeds[best] >= CLEARLY * speeds[0] else models[0]


def advice(found: list[Measured], usual: Measured, dtype: str = "") -> str:
    """Return the lines for campaign.toml, or a sentence that the defaults are as fast.

    Args:
        found: the speed of each size.
        usual: that of the default size.
        dtype: faster than the default one; empty = none is.
    """
    best = max(found, key=lambda one: one.speed)
    lines = [f'[model]\ndtype = "{dtype}"'] * bool(dtype)
    lines += [f"[evaluation]\nslab_tokens = {best.slab_tokens}"] * (best.speed >= CLEARLY * usual.speed)
    if not lines:
        return f"The default, {usual.slab_tokens}, is as fast as any: nothing to change."
    return "\n\n".join(["For campaign.toml:", *lines])
