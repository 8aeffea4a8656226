"""What a cluster costs and gains: measured with one and two workers, simulated for 4 to 256.

    python -m benchmarks.scaling [--quick]

*work*: the same batches answered in this process, by joblib's local workers, by joblib's Dask backend, and by the
futures of Dask and Ray that ``--cluster`` uses (joblib's Ray backend returns all results at once, so evolm refuses
it). Each way is timed in turn with this process, and its ratio is taken round by round: 1 for one worker and 0.5 for
two would be free of charge. A single worker of joblib would be this process.

*messages*: many small batches of a tiny random model, so that little but messages is timed: seconds a batch if many
are on their way, and for one that is waited for; and the bytes of a batch and of its result, pickled as Dask and Ray
pickle them.

*campaign*: seconds of the campaign's process outside of the model, for each individual and each generation.

*uneven*: the main search of a small demo on two worker processes of Dask, one of which is stopped half of the time:
generations of eight that wait for each other, and generations of two that overlap. Both are run in turn, a round a
seed; seconds of an individual, and their ratio round by round.

*simulation*: :mod:`benchmarks.scaling_simulation` with these constants.

``--quick`` measures all in few rounds, and all but the campaigns with the tiny model: it proves only that it works.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from threading import Event, Thread
from typing import Any

import joblib
import torch
from transformers.utils.logging import disable_progress_bar

from benchmarks.generations import DEMO, Enough, campaign
from benchmarks.generations import MODEL as FORWARD
from benchmarks.scaling_simulation import OVERLAP, POPULATIONS, Constants, Load, most_workers, simulated
from benchmarks.setting import COLD, MODEL, setting, write_result
from evolm.campaign import Observer, Phase, Progress, start_run
from evolm.config import FILE_NAME, load
from evolm.evaluation.clusters import DaskExecutor, RayExecutor
from evolm.evaluation.executors import Executor, JoblibExecutor, SerialExecutor, worker_spec
from evolm.evaluation.plan import plan
from evolm.evaluation.timing import compare, timed
from evolm.founders.populations import find_population
from evolm.models import LanguageModel, LogLikelihood, ModelSpec, PassSettings, TokenizedRequest, prepare
from evolm.testing import tiny_model
from evolm.wording import markdown_table

HERE = "this process"
FUTURES = ("Dask's futures", "Ray's futures")  # those of --cluster
PULSE = 0.05  # seconds in which an uneven worker runs, and then stands still
SMALL_BATCHES, BATCHES, PROMPTS, ITEMS = 40, 6, 6, 14
PROMPT = "Read the message and say what it is. A message that sells or asks for money is spam, all others are ham. "
WORD = "Message: will you be at the station by number {} tonight, or shall I ask the others to wait for you?\nLabel:"


# -- ways to workers -------------------------------------------------------------------------------------------


@contextmanager
def local(spec: ModelSpec, workers: int) -> Iterator[Executor]:
    """joblib's own processes, two or more."""
    executor = JoblibExecutor(spec, workers)
    with joblib.parallel_config(backend="loky"):
        yield executor
    executor.close()


def local_dask(workers: int) -> Any:
    """Return a Dask scheduler and worker processes on this machine, as a context manager."""
    distributed: Any = import_module("distributed")
    return distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
    )


def address_of(cluster: Any) -> str:
    """Return the address of a Dask cluster for ``--cluster``."""
    return str(cluster.scheduler_address.replace("tcp://", "dask://"))


@contextmanager
def dask(spec: ModelSpec, workers: int, futures: bool) -> Iterator[Executor]:
    """Workers of Dask, reached by its own futures or by joblib's backend."""
    distributed: Any = import_module("distributed")
    with local_dask(workers) as cluster:
        if futures:
            executor = DaskExecutor(spec, address_of(cluster))
            yield executor
            executor.close()
        else:
            with distributed.Client(cluster), joblib.parallel_config(backend="dask"):
                yield JoblibExecutor(spec, workers)


@contextmanager
def ray(spec: ModelSpec, workers: int) -> Iterator[Executor]:
    """Ray on this machine."""
    module: Any = import_module("ray")
    module.init(num_cpus=workers, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    try:
        yield RayExecutor(spec, "ray")
    finally:
        module.shutdown()


LOCAL = "joblib's local workers"
WAYS: dict[str, Callable[[ModelSpec, int], Any]] = {
    LOCAL: local,
    "joblib's Dask backend": lambda spec, workers: dask(spec, workers, futures=False),
    "Dask's futures": lambda spec, workers: dask(spec, workers, futures=True),
    "Ray's futures": ray,
}


# -- measurements ----------------------------------------------------------------------------------------------


def asked(model: LanguageModel, prompts: int, items: int, repeats: int) -> list[TokenizedRequest]:
    """Return requests of several prompts about the same items, prompt by prompt.

    Args:
        model: gives the tokens.
        prompts, items: how many.
        repeats: sentences of a prompt; 8 are about 200 tokens of SmolLM2.
    """
    requests = [
        LogLikelihood(f"Prompt {prompt}. {PROMPT * repeats}\n", WORD.format(item), (" spam", " ham"))
        for prompt in range(prompts)
        for item in range(items)
    ]
    return list(model.tokenize(requests))


def shares(requests: Sequence[Any], count: int) -> list[Sequence[Any]]:
    """Cut requests into batches of the same number."""
    size = -(-len(requests) // count)
    return [requests[begin : begin + size] for begin in range(0, len(requests), size)]


def answered(executor: Executor, batches: Sequence[Sequence[Any]]) -> None:
    """Answer all batches."""
    for _ in executor.run(batches):
        pass


def one_by_one(executor: Executor, batches: Sequence[Sequence[Any]]) -> None:
    """Answer each batch before the next one is handed out."""
    for batch in batches:
        answered(executor, [batch])


def work(model: LanguageModel, rounds: int, prompts: int, items: int, repeats: int) -> dict[str, Any]:
    """Time the same batches by every way, with one and with two workers."""
    batches = shares(asked(model, prompts, items, repeats), min(BATCHES, prompts))
    spec, tokens = worker_spec(model), sum(plan(batch, model.profile.slab_tokens, 64).tokens for batch in batches)
    here = SerialExecutor(spec, model)
    found: dict[str, Any] = {}
    for workers, name in [*((1, name) for name in FUTURES), *((2, name) for name in WAYS)]:
        with WAYS[name](spec, workers) as executor:
            measured, _ = compare(
                {HERE: lambda: answered(here, batches), name: lambda: answered(executor, batches)},
                rounds,
            )
        found.setdefault(name, {})[str(workers)] = measured[name]
        found.setdefault(HERE, {}).setdefault("1", measured[HERE])
        print(f"{workers} x {name}: {measured[name]['ratio']:.3f}", flush=True)
    return {"rounds": rounds, "batches": len(batches), "tokens": tokens, "ways": found}


def messages(rounds: int, count: int) -> dict[str, Any]:
    """Time batches that need hardly any computing, by one worker; in seconds a batch, computing subtracted."""
    known = tiny_model()
    model = LanguageModel(known.prepared, "off", replace(PassSettings(), slab_tokens=128))
    requests = model.tokenize([LogLikelihood("", f"{number}", (" spam",)) for number in range(count)])
    batches = [[request] for request in requests]
    spec = worker_spec(model)
    here = SerialExecutor(spec, model)
    found = {}
    for name in FUTURES:
        with WAYS[name](spec, 1) as executor:
            seconds, _ = timed(
                {
                    HERE: lambda: answered(here, batches),
                    "flow": lambda: answered(executor, batches),
                    "alone": lambda: one_by_one(executor, batches[: count // 4]),
                },
                rounds,
            )
        own = statistics.median(seconds[HERE]) / count
        flow, alone = statistics.median(seconds["flow"]) / count, statistics.median(seconds["alone"]) / (count // 4)
        found[name] = {"flow": round(max(flow - own, 0.0), 6), "alone": round(max(alone - own, 0.0), 6)}
        print(f"{name}: {found[name]}", flush=True)
    return {"rounds": rounds, "batches": count, "ways": found}


def sizes(model: LanguageModel, items: int, repeats: int) -> dict[str, int]:
    """Return the bytes of a batch of one prompt and of its result, and of the model's description."""
    batch, spec = asked(model, 1, items, repeats), worker_spec(model)
    [result] = SerialExecutor(spec, model).run([batch])
    parts = {"description": spec, "batch": batch, "result": result}
    pickler: Any = import_module("cloudpickle")  # comes with Dask
    return {"items": items} | {name: len(pickler.dumps(part)) for name, part in parts.items()}


def outside_the_model(quick: bool) -> dict[str, float]:
    """Return seconds of the demo's process outside of the model: for each individual, and for each generation."""
    size = 2 if quick else 6
    tables: dict[str, Any] = {
        "task": {"split": {"train": 40, "dev": 4 if quick else 48}},
        "strategy": {"population_size": size, "offspring": size},
    }
    later = campaign(2 if quick else 4, **tables)["generations"][1:]
    each = [(spent(own, "checkpoint", "report"), own["evaluations"], own["seconds"], own["parts"]) for own in later]
    rest = [(seconds - parts[FORWARD] - fixed) / max(count, 1) for fixed, count, seconds, parts in each]
    return {
        "individual": round(statistics.median(rest), 5),
        "generation": round(statistics.median(fixed for fixed, *_ in each), 5),
    }


def spent(generation: Mapping[str, Any], *parts: str) -> float:
    """Return the seconds of some parts of a generation."""
    return float(sum(generation["parts"][part] for part in parts))


SEARCHES: dict[str, dict[str, Any]] = {
    "generations": {"population_size": 8, "offspring": 8},
    "asynchronous": {"population_size": 8, "offspring": 2, "asynchronous": OVERLAP},
}


class SearchTime(Observer):
    """Ends a campaign after its main search, and knows how long that took."""

    def on_phase(self, phase: Phase) -> None:
        """The main search begins."""
        self._began = time.perf_counter()

    def on_generation(self, progress: Progress) -> None:
        """A generation was told."""
        self.seconds, self.individuals = time.perf_counter() - self._began, progress.evaluations
        if progress.evaluations >= progress.evaluations_allowed:
            raise Enough


@contextmanager
def half_stopped(process: int) -> Iterator[None]:
    """Stop a process half of the time."""
    done = Event()

    def stop_and_go() -> None:
        while not done.wait(PULSE):
            os.kill(process, signal.SIGSTOP)
            time.sleep(PULSE)
            os.kill(process, signal.SIGCONT)

    thread = Thread(target=stop_and_go)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def search_time(cluster: str, **tables: Any) -> float:
    """Return the seconds of an individual in the demo's main search."""
    folder, clock = find_population(DEMO), SearchTime()
    with tempfile.TemporaryDirectory() as temporary, suppress(Enough):
        start_run(
            load(folder / FILE_NAME, tables), folder, Path(temporary) / "run", observers=[clock], cluster=cluster
        )
    return clock.seconds / clock.individuals


def uneven(quick: bool) -> dict[str, Any]:
    """Time a search whose generations wait, and one whose generations overlap, by two workers of different speed."""
    distributed: Any = import_module("distributed")
    tables: dict[str, Any] = {
        "budget": {"evaluations": 10 if quick else 24},
        "task": {"split": {"train": 40, "dev": 4 if quick else 24}},
    }
    rounds, found = (1 if quick else 3), {name: [] for name in SEARCHES}  # type: dict[str, list[float]]
    with local_dask(2) as cluster:
        address = address_of(cluster)
        with distributed.Client(cluster) as client:
            slow = next(iter(client.run(os.getpid).values()))
        search_time(address, **tables, seed=rounds)  # the workers load the model
        with half_stopped(slow):
            for seed in range(rounds):
                for name, strategy in list(SEARCHES.items())[:: 1 if seed % 2 == 0 else -1]:
                    seconds = search_time(address, **tables, seed=seed, strategy={"name": "genetic", **strategy})
                    found[name].append(round(seconds, 4))
                print(f"uneven workers, seed {seed}: {found}", flush=True)
    ratios = [own / other for own, other in zip(found["asynchronous"], found["generations"], strict=True)]
    return {
        "rounds": rounds,
        "seconds": {name: statistics.median(own) for name, own in found.items()},
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }


def constants(record: Mapping[str, Any]) -> Constants:
    """Return the simulation's constants: messages by the dearer of the two ways that ``--cluster`` uses."""
    ways = [record["messages"]["ways"][name] for name in FUTURES]
    handling = max(way["flow"] for way in ways)
    return Constants(
        token=record["work"]["ways"][HERE]["1"]["seconds"] / record["work"]["tokens"],
        latency=max(max(way["alone"] for way in ways) - handling, 0.0),
        handling=handling,
        **record["campaign"],
    )


# -- for people ------------------------------------------------------------------------------------------------


def measured_table(record: Mapping[str, Any]) -> str:
    """Return the table of ways: ratios to this process, and seconds and bytes of messages."""
    rows = []
    for name, own in record["work"]["ways"].items():
        if name != HERE:
            cost = record["messages"]["ways"].get(name, {})
            ratios = [f"{own[count]['ratio']:.3f}" if count in own else "" for count in ("1", "2")]
            costs = [f"{1000 * cost[kind]:.1f} ms" if cost else "" for kind in ("flow", "alone")]
            rows.append((name, *ratios, *costs))
    header = ("way", "time with 1 worker over this process", "with 2 workers", "a batch in flow", "a batch alone")
    size = record["bytes"]
    return (
        markdown_table(header, rows)
        + f"\n\nA batch of one prompt and {size['items']} rows has {size['batch']:,} bytes, its result "
        + f"{size['result']:,}, the model's description {size['description']:,}."
    )


def simulated_table(record: Mapping[str, Any]) -> str:
    """Return the smallest population or window with an efficiency of 0.8 or more, and the efficiency at 24."""
    simulation = record["simulation"]
    policies = list(dict.fromkeys(row["policy"] for row in simulation["rows"]))
    grouped: dict[tuple[int, int], dict[str, Any]] = {}
    for row in simulation["rows"]:
        grouped.setdefault((row["workers"], row["slow"]), {})[row["policy"]] = row
    most = POPULATIONS[-1]
    rows = [
        (
            workers,
            slow or "",
            *(f"{by[p]['smallest'] or f'over {most}'} ({by[p]['efficiency']['24']:.2f})" for p in policies),
        )
        for (workers, slow), by in grouped.items()
    ]
    header = ("workers", "of half speed", *policies)
    return markdown_table(header, [tuple(map(str, row)) for row in rows]) + (
        f"\n\nThe campaign's process can feed {simulation['most_workers']:,} workers at most."
    )


def markdown(record: Mapping[str, Any]) -> str:
    """Return both tables, and the sentence about workers of different speed between them."""
    found = record["uneven"]
    waiting, overlapping = (found["seconds"][name] for name in SEARCHES)
    said = (
        f"With two workers, one of them stopped half of the time, an individual takes {waiting:.2f} s if "
        f"generations wait, {overlapping:.2f} s with `asynchronous = {OVERLAP}`: {found['ratio']:.2f} of the time "
        f"(median of {found['rounds']} rounds; {min(found['ratios']):.2f} to {max(found['ratios']):.2f})."
    )
    return f"{measured_table(record)}\n\n{said}\n\n{simulated_table(record)}"


def main() -> None:
    """Measure, simulate, write results/scaling.json, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny model, few rounds; writes another file")
    quick = parser.parse_args().quick
    disable_progress_bar()
    torch.set_num_threads(1)
    prepared = tiny_model().prepared if quick else prepare(MODEL)
    model, repeats = LanguageModel(prepared, "off", COLD), 2 if quick else 8
    record: dict[str, Any] = setting("python -m benchmarks.scaling", "distributed", "ray")
    record["dtype"] = prepared.dtype
    record["work"] = work(model, *((1, 2, 2) if quick else (3, PROMPTS, ITEMS)), repeats)
    record["messages"] = messages(*((1, 8) if quick else (5, SMALL_BATCHES)))
    record["bytes"] = sizes(model, 4 if quick else 48, repeats)
    record["campaign"] = outside_the_model(quick)
    record["uneven"] = uneven(quick)
    found, load = constants(record), Load()
    record["simulation"] = {
        "constants": asdict(found),
        "load": asdict(load),
        "most_workers": most_workers(found),
        "rows": list(simulated(found, load)),
    }
    path = write_result("scaling-quick" if quick else "scaling", record)
    print(f"\n{markdown(record)}\n\nWritten to {path}")


if __name__ == "__main__":
    main()
