"""Gymnasium: writing an answer as an environment for reinforcement learning.

::

    env = TextEnv(task, model, "Is this spam or ham?", actions=[" spam", " ham"], reward="exact_match", max_actions=1)
    observation, info = env.reset(seed=1)
    observation, reward, terminated, truncated, info = env.step(0)

An episode is an answer to a train item, which ``reset`` draws. The state is the text so far: prompt, item and the
actions taken. An action appends a token, or a text of one's own choice, or ends the answer. The reward comes at the
end: from a scorer, or from the model itself.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from evolm.api import arguments
from evolm.campaign.build import build
from evolm.campaign.rewards import choose_rewards, make_reward
from evolm.errors import ConfigError, ScorerError
from evolm.evaluation.dialogue import hold
from evolm.extras import extra
from evolm.models import LogLikelihood, States
from evolm.models.contract import require_local
from evolm.models.requests import LAST
from evolm.operators import Reward
from evolm.scorers.perplexity import per_token
from evolm.tasks import Item

with extra("gymnasium"):
    import gymnasium
    from gymnasium import spaces

LIKELIHOOD = "likelihood"
FUNCTION = "reward"  # name of a reward that is a function
LONGEST = 100_000  # characters of a text that is observed


class TextEnv(gymnasium.Env[Any, Any]):
    """An environment in which an answer is written token by token, or text by text.

    Args:
        task, model, options: as for :func:`evolm.evolve`; ``options`` may hold ``[template]`` and ``[generation]``.
        instruction: the prompt before each item.
        actions: texts that an action appends; empty = the text of every token of the model's vocabulary.
        reward: of a whole answer. ``"likelihood"`` = the model's own probability of it, the geometric mean over its
            tokens, 0 for an empty one; a scorer's name; a table of scorers and weights, as ``learning.reward``; or
            ``function(item, answer, {})``.
        max_actions: the episode is truncated, and rewarded, after this many.
        observation: ``"text"`` = the text so far; ``"state"`` = ``(width,)`` float32, the model's hidden state at its
            last token, for policies that read vectors.
        layer: whose state is observed; 0 = the last one.
        render_mode: ``"ansi"`` = :meth:`render` returns the text so far.

    Attributes:
        ends: the action that ends the answer: the last one. A stop string of ``[generation]`` ends it, too.

    Raises:
        ConfigError: if an argument is wrong, or a scorer cannot reward single answers.
    """

    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012

    def __init__(
        self,
        task: Mapping[str, Any] | pd.DataFrame,
        model: str | Mapping[str, Any],
        instruction: str = "",
        actions: Sequence[str] = (),
        reward: str | Mapping[str, Any] | Callable[..., float] = LIKELIHOOD,
        max_actions: int = 16,
        observation: Literal["text", "state"] = "text",
        layer: int = 0,
        *,
        options: Mapping[str, Any] | None = None,
        render_mode: str | None = None,
    ) -> None:
        if observation not in ("text", "state"):
            raise ConfigError(f"TextEnv: observation: expected 'text' or 'state', found {observation!r}")
        if _whole(max_actions, "max_actions") < 1:
            raise ConfigError(f"TextEnv: max_actions: expected at least 1, found {max_actions}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ConfigError(f"TextEnv: render_mode: expected 'ansi' or None, found {render_mode!r}")
        if isinstance(actions, str) or any(not isinstance(text, str) or not text for text in actions):
            raise ConfigError(f"TextEnv: actions: expected texts that are not empty, found {actions!r:.60}")
        scorers = {FUNCTION: reward} if callable(reward) else None
        table = {FUNCTION: 1.0} if callable(reward) else reward
        wanted = {**(options or {}), **({} if table == LIKELIHOOD else {"learning": {"reward": table}})}
        given = arguments("TextEnv", task, model, None, [instruction], scorers, "random_search", 1, 0, 1, wanted, [])
        self._parts = build(given.config, Path.cwd(), **given.sources)
        self._prompt = self._parts.space.express(self._parts.founders.genomes[0]).prompt
        self._reward = None if table == LIKELIHOOD else self._made_reward()
        if not self._parts.task.train:
            raise ConfigError("TextEnv: task.split.train: expected rows to answer, found none")
        self.texts = tuple(actions) or self._vocabulary()
        self.ends = len(self.texts)
        self.max_actions, self.observation = max_actions, observation
        self.layer = self._layer(layer) if observation == "state" else 0
        self.render_mode = render_mode
        self.action_space = spaces.Discrete(len(self.texts) + 1)
        self.observation_space = self._observation_space()
        self._item: Item | None = None
        self._taken: list[int] = []

    def _layer(self, layer: int) -> int:
        layers = require_local(self._parts.model, "TextEnv: observation: 'state'").layers
        if not 0 <= _whole(layer, "layer") <= layers:
            raise ConfigError(f"TextEnv: layer: expected 1 to {layers}, or 0 for the last one, found {layer}")
        return layer or layers

    def _made_reward(self) -> Reward:
        parts = self._parts
        choices = choose_rewards(parts.config, parts.task, parts.permissions, parts.functions)
        return make_reward(parts.config, choices, parts.scoring)

    def _vocabulary(self) -> tuple[str, ...]:
        tokenizer: Any = getattr(self._parts.model, "tokenizer", None)
        if tokenizer is None:
            raise ConfigError(
                "TextEnv: actions: expected texts, since a served model has no tokenizer here; found none"
            )
        return tuple(tokenizer.batch_decode([[token] for token in range(len(tokenizer))]))

    def _observation_space(self) -> spaces.Space[Any]:
        if self.observation == "state":
            return spaces.Box(-np.inf, np.inf, (self._parts.model.width,), np.float32)
        shown = [self._context(item) for item in self._parts.task.train]
        characters = sorted(set("".join((*shown, *self.texts))))
        return spaces.Text(LONGEST, min_length=0, charset="".join(characters))

    def _places(self, item: Item) -> tuple[str, str]:
        template = self._parts.task.template
        return self._prompt.prefix(template), template.item(item.fields, item.options)

    def _context(self, item: Item) -> str:
        return "".join(self._places(item))

    @property
    def _written(self) -> str:
        return "".join(self.texts[action] for action in self._taken)

    def _text(self, item: Item) -> str:
        return self._context(item) + self._written

    @property
    def answer(self) -> str:
        """The answer so far, without surrounding white space, up to the first stop string."""
        text = self._written
        cuts = [at for stop in self._parts.scoring.decoding.stop_strings if (at := text.find(stop)) >= 0]
        return text[: min(cuts, default=len(text))].strip()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an answer to a train item, drawn unless ``options={"item": index}`` names it.

        Returns:
            The observation, and ``{"item": index, "gold": its gold or None}``.
        """
        super().reset(seed=seed)
        train = self._parts.task.train
        drawn = self.np_random.integers(len(train))
        index = _whole((options or {}).get("item", drawn), "item")
        if not 0 <= index < len(train):
            raise ConfigError(f"TextEnv: item: expected one of {len(train)} train rows from 0 on, found {index}")
        self._item, self._taken = train[index], []
        gold = self._item.gold if self._parts.task.has_gold else None
        return self._observed(), {"item": index, "gold": gold}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Append an action's text, or end the answer.

        Returns:
            Observation, reward (0 until the end), whether the answer has ended, whether it was cut off after
            ``max_actions``, and ``{"answer": the answer so far}``.

        Raises:
            ConfigError: if there is no such action; the episode can go on with another one.
            ScorerError: if the reward is NaN or infinite.
        """
        if self._item is None:
            raise gymnasium.error.ResetNeeded("TextEnv: expected reset() before step()")
        place = _whole(action, "action")
        if not 0 <= place <= self.ends:
            raise ConfigError(f"TextEnv: action: expected one from 0 to {self.ends}, found {place}")
        terminated = place == self.ends
        if not terminated:
            self._taken.append(place)
            terminated = any(stop in self._written for stop in self._parts.scoring.decoding.stop_strings)
        truncated = not terminated and len(self._taken) >= self.max_actions
        reward = self._rewarded(self._item) if terminated or truncated else 0.0
        return self._observed(), reward, terminated, truncated, {"answer": self.answer}

    def _rewarded(self, item: Item) -> float:
        reward = self._likelihood(item) if self._reward is None else self._judged(self._reward, item)
        if not np.isfinite(reward):
            raise ScorerError(
                f"TextEnv: reward: expected a finite number, found {reward} for the answer {self.answer!r:.60}"
            )
        return reward

    def _judged(self, reward: Reward, item: Item) -> float:
        [outcome] = hold([reward.of([item], [[self.answer]])], self._parts.engine)
        if outcome.result is None:
            assert outcome.error is not None
            raise outcome.error
        return float(outcome.result[0][0])

    def _likelihood(self, item: Item) -> float:
        template = self._parts.task.template
        if not self.answer:
            return 0.0
        [answer] = self._parts.engine.answer(
            [LogLikelihood(*self._places(item), (template.answer(self.answer),), template.system)]
        )
        return float(np.exp(per_token([answer])[0]))

    def _observed(self) -> Any:
        assert self._item is not None
        if self.observation == "text":
            return self._text(self._item)
        prefix, shown = self._places(self._item)
        system = self._parts.task.template.system
        [states] = self._parts.engine.answer([States(prefix, shown + self._written, (self.layer,), (LAST,), system)])
        return np.array(states[0, 0], dtype=np.float32)

    def render(self) -> Any:
        """Return the text so far with ``render_mode="ansi"``, else None."""
        if self.render_mode != "ansi" or self._item is None:
            return None
        return self._text(self._item)

    def close(self) -> None:
        """Close the engine."""
        self._parts.engine.close()


def _whole(value: Any, argument: str) -> int:
    """Return a whole number of any type.

    Raises:
        ConfigError: if the value is none.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise ConfigError(f"TextEnv: {argument}: expected a whole number, found {value!r}") from None
