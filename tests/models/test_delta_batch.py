"""Many deltas in one pass: each row as if it were alone, and as if its delta were merged into the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig, GPT2Config, GPT2LMHeadModel, OPTConfig, Qwen3Config

from evolm.errors import ConfigError
from evolm.evaluation import Engine
from evolm.genomes import DeltaGenes, DeltaSettings, DeltaSpace
from evolm.genomes.encodings import ENCODINGS, LowRankEncoding, Plan, SubspaceEncoding
from evolm.models import Decoding, Generate, LanguageModel, LogLikelihood, PassSettings, Request, prepare
from evolm.models.deltas import Change, Delta, Gain, LowRank
from evolm.storage import AnswerStore
from tests.support.tiers import slow

TARGETS = {
    "lowrank": ("q_proj", "v_proj", "down_proj"),
    "subspace": ("all-linear",),
    "scales": ("k_proj", "down_proj", "input_layernorm"),
    "singular": ("o_proj", "up_proj"),
}
PREFIX = "Is this text spam, or ham?\n\nText: claim a prize\nLabel: spam\n\n" * 3
TEXTS = ("win now", "see you at lunch, or at the station, or at home", "call me", "a")
REQUESTS = [LogLikelihood(PREFIX, f"Text: {text}\nLabel:", (" spam", " ham")) for text in TEXTS]
WRITTEN = [
    Generate(PREFIX, f"Text: {text}\nLabel:", Decoding(6, temperature=float(index % 2)))
    for index, text in enumerate(TEXTS)
]


def space_of(model: LanguageModel, encoding: str, layers: str, rank: int = 3) -> DeltaSpace:
    return DeltaSpace.of(model, DeltaSettings(layers, TARGETS[encoding], rank, encoding, 7, 0.5))


def deltas_of(model: LanguageModel, encoding: str, layers: str, count: int = 3, rank: int = 3) -> list[Delta]:
    space = space_of(model, encoding, layers, rank)
    rng = np.random.default_rng(0)
    found = [space.delta(space.random(rng)) for _ in range(count)]
    return [delta for delta in found if delta is not None]


def strangers(model: LanguageModel) -> list[Delta | None]:
    """Deltas of all kinds, and none."""
    kinds = [("lowrank", "last:1", 16), ("subspace", "all", 1), ("scales", "last:1", 1), ("singular", "first:1", 16)]
    return [None, *(deltas_of(model, name, layers, 1, rank)[0] for name, layers, rank in kinds)]


def answers(model: LanguageModel, requests: Sequence[Request], n_jobs: int = 1) -> list[Any]:
    engine = Engine(model, AnswerStore(":memory:"), n_jobs)
    try:
        return engine.answer(requests)
    finally:
        engine.close()


def same(ours: Sequence[Any], theirs: Sequence[Any]) -> bool:
    assert len(ours) == len(theirs) > 0
    return all(
        all(np.array_equal(x, y) for x, y in zip(a, b, strict=True)) if isinstance(a, tuple) else a == b
        for a, b in zip(ours, theirs, strict=True)
    )


def carrying(requests: Sequence[Request], delta: Delta | None) -> list[Any]:
    return [replace(request, delta=delta) for request in requests]


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def model(request: pytest.FixtureRequest, tiny_model: Callable[..., LanguageModel]) -> LanguageModel:
    return tiny_model(request.param, "off")


@pytest.mark.parametrize("layers", ["last:1", "all"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_row_has_the_same_bits_whatever_deltas_are_around_it(
    encoding: str, layers: str, model: LanguageModel
) -> None:
    mine = deltas_of(model, encoding, layers)
    others = strangers(model)
    for requests in (REQUESTS, WRITTEN):
        alone = [answers(model, [asked])[0] for delta in mine for asked in carrying(requests, delta)]
        assert same(alone, answers(model, [asked for delta in mine for asked in carrying(requests, delta)]))
        crowd = [carrying([request], delta)[0] for request in requests for delta in (*others, *mine)]
        mixed = answers(model, crowd)
        width = len(others) + len(mine)
        found = [mixed[at * width + len(others) + index] for index in range(len(mine)) for at in range(len(requests))]
        assert same(alone, found)
        assert same(answers(model, requests), mixed[::width])  # those that carry none


@pytest.mark.parametrize("layers", ["last:1", "all"])
@pytest.mark.parametrize("part", ["down", "up"])
@pytest.mark.parametrize("size", [3.0e38, 3.4e38, np.inf])
def test_a_delta_that_overflows_fails_alone(layers: str, part: str, size: float, model: LanguageModel) -> None:
    """3.4e38 is a finite float32 and rounds to infinity in bfloat16; 3e38 overflows only where it multiplies."""
    mine, vast = deltas_of(model, "lowrank", layers, 2)
    changes = dict(vast.changes)
    for name, change in changes.items():
        assert isinstance(change, LowRank)
        changes[name] = replace(change, **{part: np.full_like(getattr(change, part), size)})
    vast = Delta(changes, vast.depth)
    crowd = [carrying([request], delta)[0] for request in REQUESTS for delta in (None, vast, mine)]
    mixed = answers(model, crowd)
    assert same(mixed[::3], answers(model, REQUESTS))
    assert same(mixed[2::3], answers(model, carrying(REQUESTS, mine)))
    if np.isinf(size):
        assert all(np.isnan(logprobs).any() for answer in mixed[1::3] for logprobs in answer)


@pytest.mark.parametrize(
    ("encoding", "gene", "inside"),
    [("lowrank", 3.4e38, "float32"), ("scales", 3.4e38, "both"), ("subspace", 1e38, "both"), ("subspace", 3e38, "")],
)
def test_genes_whose_changes_the_model_cannot_hold_lie_outside(
    encoding: str, gene: float, inside: str, model: LanguageModel
) -> None:
    space = space_of(model, encoding, "all")
    genome = DeltaGenes(np.full(space.dimension, gene, np.float32))
    reason = space.outside(genome)
    if inside in ("both", model.prepared.dtype):
        assert reason == ""
    else:
        assert reason.startswith(f"genes of up to {gene:.3g} change 'model.layers.")
        assert reason.endswith(f"beyond the largest {model.prepared.dtype}")
    assert space.outside(space.random(np.random.default_rng(0))) == ""


@pytest.mark.parametrize("model", ["float32", slow("bfloat16")], indirect=True)
def test_two_workers_give_the_bits_of_one(model: LanguageModel) -> None:
    crowd = [asked for delta in strangers(model) for asked in carrying(REQUESTS, delta)]
    assert same(answers(model, crowd), answers(model, crowd, n_jobs=2))


def test_sharing_lower_layers_changes_no_bit(model: LanguageModel) -> None:
    crowd = [asked for delta in deltas_of(model, "lowrank", "last:1") for asked in carrying(REQUESTS, delta)]
    apart = LanguageModel(model.prepared, "off", PassSettings(trunk_bytes=0))
    assert model.forward.shares_layers_at(1) and not apart.forward.shares_layers_at(1)
    assert same(answers(model, crowd), answers(apart, crowd))


def test_shared_states_are_computed_once_and_stay_within_their_limit(model: LanguageModel) -> None:
    fresh = LanguageModel(model.prepared, "off", PassSettings(prefix_bytes=0))
    shared = fresh.forward.shared
    assert fresh.forward.shares_layers_at(1)
    tried = shared.passed
    first, second = deltas_of(model, "lowrank", "last:1", 2)
    expected = answers(fresh, carrying(REQUESTS, first))
    passed = shared.passed - tried
    answers(fresh, carrying(REQUESTS, second))
    assert shared.passed - tried == passed > 100
    assert passed < sum(len(request.context) for request in fresh.tokenize(REQUESTS))  # the prefix once
    narrow = LanguageModel(model.prepared, "off", PassSettings(trunk_bytes=shared.nbytes // 3, prefix_bytes=0))
    limited = narrow.forward.shared
    for _ in range(2):
        assert same(expected, answers(narrow, carrying(REQUESTS, first)))
        assert 0 < limited.nbytes <= limited.limit
        assert limited.nbytes == sum(states.nbytes for states in limited._kept.values())
    assert limited.passed > passed + tried  # what was forgotten was computed again


def of_architecture(config: Any, folder: Path, tokenizer: Any) -> LanguageModel:
    """A random float32 model of a configuration."""
    config.vocab_size = len(tokenizer)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(config, name, getattr(tokenizer, name))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config).float().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return LanguageModel(prepare(str(folder), dtype="float32", device="cpu"), "off")


def test_layers_are_shared_only_at_depths_where_an_architecture_gives_the_bits_of_the_whole(
    tmp_path: Path, tiny_tokenizer: Any
) -> None:
    """Gemma 3 looks layers' rotary embeddings up by their place in the part, so only whole periods can be shared."""
    model = of_architecture(gemma(num_hidden_layers=8), tmp_path, tiny_tokenizer)
    apart = LanguageModel(model.prepared, "off", PassSettings(trunk_bytes=0))
    assert [model.forward.shares_layers_at(depth) for depth in range(8)] == [depth == 4 for depth in range(8)]
    for layers in ("last:3", "last:4"):
        space = DeltaSpace.of(model, DeltaSettings(layers, ("q_proj", "v_proj"), 1, "subspace", 7, 0.5))
        delta = space.delta(space.random(np.random.default_rng(0)))
        assert same(answers(model, carrying(REQUESTS, delta)), answers(apart, carrying(REQUESTS, delta)))


def test_layers_inside_of_a_decoder_are_found_and_deltas_of_them_act(tmp_path: Path, tiny_tokenizer: Any) -> None:
    config = OPTConfig(
        hidden_size=32,
        ffn_dim=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
        word_embed_proj_dim=32,
        init_std=0.5,
    )
    model = of_architecture(config, tmp_path / "opt", tiny_tokenizer)
    space = DeltaSpace.of(model, DeltaSettings("last:1", ("q_proj", "v_proj"), 1, "subspace", 7, 0.5))
    delta = space.delta(space.random(np.random.default_rng(0)))
    assert delta is not None and delta.depth == 1
    ours = answers(model, carrying(REQUESTS, delta))
    theirs = answers(merged(model, dict(delta.changes), tmp_path / "merged"), REQUESTS)
    assert furthest(ours, theirs) < 1e-4 < 1e-2 < furthest(ours, answers(model, REQUESTS))


@pytest.mark.parametrize("heads", [4, 64], ids=["few heads", "as many heads as rows that grow"])
@pytest.mark.parametrize("config", ["qwen3", "gemma3"])
def test_gains_of_a_norm_of_heads_stay_with_their_rows(
    config: str, heads: int, tmp_path: Path, tiny_tokenizer: Any
) -> None:
    """Qwen 3 norms heads as (1, N, H, channels), Gemma 3 as (1, H, N, channels); gains follow N, even where H = N."""
    model = of_architecture(
        {"qwen3": qwen, "gemma3": gemma}[config](num_attention_heads=heads, hidden_size=64), tmp_path, tiny_tokenizer
    )
    assert model.profile.decode_rows == 64
    space = DeltaSpace.of(model, DeltaSettings("all", ("q_norm", "k_norm"), 1, "scales", 7, 0.5))
    rng = np.random.default_rng(0)
    deltas = [space.delta(space.random(rng)) for _ in range(2)]
    crowd = [asked for delta in (None, *deltas) for asked in carrying(REQUESTS + WRITTEN, delta)]
    mixed = answers(model, crowd)
    size = len(REQUESTS) + len(WRITTEN)
    for place, delta in enumerate(deltas, 1):
        assert delta is not None
        changed = LanguageModel(model.prepared, "off", PassSettings(trunk_bytes=0))
        with torch.no_grad():
            for name, change in delta.changes.items():
                assert isinstance(change, Gain)
                weight = changed.forward.model.get_submodule(name).weight
                offset = 1 if config == "gemma3" else 0  # Gemma stores what a gain has beyond 1
                weight.copy_((weight + offset) * (1 + torch.tensor(change.gain)) - offset)
        ours, theirs = mixed[place * size : (place + 1) * size], answers(changed, REQUESTS + WRITTEN)
        assert furthest(ours[: len(REQUESTS)], theirs[: len(REQUESTS)]) < 1e-4
        assert furthest(ours[: len(REQUESTS)], mixed[: len(REQUESTS)]) > 1e-3
        assert ours[len(REQUESTS) :] == theirs[len(REQUESTS) :]  # written, one token of each text in a pass


def furthest(ours: Sequence[Any], theirs: Sequence[Any]) -> float:
    """The largest difference of log-probabilities."""
    pairs = zip(ours, theirs, strict=True)
    return max(float(np.abs(np.concatenate(a) - np.concatenate(b)).max()) for a, b in pairs)


SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "initializer_range": 0.5,
}


def qwen(**settings: Any) -> Qwen3Config:
    """Qwen 3 in small."""
    return Qwen3Config(**{**SMALL, **settings})


def gemma(**settings: Any) -> Gemma3TextConfig:
    """Gemma 3 in small: of four layers three have a sliding window, and rotary embeddings of their own."""
    own = {**SMALL, "initializer_range": 0.3, "sliding_window": 16, **settings}
    kinds = ["sliding_attention"] * 3 + ["full_attention"]
    return Gemma3TextConfig(**own, layer_types=[kinds[at % 4] for at in range(own["num_hidden_layers"])])


def merged(model: LanguageModel, changes: dict[str, Change], folder: Path) -> LanguageModel:
    """A copy of a float32 model with changes in its weights."""
    plain = AutoModelForCausalLM.from_pretrained(model.prepared.folder, dtype=torch.float32)
    for name, change in changes.items():
        weight = plain.get_submodule(name).weight
        with torch.no_grad():
            if isinstance(change, LowRank):
                product = torch.tensor(change.up @ change.down)
                weight += product.T if type(plain.get_submodule(name)).__name__ == "Conv1D" else product
            elif weight.ndim == 1 or change.side == "input":
                weight *= 1 + torch.tensor(change.gain)
            else:
                weight *= 1 + torch.tensor(change.gain)[:, None]
    plain.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return LanguageModel(prepare(str(folder), dtype="float32", device="cpu"), "off")


def test_a_delta_that_is_wider_than_a_block_takes_several(
    tiny_model: Callable[..., LanguageModel], tmp_path: Path
) -> None:
    model = LanguageModel(tiny_model("float32", "off").prepared, "off")
    model.forward.delta_columns = 4
    mine = deltas_of(model, "lowrank", "all", 2, rank=11)
    crowd = answers(model, [asked for delta in mine for asked in carrying(REQUESTS, delta)])
    assert same(crowd[len(REQUESTS) :], answers(model, carrying(REQUESTS, mine[1])))
    theirs = answers(merged(model, dict(mine[1].changes), tmp_path), REQUESTS)
    pairs = zip(crowd[len(REQUESTS) :], theirs, strict=True)
    assert max(np.abs(np.concatenate(a) - np.concatenate(b)).max() for a, b in pairs) < 1e-4


@pytest.mark.parametrize("layers", ["last:1", "all"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_delta_acts_as_if_it_were_merged(
    encoding: str, layers: str, tiny_model: Callable[..., LanguageModel], tmp_path: Path
) -> None:
    model = tiny_model("float32", "off")
    (delta,) = deltas_of(model, encoding, layers, 1)
    ours = np.concatenate([np.concatenate(answer) for answer in answers(model, carrying(REQUESTS, delta))])
    theirs = np.concatenate(
        [np.concatenate(answer) for answer in answers(merged(model, dict(delta.changes), tmp_path), REQUESTS)]
    )
    plain = np.concatenate([np.concatenate(answer) for answer in answers(model, REQUESTS)])
    assert np.abs(ours - theirs).max() < 1e-4
    assert np.abs(ours - plain).max() > 1e-2


def test_base_weights_are_what_they_were(model: LanguageModel) -> None:
    before = {name: weight.detach().clone() for name, weight in model.forward.model.named_parameters()}
    answers(model, [asked for delta in strangers(model) for asked in carrying(REQUESTS, delta)])
    assert all(torch.equal(weight, before[name]) for name, weight in model.forward.model.named_parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.forward.model.modules())


def test_transposed_weights_and_positions_that_are_added_below_are_right(tmp_path: Path, tiny_tokenizer: Any) -> None:
    config = GPT2Config(vocab_size=len(tiny_tokenizer), n_embd=32, n_layer=2, n_head=4, n_positions=512)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        GPT2LMHeadModel(config).float().save_pretrained(tmp_path / "gpt2")
    tiny_tokenizer.save_pretrained(tmp_path / "gpt2")
    model = LanguageModel(prepare(str(tmp_path / "gpt2"), dtype="float32", device="cpu"), "off")
    for encoding in ("lowrank", "singular"):
        space = DeltaSpace.of(model, DeltaSettings("last:1", ("c_attn", "c_proj"), 2, encoding, 7, 0.5))
        delta = space.delta(space.random(np.random.default_rng(0)))
        assert delta is not None
        changed = merged(model, dict(delta.changes), tmp_path / encoding)
        ours, theirs = answers(model, carrying(REQUESTS, delta)), answers(changed, REQUESTS)
        assert (
            max(np.abs(np.concatenate(a) - np.concatenate(b)).max() for a, b in zip(ours, theirs, strict=True)) < 1e-4
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (DeltaSettings(layers="last:3"), "expected 'all', 'last:N', .* of 1 to 2, found 'last:3'"),
        (DeltaSettings(layers="some"), "found 'some'"),
        (DeltaSettings(layers=(0, 7)), r"found \[0, 7\]"),
        (DeltaSettings(layers=()), r"found \[\]"),
        (DeltaSettings("all", ("q",)), "'q' matches nothing, expected some of 'q_proj'"),
        (DeltaSettings("all", ()), "expected some of 'q_proj'.*found none"),
        (DeltaSettings("all", rank=17), "expected at most 16 for 'v_proj'|expected at most 32"),
        (DeltaSettings("all", rank=0), "rank of at least 1"),
        (DeltaSettings("all", sigma=-0.1), "sigma of at least 0"),
        (DeltaSettings("all", dimension=0), "dimension: expected at least 1"),
        (DeltaSettings("all", ("input_layernorm",), encoding="lowrank"), "use 'scales' for norms"),
        (DeltaSettings("all", encoding="gains"), "'gains' is unknown"),
    ],
)
def test_what_a_model_does_not_have_is_one_sentence(
    settings: DeltaSettings, message: str, tiny_model: Callable[..., LanguageModel]
) -> None:
    with pytest.raises(ConfigError, match=message):
        DeltaSpace.of(tiny_model("float32", "off"), settings)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_genes_change_nothing_and_a_space_is_made_again_from_its_record(
    encoding: str, tiny_model: Callable[..., LanguageModel]
) -> None:
    model = tiny_model("float32", "off")
    space, again = space_of(model, encoding, "all"), space_of(model, encoding, "all")
    assert space.delta(space.neutral()) is None
    for change in space.changes(np.zeros(space.dimension)).values():
        effect = change.gain if isinstance(change, Gain) else change.up @ change.down
        assert not effect.any()
    genes = space.random(np.random.default_rng(0)).genes
    assert Delta(space.changes(genes)) == Delta(again.changes(genes))
    assert space.checksum == again.checksum and space.identity() == again.identity()
    described = space.describe()
    assert described["genes"] == space.dimension == space.bounds.shape[0]
    assert described["bytes_per_genome"] == 4 * space.dimension and described["parameters"] > 0


def test_the_step_of_a_subspace_is_relative_to_the_weights_and_shared_by_many_modules(model: LanguageModel) -> None:
    site = model.structure.chosen("last:1", ("q_proj",))[0]

    def step(modules: int, rank: int = 1, weight: float = 1.0) -> float:
        sites = tuple(replace(site, name=f"{site.name}.{number}") for number in range(modules))
        stored = np.full((site.outputs, site.inputs), weight, np.float32)
        plan = Plan(sites, rank, 7, 0, lambda names: dict.fromkeys(names, stored))
        return SubspaceEncoding(plan).step(plan)

    alone = step(1)
    assert alone == pytest.approx(2.1 * np.sqrt(site.inputs), rel=0.05)
    assert step(6) == alone
    assert step(12) == pytest.approx(alone / 2, rel=0.05)
    assert step(1, rank=4) == pytest.approx(alone / 2, rel=0.05)
    assert step(1, weight=3.0) == pytest.approx(3 * alone, rel=0.05)
    assert step(1, weight=0.0) > 0


def test_the_learning_rate_falls_with_the_square_root_of_the_number_of_low_rank_terms(model: LanguageModel) -> None:
    site = model.structure.chosen("last:1", ("q_proj",))[0]

    def rate(modules: int, rank: int) -> float:
        sites = tuple(replace(site, name=f"{site.name}.{number}") for number in range(modules))
        return LowRankEncoding(Plan(sites, rank, 7, 0, model.read_weights)).rate()

    assert rate(1, 1) == rate(6, 1) == rate(3, 2) == 0.02
    assert rate(24, 1) == rate(12, 2) == 0.01
    assert rate(210, 8) == pytest.approx(0.0012)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_encoding_has_a_step_size_of_its_own_unless_another_is_asked_for(
    encoding: str, model: LanguageModel
) -> None:
    asked = DeltaSettings("last:1", TARGETS[encoding], 1, encoding, 7)
    own = DeltaSpace.of(model, asked)
    plan = Plan(own.sites, 1, 7, 0, model.read_weights)
    assert own.settings.sigma == own.encoded.step(plan) > 0
    spread = np.std([own.random(np.random.default_rng(seed)).genes for seed in range(40)])
    assert 0.8 < spread / own.settings.sigma < 1.2
    assert DeltaSpace.of(model, replace(asked, sigma=0.5)).settings.sigma == 0.5
    with pytest.raises(ConfigError, match="sigma of at least 0, found 1 and -1"):
        DeltaSpace.of(model, replace(asked, sigma=-1.0))
