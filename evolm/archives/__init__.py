"""Archives: the best individuals of a search, as a hall of fame or a Pareto front."""

from evolm.archives.hall_of_fame import BestFound
from evolm.archives.pareto_front import Front

__all__ = ["BestFound", "Front"]
