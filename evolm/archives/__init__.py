"""Archives: what a search keeps of all that it has seen."""

from evolm.archives.hall_of_fame import BestFound
from evolm.archives.pareto_front import Front

__all__ = ["BestFound", "Front"]
