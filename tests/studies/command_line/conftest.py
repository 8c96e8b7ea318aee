"""A study file and a results folder, and the commands on them, with trials that train nothing."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from studies.command_line import app as cli
from studies.command_line import commands, json_lines
from studies.executors import process
from studies.running import costs
from tests.studies.descriptions import image_folder, study_file
from tests.studies.fake_trial import COMMAND


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> str:
    return image_folder(tmp_path_factory.mktemp("data") / "images")


class Project:
    """A study file and a results folder, and the commands on them."""

    def __init__(self, path: Path, dataset: str, capsys) -> None:
        self.path, self.dataset, self.capsys = path, dataset, capsys
        self.results = path / "results"
        self.folder = self.results / "mine"
        self.write("done")

    def write(self, *models: str, **fields) -> None:
        self.file = study_file(self.path / "mine.toml", self.dataset, models, **fields)

    def __call__(self, command: str, *options: str) -> tuple[int, str, str]:
        arguments = [command, str(self.file), "--results", str(self.results), *options]
        code = cli.main(arguments)
        out, err = self.capsys.readouterr()
        return code, out, err

    def script(self, command: str) -> str:
        """A program that runs one command with trials that train nothing."""
        arguments = [command, str(self.file), "--results", str(self.results)]
        return f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from studies.command_line import app as cli
from studies.command_line import commands
from studies.executors import process
from tests.studies.fake_trial import COMMAND
process.TRIAL_COMMAND = COMMAND
commands._write_report = lambda place, folder: None
sys.exit(cli.main({arguments!r}))
"""

    def lines(self) -> list[dict]:
        text = (self.folder / "trials.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]


def written_until(last: int, project: Project, monkeypatch) -> int:
    """The exit code of a run of a project whose log's reader goes away before a line of it."""
    written: list[str] = []

    def write_line(out, event, **fields):
        written.append(event)
        if len(written) >= last:
            raise BrokenPipeError

    monkeypatch.setattr(json_lines, "write_line", write_line)
    for module in (json_lines, commands):
        monkeypatch.setattr(module, "stop_talking", lambda *_: None)
    with open(os.devnull, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        code = project("run", "--log-format", "json")[0]
    assert written[-1] == "run_ended"
    return code


def _count_here(requests: Mapping[str, Any], backend: str) -> dict[str, Any]:
    return {name: costs._build(request) for name, request in requests.items()}


@pytest.fixture
def project(tmp_path, dataset, capsys, monkeypatch) -> Project:
    monkeypatch.setattr(process, "TRIAL_COMMAND", COMMAND)
    # Else a process that loads TensorFlow for each model and shape; tests of `costs` start one.
    monkeypatch.setattr(costs, "_ask", _count_here)
    # There is nothing here to report on.
    monkeypatch.setattr(commands, "_write_report", lambda place, folder: None)
    return Project(tmp_path, dataset, capsys)
