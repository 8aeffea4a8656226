"""Artifacts: the formats that outlive a run, written and read here.

``prompt.json``, with ``delta.safetensors`` and ``readout.safetensors`` beside it; ``committee.json``, with a folder
of these for each member.
"""

from evolm.artifacts.committee import (
    COMMITTEE_FILE,
    committee_folder,
    prompts_below,
    read_members,
    replace_prompts,
)
from evolm.artifacts.delta import DELTA_FILE, read_delta
from evolm.artifacts.locations import find_prompt, run_around, seen_by_run
from evolm.artifacts.prompt_files import FILES, PROMPT_FILE, Messages, prompt_folder, rendered_prompt
from evolm.artifacts.prompt_record import PromptRecord, to_json
from evolm.artifacts.readout import READOUT_FILE, read_readout

__all__ = [
    "COMMITTEE_FILE",
    "DELTA_FILE",
    "FILES",
    "PROMPT_FILE",
    "READOUT_FILE",
    "Messages",
    "PromptRecord",
    "committee_folder",
    "find_prompt",
    "prompt_folder",
    "prompts_below",
    "read_delta",
    "read_members",
    "read_readout",
    "rendered_prompt",
    "replace_prompts",
    "run_around",
    "seen_by_run",
    "to_json",
]
