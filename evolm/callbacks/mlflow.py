"""MLflow: a campaign as one MLflow run with curves, settings, test scores, the best prompt and the report."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evolm.callbacks.tracker import Parameter, Tracker
from evolm.extras import extra
from evolm.storage.layout import BEST, PROMPT

with extra("mlflow"):
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, Run
    from mlflow.exceptions import MlflowException

IDENTITY = "evolm.identity"  # tag by which a resumed campaign finds its MLflow run
MOST_PARAMETERS = 100  # in one call to MLflow


class MLflow(Tracker):
    """Logs to a tracking server or a local store, without touching MLflow's global state.

    A resumed campaign continues its MLflow run, which it finds by the run's directory. While a campaign is
    interrupted, its status in MLflow is RUNNING.

    Args:
        tracking_uri: server, database or folder; None = that of ``MLFLOW_TRACKING_URI``, or MLflow's own default.
        experiment: name of the experiment; created if missing.
        run_name: name of the MLflow run; None = the campaign's name.
    """

    failures = (OSError, MlflowException)

    def __init__(
        self, tracking_uri: str | Path | None = None, experiment: str = "evolm", run_name: str | None = None
    ) -> None:
        self.tracking_uri = None if tracking_uri is None else str(tracking_uri)
        self.experiment = experiment
        self.run_name = run_name
        self.place = self.tracking_uri or "MLflow's default store"
        self._client: MlflowClient
        self._run = ""
        self._running = False

    def begin(self, parameters: Mapping[str, Parameter]) -> None:
        """Begin an MLflow run, or continue that of a resumed campaign."""
        self._client = MlflowClient(self.tracking_uri)
        known = self._client.get_experiment_by_name(self.experiment)
        experiment = known.experiment_id if known else self._client.create_experiment(self.experiment)
        found = self._find(experiment) if self.info.resumed else None
        run = found or self._create(experiment)
        self._run = run.info.run_id
        self._running = False
        if not self.info.finished:  # a finished run may be resumed only to be read
            self._mark_running()
        # A parameter cannot be changed there: a raised budget keeps the value that the campaign began with.
        self._log_parameters({name: value for name, value in parameters.items() if name not in run.data.params})

    def log(self, search: str, values: Mapping[str, float], step: int) -> None:
        """Add a point to every curve of the search."""
        self._mark_running()
        self._log_metrics({f"{search}/{name}": value for name, value in values.items()}, step)

    def show_prompt(self, text: str, step: int) -> None:
        """Replace the artifact ``best/prompt.txt``."""
        self._client.log_text(self._run, text, f"{BEST}/{PROMPT}")

    def conclude(self, result: Mapping[str, Any], values: Mapping[str, float], step: int) -> None:
        """Add test scores, the claim as tag and note, ``best/`` and the report; end the MLflow run."""
        self._log_metrics(values, step)
        self._client.set_tag(self._run, "evolm.claim", result["claim"])
        self._client.set_tag(self._run, "mlflow.note.content", result["claim"])
        self._client.log_artifacts(self._run, str(self.layout.best), BEST)
        if self.layout.report.exists():
            self._client.log_artifact(self._run, str(self.layout.report))
        self._client.set_terminated(self._run, "FINISHED")

    # -- MLflow's client -------------------------------------------------------------------------------------

    @property
    def _identity(self) -> str:
        return hashlib.sha256(str(self.info.directory.resolve()).encode()).hexdigest()[:32]

    def _find(self, experiment: str) -> Run | None:
        """Return the latest MLflow run of this directory; None if there is none."""
        wanted = f"tags.`{IDENTITY}` = '{self._identity}'"
        runs = self._client.search_runs([experiment], wanted, max_results=1, order_by=["attributes.start_time DESC"])
        return runs[0] if runs else None

    def _create(self, experiment: str) -> Run:
        tags = {IDENTITY: self._identity, "evolm.directory": str(self.info.directory.resolve())}
        return self._client.create_run(experiment, tags=tags, run_name=self.run_name or self.info.name)

    def _mark_running(self) -> None:
        if not self._running:
            self._client.update_run(self._run, status="RUNNING")
            self._running = True

    def _log_parameters(self, parameters: Mapping[str, Parameter]) -> None:
        new = [Param(name, str(value)) for name, value in parameters.items()]
        for begin in range(0, len(new), MOST_PARAMETERS):
            self._client.log_batch(self._run, params=new[begin : begin + MOST_PARAMETERS])

    def _log_metrics(self, values: Mapping[str, float], step: int) -> None:
        now = time.time_ns() // 1_000_000
        self._client.log_batch(self._run, metrics=[Metric(name, value, now, step) for name, value in values.items()])
