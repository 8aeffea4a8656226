"""Campaigns: from a file to a verdict."""

from evolm.campaign.build import build
from evolm.campaign.campaign import Campaign
from evolm.campaign.permissions import Permissions
from evolm.campaign.runs import Run, continue_run, start_run
from evolm.observers import Observer, Phase, Progress, RunInfo

__all__ = [
    "Campaign",
    "Observer",
    "Permissions",
    "Phase",
    "Progress",
    "Run",
    "RunInfo",
    "build",
    "continue_run",
    "start_run",
]
