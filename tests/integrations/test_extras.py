"""What evolm says where an optional package is missing."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

import evolm
from evolm.errors import EvolmError, MissingPackage


@pytest.mark.parametrize(
    ("name", "module", "needs", "extra"),
    [
        ("EvolmSampler", "optuna", "optuna.distributions", "optuna"),
        ("NevergradSpace", "nevergrad", "nevergrad", "nevergrad"),
        ("PymooProblem", "pymoo", "pymoo.core.problem", "pymoo"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, name: str, module: str, needs: str, extra: str
) -> None:
    monkeypatch.delitem(sys.modules, f"evolm.integrations.{module}", raising=False)
    monkeypatch.setitem(sys.modules, needs, None)
    with pytest.raises(
        MissingPackage, match=rf"^the package {extra} is not installed; .*'evolm\[{extra}\]'"
    ) as error:
        getattr(import_module(f"evolm.integrations.{module}"), name)
    assert isinstance(error.value, EvolmError)
    assert isinstance(error.value, ImportError)


def test_scipy_and_pyribs_need_nothing_to_be_spoken_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "evolm.integrations.ribs", raising=False)
    monkeypatch.setitem(sys.modules, "ribs", None)
    assert import_module("evolm.integrations.ribs").RibsMeasures.__name__ == "RibsMeasures"
    assert callable(import_module("evolm.integrations.scipy").scipy_loss)


def test_every_name_that_evolm_exports_is_there() -> None:
    for name in evolm.__all__:
        assert getattr(evolm, name) is not None
