"""Artifacts: the formats that outlive a run, written and read here.

``prompt.json``, with ``delta.safetensors`` and ``readout.safetensors`` beside it.
"""

from evolm.artifacts.delta import DELTA_FILE, read_delta
from evolm.artifacts.locations import find_prompt, run_around, seen_by_run
from evolm.artifacts.prompt_files import FILES, PROMPT_FILE, Messages, prompt_folder, rendered_prompt
from evolm.artifacts.prompt_record import PromptRecord, to_json
from evolm.artifacts.readout import READOUT_FILE, read_readout

__all__ = [
    "DELTA_FILE",
    "FILES",
    "PROMPT_FILE",
    "READOUT_FILE",
    "Messages",
    "PromptRecord",
    "find_prompt",
    "prompt_folder",
    "read_delta",
    "read_readout",
    "rendered_prompt",
    "run_around",
    "seen_by_run",
    "to_json",
]
