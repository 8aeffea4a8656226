"""Exported adapters in the hands of PEFT: joined with others, saved again, loaded in another dtype."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from evolm.errors import ConfigError
from evolm.export.export import export
from evolm.export.predictor import saved_prompt
from tests.export.test_exporting_deltas import dev_rows, own_logprobs, plain_logprobs
from tests.support.delta_campaigns import write_delta_campaign
from tests.support.toy_campaign import ToyCampaign

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.slow

Runs = Callable[..., Path]
TOKENS = torch.tensor([[40, 41, 42, 43, 44, 45, 46]])


def write_small(folder: Path, model: Path, **changes: Any) -> ToyCampaign:
    small = {"budget": {"evaluations": 6}, "baselines": {"random_search": False, "few_shot": False}}
    toy = write_delta_campaign(folder, model, "delta", **small, **changes)
    toy.tables["space"]["delta"] = {
        "layers": "last:1",
        "target_modules": ["v_proj", "down_proj"],
        "encoding": "lowrank",
        "rank": 2,
        "sigma": 1.0,
    }
    return toy


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=TOKENS, use_cache=False).logits[0].float()


def base_of(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def changes_of(run: Path) -> dict[str, np.ndarray]:
    """Module -> change of its weight, ``(out, in)``."""
    with saved_prompt(run) as opened:
        return {name: change.up @ change.down for name, change in opened.require_changes().items()}  # type: ignore[union-attr]


@pytest.mark.parametrize("combination", ["linear", "cat"])
def test_two_adapters_that_peft_joins_act_as_before_when_they_are_saved_and_loaded(
    combination: str, finished_run: Runs, tiny_model_folder: Path, tmp_path: Path
) -> None:
    runs = [finished_run(write=write_small, seed=seed) for seed in (1, 2)]
    for name, run in zip("ab", runs, strict=True):
        export(run, tmp_path / name, "peft")
    model = peft.PeftModel.from_pretrained(base_of(tiny_model_folder), tmp_path / "a", adapter_name="a")
    model.load_adapter(tmp_path / "b", adapter_name="b")
    alone = logits(model)
    model.add_weighted_adapter(["a", "b"], [0.7, 0.3], "joined", combination_type=combination)
    model.set_adapter("joined")
    joined = logits(model)
    assert (joined - alone).abs().max() > 1e-2
    model.save_pretrained(tmp_path / "saved", selected_adapters=["joined"])
    again = peft.PeftModel.from_pretrained(base_of(tiny_model_folder), tmp_path / "saved" / "joined")
    assert torch.allclose(logits(again), joined, atol=1e-4)
    if combination == "cat":  # the weighted sum of both changes
        plain = base_of(tiny_model_folder)
        modules = dict(plain.named_modules())
        with torch.no_grad():
            for share, run in zip((0.7, 0.3), runs, strict=True):
                for name, change in changes_of(run).items():
                    modules[name].weight += share * torch.tensor(change)
        assert torch.allclose(logits(plain), joined, atol=1e-3)


@pytest.mark.parametrize("autocast", [True, False])
def test_an_adapter_of_a_bfloat16_run_acts_alike_in_both_dtypes_of_peft(
    autocast: bool, finished_run: Runs, tiny_model_folder: Path, tmp_path: Path
) -> None:
    run = finished_run(write=write_small, seed=1, model__dtype="bfloat16")
    export(run, tmp_path / "adapter", "peft")
    base = base_of(tiny_model_folder, torch.bfloat16)
    model = peft.PeftModel.from_pretrained(base, tmp_path / "adapter", autocast_adapter_dtype=autocast)
    rows, tokenizer = dev_rows(run), AutoTokenizer.from_pretrained(tiny_model_folder)
    expected, found = own_logprobs(run, rows), plain_logprobs(model, tokenizer, tmp_path / "adapter", rows)
    with model.disable_adapter():
        unchanged = plain_logprobs(model, tokenizer, tmp_path / "adapter", rows)
    assert np.abs(found - expected).max() < 0.5 < np.abs(unchanged - expected).max()
    sure = np.abs(expected[:, 0] - expected[:, 1]) > 0.5
    assert (found.argmax(1) == expected.argmax(1))[sure].all()


def test_the_output_head_is_no_module_that_a_delta_can_change(tiny_model_folder: Path, tmp_path: Path) -> None:
    toy = write_small(tmp_path / "toy", tiny_model_folder)
    toy.tables["space"]["delta"]["target_modules"] = ["lm_head"]
    with pytest.raises(ConfigError, match="lm_head"):
        toy.run(tmp_path / "run")
