"""``evolm init``: look at a data file and write a campaign that runs as it is."""

from __future__ import annotations

from evolm.scaffold.draft import Draft
from evolm.scaffold.folder import sentences, write_campaign
from evolm.scaffold.hints import Hints
from evolm.scaffold.suggestions import MODEL, Guess

__all__ = ["MODEL", "Draft", "Guess", "Hints", "sentences", "write_campaign"]
