"""Cases of a parametrized test that every commit runs, and cases that only ``make test-all`` adds."""

from __future__ import annotations

from typing import Any

import pytest


def slow(*values: Any, id: str | None = None) -> Any:
    """Return a case for ``pytest.mark.parametrize`` that only ``make test-all`` runs."""
    return pytest.param(*values, marks=pytest.mark.slow, id=id)
