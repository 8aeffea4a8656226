"""The cost of a real campaign's generation outside the model: padding in slabs, and time outside forward passes.

- *padding*: the requests of a campaign's founders on its dev items, planned as the engine plans them. The share is of
  tokens in linear layers: slabs filled to their ends over all of them;
- *campaign*: the demo, as ``evolm run sms-spam --set evaluation.n_jobs=1`` begins it, stopped after some
  generations. A generation's time is cut into forward passes, tokenising, planning, cache of answers, checkpoint,
  report, and the rest (the search itself). The first generation is kept apart, since it loads the model.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from benchmarks.clocks import Clock, clocked
from evolm.campaign import Observer, Phase, Progress, build, start_run
from evolm.campaign.recorder import RunRecorder
from evolm.config import FILE_NAME, load
from evolm.evaluation import plan as planning
from evolm.evaluation import worker
from evolm.evaluation.plan import batch_target, batches, plan
from evolm.founders.populations import find_population
from evolm.models import LanguageModel, TokenizedRequest
from evolm.models.packed_forward import PackedForward
from evolm.models.states import StateReader
from evolm.report import page
from evolm.storage import AnswerStore

PADDED = ("sms-spam", "trec-questions", "commonsense-choice")
DEMO = "sms-spam"
MODEL = "forward passes"
PLACES: dict[str, list[tuple[Any, str]]] = {  # none of them calls another
    MODEL: [(PackedForward, "logprobs"), (StateReader, "read")],
    "tokenising": [(LanguageModel, "tokenize")],
    "planning": [(worker, "plan"), (planning, "batch_target")],
    "cache of answers": [(AnswerStore, "get"), (AnswerStore, "put")],
    "checkpoint": [(RunRecorder, "write_checkpoint")],
    "report": [(page, "write_report")],
}


# -- padding -------------------------------------------------------------------------------------------------


def founders_requests(population: str) -> tuple[LanguageModel, list[TokenizedRequest]]:
    """Return a campaign's first requests as tokens, equal ones once, and its model, which is not loaded."""
    folder = find_population(population)
    parts = build(load(folder / FILE_NAME), folder)
    asked: dict[TokenizedRequest, None] = {}
    try:
        for genome in parts.founders.genomes:
            shown = parts.evaluator.express(genome)
            requests = next(parts.evaluator.task_scorer.dialogue(shown.prompt, parts.task.dev))
            asked.update(dict.fromkeys(parts.engine.tokenize(requests)))  # type: ignore[arg-type]
    finally:
        parts.engine.close()
    return parts.model, list(asked)


def padded(model: LanguageModel, requests: list[TokenizedRequest], workers: int) -> dict[str, Any]:
    """Return tokens in linear layers and the share of padding when so many workers answer."""
    slab, tokens, slabs, count = model.profile.slab_tokens, 0, 0, 0
    for batch in batches(requests, batch_target(requests, workers)):
        planned = plan([requests[index] for index in batch.indices], slab, model.profile.block_tokens)
        tokens, slabs, count = tokens + planned.tokens, slabs + len(planned.slabs), count + 1
    return {"tokens": tokens, "batches": count, "slabs": slabs, "padding": round(1 - tokens / (slabs * slab), 4)}


def padding(populations: Sequence[str] = PADDED) -> dict[str, Any]:
    """Return the share of padding for some founding populations, with one and with two workers."""
    record = {}
    for population in populations:
        model, requests = founders_requests(population)
        record[population] = {
            "requests": len(requests),
            **{f"{workers} worker{'s' * (workers > 1)}": padded(model, requests, workers) for workers in (1, 2)},
        }
    return record


# -- time that is not the model's ----------------------------------------------------------------------------


class Enough(Exception):
    """Raised after the wanted number of generations."""


class Generations(Observer):
    """Records how the time of each generation of the main search was spent; ends the campaign after ``wanted``."""

    def __init__(self, clocks: Mapping[str, Clock], wanted: int) -> None:
        self.clocks, self.wanted = clocks, wanted
        self.seen: list[dict[str, Any]] = []

    def on_phase(self, phase: Phase) -> None:
        """The main search begins."""
        self._begin()

    def _seconds(self) -> dict[str, float]:
        return {what: clock.seconds for what, clock in self.clocks.items()}

    def _begin(self) -> None:
        self._began = time.perf_counter()
        self._before = self._seconds()

    def on_generation(self, progress: Progress) -> None:
        """A generation has been saved and reported."""
        total = time.perf_counter() - self._began
        parts = {what: seconds - self._before[what] for what, seconds in self._seconds().items()}
        parts["rest"] = total - sum(parts.values())
        done = self.seen[-1] if self.seen else {"evaluations_done": 0, "forwarded": 0, "padded": 0}
        forwarded, slabs = progress.usage["tokens_forwarded"], progress.usage["tokens_padded"]
        self.seen.append(
            {
                "evaluations": progress.evaluations - done["evaluations_done"],
                "seconds": round(total, 4),
                "parts": {what: round(spent, 4) for what, spent in parts.items()},
                "not_model": round(1 - parts[MODEL] / total, 4),
                "padding": round(1 - (forwarded - done["forwarded"]) / max(slabs - done["padded"], 1), 4),
                "evaluations_done": progress.evaluations,
                "forwarded": forwarded,
                "padded": slabs,
            }
        )
        if len(self.seen) >= self.wanted:
            raise Enough
        self._begin()


def campaign(generations: int, **tables: Any) -> dict[str, Any]:
    """Run the demo for some generations; return how their time was spent, and the shares of all but the first."""
    folder = find_population(DEMO)
    settings = load(folder / FILE_NAME, {"evaluation": {"n_jobs": 1}, **tables})
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        clocks = {what: stack.enter_context(clocked(*places)) for what, places in PLACES.items()}
        observer = Generations(clocks, generations)
        with suppress(Enough):
            start_run(settings, folder, Path(temporary) / "run", observers=[observer])
    later = observer.seen[1:]
    spent = sum(each["seconds"] for each in later)
    return {
        "population": DEMO,
        "generations": observer.seen,
        "not_model": round(statistics.median(each["not_model"] for each in later), 4),
        "padding": round(statistics.median(each["padding"] for each in later), 4),
        "parts": {what: round(sum(e["parts"][what] for e in later) / spent, 4) for what in later[0]["parts"]},
    }
