"""Artifacts: the formats that outlive a run (``prompt.json``, ``delta.safetensors``), written and read here."""

from evolm.artifacts.prompt_files import Messages, best_files, rendered_prompt

__all__ = ["Messages", "best_files", "rendered_prompt"]
