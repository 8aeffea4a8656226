"""Settings of every test, and the plugins of ``tests.support`` that define fixtures.

Nothing here stands in for evolm's own code except one fake scorer, ``tests.support.table_scorer``. The model hub is
never asked.
"""

from __future__ import annotations

import os
import signal

os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when huggingface_hub is imported
os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one core per test process

import pytest
import torch

from evolm.storage import files

files.DURABLE = False  # the fixture ``durable`` waits for the disk: a killed process loses nothing that it wrote
torch.set_num_threads(1)  # tiny models only lose time to threads, and other processes run beside this one

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

SUPPORT = ("model_fixtures", "task_fixtures", "campaign_fixtures", "objective_fixtures")
pytest.register_assert_rewrite("tests.support")
pytest_plugins = [f"tests.support.{name}" for name in SUPPORT]
