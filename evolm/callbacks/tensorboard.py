"""TensorBoard: curves of every search, settings, test scores and the best prompt, in a folder of event files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evolm.callbacks.tracker import Parameter, Tracker
from evolm.extras import extra
from evolm.searches import MAIN
from evolm.typed import at_home

with extra("tensorboard"):
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams


class TensorBoard(Tracker):
    """Writes event files, for ``tensorboard --logdir LOG_DIR``.

    Every search has a folder of its own, ``main`` or ``random_search``, with the same names in it, so that their
    curves lie in one chart. Points of a generation that a killed run had not saved are hidden once the resumed run
    has written that generation again.

    Args:
        log_dir: the folder.
    """

    def __init__(self, log_dir: str | Path) -> None:
        self.log_dir = Path(at_home(str(log_dir)))
        self.place = str(log_dir)
        self._writers: dict[str, Any] = {}  # SummaryWriter, typed as Any: its stubs lack the file writer
        self._parameters: Mapping[str, Parameter] = {}

    def begin(self, parameters: Mapping[str, Parameter]) -> None:
        """Remember the settings: TensorBoard takes them together with the final scores."""
        self._parameters = parameters
        self.log_dir.mkdir(parents=True, exist_ok=True)

    def log(self, search: str, values: Mapping[str, float], step: int) -> None:
        """Add a point to every curve."""
        writer = self._writer(search, step)
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    def show_prompt(self, text: str, step: int) -> None:
        """Add the prompt as preformatted text."""
        writer = self._writer(MAIN, step)
        writer.add_text("best prompt", f"```text\n{text}\n```", step)
        writer.flush()

    def conclude(self, result: Mapping[str, Any], values: Mapping[str, float], step: int) -> None:
        """Add test scores, the claim, the best prompt, and the settings for the table of hyperparameters."""
        writer = self._writer(MAIN, step + 1)
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        writer.add_text("claim", result["claim"], step)
        events = writer._get_file_writer()  # add_hparams itself would open a folder of its own
        for summary in hparams(dict(self._parameters), dict(values)):
            events.add_summary(summary)
        self.show_prompt(self.prompt, step)
        for opened in self._writers.values():
            opened.close()
        self._writers = {}

    def _writer(self, search: str, step: int) -> Any:
        """Return the search's writer; when it is made, points of the folder from ``step`` on are hidden."""
        if search not in self._writers:
            self._writers[search] = SummaryWriter(str(self.log_dir / search), purge_step=step)
        return self._writers[search]
