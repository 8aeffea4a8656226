"""From ``[operators] writer`` to the engine of the model that writes for language operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evolm import models
from evolm.campaign.strategies import StrategyChoice
from evolm.config import WriterSection
from evolm.errors import ConfigError, ModelError
from evolm.evaluation.usage import Usage
from evolm.models import Decoding, Generate, PassSettings
from evolm.models.served.model import open_served
from evolm.models.served.names import is_served
from evolm.operators import OPERATORS, LanguageOperator
from evolm.wording import listed

if TYPE_CHECKING:
    from evolm.evaluation.engine import Engine
    from evolm.models import Model


def make_writer(section: WriterSection | None, choices: Sequence[StrategyChoice], engine: Engine) -> Engine | None:
    """Return the writer's engine, after the writer has generated a token; None without the table.

    The writer computes in this process: it is asked little, and workers would each need its weights, too.

    Args:
        section: the table; its model's place is resolved.
        choices: the strategies of all stages, with their operators.
        engine: of the model that evolves.

    Raises:
        ConfigError: if no operator lets a model write, or the model cannot generate text.
        ModelError: if there is no such model, or its files are damaged.
    """
    if section is None:
        return None
    if not any(isinstance(operator, LanguageOperator) for choice in choices for operator, _ in choice.operators):
        able = [name for name, operator in OPERATORS.items() if isinstance(operator, LanguageOperator)]
        raise ConfigError(
            f"operators.writer: expected an operator that lets a model write ({listed(able)}) with a weight above 0, "
            "found none"
        )
    writer = engine.companion(_writing_model(section, engine.model.passes))
    try:
        writer.answer([Generate("", "Instruction:", Decoding(1))])
    except ModelError as error:
        raise ConfigError(f"operators.writer.model: expected a model that can generate text: {error}") from None
    writer.usage = Usage()
    return writer


def _writing_model(section: WriterSection, passes: PassSettings) -> Model:
    if is_served(section.model):
        return open_served(section.as_model, generates=True)
    prepared = models.prepare(section.model, revision=section.revision, dtype=section.dtype, device=section.device)
    return models.LanguageModel(prepared, chat_template="off", passes=passes)
