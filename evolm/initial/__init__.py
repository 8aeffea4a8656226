"""``evolm init``: look at a data file and write a campaign that runs as it is."""

from __future__ import annotations

from evolm.initial.draft import Draft
from evolm.initial.folder import sentences, write_campaign
from evolm.initial.guesses import MODEL, Guess
from evolm.initial.wishes import Wishes

__all__ = ["MODEL", "Draft", "Guess", "Wishes", "sentences", "write_campaign"]
