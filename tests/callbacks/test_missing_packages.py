"""What evolm says if a tracker's package is missing."""

from __future__ import annotations

import sys

import pytest

from evolm import callbacks
from evolm.errors import MissingPackage


@pytest.mark.parametrize(("name", "extra"), [("TensorBoard", "tensorboard"), ("MLflow", "mlflow")])
def test_a_missing_package_is_one_sentence_that_names_the_extra(
    name: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [extra, "torch.utils.tensorboard", f"evolm.callbacks.{extra}"]:
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, extra, None)
    said = rf"package {extra} is not installed; try: pip install 'evolm\[{extra}\]'"
    with pytest.raises(MissingPackage, match=said):
        getattr(callbacks, name)


def test_another_name_is_no_callback() -> None:
    with pytest.raises(AttributeError, match="'Wandb'"):
        callbacks.Wandb  # noqa: B018
