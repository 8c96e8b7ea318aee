"""The command line, driven in this process with trials that train nothing."""

import errno
import fcntl
import importlib.util
import json
import os
import pty
import re
import resource
import shlex
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from studies.command_line import app as cli
from studies.command_line import commands
from studies.command_line.progress import PlainDisplay
from studies.machine.storage import Folder
from studies.records.store import ResultsStore
from studies.running.lease import held
from studies.study.file import read_resolved
from tests.studies.descriptions import image_folder

pytestmark = pytest.mark.once

WRITE_REPORT = commands._write_report
FIELDS = {
    *("schema", "trial_id", "pretrain_id", "study", "dataset", "model", "size", "seed"),
    *("backend", "status", "metrics", "flops", "params", "steps", "seconds"),
    *("images_per_second", "waiting", "history", "versions", "device", "threads", "commit"),
    *("image_shape", "num_classes", "base", "batch_size", "cores", "processes", "best_step"),
}


def test_run_plan_and_status_agree(project):
    code, out, _ = project("plan")
    assert code == 0 and "2 trials, 0 done" in out and "assumed" in out
    assert out.startswith(f"{project.dataset}: 36 images in 3 classes of 12\n")
    header, row = out.partition("results: ")[2].splitlines()[2:4]
    assert header.split()[4:] == ["steps", "MFLOPs", "parameters", "time", "state"]
    assert row.split()[:4] == ["done", "3", "0", "tensorflow"] and row.endswith("10 s  -")
    # A model has some hundred weights: what counts is the rest of its file, a tenth of a megabyte.
    assert f"disk: 1 models kept in {project.folder / 'models'}, 10" in out
    assert not project.results.exists(), "a plan writes nothing"
    code, out, err = project("run")
    assert code == 0, err
    assert "2 of 2 trials to run" in out and "2/2 done size 6 seed 0" in out
    assert {line["status"] for line in project.lines()} == {"done"}
    assert all(line["flops"] > 0 and line["params"] > 0 for line in project.lines())
    logs = [(project.folder / line["log"]).read_text() for line in project.lines()]
    assert all("a word on stderr" in log for log in logs)
    assert (project.folder / "study.toml").exists()
    assert len(list((project.folder / "logs").glob("*.log"))) == 2
    assert project("status")[1].startswith("mine: 2 of 2 trials done")
    assert "2 trials, 2 done" in project("plan")[1]


def test_a_second_run_has_nothing_to_do_and_more_of_everything_extends(project):
    project("run")
    before = project.lines()
    code, out, _ = project("run")
    assert code == 0 and "all 2 trials are finished already" in out
    assert project.lines() == before
    code, out, _ = project("run", "--seeds", "2", "--sizes", "3,6,9")
    assert code == 0 and "4 of 6 trials to run, 2 finished already" in out
    # A run of less leaves the folder's grid as large as it is.
    assert project("run", "--sizes", "3")[0] == 0
    assert project("status")[1].startswith("mine: 6 of 6 trials done")
    project.write("done", "noisy")
    assert "2 of 4 trials to run" in project("run")[1]


def test_a_folder_of_a_built_in_study_goes_on_with_its_own_models_and_backends(
    tmp_path, capsys, monkeypatch, project
):
    def run(*options):
        code = cli.main(["run", "quick", "--results", str(tmp_path / "runs"), *options])
        out, err = capsys.readouterr()
        assert code == 0, err
        return out

    options = ("--models", "vit-xs", "--backend", "torch", "--sizes", "60", "--seeds", "1")
    assert "1 of 1 trials to run" in run(*options)
    found = importlib.util.find_spec
    monkeypatch.setattr(  # nothing is asked of the backend that the study proposes
        "importlib.util.find_spec", lambda name: None if name == "tensorflow" else found(name)
    )
    assert "1 of 2 trials to run, 1 finished already" in run("--seeds", "2")
    written = read_resolved(tmp_path / "runs" / "quick")
    assert list(written.models) == ["vit-xs"] and written.backends == ("torch",)
    assert "2 of 4 trials to run" in run("--models", "vit-xs,bit-xs")


def test_what_nobody_chose_follows_the_data_and_stays(project, tmp_path):
    dataset = image_folder(tmp_path / "more", images=20)
    project.write("done", sizes="'auto'", seeds="'auto'")
    text = project.file.read_text().replace("image_size = 8\n", "")
    project.file.write_text(text.replace("steps = 4", "steps = 400\nmax_epochs = 2"))
    out = project("plan", "--dataset", dataset, "--models", "done")[1]
    # 14 of the 20 images of each of three classes train; they are as small as images can be.
    rows = [line.split()[1:5] for line in out.splitlines() if line.startswith("done ")]
    sizes, steps = ("5", "10", "21", "42"), ("3", "5", "11", "21")  # batches of four
    assert "images 32x32x3" in out
    assert rows == [
        [size, str(seed), "tensorflow", step]
        for seed in range(5)
        for size, step in zip(sizes, steps, strict=True)
    ]
    options = ("--dataset", dataset, "--set", "seeds=1")
    assert project("run", *options, "--sizes", "6,8", "--image-size", "16")[0] == 0
    written = read_resolved(project.folder)
    assert (written.sizes, written.seeds, written.image_size) == ((6, 8), 1, 16)
    # The folder's own sizes, seeds and image size, and not what the data would give.
    out = project("run", "--dataset", dataset)[1]
    assert "all 2 trials are finished already" in out
    assert "2 of 4 trials to run" in project("run", "--dataset", dataset, "--seeds", "2")[1]
    assert read_resolved(project.folder).sizes == (6, 8)


def typed(project) -> list[str]:
    """The commands that a results folder says it was made by."""
    return read_resolved(project.folder).command.splitlines()


def test_the_commands_that_were_typed_are_kept_and_refuse_nothing(project):
    given = [str(project.file), "--results", str(project.results), "--set", "evaluation.l2 = 2"]
    options = given[3:]
    first = "python -m studies run " + shlex.join(given)
    project("plan", *options)
    assert project("run", *options)[0] == 0
    assert typed(project) == [first]
    before = project.lines()
    for _ in range(2):  # the same grid by another command line: nothing is run again
        assert project("run", *options, "--workers", "2")[0] == 0
    assert project.lines() == before
    assert typed(project) == [first, f"{first} --workers 2"]


def test_a_folder_keeps_the_question_of_all_its_models(project):
    project.write("done", "noisy")
    for options in (["--models", "done"], [], ["--models", "noisy"]):
        assert project("run", "--sizes", "3", *options)[0] == 0
        question = read_resolved(project.folder).question
        assert question == ("" if options == ["--models", "done"] else "Does it run?")


def test_failures_are_recorded_named_and_retried_only_when_asked(project):
    project.write("fails", "done", "dies")
    code, out, err = project("run", "--workers", "2", "--sizes", "3")
    assert code == 1
    assert "failed: fails size 3 seed 0 tensorflow: loss became NaN" in err
    assert "failed: dies size 3" in err and "SIGKILL" in err
    assert sorted(line["status"] for line in project.lines()) == ["done", "failed", "failed"]
    assert all(set(line) >= FIELDS for line in project.lines())
    assert "1 of 3 trials done, 2 failed" in project("status")[1]
    code, out, err = project("run", "--sizes", "3")
    assert code == 1 and "failed: fails" in err and len(project.lines()) == 3
    assert "2 failed, 0 to run; about 0 s" in project("plan", "--sizes", "3")[1]
    assert "2 failed, 2 to run" in project("plan", "--sizes", "3", "--retry-failed")[1]
    code, out, _ = project("run", "--sizes", "3", "--retry-failed")
    assert code == 1 and "2 of 3 trials to run" in out and len(project.lines()) == 5


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--steps", "5"], "recipe (steps 4, not 5)"),
        (["--image-size", "4"], "image size (8x8x3, not 4x4x3)"),
        (["--set", "evaluation.l2=1"], "evaluation (l2 1024.0, not 1.0)"),
        (["--set", "models.done.learning_rate=1"], "model 'done' (learning_rate None, not 1.0)"),
    ],
)
def test_a_folder_of_another_study_is_refused(project, options, word):
    project("run", "--sizes", "3")
    before = project.lines()
    code, _, err = project("run", "--sizes", "3", *options)
    assert code == 2 and word in err and "--results" in err and "--name" in err
    assert err.splitlines()[-1].startswith("error: ") and project.lines() == before
    assert project("run", "--sizes", "3", *options, "--name", "other")[0] == 0


def test_the_same_images_elsewhere_are_the_same_data(project, tmp_path):
    project("run")
    before = project.lines()
    copy = image_folder(tmp_path / "copy")
    code, out, err = project("run", "--dataset", copy)
    assert code == 0 and "all 2 trials are finished already" in out, err
    assert project.lines() == before and read_resolved(project.folder).dataset == copy


def test_another_reading_of_the_images_is_refused(project):
    project("run", "--sizes", "3", "--fit", "pad")
    assert read_resolved(project.folder).reading.fit == "pad"
    for options, word in (
        (["--fit", "crop"], "fit pad, not crop"),
        (["--skip-broken"], "skip_broken False, not True"),
        (["--groups", "([0-9])"], "groups none, not ([0-9])"),
    ):
        code, _, err = project("run", "--sizes", "3", *options)
        assert code == 2 and f"another reading of the images ({word})" in err and "--name" in err
    assert project("run", "--sizes", "6")[0] == 0  # what is not said is as it was
    assert read_resolved(project.folder).reading.fit == "pad"


def test_another_data_set_in_a_folder_is_refused(project, tmp_path):
    project("run", "--sizes", "3")
    other = image_folder(tmp_path / "other", classes=4)
    code, _, err = project("run", "--sizes", "4", "--dataset", other)
    assert code == 2 and "another data set" in err and "--name" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--models", "dne"], ["'dne'", "did you mean 'done'"]),
        (["--sizes", "3,100000"], ["100000", "larger"]),
        (["--sizes", "2"], ["2", "one image a class"]),
        (["--sizes", "3,x"], ["whole numbers", "auto", "'3,x'"]),
        (["--seeds", "few"], ["whole number", "auto", "'few'"]),
        (["--seeds", "²"], ["whole number", "auto", "'²'"]),
        (["--seeds=--5"], ["whole number", "auto", "'--5'"]),
        (["--seeds", "9" * 5000], ["whole number", "auto"]),
        (["--set", "models.done.overrides.x=1979-05-27"], ["the date 1979-05-27", "in quotes"]),
        (["--seeds", "-1"], ["seeds must be at least 1"]),
        (["--models", "done", "--models", "x"], ["--models is given 2 times", "--models A,B"]),
        (["--dataset", "folder:/no/such/place"], ["/no/such/place"]),
        (["--dataset", "folder:"], ["image folder ''", "folder:PATH"]),
        (["--results", ""], ["--results is empty", "--results runs"]),
        (["--backend", "jx"], ["'jx'", "tensorflow, jax, torch"]),
        (["--workers", "0"], ["--workers", "at least 1"]),
        (["--set", "models.done.overrides.num_head=2"], ["'done' cannot be built", "num_head"]),
        (["--set", "recipe.stepz=2"], ["recipe.stepz", "'steps'"]),
        (["--executor", "moon"], ["--executor: 'moon'", "local", "run --help"]),
        (["--fit", "stretch"], ["--fit: 'stretch' is not one of 'crop', 'pad', 'squash'; see "]),
        (["--image-size", "0"], ["--image-size: must be at least 1; see "]),
        (["--workers", "1.5"], ["--workers: must be a whole number; see "]),
        (["--address", "a:1"], ["--address is for clusters", "--executor"]),
        (["--gpus", "1000"], ["1000 GPUs", "there are", "--gpus", "--executor"]),
        (["--executor", "ray", "--threads", "0"], ["resources.threads", "at least 1"]),
        (["--executor", "ray", "--gpus", "1.5"], ["gpus 1.5", "a part of 1, or a whole number"]),
        (["--executor", "ray", "--memory", "4"], ["memory 4", "4GB"]),
        (["--devices", "3"], ["recipe.batch_size 4 of 'done'", "the 3 devices", "--devices"]),
        (["--devices", "2", "--set", "model_parallel=2"], ["is for JAX", "--backend jax"]),
        (["--devices", "2", "--set", "device_processes=2"], ["is for JAX", "--backend jax"]),
        (
            ["--executor", "ray", "--address", "127.0.0.1:9"],
            ["no Ray cluster answers", "ray start"],
        ),
        (["--executor", "ray", "--address", "a:²"], ["is no Ray cluster's", "HOST:PORT"]),
        (["--executor", "slurm", "--address", "a:1"], ["--address is for Ray"]),
    ],
)
def test_wrong_use_is_one_sentence_and_writes_nothing(project, options, words):
    code, _, err = project("run", *options)
    assert code == 2
    assert all(word in err for word in words), err
    said = [line for line in err.strip().splitlines() if not line.startswith("Preparing ")]
    assert len(said) == 1 and said[0].startswith("error: ")
    assert not project.results.exists()


def test_a_backend_that_is_not_installed_is_named(project, monkeypatch):
    found = cli.sys.modules["importlib.util"].find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "jax" else found(name)
    )
    code, _, err = project("run", "--backend", "jax")
    assert code == 2 and "jax is not installed" in err and "--backend" in err
    assert not project.results.exists()


def test_an_unwritable_results_folder_is_named(project):
    project.results.write_text("a file where a folder should be")
    code, _, err = project("run")
    assert code == 2 and "not a folder" in err and "--results" in err
    project.results.unlink()
    project.results = Path("/proc/results")  # nobody may create a folder there, not even root
    code, _, err = project("run")
    assert code == 2 and "/proc/results" in err and "--results" in err


def test_a_full_disk_is_one_sentence_and_the_same_command_goes_on(project, monkeypatch):
    append = ResultsStore.append

    def refuse(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    def full(store, record):
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", refuse)  # the last thing that appending a record does
            append(store, record)

    assert project("plan")[0] == 0  # the data are prepared while there is room
    with monkeypatch.context() as patch:
        patch.setattr(ResultsStore, "append", full)
        code, _, err = project("run", "--sizes", "3")
    assert code == 1 and len(err.strip().splitlines()) == 1
    assert "No space left on device" in err and "same command continues" in err
    assert project("run", "--sizes", "3")[0] == 0


def test_records_on_a_disk_that_fails_are_one_sentence_and_none_is_lost(project):
    assert project("run", "--sizes", "3")[0] == 0
    lines, file = project.lines(), project.folder / "trials.jsonl"
    file.rename(project.folder / "aside")
    file.symlink_to("/proc/self/mem")  # reading it is an input/output error
    for command in ("status", "report", "run"):
        code, _, err = project(command)
        assert code == 2 and len(err.strip().splitlines()) == 1
        assert "trials.jsonl (Input/output error): repair it, or choose another --results" in err
    (project.folder / "aside").replace(file)
    assert project("run", "--sizes", "3")[0] == 0 and project.lines() == lines


def test_a_report_that_cannot_be_written_is_told_and_the_run_counts(project, monkeypatch):
    monkeypatch.setattr(commands, "_write_report", WRITE_REPORT)
    project.folder.mkdir(parents=True)
    (project.folder / "report.md").mkdir()
    code, _, err = project("run", "--sizes", "3")
    assert code == 0 and len(project.lines()) == 1
    assert "the report could not be written: cannot write the report to" in err


def test_a_second_run_at_once_is_refused(project):
    with held(Folder(project.folder), "there"):
        code, _, err = project("run")
    assert code == 2 and f"another run is at work in {project.folder}" in err
    assert f"(process {os.getpid()} on {socket.gethostname()})" in err
    assert not (project.folder / "trials.jsonl").exists()


def test_what_cannot_be_read_is_no_known_study(project):
    (project.results / "other" / "study.toml").mkdir(parents=True)
    code, _, err = project("status")
    assert code == 2 and err.startswith("error: no results of 'mine'") and err.count("\n") == 1


def test_storage_that_fails_is_named_with_what_to_do(capsys):
    error = OSError(errno.ENOSPC, "No space left on device")
    assert commands.broken_off(error, "s3://bucket/runs/mine", in_words=False) == 1
    assert capsys.readouterr().err == (
        "error: the results in s3://bucket/runs/mine: they cannot be read or written (No space left on "
        "device): once that is mended, the same command continues where this one stopped; finished "
        "trials are kept\n"
    )


def test_a_run_that_another_one_took_over_writes_no_more(project, monkeypatch):
    others = b'{"time": 0}'

    def lose(display, trial, event):
        if event["event"] == "record":
            Folder(project.folder).put_new(".lease/99.json", b"of another machine")
            (project.folder / "running.json").write_bytes(others)

    with monkeypatch.context() as patch:
        patch.setattr(PlainDisplay, "event", lose)
        code, _, err = project("run")
    assert code == 1 and f"the results in {project.folder}: another run took them over" in err
    assert "once it has ended the same command" in err and "mended" not in err
    assert "Traceback" not in err and len(project.lines()) == 1
    assert (project.folder / "running.json").read_bytes() == others
    monkeypatch.setattr("studies.running.lease.STALE_SECONDS", 0.1)
    code, out, _ = project("run")
    assert code == 0 and "1 of 2 trials to run" in out


def test_an_interrupted_run_says_how_to_go_on_and_goes_on(project, monkeypatch):
    append = ResultsStore.append

    def append_then_interrupt(store, record):
        append(store, record)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ResultsStore, "append", append_then_interrupt)
        code, _, err = project("run")
    assert code == 130 and "same command continues" in err
    assert len(project.lines()) == 1
    code, out, _ = project("run")
    assert code == 0 and "1 of 2 trials to run" in out


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_a_driver_that_is_asked_to_stop_stops_its_trials(project, asked):
    project.write("hangs")
    driver = subprocess.Popen(
        [sys.executable, "-c", project.script("run")], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not (pids := [int(p.read_text() or 0) for p in project.results.glob("*.pid")]):
        assert time.monotonic() < deadline and driver.poll() is None
        time.sleep(0.05)
    driver.send_signal(asked)
    _, err = driver.communicate(timeout=30)
    assert driver.returncode == 130 and "same command continues" in err
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_status_tells_from_elsewhere_what_is_running_and_what_was_killed(project):
    project.write("hangs")
    driver = subprocess.Popen([sys.executable, "-c", project.script("run")])
    deadline = time.monotonic() + 120
    try:
        while "step 0/4" not in (out := project("status")[1] if project.folder.exists() else ""):
            assert time.monotonic() < deadline and driver.poll() is None
            time.sleep(0.2)
    finally:
        driver.kill()
        driver.wait()
    lines = out.splitlines()
    assert lines[0] == "mine: 0 of 2 trials done"
    assert re.fullmatch(
        rf"running \(process {driver.pid} on \S+\), 0 of 2 trials of this run ended, "
        r"about \d+ s left, until \d\d:\d\d; \d+ s ago:",
        lines[1],
    )
    assert re.fullmatch(r"  hangs size 3 seed 0 tensorflow: step 0/4, about \d+ s left", lines[2])
    out = project("status")[1]
    assert f"not running: the last run (process {driver.pid} on " in out and "step" not in out
    project.write("done")
    project("run")  # other models in the same folder: its end takes the notice away
    assert "running" not in project("status")[1]


def test_a_reader_that_went_away_interrupts_a_run(project):
    driver = subprocess.Popen(
        [sys.executable, "-c", project.script("run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    driver.stdout.close()  # as `| head` does
    err = driver.stderr.read()
    driver.stderr.close()
    assert driver.wait(60) == 130 and "same command continues" in err
    assert "Traceback" not in err and "BrokenPipe" not in err
    code, _, _ = project("run")
    assert code == 0 and project("status")[1].startswith("mine: 2 of 2")


def test_a_reader_that_went_away_ends_a_listing_quietly(project):
    project("plan")  # prepares the data, which is told on stderr
    driver = subprocess.Popen(
        [sys.executable, "-c", project.script("plan")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    driver.stdout.close()
    assert driver.stderr.read() == "" and driver.wait(60) == 0
    driver.stderr.close()


def test_a_known_folder_without_records_reports_none_done(project):
    project("run")
    (project.folder / "trials.jsonl").unlink()
    code, out, _ = project("status")
    assert code == 0 and "0 of 2" in out


def test_an_unknown_folder_or_study_is_named(project, capsys):
    code, _, err = project("status")
    assert code == 2 and "no results of 'mine'" in err
    assert cli.main(["status", "data-scal", "--results", str(project.results)]) == 2
    assert "did you mean 'data-scale'" in capsys.readouterr().err


def test_results_are_found_by_name_of_study_or_folder(project, capsys):
    project("run", "--name", "elsewhere")
    assert cli.main(["status", "elsewhere", "--results", str(project.results)]) == 0
    assert "elsewhere: 2 of 2" in capsys.readouterr().out
    code, _, err = project("status")
    assert code == 2 and "elsewhere" in err
    assert project("status", "--name", "elsewhere")[0] == 0


def test_a_folder_is_found_by_its_path_and_none_is_taken_for_another(project, capsys, monkeypatch):
    for name in ("lr0", "lr0.1"):
        assert project("run", "--sizes", "3", "--name", name)[0] == 0
    monkeypatch.chdir(project.path)

    def status(study, results="results"):
        code = cli.main(["status", study, "--results", results])
        out, err = capsys.readouterr()
        return code, out.partition(":")[0], err

    for study in ("lr0.1", "results/lr0.1", "results/lr0.1/", str(project.results / "lr0.1")):
        assert status(study)[:2] == (0, "lr0.1")
    assert status("results/lr0")[:2] == status("lr0.toml")[:2] == (0, "lr0")
    (project.results / "lr0.1").rename(project.path / "lr0.1")
    code, _, err = status("results/lr0.1")
    assert code == 2 and "unknown study 'results/lr0.1'" in err
    # Of the same name, elsewhere.
    (project.path / "lr0.1").rename(project.path / "lr0")
    code, _, err = status("./lr0", str(project.results))
    assert code == 2 and "lr0 is not the lr0 in " in err and "--results ." in err
    assert status("./lr0", ".")[:2] == (0, "lr0.1")


def test_results_are_found_by_the_name_in_the_studys_file(project):
    project.write("done", name="'mine_too'")
    project("run", "--sizes", "3")
    assert project("status")[1].startswith("mine_too: 1 of 1")
    project.write("done", name="'another'")
    code, _, err = project("status")
    assert code == 2 and "no results of 'another'" in err and "there are: mine_too" in err


def test_cells_that_do_not_divide_the_images_are_refused(project):
    code, _, err = project("plan", "--set", "recipe.scramble=3")
    assert code == 2 and "recipe.scramble 3: images of 8 x 8 pixels" in err and "1, 2, 4" in err


def test_list_names_every_built_in_study(capsys):
    assert cli.main(["list"]) == 0
    assert "data-scale: " in capsys.readouterr().out


def test_what_init_writes_is_planned(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "mine"]) == 0
    assert cli.main(["plan", "mine.toml", "--dataset", "shapes:1000", "--sizes", "2000"]) == 2
    assert cli.main(["plan", "mine.toml", "--dataset", "shapes:1000"]) == 0
    out = capsys.readouterr().out
    assert "24 trials, 0 done" in out and "vit  " in out and "resnet  " in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.toml"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("there", "there.toml is there already"),
        ("quick", "'quick' is the name of a built-in study"),
        ("a b", "letters, digits"),
        ("no/such/place", "cannot write no/such/place.toml"),
    ],
)
def test_init_replaces_nothing(name, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.toml").write_text("mine")
    assert cli.main(["init", name]) == 2
    assert words in capsys.readouterr().err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_records_of_a_torn_file_are_counted_and_the_tear_is_told(project):
    project("run")
    with (project.folder / "trials.jsonl").open("a") as file:
        file.write('{"schema": 1, "trial')
    code, out, _ = project("status")
    assert code == 0 and "2 of 2" in out and "line 3" in out


def test_times_are_estimated_from_finished_trials_of_this_machine(project):
    from studies.machine.devices import cpu_name
    from studies.machine.threads import cores

    project("run")
    lines = project.lines()
    with (project.folder / "trials.jsonl").open("a") as file:
        for line in lines:
            line |= {"images_per_second": 16 / 60, "device": f"cpu ({cpu_name()})"}
            file.write(json.dumps({**line, "threads": len(cores())}) + "\n")
    out = project("plan", "--seeds", "2")[1]
    assert "finished trials of the same models" in out
    (told,) = [line for line in out.splitlines() if " to run;" in line]
    assert "min" in told  # 16 images a trial at 16 a minute, and the evaluation


def test_no_command_of_the_driver_loads_a_backend(project):
    project("run")
    script = f"""
import sys
from studies.command_line import app as cli
# The trials are finished, so that `run` goes on to the report.
for command in ("list", "plan", "run", "status", "report"):
    target = [] if command == "list" else [{str(project.file)!r}, "--results", {str(project.results)!r}]
    assert cli.main([command, *target]) == 0
loaded = {{"keras", "tensorflow", "jax", "torch"}} & set(sys.modules)
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_answers_at_once():
    script = """
import sys
from studies.command_line import app as cli
assert cli.main(["--help"]) == 0
heavy = {"keras", "tensorflow", "jax", "torch", "numpy", "pandas", "matplotlib", "pydantic", "rich"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0 and "Usage: " in done.stdout, done.stderr
    # CPU time, which no other load on the machine moves much.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_list_loads_no_classes_of_a_study():
    script = """
import sys
from studies.command_line import app as cli
assert cli.main(["list"]) == 0
heavy = {"keras", "tensorflow", "jax", "torch", "numpy", "pandas", "matplotlib", "rich"}
assert not (heavy | {"studies.study.study"}) & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0 and "data-scale: At how many" in done.stdout, done.stderr


@pytest.mark.parametrize("command", ["plan", "run"])
def test_plan_and_run_take_the_same_options(command, capsys):
    assert cli.main([command, "--help"]) == 0
    text = capsys.readouterr().out
    for option in (
        *("--name", "--results", "--dataset", "--image-size", "--sizes", "--models", "--seeds"),
        *("--steps", "--backend", "--executor", "--workers", "--threads", "--set"),
        "--retry-failed",
    ):
        assert f"  {option} " in text, option


def on_a_terminal(script: str, columns: int, term: str) -> bytes:
    main, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=child,
        stderr=child,
        env={**environment, "TERM": term},
    )
    os.close(child)
    shown = b""
    while True:
        try:
            shown += os.read(main, 4096)
        except OSError:  # the other end is closed
            break
    os.close(main)
    assert process.wait() == 0, shown.decode()
    return shown


@pytest.mark.parametrize("columns", [45, 60, 160])
def test_progress_bars_in_a_terminal(project, columns):
    shown = on_a_terminal(project.script("run"), columns, "xterm")
    assert b"100 % all 2 trials" in shown and b"0 s left, 2/2 ended" in shown
    # A narrow terminal has no room for bars beside the words.
    assert ("\u2501".encode() in shown) == (columns > 100)
    assert b"test top-1 0.5000" in shown


def test_plain_lines_in_a_dumb_terminal(project):
    shown = on_a_terminal(project.script("run"), 160, "dumb")
    assert b"start   done size 3" in shown and b"\x1b" not in shown
