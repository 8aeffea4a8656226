"""Export: what a user takes home from a run."""

from evolm.export.prompt import Messages, best_files, rendered_prompt

__all__ = ["Messages", "best_files", "rendered_prompt"]
