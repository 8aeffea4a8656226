"""Run directories that look like real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.synthetic_run import make_audited, make_pareto, make_run


@pytest.fixture(autouse=True)
def quick_campaigns() -> None:
    """Draw figures: these tests read them."""


@pytest.fixture
def run_factory(tmp_path: Path) -> Callable[..., Path]:
    """``make_run`` into a fresh directory."""
    return lambda **options: make_run(tmp_path / "sms-spam", **options)


@pytest.fixture
def audited(run_factory: Callable[..., Path]) -> Path:
    """A finished run of a search that saw no gold."""
    return make_audited(run_factory())


@pytest.fixture
def pareto(run_factory: Callable[..., Path]) -> Path:
    """A finished run with two objectives."""
    return make_pareto(run_factory())


@pytest.fixture
def run(run_factory: Callable[..., Path]) -> Path:
    """A finished run, with hostile text in its prompts."""
    return run_factory()
