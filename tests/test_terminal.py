"""Nothing that comes from data, models or files controls the terminal; rich's own colours do."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from rich.live import Live
from rich.table import Table
from rich.text import Text

from evolm.terminal import Console, without_controls
from tests.support.command_line import evolm
from tests.support.toy_campaign import ToyCampaign, toy_rows, write_rows

EVIL = "\x1b]0;title\x07\x1b[2J\x9b31m\r"


def test_control_characters_are_shown_as_escapes_and_colours_stay() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, color_system="standard", width=120)
    table = Table("name")
    table.add_row(Text(f"a{EVIL}b"))
    console.print(Text(f"x{EVIL}y", style="red"), table)
    with Live(Text(f"live{EVIL}"), console=console):
        pass
    written = stream.getvalue()
    assert "\x1b[31m" in written  # the colour
    assert "\\x1b]0;title\\x1b[2J" in written
    for bad in ("\x1b]", "\x1b[2J", "\x07", "\x9b"):
        assert bad not in written


def test_ends_of_lines_and_tabs_are_kept() -> None:
    assert without_controls("a\tb\nc é \u2603") == "a\tb\nc é \u2603"


def test_labels_and_rows_of_a_data_file_are_printed_without_controls(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    campaign = toy(**{"space.prompt.verbalizers": {}})
    rows = [(f"{text}\x1b[2J", f"{label}\x1b[31m") for text, label in toy_rows()]
    write_rows(campaign.folder / "toy.csv", rows)
    said = evolm("run", campaign.folder, "--dry-run")
    assert said.exit_code == 0, said.output
    assert "\x1b" not in said.output
    assert "ham\\x1b[31m" in said.output
