"""A delta taken home: as an adapter in the real PEFT, merged into a model for plain transformers, as founders."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from safetensors.numpy import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from typer.testing import CliRunner

from evolm import config as configuration
from evolm.campaign import Permissions, build, continue_run, start_run
from evolm.campaign.build import Components
from evolm.cli import app
from evolm.errors import ConfigError, EvolmError, GenomeError, Interrupted, ModelError, RunError
from evolm.export.export import export
from evolm.export.merged import merge
from evolm.export.peft import adapter_files
from evolm.export.predictor import saved_prompt
from evolm.founders.files import founder_record, founders_files, read_lines
from evolm.genomes import DELTA, PROMPT, DeltaGenes, Genome, Learning, Prompt
from evolm.models.deltas import Gain, LowRank
from evolm.models.inspection import read_structure
from tests.support.delta_campaigns import changing, write_delta_campaign
from tests.support.kinds_of_campaigns import components_of
from tests.support.saved_prompts import render, task_of
from tests.support.toy_campaign import FOUNDERS, ToyCampaign, bytes_of, entries, quick, result_of, write_campaign

LINEAR = ["v_proj", "down_proj"]
NORMS = ["input_layernorm", "o_proj"]
SPACES: dict[str, dict[str, Any]] = {
    "lowrank": {"encoding": "lowrank", "rank": 2, "sigma": 1.0},
    "subspace": {"encoding": "subspace", "dimension": 6, "sigma": 2.0, "layers": "all"},
    "singular": {"encoding": "singular", "rank": 3, "sigma": 1.0, "target_modules": ["q_proj", "gate_proj"]},
    "scales": {"encoding": "scales", "sigma": 0.7, "target_modules": LINEAR, "layers": [0]},
    "norms": {"encoding": "scales", "sigma": 0.7, "target_modules": NORMS, "layers": "all"},
}
ADAPTERS = [name for name in SPACES if name != "norms"]
Runs = Callable[..., Path]


def write_encoding(folder: Path, model: Path, encoding: str, kind: str, **changes: Any) -> ToyCampaign:
    """Write a small campaign whose deltas have that encoding."""
    small = {"budget": {"evaluations": 6}, "baselines": {"random_search": False, "few_shot": False}}
    toy = write_delta_campaign(folder, model, kind, **small, **changes)
    toy.tables["space"]["delta"] = {"layers": "last:1", "target_modules": LINEAR} | SPACES[encoding]
    return toy


@pytest.fixture(scope="module")
def run_of(finished_run: Runs) -> Runs:
    """Return ``run(encoding, kind="delta", **changes)``: a small finished run whose best changes the model.

    The best of a hybrid shows a demonstration.
    """

    def run(encoding: str, kind: str = "delta", **changes: Any) -> Path:
        return changing(
            lambda seed: finished_run(encoding, kind, write=write_encoding, seed=seed, **changes), kind == "hybrid"
        )

    return run


@pytest.fixture(scope="module")
def other_base(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with slightly other weights, as a second copy of a base."""
    folder = tmp_path_factory.mktemp("other") / "tiny-full"
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + 0.2 * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model_folder).save_pretrained(folder)
    return folder


def plain_logprobs(model: Any, tokenizer: Any, folder: Path, rows: pd.DataFrame) -> np.ndarray:
    """Return ``(n, labels)`` normalised log-probabilities, by one plain forward pass per row and label."""
    record, prompt = (
        json.loads((folder / "prompt.json").read_text(encoding="utf-8")),
        (folder / "prompt.txt").read_text(encoding="utf-8"),
    )
    found = []
    for fields in rows[["text"]].to_dict("records"):
        context, scores = render(record, prompt, fields), []
        for label, answer in record["answers"].items():
            before, whole = (tokenizer(text).input_ids for text in (context, context + answer))
            with torch.inference_mode():
                logprobs = model(torch.tensor([whole])).logits[0].float().log_softmax(-1)
            terms = [logprobs[i - 1, whole[i]].item() for i in range(len(before), len(whole))]
            score = np.mean(terms) if record["normalization"] == "tokens" else np.sum(terms)
            scores.append(score - (record["prior"] or {}).get(label, 0.0))
        found.append(scores - np.logaddexp.reduce(scores))
    return np.array(found)


def own_logprobs(place: Path, rows: pd.DataFrame) -> np.ndarray:
    with saved_prompt(place) as opened:
        return np.log(opened.predict(rows[["text"]])[["p_ham", "p_spam"]].to_numpy())


def dev_rows(run: Path) -> pd.DataFrame:
    return pd.DataFrame([{**item.fields, "label": item.gold} for item in task_of(run).dev])


def dev_score(run: Path, logprobs: np.ndarray) -> float:
    task = task_of(run)
    assert task.labels == ("ham", "spam")
    return task.metric_of(logprobs.argmax(1), task.dev)


def base_of(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def refused(*arguments: object) -> str:
    """Run a command that must refuse in one sentence with exit code 2, and return the sentence."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if line]
    return line


# -- an adapter ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ADAPTERS)
def test_the_adapter_in_peft_gives_the_recorded_score_and_probabilities(
    run_of: Runs, encoding: str, tiny_model_folder: Path, tmp_path: Path
) -> None:
    run, out = run_of(encoding), tmp_path / "adapter"
    export(run, out, "peft")
    rows, tokenizer = dev_rows(run), AutoTokenizer.from_pretrained(tiny_model_folder)
    expected = own_logprobs(run, rows)
    model = PeftModel.from_pretrained(base_of(tiny_model_folder), out)
    found = plain_logprobs(model, tokenizer, out, rows)
    assert np.abs(found - expected).max() < 1e-4
    assert dev_score(run, found) == pytest.approx(result_of(run)["dev"]["best"])
    with model.disable_adapter():
        assert np.abs(plain_logprobs(model, tokenizer, out, rows) - expected).max() > 1e-2
    adapted = {name.replace(".default", "") for name in model.state_dict() if "lora_" in name or "ia3_" in name}
    assert adapted == set(load_file(out / "adapter_model.safetensors"))


def test_an_adapter_of_a_hybrid_brings_its_own_prompt(run_of: Runs, tiny_model_folder: Path, tmp_path: Path) -> None:
    run, out = run_of("subspace", "hybrid"), tmp_path / "adapter"
    export(run, out, "peft")
    rows = dev_rows(run)
    model = AutoPeftModelForCausalLM.from_pretrained(out, dtype=torch.float32)  # finds the base by its name
    found = plain_logprobs(model, AutoTokenizer.from_pretrained(tiny_model_folder), out, rows)
    assert np.abs(found - own_logprobs(run, rows)).max() < 1e-4
    assert dev_score(run, found) == pytest.approx(result_of(run)["dev"]["best"])


def test_predict_and_score_work_on_the_exported_folder(run_of: Runs, tmp_path: Path) -> None:
    run, out = run_of("lowrank"), tmp_path / "adapter"
    rows = dev_rows(run)
    said = export(run, out, "peft")
    model = entries(run, "run")[0]["model"]["name"]
    assert said[0] == f"Written: {out}, a LoRA adapter of 2 modules for {model}."
    names = {"adapter_config.json", "adapter_model.safetensors", "README.md"}
    assert {path.name for path in out.iterdir()} == names | {path.name for path in (run / "best").iterdir()}
    for name in ("prompt.json", "prompt.txt", "delta.safetensors"):
        assert (out / name).read_bytes() == (run / "best" / name).read_bytes()
    shutil.move(out, tmp_path / "moved")
    assert (own_logprobs(tmp_path / "moved", rows) == own_logprobs(run, rows)).all()
    rows.to_csv(tmp_path / "rows.csv", index=False)
    result = CliRunner().invoke(app, ["score", str(tmp_path / "moved"), str(tmp_path / "rows.csv")])
    assert result.exit_code == 0 and f"{result_of(run)['dev']['best']:.3f}" in result.stdout


def test_a_config_says_which_modules_of_which_layers(run_of: Runs, tmp_path: Path) -> None:
    found = {}
    for encoding in ADAPTERS:
        export(run_of(encoding), tmp_path / encoding, "peft")
        found[encoding] = json.loads((tmp_path / encoding / "adapter_config.json").read_text(encoding="utf-8"))
    low = found["lowrank"]
    assert (low["peft_type"], low["r"], low["lora_alpha"], low["target_modules"]) == ("LORA", 2, 2, sorted(LINEAR))
    assert (low["layers_to_transform"], low["layers_pattern"]) == ([1], "layers")
    assert "layers_to_transform" not in found["subspace"]  # it changes all of them
    assert found["scales"]["peft_type"] == "IA3"
    assert found["scales"]["feedforward_modules"] == ["model.layers.0.mlp.down_proj"]
    assert found["scales"]["target_modules"] == ["model.layers.0.self_attn.v_proj", "model.layers.0.mlp.down_proj"]


def test_without_examples_an_adapter_s_prompt_says_that_it_is_another_one(run_of: Runs, tmp_path: Path) -> None:
    run = run_of("subspace", "hybrid")
    export(run, tmp_path / "whole", "peft")
    record = json.loads((tmp_path / "whole" / "prompt.json").read_text(encoding="utf-8"))
    shown = len(record["genome"]["demonstrations"])
    assert shown, "the run's best must show something"
    said = export(run, tmp_path / "bare", "peft", without_examples=True)
    assert any("this is another prompt than the one that was scored" in sentence for sentence in said)
    bare = json.loads((tmp_path / "bare" / "prompt.json").read_text(encoding="utf-8"))
    assert bare["left_out"] == shown and not bare["genome"]["demonstrations"]
    text = "".join(
        path.read_text(encoding="utf-8") for path in (tmp_path / "bare").iterdir() if path.suffix != ".safetensors"
    )
    assert all(demo["fields"]["text"] not in text for demo in record["genome"]["demonstrations"])


# -- another base --------------------------------------------------------------------------------------------


def test_on_another_base_the_adapter_is_scored_and_both_scores_are_kept(
    run_of: Runs, other_base: Path, tmp_path: Path
) -> None:
    run, out = run_of("lowrank"), tmp_path / "adapter"
    said = export(run, out, "peft", base=str(other_base))
    record = json.loads((out / "score.json").read_text(encoding="utf-8"))
    model = PeftModel.from_pretrained(base_of(other_base), out)
    found = plain_logprobs(model, AutoTokenizer.from_pretrained(other_base), out, dev_rows(run))
    assert record["base"]["score"] == pytest.approx(dev_score(run, found))
    assert record["run"]["score"] == pytest.approx(result_of(run)["dev"]["best"])
    assert record["run"]["score"] != record["base"]["score"]
    assert record["difference"] == record["base"]["score"] - record["run"]["score"]
    assert (record["split"], record["run"]["scored"], record["base"]["scored"]) == ("dev", 10, 10)
    assert record["base"]["model"]["name"] == str(other_base)
    assert record["base"]["model"]["fingerprint"] != record["run"]["model"]["fingerprint"]
    assert (
        said[1] in " ".join((out / "README.md").read_text(encoding="utf-8").split())
        and f" on {other_base}, " in said[1]
    )
    assert json.loads((out / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"] == str(
        other_base
    )
    with saved_prompt(out) as opened:  # evolm applies it to the model that it was evolved on
        assert opened.model.prepared.fingerprint == record["run"]["model"]["fingerprint"]


def test_a_base_that_is_not_at_hand_is_named_and_nothing_is_recorded(run_of: Runs, tmp_path: Path) -> None:
    said = export(run_of("lowrank"), tmp_path / "adapter", "peft", base="someone/tiny-full")
    assert "Not scored on someone/tiny-full, which is not on this machine." in said
    assert not (tmp_path / "adapter" / "score.json").exists()
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == "someone/tiny-full"


def test_where_no_run_is_around_nothing_is_scored_anew(run_of: Runs, other_base: Path, tmp_path: Path) -> None:
    shutil.copytree(run_of("lowrank") / "best", tmp_path / "best")
    said = export(tmp_path / "best", tmp_path / "adapter", "peft", base=str(other_base))
    assert f"Not scored on {other_base}: the prompt is in no run's directory, so its dev rows are not known." in said
    assert not (tmp_path / "adapter" / "score.json").exists()


def test_rows_that_changed_are_not_scored(run_of: Runs, other_base: Path, tmp_path: Path) -> None:
    run = shutil.copytree(run_of("lowrank"), tmp_path / "run")
    path = Path(configuration.load(run / "campaign.toml").task.data)
    shutil.copy(path, tmp_path / "rows.csv")
    text = (run / "campaign.toml").read_text(encoding="utf-8").replace(str(path), str(tmp_path / "rows.csv"))
    (run / "campaign.toml").write_text(text, encoding="utf-8")
    (tmp_path / "rows.csv").write_text(
        (tmp_path / "rows.csv").read_text(encoding="utf-8").replace("lunch", "dinner"), encoding="utf-8"
    )
    said = export(run, tmp_path / "adapter", "peft", base=str(other_base))
    assert f"Not scored on {other_base}: the run's rows changed since it began." in said
    (tmp_path / "rows.csv").unlink()
    said = export(run, tmp_path / "again", "peft", base=str(other_base))
    assert any(f"Not scored on {other_base}: {tmp_path / 'rows.csv'}" in sentence for sentence in said)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"num_hidden_layers": 1}, r"'model\.layers\.1\.self_attn\.v_proj', a linear of 16 x 32, found none"),
        ({"intermediate_size": 48}, r"'model\.layers\.1\.mlp\.down_proj', a linear of 32 x 64, found a .* 32 x 48"),
    ],
)
def test_a_base_of_other_modules_is_refused(
    run_of: Runs, tiny_model_folder: Path, tmp_path: Path, shape: dict[str, int], message: str
) -> None:
    config = AutoConfig.from_pretrained(tiny_model_folder)
    for name, value in shape.items():
        setattr(config, name, value)
    AutoModelForCausalLM.from_config(config).float().save_pretrained(tmp_path / "other")
    with pytest.raises(ModelError, match=message):
        export(run_of("lowrank"), tmp_path / "adapter", "peft", base=str(tmp_path / "other"))
    assert not (tmp_path / "adapter").exists()


# -- merged --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", SPACES)
def test_the_merged_model_in_plain_transformers_gives_the_recorded_score_and_probabilities(
    run_of: Runs, encoding: str, tiny_model_folder: Path, tmp_path: Path
) -> None:
    run, out, before = run_of(encoding), tmp_path / "merged", digests(tiny_model_folder)
    export(run, out, "merged")
    rows = dev_rows(run)
    expected = own_logprobs(run, rows)
    found = plain_logprobs(base_of(out), AutoTokenizer.from_pretrained(out), out, rows)
    assert np.abs(found - expected).max() < 1e-4
    assert dev_score(run, found) == pytest.approx(result_of(run)["dev"]["best"])
    assert digests(tiny_model_folder) == before
    shutil.move(out, tmp_path / "moved")
    assert np.abs(own_logprobs(tmp_path / "moved", rows) - expected).max() < 1e-4
    record = json.loads((tmp_path / "moved" / "score.json").read_text(encoding="utf-8"))
    assert record["run"]["score"] == record["merged"]["score"] == pytest.approx(result_of(run)["dev"]["best"])
    assert record["difference"] == 0


def test_a_merged_model_is_stored_in_the_run_s_dtype(run_of: Runs, tmp_path: Path) -> None:
    run = run_of("lowrank", model__dtype="bfloat16")
    said = export(run, tmp_path / "merged", "merged")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    page = " ".join((tmp_path / "merged" / "README.md").read_text(encoding="utf-8").split())
    assert "stored in bfloat16, so its answers differ a little" in page and said[1] in page
    with saved_prompt(tmp_path / "merged") as opened:
        found = opened.score(dev_rows(run)).value
    assert found == json.loads((tmp_path / "merged" / "score.json").read_text(encoding="utf-8"))["merged"]["score"]


def test_the_prompt_of_a_merged_model_is_exported_with_where_the_model_lies(run_of: Runs, tmp_path: Path) -> None:
    rows = dev_rows(run_of("norms"))
    export(run_of("norms"), tmp_path / "merged", "merged")
    export(tmp_path / "merged", tmp_path / "prompt")
    assert not list((tmp_path / "prompt").glob("*.safetensors"))
    assert (own_logprobs(tmp_path / "prompt", rows) == own_logprobs(tmp_path / "merged", rows)).all()


def test_a_calibrated_prompt_s_prior_is_the_merged_model_s_own(
    run_of: Runs, tiny_model_folder: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(run_of("lowrank"), tmp_path / "run")
    record = json.loads((run / "best" / "prompt.json").read_text(encoding="utf-8"))
    record["readout"], record["prior"] = "contextual", {"spam": 0.0, "ham": 0.0}
    (run / "best" / "prompt.json").write_text(json.dumps(record), encoding="utf-8")
    export(run, tmp_path / "merged", "merged")
    export(run, tmp_path / "adapter", "peft")
    priors = [
        json.loads((tmp_path / name / "prompt.json").read_text(encoding="utf-8"))["prior"]
        for name in ("merged", "adapter")
    ]
    assert priors[0] == pytest.approx(priors[1], abs=1e-4) and priors[0] != record["prior"]
    rows = dev_rows(run)
    for out, model in (("merged", base_of(tmp_path / "merged")), ("adapter", base_of(tiny_model_folder))):
        whole = PeftModel.from_pretrained(model, tmp_path / out) if out == "adapter" else model
        tokenizer = AutoTokenizer.from_pretrained(tiny_model_folder)
        found = plain_logprobs(whole, tokenizer, tmp_path / out, rows)
        assert np.abs(found - own_logprobs(run, rows)).max() < 1e-4


@pytest.mark.parametrize("kind", ["low rank", "gains"])
def test_transposed_weights_are_changed_as_peft_changes_them(kind: str, tmp_path: Path) -> None:
    config = GPT2Config(vocab_size=20, n_positions=16, n_embd=8, n_layer=2, n_head=2)
    rng = np.random.default_rng(0)
    sites = read_structure(config).chosen("last:1", ["c_attn", "c_proj"])
    assert all(site.transposed for site in sites) and len(sites) == 3
    changes: dict[str, Any] = {}
    for site in sites:
        if kind == "low rank":
            down, up = (rng.normal(size=size).astype("f4") for size in ((2, site.inputs), (site.outputs, 2)))
            changes[site.name] = LowRank(down, up)
        else:
            side = "input" if site.name.endswith("mlp.c_proj") else "output"
            channels = site.inputs if side == "input" else site.outputs
            changes[site.name] = Gain(rng.normal(size=channels).astype("f4"), side)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        base, model = GPT2LMHeadModel(config).eval(), GPT2LMHeadModel(config).eval()
        for module in base.modules():
            if type(module).__name__ == "Conv1D":
                torch.nn.init.normal_(module.bias)
    model.load_state_dict(base.state_dict())
    for name, content in adapter_files(changes, sites, 2, "gpt2").items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    ids = torch.arange(12)[None]
    with torch.inference_mode():
        plain = base(ids).logits
        for site in sites:
            merge(model.get_submodule(site.name), changes[site.name])
        merged, adapted = model(ids).logits, PeftModel.from_pretrained(base, tmp_path)(ids).logits
    assert (merged - adapted).abs().max() < 1e-4
    assert (merged - plain).abs().max() > 1e-2


@pytest.mark.parametrize("norm", [GemmaRMSNorm, torch.nn.LayerNorm, torch.nn.RMSNorm])
def test_the_gains_of_any_norm_are_merged(norm: Any) -> None:
    module, inputs = norm(6), torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.linspace(-1, 2, 6))
        gain = np.linspace(-0.5, 0.5, 6, dtype="f4")
        expected = module(inputs) * torch.from_numpy(1 + gain)
        merge(module, Gain(gain))
        assert torch.allclose(module(inputs), expected, atol=1e-6)


# -- a founding population -----------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["delta", "hybrid"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def best_digests(run: Path) -> list[str]:
    """Return the digests of a run's individuals, the winner first, then the fittest."""
    tried = entries(run, "individual", "main")
    winner = result_of(run)["best"]["id"]
    return [e["digest"] for e in sorted(tried, key=lambda e: (e["id"] != winner, [-f for f in e["fitness"]]))]


def built(folder: Path, **arguments: Any) -> Components:
    parts = build(configuration.load(folder / "campaign.toml"), folder, **arguments)
    parts.engine.close()
    return parts


def test_a_population_brings_the_vectors_back(run_of: Runs, kind: str, tmp_path: Path) -> None:
    run, out = run_of("lowrank", kind), tmp_path / "population"
    export(run, out, "population", copy=True)
    parts = built(out)
    assert [founder.digest for founder in parts.founders.genomes] == best_digests(run)
    assert parts.space.evolving == (("delta",) if kind == "delta" else ("prompt", "delta", "readout"))
    assert set(parts.founders.names.values()) <= {f"run #{e['id']}" for e in entries(run, "individual")}
    lines = [json.loads(line) for line in (out / "founders.jsonl").read_text(encoding="utf-8").splitlines()[1:]]
    changed = [line["delta"]["tensors"]["genes"] for line in lines if "delta" in line]
    assert set(changed) == load_file(out / "deltas.safetensors").keys() and len(changed) >= 4
    page = " ".join((out / "README.md").read_text(encoding="utf-8").split())
    assert f"{len(changed)} of them change the model's weights" in page and "encoding `lowrank`" in page
    shutil.move(out, tmp_path / "moved")
    with quick():
        again = start_run(
            configuration.load(tmp_path / "moved" / "campaign.toml", {"evaluation": {"n_jobs": 1}}),
            tmp_path / "moved",
            tmp_path / "again",
        )
    scores = {e["digest"]: e["score"] for e in entries(run, "individual", "main")}
    found = entries(again.directory, "individual", "main")
    assert [e["digest"] for e in found] == best_digests(run)
    assert [e["score"] for e in found] == [scores[e["digest"]] for e in found]


def test_a_warm_start_brings_the_vectors_and_a_resume_finds_them_again(
    run_of: Runs, kind: str, tiny_model_folder: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(run_of("lowrank", kind), tmp_path / "first" / "run"))  # it is moved away below
    second = write_delta_campaign(
        tmp_path / "second", tiny_model_folder, kind, budget__evaluations=12, founders=[str(run)]
    )
    second.tables["space"]["delta"] = {"layers": "last:1", "target_modules": LINEAR} | SPACES["lowrank"]
    with pytest.raises(EvolmError, match="--warm-start"):  # a campaign file reads from its own folder alone
        second.run(tmp_path / "refused")
    admitted = Permissions(data_roots=(run.parent,))
    with quick():
        whole = second.run(tmp_path / "whole", permissions=admitted).directory
        with pytest.raises(Interrupted):
            second.run(tmp_path / "stopped", permissions=admitted, observers=[_Stop()])
        assert not entries(tmp_path / "stopped", "individual")  # it has nothing but its founders' files
        shutil.move(run, run.with_name("away"))
        try:
            continue_run(tmp_path / "stopped")
        finally:
            shutil.move(run.with_name("away"), run)
    assert bytes_of(tmp_path / "stopped") == bytes_of(whole)
    tried, warm = entries(whole, "individual", "main"), best_digests(run)
    assert [e["digest"] for e in tried[: len(warm)]] == warm
    assert tried[0]["operators"] == [f"run #{result_of(run)['best']['id']}"]
    assert len(tried) == 12


class _Stop:
    """Asks to stop before anything is evaluated."""

    def on_start(self, info: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: None


def test_a_delta_starts_a_hybrid_with_the_prompt_that_it_ran_under(
    run_of: Runs, tiny_model_folder: Path, tmp_path: Path
) -> None:
    run = run_of("lowrank")
    toy = write_delta_campaign(tmp_path / "toy", tiny_model_folder, "hybrid")
    toy.tables["space"]["delta"] = {"layers": "last:1", "target_modules": LINEAR} | SPACES["lowrank"]
    parts = build(toy.config, toy.folder, warm_starts=[run])
    parts.engine.close()
    *warm, last = parts.founders.genomes
    assert [founder.digest for founder in warm] == best_digests(run)
    assert {founder.prompt.instruction for founder in warm} == {FOUNDERS[0]["instruction"]}
    assert last.prompt.instruction == FOUNDERS[1]["instruction"] and not last.delta.genes.any()


def test_a_vector_of_another_model_or_space_is_refused(
    run_of: Runs, other_base: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    run = run_of("lowrank")
    space = {"layers": "last:1", "target_modules": LINEAR} | SPACES["lowrank"]
    for model, changes, message in (
        (other_base, {}, r"run #\d+: the delta was made for the model's fingerprint = "),
        (tiny_model_folder, {"rank": 1}, r"run #\d+: the delta was made for space\.delta\.rank = 2, expected 1"),
        (tiny_model_folder, {"seed": 5}, r"space\.delta\.seed = 0, expected 5"),
        (tiny_model_folder, SPACES["subspace"], r"space\.delta\.encoding = 'lowrank', expected 'subspace'"),
    ):
        toy = write_delta_campaign(tmp_path / "toy", model, "delta")
        toy.tables["space"]["delta"] = space | changes
        with pytest.raises(GenomeError, match=message):
            build(toy.config, toy.folder, warm_starts=[run])


def test_a_campaign_of_prompts_refuses_founders_that_change_the_model(
    run_of: Runs, kind: str, tiny_model_folder: Path, tmp_path: Path
) -> None:
    run = run_of("lowrank", kind)
    write_campaign(tmp_path / "toy", tiny_model_folder)
    said = refused("run", tmp_path / "toy", "--warm-start", run, "--out", tmp_path / "out")
    assert "expected a founder with 'prompt', 'readout' alone, found one with 'delta'" in said
    assert not (tmp_path / "out").exists()


def test_deltas_alone_refuse_founders_under_another_prompt(
    run_of: Runs, tiny_model_folder: Path, tmp_path: Path
) -> None:
    toy = write_delta_campaign(tmp_path / "toy", tiny_model_folder, "delta")
    toy.tables["space"]["delta"] = {"layers": "last:1", "target_modules": LINEAR} | SPACES["lowrank"]
    with pytest.raises(ConfigError, match="all genomes have one prompt, found founders with 2 different prompts"):
        build(toy.config, toy.folder, instructions=["Another?"], warm_starts=[run_of("lowrank")])


def test_without_examples_the_vectors_stay_and_no_row_does(run_of: Runs, tmp_path: Path) -> None:
    run, out = run_of("subspace", "hybrid"), tmp_path / "population"
    export(run, out, "population", without_examples=True)
    source = read_lines(out / "founders.jsonl", "founders.jsonl")
    assert not any("demonstrations" in record.get("prompt", record) for record, _ in source.records)
    vectors = {DeltaGenes(record["delta"]["genes"]).digest for record, _ in source.records if "delta" in record}
    parts = components_of(run)
    own = {parts.space["delta"].neutral().digest}
    stored = [load_file(path) for path in (run / "genes").iterdir() if path.name.startswith("main")]
    assert vectors == {DeltaGenes(v).digest for each in stored for v in each.values()} - own
    text = (out / "founders.jsonl").read_text(encoding="utf-8") + (out / "README.md").read_text(encoding="utf-8")
    assert not [item for item in task_of(run).train if item.fields["text"] in text]


def test_settings_of_learning_travel_and_its_memory_does_not(toy_deltas: Any, tmp_path: Path) -> None:
    ones = np.ones(3, np.float32)
    delta = DeltaGenes(2 * ones, 0.5, Learning(0.1, 0.01, 4, ones, ones, 7))
    genome = Genome({PROMPT: Prompt("Spam?"), DELTA: delta})
    space = toy_deltas(dimension=3)
    record = founder_record(genome.summary(), genome.arrays(), {DELTA: space.identity()})
    for name, content in founders_files([record], {"k"}).items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    ((found, where),) = read_lines(tmp_path / "founders.jsonl", "f").records
    read = space.founder(found["delta"], np.random.default_rng(0), where)
    assert (where, found["delta"]["space"]) == ("f:2", space.identity())
    assert (read.digest, read.sigma) == (delta.digest, 0.5)
    assert read.learning is not None
    assert (read.learning.rate, read.learning.decay, read.learning.steps, read.learning.count) == (0.1, 0.01, 4, 0)
    assert not read.learning.first.any() and read.learning.second.shape == (3,)


def test_a_founder_without_its_vector_is_refused(run_of: Runs, tmp_path: Path) -> None:
    export(run_of("lowrank"), tmp_path / "population", "population", copy=True)
    (tmp_path / "population" / "deltas.safetensors").write_bytes(b"years of work")
    with pytest.raises(GenomeError, match=r"founders\.jsonl:2: expected the arrays .* in .*deltas\.safetensors"):
        built(tmp_path / "population")
    (tmp_path / "population" / "founders.jsonl").write_text('{"kind": "hybrid", "prompt": {}}\n', encoding="utf-8")
    with pytest.raises(GenomeError, match=r"founders\.jsonl:1: expected an object for each kind of chromosome"):
        built(tmp_path / "population")


def test_a_run_that_lost_its_vectors_is_refused(run_of: Runs, tmp_path: Path) -> None:
    run = shutil.copytree(run_of("lowrank"), tmp_path / "run")
    shutil.rmtree(run / "genes")
    with pytest.raises(GenomeError, match=r"run: expected a run that can be read: .*expected the arrays of #\d+"):
        export(run, tmp_path / "population", "population")
    assert not (tmp_path / "population").exists()


# -- refusals ------------------------------------------------------------------------------------------------


def test_gains_of_norms_have_no_adapter(run_of: Runs, tmp_path: Path) -> None:
    said = refused("export", run_of("norms"), tmp_path / "out", "--to", "peft")
    assert "found gains of the norm 'input_layernorm', for which PEFT has no adapter; --to merged" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", ["peft", "merged"])
def test_what_changes_nothing_has_no_delta_to_export(run_of: Runs, finished: Path, tmp_path: Path, to: str) -> None:
    message = "expected a prompt with a delta, found one that leaves the model's weights as they are"
    for place, use in ((finished, "best"), (run_of("lowrank"), "founder")):
        with pytest.raises(ConfigError, match=message):
            export(place, tmp_path / "out", to, use=use)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("to", ["peft", "merged"])
def test_what_lies_there_is_left_alone(run_of: Runs, tmp_path: Path, to: str) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(RunError, match="out: expected a new folder, found an existing file or folder"):
        export(run_of("lowrank"), tmp_path / "out", to)
    assert not list((tmp_path / "out").iterdir())


def test_a_base_belongs_to_an_adapter_and_must_be_one(run_of: Runs, tmp_path: Path) -> None:
    run = run_of("lowrank")
    for to in ("prompt", "merged", "population"):
        said = refused("export", run, tmp_path / "out", "--to", to, "--base", "someone/model")
        assert "a base is what an adapter is for (--to peft), found --base someone/model" in said
    said = refused("export", run, tmp_path / "out", "--to", "peft", "--base", "./nowhere")
    assert "'./nowhere': expected a folder, a .gguf file or a hub id, found none of them" in said
    assert "rows can only be copied" in refused("export", run, tmp_path / "out", "--to", "peft", "--copy")
    assert not (tmp_path / "out").exists()


def test_an_adapter_without_evolm_s_own_files_is_refused(run_of: Runs, tmp_path: Path) -> None:
    export(run_of("lowrank"), tmp_path / "adapter", "peft")
    rows = tmp_path / "rows.csv"
    dev_rows(run_of("lowrank")).to_csv(rows, index=False)
    (tmp_path / "adapter" / "delta.safetensors").unlink()
    assert "delta.safetensors: expected a delta saved by evolm" in refused("score", tmp_path / "adapter", rows)
    (tmp_path / "adapter" / "prompt.json").unlink()
    said = refused("predict", tmp_path / "adapter", rows, "--out", tmp_path / "out.csv")
    assert "expected an adapter with its prompt.json, found an adapter without" in said


def test_a_merged_folder_that_cannot_be_written_leaves_nothing(
    run_of: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("evolm.export.merged.save_merged", full)
    with pytest.raises(RunError, match="merged: cannot be written: No space left on device"):
        export(run_of("lowrank"), tmp_path / "merged", "merged")
    assert not list(tmp_path.iterdir())
