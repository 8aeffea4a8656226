"""Names of a run's searches, as its journal, its checkpoint and its folder ``genes`` have them.

A search that is a baseline (:data:`evolm.baselines.BASELINES`) has the baseline's name.
"""

from __future__ import annotations

from typing import Final

MAIN: Final = "main"  # the search that the campaign is about
RANDOM_SEARCH: Final = "random_search"  # the baseline, and the strategy that it uses
