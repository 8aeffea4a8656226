"""A delta that is taught a prompt's answers: what is written, what is told, what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from peft import AutoPeftModelForCausalLM
from safetensors.numpy import load_file
from typer.testing import CliRunner

from evolm.cli import app
from evolm.errors import EvolmError, RunError
from evolm.export import distill as distilling
from evolm.export.distill import Lessons, distill, probabilities
from evolm.export.export import export
from evolm.export.predictor import saved_prompt
from tests.support.committees import committee_run
from tests.support.kinds_of_campaigns import write_kind
from tests.support.once import SharedFolder
from tests.support.saved_prompts import task_of

ROWS = pd.DataFrame({"text": ["win a free prize 3", "see you at lunch 8", "claim your cash", "happy birthday"]})


@pytest.fixture
def quick_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distilling, "LOOK", 4)


@pytest.mark.parametrize("kind", ["probe readout", "choice"])
def test_a_student_comes_near_to_its_teacher_without_the_prompt(
    kind: str, finished_run: Callable[..., Path], tmp_path: Path, quick_steps: None
) -> None:
    run = finished_run(kind, write=write_kind)
    said = distill(run, tmp_path / "out", steps=12)
    record = json.loads((tmp_path / "out" / "distilled.json").read_text(encoding="utf-8"))
    assert record["tokens_per_row"]["student"] < record["tokens_per_row"]["teacher"]
    assert any(f"Tokens of a row: {record['tokens_per_row']['student']:.0f}" in sentence for sentence in said)
    with saved_prompt(run) as teacher, saved_prompt(tmp_path / "out") as student:
        assert student.genome.instruction == "" and not student.genome.demonstrations
        bare = student.student(student.genome, student.space, student.space.neutral())
        dev = Lessons.of(teacher, task_of(run).dev)
        assert dev.cross_entropy(probabilities(student, dev.items)) < dev.cross_entropy(
            probabilities(bare, dev.items)
        )
        items = task_of(run).validation or dev.items
        assert record["agreement"] == Lessons.of(teacher, items).agreement(probabilities(student, items))
    again = tmp_path / "again"
    distill(run, again, steps=12)
    assert {file.name: file.read_bytes() for file in again.iterdir()} == {
        file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()
    }
    assert load_file(again / "adapter_model.safetensors")
    assert AutoPeftModelForCausalLM.from_pretrained(again)


def test_unlabelled_rows_are_learnt_from_but_for_those_of_the_run(
    finished_run: Callable[..., Path], tmp_path: Path, quick_steps: None
) -> None:
    run = finished_run("classification", write=write_kind)
    known = task_of(run).test[0].fields["text"]
    pd.DataFrame({"text": ["a new text", "a new text", None, known, "and another"]}).to_csv(tmp_path / "rows.csv")
    told = CliRunner().invoke(
        app,
        ["distill", str(run), str(tmp_path / "out"), "--rows", str(tmp_path / "rows.csv"), "--keep-instruction"],
    )
    assert told.exit_code == 0, told.output
    assert "2 rows of" in told.output
    record = json.loads((tmp_path / "out" / "distilled.json").read_text(encoding="utf-8"))
    assert record["learnt_rows"] == len(task_of(run).train) + 2
    with saved_prompt(run) as teacher, saved_prompt(tmp_path / "out") as student:
        assert student.genome.instruction == teacher.genome.instruction
        assert set(student.predict(ROWS)["label"]) <= {"spam", "ham"}


def test_a_committee_is_a_teacher(
    shared_folder: SharedFolder, tiny_model_folder: Path, tmp_path: Path, quick_steps: None
) -> None:
    run = committee_run(shared_folder, tiny_model_folder) / "run"
    said = distill(run, tmp_path / "out", steps=4)
    assert said[-1].startswith("Next: evolm score")
    with saved_prompt(tmp_path / "out") as student:
        assert len(student.members) == 1 and not student.genome.demonstrations


def refused(place: Path) -> str:
    target = place.parent / "refused"
    with pytest.raises(EvolmError) as error:
        distill(place, target)
    assert not target.exists() and "\n" not in str(error.value)
    return str(error.value)


def test_what_cannot_be_distilled_is_one_sentence(
    finished_run: Callable[..., Path], tmp_path: Path, quick_steps: None
) -> None:
    assert "found a generation task" in refused(finished_run("generation", write=write_kind))
    run = finished_run("classification", write=write_kind)
    distill(run, tmp_path / "out", steps=1)
    assert "an instruction or demonstrations to do without, found none" in refused(tmp_path / "out")
    with pytest.raises(RunError, match="out"):
        distill(run, tmp_path / "out")
    export(run, tmp_path / "exported")
    assert "in no run's directory" in refused(tmp_path / "exported")
    shutil.copytree(run, tmp_path / "damaged")
    (tmp_path / "damaged" / "best" / "prompt.json").write_text("{}", encoding="utf-8")
    assert "expected a prompt saved by evolm" in refused(tmp_path / "damaged")
    (tmp_path / "damaged" / "best" / "prompt.json").unlink()
    assert "expected a prompt 'best', found" in refused(tmp_path / "damaged")
