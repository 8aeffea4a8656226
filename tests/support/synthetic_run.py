"""A synthetic run directory that looks like a real one: SMS spam, a few failures, hostile text."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOSTILE = 'Win <script>alert("x")</script> & <b>prizes</b> </style><img src=x onerror=alert(1)>'

INSTRUCTIONS = [
    "Decide whether the text message is spam or ham.",
    "Classify the SMS as spam (advertising, fraud) or ham (a normal message).",
    "Is this message unwanted advertising? Answer spam or ham.",
    "You are a careful filter. Read the message below and label it.",
]
SENTENCES = [
    "Messages that promise prizes, ask to call a premium number or carry a claim code are spam.",
    "Messages between friends and family are ham, even when they are short or misspelt.",
    "Pay attention to phone numbers, prices and words in capitals.",
    "Think of who would write this and why.",
    "A message from a company that the reader did not ask for is spam.",
    "Answer with one word.",
]
MESSAGES = [
    ("Ok lar... Joking wif u oni...", "ham"),
    ("WINNER!! You have been selected to receive a £900 prize reward! Call 09061701461 now.", "spam"),
    ("I'm gonna be home soon and i don't want to talk about this stuff anymore tonight, k?", "ham"),
    ("URGENT! Your mobile number has won a £2000 bonus. Claim code: KL341. Valid 12 hours only.", "spam"),
    ("Even my brother is not like to speak with me. They treat me like aids patent.", "ham"),
    ("SIX chances to win CASH! From 100 to 20,000 pounds txt> CSH11 and send to 87575.", "spam"),
    ("Fine if that's the way u feel. That's the way its gota b", "ham"),
    ("Did you catch the bus? Are you frying an egg? Did you make a tea?", "ham"),
    ("Had your mobile 11 months or more? U R entitled to update to the latest colour phone free!", "spam"),
    ("Sorry, I'll call later in meeting.", "ham"),
]
OPERATORS = ["sentence_swap", "sentence_insert", "demonstrations_crossover", "verbalizer_swap", "rewrite"]
RESULT = {
    "openings": 1,
    "items": 400,
    "majority": 0.5,
    "founder": 0.581,
    "prior_corrected": 0.762,
    "few_shot": 0.801,
    "draws": {"few_shot": [0.772, 0.79, 0.803, 0.841]},
    "random_search": 0.839,
    "best": 0.881,
    "strongest_baseline": "random_search",
    "gain": 0.042,
    "interval": [0.011, 0.074],
    "gain_over_founder": 0.3,
    "interval_over_founder": [0.262, 0.341],
    "confusion": [[187, 13], [35, 165]],
    "per_class": [
        {"label": "ham", "precision": 0.842, "recall": 0.935, "f1": 0.886, "support": 200},
        {"label": "spam", "precision": 0.927, "recall": 0.825, "f1": 0.873, "support": 200},
    ],
}
CLAIM = "The best prompt reaches 0.881 on test, 0.042 (0.011 to 0.074) above random search."

RUN = {
    "type": "run",
    "schema": 1,
    "name": "sms-spam",
    "seed": 0,
    "model": {"name": "SmolLM2-135M-Instruct.Q4_1.gguf", "fingerprint": "6f1c09d2ab34", "dtype": "float32"},
    "profile": {
        "dtype": "float32",
        "rows": 32,
        "prefix_block": 64,
        "threads": 1,
        "cpu": "AVX512",
        "versions": {"torch": "2.9.0", "transformers": "5.0.0", "evolm": "0.1.0"},
    },
    "task": {
        "name": "sms-spam",
        "kind": "classification",
        "metric": "balanced_accuracy",
        "gold": "use",
        "labels": ["ham", "spam"],
        "splits": {"train": 300, "dev": 100, "validation": 200, "test": 400},
        "fingerprint": "aa17",
        "notes": ["8 rows dropped: empty text", "403 rows dropped: the same text twice"],
    },
    "strategy": {"name": "genetic", "population_size": 24, "crossover_prob": 0.6, "mutation_prob": 0.9},
    "scorers": {"label_likelihood": {"weight": 1.0, "needs_gold": True}},
    "fitness": {"combine": "sum", "pick": "first"},
    "normalization": "sum",
    "budget": {"evaluations": 96, "items": 0, "tokens": 0, "seconds": 0, "plateau": 0},
}


def write_lines(path: Path, entries: list[dict[str, Any]]) -> None:
    """Write a JSON-lines file."""
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")


def make_run(
    directory: Path,
    generations: int = 4,
    size: int = 24,
    finished: bool = True,
    hostile: bool = True,
    test: dict[str, Any] | None = RESULT,
) -> Path:
    """Write a run directory of ``generations`` x ``size`` individuals and return it."""
    directory.mkdir(parents=True, exist_ok=True)
    rng = random.Random(7)
    budget = {**RUN["budget"], "evaluations": generations * size if finished else 200}  # type: ignore[dict-item]
    journal: list[dict[str, Any]] = [{**RUN, "budget": budget}]
    main = _search(rng, "main", generations, size, hostile)
    journal += main
    if finished:
        journal += _search(rng, "random_search", generations, size, hostile)
    people = [e for e in main if e["type"] == "individual" and e["score"] is not None]
    finalists = sorted(people, key=lambda e: -e["score"])[:5]
    if finished and people:
        journal += _ending(finalists)
    write_lines(directory / "journal.jsonl", journal)
    write_lines(directory / "timing.jsonl", _clock(generations, size, finished))
    (directory / "campaign.toml").write_text(
        'schema = 1\nseed = 0\n\n[model]\nname = "SmolLM2-135M"\n', encoding="utf-8"
    )
    if finished and people:
        founder = max((e for e in people if not e["parents"]), key=lambda e: e["score"])
        _write_result(directory, founder, finalists[0], test)
    return directory


def _ending(finalists: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = [
        {"id": e["id"], "dev": e["score"], "validation": e["score"] - 0.02, "pooled": e["score"] - 0.013}
        for e in finalists
    ]
    rates = {
        name: {"tried": 40 - 6 * i, "accepted": 31 - 5 * i, "evaluated": 31 - 5 * i, "better": 9 - 2 * i}
        for i, name in enumerate(OPERATORS)
    }
    return [
        {"type": "validation", "search": "main", "finalists": rows, "winner": finalists[0]["id"]},
        {"type": "operators", "search": "main", "rates": rates},
    ]


def _write_result(
    directory: Path, founder: dict[str, Any], best: dict[str, Any], test: dict[str, Any] | None
) -> None:
    result = {
        "seed": 0,
        "model": RUN["model"],
        "task": RUN["task"],
        "budget": {"evaluations": 96, "items": 9600, "tokens": 1_203_411, "seconds": 412.0},
        "dev": {"founder": founder["score"], "best": best["score"]},
        "validation": {"best": best["score"] - 0.02},
        "test": test,
        "claim": CLAIM if test else "0.9 on dev; there is no test split, so nothing is claimed.",
        "best": {"id": best["id"], "digest": best["digest"], "genome": best["genome"]},
        "founder": {"id": founder["id"], "genome": founder["genome"]},
    }
    (directory / "result.json").write_text(json.dumps(result), encoding="utf-8")
    (directory / "best").mkdir(exist_ok=True)
    (directory / "best" / "prompt.txt").write_text(
        best["genome"]["prompt"]["instruction"] + "\n\nText: {{ text }}", encoding="utf-8"
    )


def _search(rng: random.Random, search: str, generations: int, size: int, hostile: bool) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    parents: list[dict[str, Any]] = []
    everyone: list[dict[str, Any]] = []
    for generation in range(generations):
        births: list[dict[str, Any]] = []
        for _ in range(size):
            chosen = rng.sample(parents, 2) if parents and search == "main" else []
            births.append(_individual(rng, search, generation, len(everyone) + len(births), chosen, hostile))
        entries += births
        everyone += births
        scored = [e for e in everyone if e["score"] is not None]
        parents = sorted(scored, key=lambda e: -e["score"])[: max(2, size // 3)]
        scores = [e["score"] for e in births if e["score"] is not None]
        mean = sum(scores) / len(scores)
        count = len(everyone)
        entries.append(
            {
                "type": "generation",
                "search": search,
                "generation": generation,
                "evaluations": count,
                "items": count * 100,
                "tokens": count * 12_531,
                "best": parents[0]["score"],
                "best_id": parents[0]["id"],
                "mean": mean,
                "std": 0.08,
                "diversity": 0.9 - 0.12 * generation,
            }
        )
    return entries


def _individual(
    rng: random.Random,
    search: str,
    generation: int,
    number: int,
    parents: list[dict[str, Any]],
    hostile: bool,
) -> dict[str, Any]:
    genome = _genome(rng, parents, hostile)
    failed = number % 17 == 11
    base = max(p["score"] for p in parents) if parents else rng.gauss(0.64, 0.05)
    score = min(0.99, max(0.5, round(base + rng.gauss(-0.03 if parents else 0, 0.045), 4)))
    return {
        "type": "individual",
        "search": search,
        "generation": generation,
        "id": number,
        "parents": [p["id"] for p in parents],
        "operators": rng.sample(OPERATORS, 2) if parents else [],
        "genome": {"prompt": genome},
        "digest": hashlib.sha256(json.dumps(genome).encode()).hexdigest()[:16],
        "status": "failed" if failed else "evaluated",
        "reason": "the prompt has 713 tokens, more than max_tokens = 600" if failed else None,
        "fitness": None if failed else [score],
        "score": None if failed else score,
        "measures": {} if failed else {"prompt_tokens": 90 + number},
    }


def _genome(rng: random.Random, parents: list[dict[str, Any]], hostile: bool) -> dict[str, Any]:
    if parents:
        a, b = (p["genome"]["prompt"] for p in parents)
        sentences = (a["instruction"] + " " + rng.choice(SENTENCES)).strip()
        demonstrations = (a["demonstrations"][:2] + b["demonstrations"][-2:])[:6]
        verbalizers = {"spam": rng.choice(["junk", "spam", "scam"])}
    else:
        sentences = rng.choice(INSTRUCTIONS) + (f" {HOSTILE}" if hostile else "")
        demonstrations = [_demonstration(text, label) for text, label in rng.sample(MESSAGES, 3)]
        if hostile:
            demonstrations.append(_demonstration(HOSTILE + " " + "x" * 150, "spam"))
        verbalizers = {}
    unique = {d["item"]: d for d in demonstrations}
    return {
        "instruction": sentences,
        "demonstrations": list(unique.values()),
        "verbalizers": verbalizers,
        "template": "default",
    }


def _demonstration(text: str, label: str) -> dict[str, Any]:
    return {"item": hashlib.sha256(text.encode()).hexdigest()[:12], "fields": {"text": text}, "label": label}


def _clock(generations: int, size: int, finished: bool) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = [{"event": "start", "time": "2026-03-02T09:14:00Z", "n_jobs": 2}]
    for g in range(generations):
        count = (g + 1) * size
        events.append(
            {
                "event": "generation",
                "time": f"2026-03-02T09:{15 + g:02d}:30Z",
                "search": "main",
                "generation": g,
                "seconds": 103.4 * (g + 1),
                "evaluations": count,
                "requests": count * 100,
                "cache_hits": count * 21,
                "tokens_charged": count * 12_531,
                "tokens_forwarded": count * 4_210,
                "n_jobs": 2,
                "host": "somewhere",
            }
        )
    if finished:
        events.append({"event": "finish", "time": "2026-03-02T09:21:00Z", "seconds": 424.1, "n_jobs": 2})
    return events


def revise(directory: Path, **changes: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    """Replace parts of the journal's entries, by their type, and of ``result.json`` (``result``)."""
    lines = (directory / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    write_lines(directory / "journal.jsonl", [e | changes.get(e["type"], lambda _: {})(e) for e in entries])
    if "result" in changes:
        result = json.loads((directory / "result.json").read_text(encoding="utf-8"))
        (directory / "result.json").write_text(json.dumps(result | changes["result"](result)), encoding="utf-8")
    return directory


def make_audited(directory: Path) -> Path:
    """Turn a run into one whose search saw no gold: its score is mutual information, gold is a measure."""

    def individual(entry: dict[str, Any]) -> dict[str, Any]:
        if entry["score"] is None:
            return {}
        gold = entry["score"]
        information = round(gold - 0.5 + (entry["id"] % 7) / 20, 4)
        measures = {**entry["measures"], "mutual_information": information, "gold": gold, "largest_share": 0.6}
        return {"score": information, "fitness": [information, 0.0], "measures": measures}

    def head(entry: dict[str, Any]) -> dict[str, Any]:
        scorers = {"mutual_information": {"weight": 1.0, "needs_gold": False}}
        return {"task": {**entry["task"], "gold": "audit"}, "scorers": scorers}

    return revise(directory, run=head, individual=individual)


def make_pareto(directory: Path, pick: str = "first") -> Path:
    """Turn a run into one with two objectives, the second the length of the prompt, and a front of three."""

    def individual(entry: dict[str, Any]) -> dict[str, Any]:
        if entry["score"] is None:
            return {}
        tokens = 40 + round(400 * (entry["score"] - 0.5)) + entry["id"] % 30
        measures = {"label_likelihood": entry["score"], "prompt_length": -float(tokens), "prefix_tokens": tokens}
        return {"fitness": [entry["score"], -tokens], "measures": measures}

    def head(entry: dict[str, Any]) -> dict[str, Any]:
        scorers = {**entry["scorers"], "prompt_length": {"weight": 1.0, "needs_gold": False}}
        return {"scorers": scorers, "fitness": {"combine": "pareto", "pick": pick}}

    def generation(entry: dict[str, Any]) -> dict[str, Any]:
        return {"front": [0, 1, entry["best_id"]] if entry["search"] == "main" else [0]}

    return revise(directory, run=head, individual=individual, generation=generation)


def write_outcomes(directory: Path, **content: Any) -> None:
    """Write ``test.json``."""
    (directory / "test.json").write_text(json.dumps(content), encoding="utf-8")


def make_answered(directory: Path, items: int = 40, **changes: Any) -> Path:
    """Keep the answers to the test items of a finished run: of the best, a finalist, and three baselines."""
    rng = random.Random(11)
    rows = [MESSAGES[place % len(MESSAGES)] for place in range(items)]
    gold = [int(label == "spam") for _, label in rows]

    def answers(accuracy: float) -> list[int]:
        return [right if rng.random() < accuracy else 1 - right for right in gold]

    content = {
        "metric": "balanced_accuracy",
        "n_labels": 2,
        "items": [f"{place:016x}" for place in range(items)],
        "gold": gold,
        "outcomes": {
            "best": [answers(0.9)],
            "few_shot": [answers(0.8), answers(0.8)],
            "random_search": [answers(0.85)],
            "majority": [[0] * items],
        },
        "predictions": {},
        "finalists": [{"id": 3, "score": 0.87, "outcomes": answers(0.87)}],
        "inputs": [{"text": f"{text} ({place})"} for place, (text, _) in enumerate(rows)],
    }
    write_outcomes(directory, **content | changes)
    return directory
