"""Tokens a second of written text, beside ``transformers.generate``.

    python -m benchmarks.generation_speed [--quick] [--dtype float32] [--part NAME] [--rounds N]

SmolLM2-135M-Instruct, one thread, 32 individuals x 8 items, greedy, at most 24 new tokens; the order alternates, and
ratios are taken round by round, medians. evolm's engine runs without its caches. ``transformers.generate`` writes the
answers of one individual after the other, its items in one batch of equal lengths, with its own cache; its rate is
that of the first four individuals, since it works them off one by one:

- *prompts*: every individual has a prompt of its own, of 200 tokens, before items of 25;
- *deltas*: every individual has a change of rank 2 of all linear modules in the last six layers, behind one prompt;
  ``transformers`` merges it into the weights, writes, and restores them;
- *samples*: one prompt, 8 items, and 32 drawn answers to each (``num_return_sequences``).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from benchmarks.setting import COLD, MODEL, read_result, setting, write_result
from evolm.evaluation.plan import batch_target, batches
from evolm.evaluation.timing import middle, timed
from evolm.evaluation.worker import answer_batch
from evolm.genomes import DeltaSettings, DeltaSpace
from evolm.models import Decoding, LanguageModel, TokenizedGeneration, prepare
from evolm.models.deltas import Delta, LowRank
from evolm.models.specs import ModelSpec
from evolm.wording import markdown_table

PREFIX, ITEM, NEW = 200, 25, 24
INDIVIDUALS, ITEMS = 32, 8
TIMED = 4  # individuals that transformers writes for
ROUNDS = 3
OURS, THEIRS = "evolm", "transformers.generate"
WANTED = 3
GREEDY, DRAWN = Decoding(NEW), Decoding(NEW, temperature=1.0)


def texts(model: LanguageModel, count: int, length: int, seed: int) -> list[tuple[int, ...]]:
    """Return some texts of so many random tokens."""
    rng = np.random.default_rng(seed)
    return [tuple(rng.integers(100, len(model.tokenizer), length).tolist()) for _ in range(count)]


def random_deltas(model: LanguageModel, count: int) -> list[Delta]:
    """Return changes of rank 2 of all linear modules in the last six layers."""
    space = DeltaSpace.of(model, DeltaSettings("last:6", ("all-linear",), 2, "lowrank", 0, 0.02))
    rng = np.random.default_rng(0)
    return [delta for _ in range(count) if (delta := space.delta(space.random(rng))) is not None]


class Plain:
    """``transformers.generate``, one individual after the other."""

    def __init__(self, model: LanguageModel) -> None:
        dtype = getattr(torch, model.prepared.dtype)
        self.ends = model.end_tokens
        self.model = AutoModelForCausalLM.from_pretrained(model.prepared.folder, dtype=dtype).eval()
        self.model.requires_grad_(False)

    def write(self, contexts: Sequence[tuple[int, ...]], **settings: Any) -> int:
        """Return the number of tokens written behind contexts of equal length."""
        ids = torch.tensor(contexts)
        options = {"do_sample": False, "max_new_tokens": NEW, "pad_token_id": min(self.ends), **settings}
        with torch.inference_mode():
            answers = self.model.generate(ids, attention_mask=torch.ones_like(ids), **options)
        return sum(self._length(answer) for answer in answers[:, ids.shape[1] :].tolist())

    def _length(self, answer: list[int]) -> int:
        return next((place + 1 for place, token in enumerate(answer) if token in self.ends), len(answer))

    def prompts(self, prompts: list[tuple[int, ...]], items: list[tuple[int, ...]]) -> int:
        return sum(self.write([prompt + item for item in items]) for prompt in prompts)

    def deltas(self, deltas: list[Delta], prompt: tuple[int, ...], items: list[tuple[int, ...]]) -> int:
        written = 0
        for delta in deltas:
            weights = {name: self.model.get_submodule(name).weight for name in delta.changes}
            kept = {name: weight.data for name, weight in weights.items()}
            for name, change in delta.changes.items():
                assert isinstance(change, LowRank)
                weights[name].data = (kept[name].float() + torch.from_numpy(change.up @ change.down)).to(
                    kept[name].dtype
                )
            written += self.write([prompt + item for item in items])
            for name, data in kept.items():
                weights[name].data = data
        return written

    def samples(self, count: int, prompt: tuple[int, ...], items: list[tuple[int, ...]]) -> int:
        drawn = {"do_sample": True, "top_k": 0, "temperature": 1.0, "num_return_sequences": count}
        return sum(self.write([prompt + item], **drawn) for item in items)


def written(model: LanguageModel, requests: list[TokenizedGeneration]) -> int:
    """Answer requests in the engine's batches; return the number of tokens written."""
    spec = ModelSpec(model.prepared, "off", model.profile.text, model.passes)
    cut = batches(requests, batch_target(requests, 1))
    results = [answer_batch(spec, [requests[index] for index in batch.indices], model) for batch in cut]
    return sum(len(answer) for result in results for answer in result.answers)


def ways_of(model: LanguageModel, individuals: int) -> dict[str, dict[str, Callable[[], int]]]:
    """Return per part both ways to write; each returns the number of its tokens."""
    plain = Plain(model)
    prompts, items = texts(model, individuals, PREFIX, 0), texts(model, ITEMS, ITEM, 1)
    deltas, prompt = random_deltas(model, individuals), prompts[0]
    by_prompt = [TokenizedGeneration(own + item, PREFIX, GREEDY) for own in prompts for item in items]
    by_delta = [TokenizedGeneration(prompt + item, PREFIX, GREEDY, delta) for delta in deltas for item in items]
    by_sample = [
        TokenizedGeneration(prompt + item, PREFIX, Decoding(NEW, temperature=1.0, sample=number))
        for item in items
        for number in range(individuals)
    ]
    return {
        "prompts": {
            OURS: partial(written, model, by_prompt),
            THEIRS: partial(plain.prompts, prompts[:TIMED], items),
        },
        "deltas": {
            OURS: partial(written, model, by_delta),
            THEIRS: partial(plain.deltas, deltas[:TIMED], prompt, items),
        },
        "samples": {
            OURS: partial(written, model, by_sample),
            THEIRS: partial(plain.samples, individuals, prompt, items[:1]),
        },
    }


def compared(ways: dict[str, Callable[[], int]], rounds: int) -> dict[str, Any]:
    """Return tokens a second of both ways, and evolm's over the other's, round by round."""
    tokens: dict[str, list[int]] = {name: [] for name in ways}

    def counting(name: str) -> None:
        tokens[name].append(ways[name]())

    seconds, _ = timed({name: partial(counting, name) for name in ways}, rounds, warm_up=False)
    rates = {name: [count / spent for count, spent in zip(tokens[name], seconds[name], strict=True)] for name in ways}
    ratios = [ours / theirs for ours, theirs in zip(rates[OURS], rates[THEIRS], strict=True)]
    return {
        "tokens": {name: counts[0] for name, counts in tokens.items()},
        "tokens_per_second": {name: middle(own, 1) for name, own in rates.items()},
        "ratio": middle(ratios, 2),
    }


def table(record: dict[str, Any]) -> str:
    """Return the page's table."""
    measured = {part: own["measured"] for part, own in record.items()}
    header = (
        "32 individuals × 8 items",
        "evolm, tokens a second",
        "transformers.generate",
        "ratio",
        "lowest",
        "wanted",
    )
    rows = []
    for part, own in measured.items():
        rates = [f"{own['tokens_per_second'][name]['median']:.0f}" for name in (OURS, THEIRS)]
        rows.append((part, *rates, f"{own['ratio']['median']:.1f}", f"{own['ratio']['lowest']:.1f}", f"{WANTED}"))
    return markdown_table(header, rows)


def main() -> None:
    """Measure, write results/generation_speed.json, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="four individuals, one round; writes another file")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each part")
    parser.add_argument(
        "--part", choices=["prompts", "deltas", "samples"], help="measure one, keep the others' figures"
    )
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = LanguageModel(prepare(MODEL, dtype=arguments.dtype), "off", COLD)
    individuals, rounds = (TIMED, 1) if arguments.quick else (INDIVIDUALS, arguments.rounds)
    name = "generation_speed-quick" if arguments.quick else "generation_speed"
    record = {part: own for part, own in read_result(name).items() if "measured" in own}
    ways = ways_of(model, individuals)
    written(model, [TokenizedGeneration((100,), 1, Decoding(2))])  # loads the model
    for part in [arguments.part] if arguments.part else ways:
        command = f"python -m benchmarks.generation_speed --part {part} --rounds {rounds}"
        measured = compared(ways[part], rounds)
        record[part] = {**setting(command), "dtype": model.prepared.dtype, "measured": measured}
        write_result(name, record)
    print(table(record))


if __name__ == "__main__":
    main()
