"""Campaigns: from a file to a verdict."""

from evolm.campaign.build import build
from evolm.campaign.campaign import Campaign
from evolm.campaign.observers import Observer, Progress
from evolm.campaign.permissions import Permissions
from evolm.campaign.runs import Run, continue_run, start_run

__all__ = ["Campaign", "Observer", "Permissions", "Progress", "Run", "build", "continue_run", "start_run"]
