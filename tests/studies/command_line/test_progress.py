"""A run's progress in a terminal."""

import io

import pytest
from rich.console import Console

from studies.command_line.progress import RichDisplay

pytestmark = pytest.mark.once


def test_brackets_in_a_name_are_no_markup():
    bars = RichDisplay(None)._bars
    bars.add_task("vit [red]s[/x] size 100", total=1.0, note="[/] starting")
    terminal = io.StringIO()
    Console(file=terminal, width=120).print(bars)
    assert "vit [red]s[/x] size 100" in terminal.getvalue()
    assert "[/] starting" in terminal.getvalue()
