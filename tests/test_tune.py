"""``evolm tune``: measured on a real tiny model; what it recommends is a campaign that runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from evolm import tune
from evolm.cli import app
from evolm.errors import ContextExceeded
from evolm.evaluation.tuning import SIZES, Measured, Workload, measure, speed_of
from evolm.models import LanguageModel, PassSettings, prepare
from evolm.tune import advice, tuned

SMALL = Workload(prompts=2, prompt_tokens=20, item_tokens=10)


def test_every_size_is_measured_on_the_same_tokens(tiny_model_folder: Path) -> None:
    model = LanguageModel(prepare(str(tiny_model_folder), dtype="float32", device="cpu"), "off")
    found = measure(model, SMALL, rounds=2)
    assert [one.slab_tokens for one in found] == list(SIZES)
    assert found[0].speed == 1.0 and all(one.tokens_per_second > 0 for one in found)
    assert len({one.padding for one in found}) > 1 and all(0 <= one.padding < 1 for one in found)
    assert model.forward.slab_tokens == PassSettings().slab_tokens


def test_a_person_is_told_what_to_write(tiny_model_folder: Path) -> None:
    console = Console(record=True, width=100)
    for line in tuned(str(tiny_model_folder), "float32", SMALL, 1):
        console.print(line)
    text = console.export_text()
    assert all(str(size) in text for size in SIZES) and "One process, 1 thread, float32" in text


def test_dtypes_are_compared_if_the_hardware_multiplies_both(
    tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune, "multiplied_dtypes", lambda device: ["float32", "bfloat16"])
    console = Console(record=True, width=100)
    for line in tuned(str(tiny_model_folder), "auto", SMALL, 1):
        console.print(line)
    dtypes, sizes = console.export_text().split("slab_tokens", 1)
    assert "float32" in dtypes and "bfloat16" in dtypes
    faster = "One process, 1 thread, bfloat16" in sizes
    assert ('dtype = "bfloat16"' in sizes) == faster


def test_models_of_two_dtypes_pass_the_same_tokens(tiny_model_folder: Path) -> None:
    models = [LanguageModel(prepare(str(tiny_model_folder), dtype=each), "off") for each in ("float32", "bfloat16")]
    found = speed_of(models, SMALL, rounds=2)
    assert len(found) == 2 and all(speed > 0 for speed in found)


@pytest.mark.parametrize(
    ("speeds", "expected"), [((0.9, 1.0, 1.02, 0.8), "nothing to change"), ((1, 1, 1.3, 1.2), "slab_tokens = 1024")]
)
def test_the_default_stays_unless_another_size_is_clearly_faster(speeds: tuple[float, ...], expected: str) -> None:
    found = [Measured(size, 100 * speed, speed, 0.0) for size, speed in zip(SIZES, speeds, strict=True)]
    assert expected in advice(found, found[1])
    both = advice(found, found[1], "bfloat16")
    assert '[model]\ndtype = "bfloat16"' in both and ("slab_tokens" in both) == ("slab_tokens" in expected)


def test_a_prompt_that_does_not_fit_the_model_is_one_sentence(tiny_model_folder: Path) -> None:
    with pytest.raises(ContextExceeded, match="expected at most .* tokens in all for .*, found 1000015"):
        tuned(str(tiny_model_folder), "float32", Workload(prompt_tokens=10**6, item_tokens=10), 1)


def test_an_unknown_dtype_or_model_is_one_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["tune", "anything", "--dtype", "int8"])
    assert result.exit_code == 2
    assert "'int8' is not one of 'auto', 'float32', 'bfloat16'; see evolm tune --help" in result.output
    result = CliRunner().invoke(app, ["tune", str(tmp_path / "nothing")])
    assert result.exit_code == 2 and "nothing" in result.output
