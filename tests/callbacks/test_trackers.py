"""TensorBoard and MLflow, the real packages, writing to local folders: what is told can be read back there."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from evolm import callbacks
from evolm.campaign import Observer, continue_run
from evolm.cli import app
from evolm.errors import TrackerError
from evolm.progress_view import ProgressView
from tests.support.toy_campaign import ToyCampaign, bytes_of, entries, quick, result_of

pytestmark = pytest.mark.extras
pytest.importorskip("mlflow")
pytest.importorskip("tensorboard")

SEARCHES = {"main": [5, 10, 14], "random_search": [14]}  # evaluations after each generation


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in the test's own folder, without MLflow's telemetry."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


class Crash(Observer):
    """Ends the campaign like a crash, in its second generation, after other callbacks heard of it."""

    def on_generation(self, progress: Any) -> None:
        if progress.evaluations == 10:
            raise RuntimeError("a crash")


def crash_and_resume(founding: ToyCampaign, out: Path, make: Callable[[], Observer]) -> Path:
    with pytest.raises(RuntimeError, match="a crash"):
        founding.run(out, observers=[make(), Crash()])
    continue_run(out, observers=[make()])
    return out


def best_and_mean(run: Path, search: str) -> list[tuple[int, float, float]]:
    return [(e["evaluations"], e["best"], e["mean"]) for e in entries(run, "generation", search)]


# -- TensorBoard ---------------------------------------------------------------------------------------------


def read_events(folder: Path) -> Any:
    """Return the search's events as TensorBoard itself reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def text_of(events: Any, tag: str) -> str:
    return events.Tensors(f"{tag}/text_summary")[-1].tensor_proto.string_val[0].decode()


@pytest.fixture(scope="module", params=["undisturbed", "crashed and resumed"])
def boarded(
    request: pytest.FixtureRequest, founding: ToyCampaign, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A run, and the folder of its events."""
    folder = tmp_path_factory.mktemp("board")
    logs, out = folder / "logs", folder / "run"
    with quick():
        if request.param == "undisturbed":
            founding.run(out, observers=[callbacks.TensorBoard(logs)])
        else:
            crash_and_resume(founding, out, lambda: callbacks.TensorBoard(logs))
    return out, logs


@pytest.mark.parametrize("search", SEARCHES)
def test_tensorboard_shows_every_generation_once(boarded: tuple[Path, Path], search: str) -> None:
    run, logs = boarded
    events = read_events(logs / search)
    assert [point.step for point in events.Scalars("best")] == SEARCHES[search]
    for name in ("diversity", "tokens", "evaluations", "generation"):
        recorded = [float(entry[name]) for entry in entries(run, "generation", search)]
        assert [point.value for point in events.Scalars(name)] == pytest.approx(recorded)
    shown = zip(events.Scalars("best"), events.Scalars("mean"), strict=True)
    expected = [value for step in best_and_mean(run, search) for value in step]
    assert [value for best, mean in shown for value in (best.step, best.value, mean.value)] == pytest.approx(expected)


def test_tensorboard_has_the_verdict_the_best_prompt_and_the_settings(boarded: tuple[Path, Path]) -> None:
    run, logs = boarded
    events, result = read_events(logs / "main"), result_of(run)
    test = result["test"]
    for name in ("best", "founder", "random_search", "gain"):
        assert events.Scalars(f"test/{name}")[-1].value == pytest.approx(test[name])
    low, high = (events.Scalars(f"test/gain_{end}")[-1].value for end in ("low", "high"))
    assert [low, high] == pytest.approx(test["interval"])
    assert text_of(events, "claim") == result["claim"]
    assert (run / "best" / "prompt.txt").read_text(encoding="utf-8") in text_of(events, "best prompt")
    metadata = events.SummaryMetadata("_hparams_/session_start_info")
    assert b"strategy.population_size" in metadata.plugin_data.content


# -- MLflow --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A local store for all tests, since the first use of one takes seconds."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    for name in ("undisturbed", "crashed and resumed", "resumed when finished", "down at the end", "evolm"):
        MlflowClient(uri).create_experiment(name, artifact_location=str(folder / "artifacts"))
    return uri


def runs_of(store: str, experiment: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(store)
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


@pytest.fixture(scope="module", params=["undisturbed", "crashed and resumed"])
def tracked(
    request: pytest.FixtureRequest, store: str, founding: ToyCampaign, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any]:
    """A run, and what MLflow has of it."""
    out = tmp_path_factory.mktemp("tracked") / "run"

    def made() -> Observer:
        return callbacks.MLflow(store, request.param, "my run")

    with quick():
        if request.param == "undisturbed":
            founding.run(out, observers=[made()])
        else:
            crash_and_resume(founding, out, made)
    (run,) = runs_of(store, request.param)
    return out, run


@pytest.mark.parametrize("search", SEARCHES)
def test_mlflow_shows_every_generation(tracked: tuple[Path, Any], store: str, search: str) -> None:
    from mlflow import MlflowClient

    out, run = tracked
    client = MlflowClient(store)
    for name in ("best", "mean", "diversity", "tokens", "evaluations"):
        history = client.get_metric_history(run.info.run_id, f"{search}/{name}")
        recorded = {entry["evaluations"]: entry[name] for entry in entries(out, "generation", search)}
        assert {metric.step: metric.value for metric in history} == pytest.approx(recorded)


def test_mlflow_has_the_verdict_the_settings_the_best_prompt_and_the_report(
    tracked: tuple[Path, Any], store: str
) -> None:
    from mlflow import MlflowClient

    out, run = tracked
    result = result_of(out)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "my run")
    assert run.data.tags["evolm.claim"] == result["claim"]
    for name in ("best", "founder", "random_search", "gain"):
        assert run.data.metrics[f"test/{name}"] == pytest.approx(result["test"][name])
    assert run.data.metrics["test/gain_low"] == pytest.approx(result["test"]["interval"][0])
    assert run.data.params["strategy.population_size"] == "5"
    assert json.loads(run.data.params["task.split"])["train"] == 10
    client, folder = MlflowClient(store), out.parent / "artifacts"
    folder.mkdir(exist_ok=True)
    prompt = client.download_artifacts(run.info.run_id, "best/prompt.txt", str(folder))
    assert Path(prompt).read_text(encoding="utf-8") == (out / "best" / "prompt.txt").read_text(encoding="utf-8")
    report = client.download_artifacts(run.info.run_id, "report.html", str(folder))
    assert result["claim"] in Path(report).read_text(encoding="utf-8")


def test_a_raised_budget_goes_on_in_the_same_mlflow_run(tracked: tuple[Path, Any], store: str, request: Any) -> None:
    out, run = tracked
    experiment = request.node.callspec.params["tracked"]
    continue_run(out, add={"evaluations": 4}, observers=[callbacks.MLflow(store, experiment)])
    (again,) = runs_of(store, experiment)
    assert again.info.run_id == run.info.run_id
    assert again.data.metrics["main/evaluations"] == 18


def test_a_finished_run_that_is_resumed_stays_finished_in_mlflow(
    founding: ToyCampaign, store: str, tmp_path: Path
) -> None:
    out = founding.run(tmp_path / "run", observers=[callbacks.MLflow(store, "resumed when finished")]).directory
    continue_run(out, observers=[callbacks.MLflow(store, "resumed when finished")])
    (run,) = runs_of(store, "resumed when finished")
    assert run.info.status == "FINISHED"


# -- both ----------------------------------------------------------------------------------------------------


def test_both_are_an_option_of_the_command_line(founding: ToyCampaign, store: str, finished: Path) -> None:
    options = ["--tensorboard", "logs", "--mlflow", store]
    said = CliRunner().invoke(app, ["run", str(founding.folder), "--out", "run", *options])
    assert said.exit_code == 0, said.output
    assert bytes_of(Path("run")) == bytes_of(finished)
    assert [point.step for point in read_events(Path("logs/run/main")).Scalars("best")] == SEARCHES["main"]
    (run,) = runs_of(store, "evolm")
    assert run.info.run_name == "toy"


def test_a_tracker_that_cannot_be_written_to_is_named_and_the_run_goes_on_without_it(
    founding: ToyCampaign, finished: Path, tmp_path: Path
) -> None:
    (tmp_path / "logs").write_text("no folder", encoding="utf-8")
    out = tmp_path / "run"
    with pytest.raises(TrackerError, match=f"^TensorBoard: cannot write to .*logs: .* with 'evolm resume {out}'"):
        founding.run(out, observers=[callbacks.TensorBoard(tmp_path / "logs")])
    continue_run(out)
    assert bytes_of(out) == bytes_of(finished)


def down_at_the_end(observer: Any) -> Observer:
    """Make a tracker's store unreachable while the verdict is told."""

    def refuse(*told: Any) -> None:
        raise OSError("connection refused")

    observer.conclude = refuse
    return observer


def test_a_verdict_that_could_not_be_told_is_told_when_the_finished_run_is_resumed(
    founding: ToyCampaign, store: str, tmp_path: Path
) -> None:
    logs, out = tmp_path / "logs", tmp_path / "run"
    both: dict[str, Callable[[], Any]] = {
        "MLflow": lambda: callbacks.MLflow(store, "down at the end"),
        "TensorBoard": lambda: callbacks.TensorBoard(logs),
    }
    with pytest.raises(TrackerError, match=f"connection refused; the run is saved, go on with 'evolm resume {out}'"):
        founding.run(out, observers=[down_at_the_end(both["MLflow"]()), both["TensorBoard"]()])
    (run,) = runs_of(store, "down at the end")
    assert (run.info.status, "test/best" in run.data.metrics) == ("RUNNING", False)
    continue_run(out, observers=[make() for make in both.values()])
    (run,), result = runs_of(store, "down at the end"), result_of(out)
    assert (run.info.status, run.data.tags["evolm.claim"]) == ("FINISHED", result["claim"])
    assert run.data.metrics["test/best"] == pytest.approx(result["test"]["best"])
    events = read_events(logs / "main")
    assert [point.step for point in events.Scalars("best")] == SEARCHES["main"]
    (best,) = events.Scalars("test/best")
    assert (best.step, best.value) == (SEARCHES["main"][-1], pytest.approx(result["test"]["best"]))
    assert text_of(events, "claim") == result["claim"]


def test_the_live_view_bears_the_end_of_a_run_that_is_over(founding: ToyCampaign, tmp_path: Path) -> None:
    out = founding.run(tmp_path / "run").directory
    for terminal in (True, False):
        view = ProgressView(Console(file=io.StringIO(), force_terminal=terminal))
        try:
            assert continue_run(out, observers=[view]).result == result_of(out)
        finally:
            view.close()


def test_an_mlflow_that_cannot_be_reached_is_named_too(founding: ToyCampaign, store: str, tmp_path: Path) -> None:
    with pytest.raises(TrackerError, match="^MLflow: cannot write to nowhere://here: .*'evolm resume"):
        founding.run(tmp_path / "run", observers=[callbacks.MLflow("nowhere://here")])
