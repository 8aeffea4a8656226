"""The command line: a module for each group of verbs, all of which :mod:`evolm.cli.application` lists.

Errors that a user can cause are one sentence and exit code 2; a stopped campaign exits with 130 (Ctrl-C),
143 (SIGTERM) or 129 (SIGHUP).
"""

from __future__ import annotations

from evolm.cli.application import app, main

__all__ = ["app", "main"]
