"""The sampled policy gradient against trl's RLOO trainer: the same tokens and rewards, the same gradient.

trl (https://github.com/huggingface/trl) is in no extra; ``pip install --no-deps trl accelerate`` runs this.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from evolm.evaluation import Engine
from evolm.genomes import DeltaSettings, DeltaSpace, Prompt
from evolm.models import Decoding, Generated, GradientRequest, LanguageModel, prepare
from evolm.models.deltas import Delta, LowRank
from evolm.operators import Reward
from evolm.operators.policy_gradient import sampled_lesson
from evolm.scorers import FunctionParams, FunctionScorer
from evolm.storage import AnswerStore
from evolm.testing import scoring
from evolm.testing.small import small_task
from evolm.testing.tiny_model import write_tiny_model

trl = pytest.importorskip("trl")
pytestmark = pytest.mark.extras

SAMPLES, LONGEST = 4, 5
MODULES = ("q_proj", "v_proj", "down_proj")
SHOWN = Prompt("Which animal is it?")


def reward_of(text: str) -> float:
    """Tell nearly all texts of one token apart."""
    return ord(text.strip()[0]) / 64 if text.strip() else -1.0


def changed_model(folder: Path, delta: Delta) -> Any:
    """Return the model with a delta added to its weights."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        for name, change in delta.changes.items():
            assert isinstance(change, LowRank)
            down, up = torch.tensor(change.down), torch.tensor(change.up)
            model.get_parameter(f"{name}.weight").add_(up @ down)
    return model


def trainer(model: Any, folder: Path, prompts: Sequence[str], kl: float, out: Path) -> Any:
    from datasets import Dataset

    rows = len(prompts) * SAMPLES
    arguments = trl.RLOOConfig(
        output_dir=str(out),
        num_generations=SAMPLES,
        max_completion_length=LONGEST,
        per_device_train_batch_size=rows,
        temperature=1.0,
        beta=kl,
        seed=1,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
    )
    return trl.RLOOTrainer(
        model=model,
        reward_funcs=lambda completions, **_: [reward_of(text) for text in completions],
        args=arguments,
        train_dataset=Dataset.from_dict({"prompt": list(prompts)}),
        processing_class=AutoTokenizer.from_pretrained(folder),
    )


def own_tokens(scored: dict[str, torch.Tensor]) -> list[tuple[int, ...]]:
    """Return the tokens of each completion, padding left out."""
    both = zip(scored["completion_ids"], scored["completion_mask"], strict=True)
    return [tuple(ids[mask.bool()].tolist()) for ids, mask in both]


def held(dialogue: Any, samples: Sequence[Generated], engine: Engine) -> GradientRequest:
    """Hold the dialogue of a lesson, with given samples in the place of those that it asks for."""
    assert len(next(dialogue)) == len(samples)
    answers: Any = list(samples)
    while True:
        try:
            asked = dialogue.send(answers)
        except StopIteration as end:
            assert isinstance(end.value, GradientRequest)
            return end.value
        answers = engine.answer(asked)


@pytest.mark.parametrize("kl", [0.0, 0.3])
def test_the_first_update_has_the_gradient_of_trl(kl: float, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_tiny_model(folder)
    ours = LanguageModel(prepare(str(folder), dtype="float32", device="cpu"), "off")
    deltas = DeltaSpace.of(ours, DeltaSettings("all", MODULES, 2, "lowrank", 7, 0.2))
    delta = Delta(deltas.changes(deltas.random(np.random.default_rng(0)).genes), deltas.depth)
    task = small_task("generation")
    items, template = task.train[:2], task.template
    prompts = [SHOWN.prefix(template) + template.item(item.fields) for item in items]

    theirs = changed_model(folder, delta)
    training = trainer(theirs, folder, prompts, kl, tmp_path / "out")
    scored = training._generate_and_score_completions([{"prompt": text} for text in prompts for _ in range(SAMPLES)])
    training.compute_loss(training.model, scored).backward()

    tokens = own_tokens(scored)
    decoding = Decoding(LONGEST)
    asked = scoring(task, ours, decoding=decoding)
    function = FunctionScorer(lambda item, text, _: reward_of(text), asked, FunctionParams())
    reward = Reward(((function, 1.0),), SAMPLES, kl)
    engine = Engine(ours, AnswerStore(":memory:"))
    lesson = held(
        sampled_lesson(asked, reward, SHOWN, delta, items, 0),
        [ours.decode(each, decoding) for each in tokens],
        engine,
    )
    contexts = [list(each.context) for each in ours.tokenize(lesson.examples)]
    [result] = engine.learn([lesson])
    engine.close()

    assert len(set(tokens)) > SAMPLES
    masked = zip(scored["prompt_ids"], scored["prompt_mask"], strict=True)
    assert [ids[mask.bool()].tolist() for ids, mask in masked][::SAMPLES] == contexts
    for name, (of_down, of_up) in result.gradients.items():
        change = delta.changes[name]
        assert isinstance(change, LowRank)
        ascent = -training.model.get_submodule(name).weight.grad.numpy()  # of the weights that the delta changes
        for mine, other in ((of_up, ascent @ change.down.T), (of_down, change.up.T @ ascent)):
            assert np.abs(other).max() > 0
            assert np.abs(mine - other).max() <= 1e-3 * np.abs(other).max()
