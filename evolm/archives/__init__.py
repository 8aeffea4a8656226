"""Archives: what a search keeps of all that it has seen."""

from evolm.archives.hall_of_fame import BestFound

__all__ = ["BestFound"]
