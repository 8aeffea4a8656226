"""Every error that a user can cause, as one family of exceptions.

::

    EvolmError                      one clear sentence; the command line exits with code 2
    ├── ConfigError                 campaign.toml, ``--set`` or an argument is wrong
    │   ├── PermissionNeeded        a campaign file names code or data that the user has not allowed
    │   └── NotCopyable             an object that belongs to its process was to be copied; a TypeError too
    ├── DataError                   rows, columns, labels or splits are wrong
    ├── ModelError                  a model is missing, damaged or lacks a capability
    │   ├── ServerError             a model's server refuses a request, or is not to be reached
    │   └── Unanswerable            the model cannot be asked about one text; others are not affected
    │       └── ContextExceeded     a prompt is longer than the model's context
    ├── GenomeError                 a genome does not fit its space, or its record is damaged
    ├── RunError                    a run directory is taken, locked, changed or unwritable
    ├── ScorerError                 a scorer failed for every item
    ├── TrackerError                a tracker, such as MLflow, cannot be written to
    ├── WorkerError                 a batch lost its worker too many times
    ├── RequestError                a request to `evolm serve` cannot be answered
    ├── BudgetSpent                 an objective was called beyond its budget; a RuntimeError too
    └── MissingPackage              an optional package is not installed; an ImportError too

``Interrupted`` is not an error: the user asked to stop, and everything is saved.

A message names the setting, file or row, and says what was expected, what was found and, if it helps, what to type.
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable, Mapping
from typing import Any


class EvolmError(Exception):
    """Base of all errors that users of evolm can cause."""


class ConfigError(EvolmError):
    """A setting is unknown, has the wrong type or contradicts another one."""


class PermissionNeeded(ConfigError):
    """A campaign file names code or data that only the user may allow."""


class NotCopyable(ConfigError, TypeError):
    """An object that holds a model and a run's files was to be copied or sent to another process.

    A TypeError, as Python raises it for such objects, since some libraries try to copy and continue without.
    """


class DataError(EvolmError):
    """The rows of a task cannot be used as the campaign asks."""


class ModelError(EvolmError):
    """A model cannot be found, read or used."""


class ServerError(ModelError):
    """A server with a model refuses a request, cannot be reached or breaks the protocol.

    Attributes:
        status: of its last answer; None if there was none.
        problem: what was found in the place of an answer.
    """

    def __init__(self, message: str, status: int | None = None, problem: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem


class Unanswerable(ModelError):
    """A text that the model cannot be asked about; requests with other texts are not affected.

    Attributes:
        reason: the kind of the error, by which rows are counted.
    """

    reason = "not in tokens that the model can be asked about"


class ContextExceeded(Unanswerable):
    """A prompt needs more tokens than the model's context holds."""

    reason = "longer than the model's context"


class GenomeError(EvolmError):
    """A genome lies outside its space, or its record cannot be read."""


class RunError(EvolmError):
    """A run directory cannot be created, locked, written or continued."""


class ScorerError(EvolmError):
    """A scorer failed for every item, so no individual can be valid."""


class TrackerError(EvolmError):
    """A tracker of experiments, such as MLflow, cannot be written to; the run itself is saved."""


class WorkerError(EvolmError):
    """A batch lost its worker more often than it may."""


class RequestError(EvolmError):
    """A request to ``evolm serve`` cannot be answered; the client gets the sentence, and the server goes on.

    Attributes:
        status: of the HTTP response.
        headers: of the HTTP response, besides the usual ones.
    """

    def __init__(self, message: str, status: int, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


class BudgetSpent(EvolmError, RuntimeError):
    """An objective was called beyond its budget.

    A RuntimeError, since some optimizers catch ValueErrors and continue.

    Attributes:
        best: the best individual so far, or None.
    """

    def __init__(self, message: str, best: Any = None) -> None:
        super().__init__(message)
        self.best = best


class MissingPackage(EvolmError, ImportError):
    """A feature needs an optional package that is not installed."""


class Interrupted(Exception):
    """The user asked to stop; the work so far is saved and can be resumed.

    Attributes:
        number: of the signal that asked, such as ``signal.SIGTERM``.
    """

    def __init__(self, message: str = "", number: int = signal.SIGINT) -> None:
        super().__init__(*([message] if message else []))
        self.number = number


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known name closest to ``name``, or ``""``."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]!r}?" if matches else ""
