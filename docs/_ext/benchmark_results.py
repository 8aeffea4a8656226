"""Tables of ``benchmarks/results/*.json``: what was measured, by which command, on which commit and machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import benchmarks.delta_speed
import benchmarks.faults
import benchmarks.fitness
import benchmarks.generation_speed
import benchmarks.generation_tasks
import benchmarks.operators
import benchmarks.optimizers_table
import benchmarks.quality_table
import benchmarks.racing
import benchmarks.scaling
import benchmarks.speed
from evolm.wording import markdown_table, signed

RESULTS = Path(benchmarks.__file__).parent / "results"
REPOSITORY_COPY = "benchmarks/results"
MOST_ROWS = 60  # of a table that no benchmark draws itself

# Results whose benchmark draws its own table; every other one is drawn by its form.
TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "delta_speed": lambda found: benchmarks.delta_speed.costs_table(_measured(found)),
    "faults": lambda found: benchmarks.faults.markdown(found),
    "fitness": lambda found: benchmarks.fitness.markdown(found["found"]),
    "generation_speed": lambda found: benchmarks.generation_speed.table(found),
    "generation_tasks": lambda found: benchmarks.generation_tasks.markdown(found["populations"]),
    "operators": lambda found: benchmarks.operators.markdown(found["measured"]),
    "optimizers": lambda found: benchmarks.optimizers_table.markdown(found["spaces"]),
    "quality": lambda found: benchmarks.quality_table.markdown(found),
    "racing": lambda found: benchmarks.racing.markdown(found["rows"]),
    "scaling": lambda found: benchmarks.scaling.markdown(found),
    "speed": lambda found: f"{benchmarks.speed.rivals_table(found)}\n\n{benchmarks.speed.shares_table(found)}",
}


def names() -> list[str]:
    """Return the names of all results, those of ``--quick`` left out."""
    return sorted(path.stem for path in RESULTS.glob("*.json") if not path.stem.endswith("-quick"))


def read(name: str) -> dict[str, Any]:
    """Return the content of ``results/NAME.json``."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def settings(record: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the conditions of every part of a result: mappings with ``command``, ``commit`` and ``machine``.

    Before each stand the names of the populations that were measured so, ``""`` = the whole part.
    """
    own = _own_settings(record)
    if own:
        return own
    parts = [value for value in record.values() if isinstance(value, Mapping)]
    whole = [("", each) for each in (record, *parts) if {"command", "commit", "machine"} <= each.keys()]
    return [found for each in whole for found in (_own_settings(each[1]) or [each])]


def _own_settings(part: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the different settings of the populations of a part, each with their names; empty if they have none."""
    found = {name: each["setting"] for name, each in part.get("populations", {}).items() if "setting" in each}
    different = [one for index, one in enumerate(found.values()) if one not in list(found.values())[:index]]
    return [(", ".join(name for name, one in found.items() if one == each), each) for each in different]


def _commit(conditions: Mapping[str, Any]) -> str:
    """Return the commit of a measurement in short, with what its record says of it."""
    commit, _, remark = conditions["commit"].partition(" ")
    return f"`{commit[:8]}` {remark}".rstrip()


def conditions(record: Mapping[str, Any]) -> str:
    """Return the table of commands, dates, commits and machines of a result."""
    rows = []
    for populations, each in settings(record):
        machine, versions = each["machine"], each["versions"]
        rows.append(
            (
                f"`{each['command']}`" + (f" ({populations})" if populations else ""),
                each["date"][:10],
                _commit(each),
                f"{machine['processor']}, {machine['cores']} cores, {machine['capability']}"
                f"{' with AMX' if machine['amx'] else ''}",
                f"torch {versions['torch']}, transformers {versions['transformers']}",
            )
        )
    return markdown_table(("command", "date", "commit", "machine", "versions"), rows)


def comparisons(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Yield every comparison of groups in a result, with the keys that lead to it."""
    if isinstance(value, Mapping):
        if "groups" in value and "differences" in value:
            yield path, value
            return
        for key, inner in value.items():
            yield from comparisons(inner, (*path, key))


def comparison_table(record: Mapping[str, Any]) -> str:
    """Return the scores of every group of every comparison, with differences and further pairs."""
    rows, pairs = [], []
    for path, comparison in comparisons(record):
        over = {each["first"]: each for each in comparison["differences"]}
        for group in comparison["groups"]:
            versus = over.get(group["name"])
            rows.append(
                (
                    path[-1] if path else "",
                    f"`{group['name']}`",
                    f"{group['score']:.3f}",
                    f"{group['low']:.3f} to {group['high']:.3f}",
                    _interval(versus) if versus else "",
                    f"`{versus['second']}`" if versus else "",
                )
            )
        for each in comparison.get("pairs", []):
            pairs.append((path[-1] if path else "", f"`{each['first']}`", f"`{each['second']}`", _interval(each)))
    table = markdown_table(("task", "group", "test", "95 % interval", "difference", "from"), rows)
    if pairs:
        table += "\n\n" + markdown_table(("task", "first", "second", "first minus second"), pairs)
    return table


def _interval(difference: Mapping[str, Any]) -> str:
    value, low, high = (signed(difference[key]) for key in ("difference", "low", "high"))
    return f"{value} [{low}, {high}]"


def _measured(record: Mapping[str, Any]) -> dict[str, Any]:
    return {part: own["measured"] for part, own in record.items() if isinstance(own, Mapping) and "measured" in own}


_CONDITIONS = {"setting", "command", "date", "commit", "machine", "versions"}


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in _CONDITIONS:
                yield from _leaves(inner, (*path, str(key)))
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        for number, inner in enumerate(value):
            yield from _leaves(inner, (*path, str(number)))
    else:
        shown = ", ".join(map(_shown, value)) if isinstance(value, list) else _shown(value)
        yield " / ".join(path), shown


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("\n", " ")


def plain_table(record: Mapping[str, Any]) -> str:
    """Return every figure of a result by its keys, at most ``MOST_ROWS``."""
    rows = list(_leaves(record))
    table = markdown_table(("what", "measured"), rows[:MOST_ROWS])
    return table if len(rows) <= MOST_ROWS else f"{table}\n\n{len(rows) - MOST_ROWS} more figures are in the file."


def result(name: str) -> str:
    """Return a result as Markdown: conditions, tables, and its figure if there is one; or that it is missing."""
    if not (RESULTS / f"{name}.json").exists():
        return f"Not measured yet: there is no `{REPOSITORY_COPY}/{name}.json`."
    record = read(name)
    if name in TABLES:
        table = TABLES[name](record)
    else:
        table = comparison_table(record) if any(comparisons(record)) else plain_table(record)
    parts = [table]
    if (RESULTS / f"{name}.png").exists():
        parts.append(f"![Figure of {name}](../../{REPOSITORY_COPY}/{name}.png)")
    parts.append(f"Measured as follows; the numbers are in `{REPOSITORY_COPY}/{name}.json`.\n\n{conditions(record)}")
    return "\n\n".join(parts)


def overview() -> str:
    """Return a table of all results: file, command, date and commit of the latest part."""
    rows = []
    for name in names():
        latest = max((each for _, each in settings(read(name))), key=lambda each: each["date"])
        rows.append((f"`{name}.json`", f"`{latest['command']}`", latest["date"][:10], _commit(latest)))
    return markdown_table(("result", "command", "date", "commit"), rows)


def other_results(shown: set[str]) -> str:
    """Return every result that no page shows, each under a heading."""
    rest = [name for name in names() if name not in shown]
    return "\n\n".join(f"## {name}\n\n{result(name)}" for name in rest) or "Every result has a page of its own."
