"""What the commands on a study do; `studies.command_line.app` gives them their options.

Each imports what it needs when it runs, so that `--help` answers at once; none loads a backend.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from studies.errors import UsageError
from studies.shown import printable, printable_lines

if TYPE_CHECKING:
    from studies.executors import Executor
    from studies.records.place import Place
    from studies.running.estimate import Estimator
    from studies.running.runner import Plan
    from studies.study.study import Study

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


@dataclass
class StudyOptions:
    """A study, its results folder, and what differs from the study's file (None: nothing)."""

    study: str
    command: str | None = None  # the line that was typed
    name: str | None = None
    results: Path | str = Path("runs")  # or a URL
    dataset: str | None = None
    image_size: int | None = None
    fit: str | None = None
    skip_broken: bool | None = None
    groups: str | None = None
    imports: list[str] | None = None
    sizes: list[int] | str | None = None
    models: list[str] | None = None
    seeds: int | str | None = None
    steps: int | None = None
    backends: list[str] | None = None
    keep_models: str | None = None
    devices: int | None = None
    threads: int | None = None
    gpus: float | None = None
    memory: str | None = None
    settings: list[str] = field(default_factory=list)  # KEY=VALUE
    executor: str = "local"
    address: str | None = None
    workers: int | None = None
    retry_failed: bool = False
    log_format: str = "text"
    tensorboard: bool = False


def list_studies() -> int:
    """Print the built-in studies."""
    from studies.study import toml_files

    for name in toml_files.built_in():
        raw = toml_files.read(name)
        print(f"{name}: {raw.get('question', '')}")
        print(f"    {raw.get('command', '')}   ({raw.get('run_time', '')})")
    return DONE


def init(name: str, program: str = "python -m studies") -> int:
    """Write a study file to begin with; refuse to replace one."""
    from studies.study import file as study_file
    from studies.study.fields import EXAMPLE, template
    from studies.study.toml_files import built_in

    path = Path(name if name.endswith(".toml") else f"{name}.toml")
    if path.stem in built_in():
        raise UsageError(f"{path.stem!r} is the name of a built-in study: choose another one")
    study_file.validate({**tomllib.loads(EXAMPLE), "name": path.stem}, source=name)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template())
    except FileExistsError:
        raise UsageError(f"{path} is there already: choose another name, or remove it") from None
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror}): choose another place") from error
    print(f"{path} is written: edit it, then see what it would run with {program} plan {path}")
    return DONE


def plan(options: StudyOptions) -> int:
    """Print the trials of a study, what they cost and which are done."""
    from studies.command_line.check import head
    from studies.command_line.tables import plan_table
    from studies.records.place import opened
    from studies.running import epochs, matching, retrained, runner

    with opened(options.results) as place:
        checked = runner.make_plan(_study(options), place)
        estimator = _estimator(options, checked)
        print(head(checked.study))
        table = plan_table(checked, estimator, options.workers or 1, options.retry_failed)
        print(printable_lines(table))
        again = retrained.advice(checked, options.retry_failed)
        for told in filter(None, (matching.advice(checked), epochs.advice(checked), again)):
            print(f"note: {told}")
    return DONE


def run(options: StudyOptions) -> int:
    """Run what is missing of a study, then write its report."""
    from studies.command_line.json_lines import words_aside
    from studies.executors.choose import chosen
    from studies.records.place import opened

    study = _study(options)
    with opened(options.results) as place:
        place.check()  # before data are prepared, which may take long
        with chosen(study, options.executor, options.workers, options.address) as executor:
            if options.log_format == "text":
                return _run(options, place, executor)
            with words_aside() as lines:
                return _run(options, place, executor, lines)


def _run(
    options: StudyOptions, place: Place, executor: Executor, lines: TextIO | None = None
) -> int:
    from studies.command_line import progress
    from studies.command_line.check import head
    from studies.command_line.json_lines import silence
    from studies.running import retrained, runner

    with contextlib.nullcontext() if lines is None else silence():
        checked = runner.make_plan(_study(options), place)
    shown = progress.display(_estimator(options, checked), lines, options.tensorboard)
    try:
        with ended_cleanly():
            print(head(checked.study), flush=True)
            if again := retrained.advice(checked, options.retry_failed):
                print(f"note: {again}", flush=True)
            outcome = runner.run(checked, executor, shown, options.retry_failed)
    except (KeyboardInterrupt, OSError) as end:
        return broken_off(end, checked.address, in_words=lines is None)
    _write_report(place, checked.folder)
    if lines is None and outcome.failed:
        for record in outcome.failed:
            label = f"{record['model']} size {record['size']} seed {record['seed']}"
            told = f"failed: {label} {record['backend']}: {record.get('reason')}"
            print(printable(told), file=sys.stderr)
        print("--retry-failed runs the failed trials again", file=sys.stderr)
    return FAILED if outcome.failed else DONE


def broken_off(end: BaseException, address: str, in_words: bool = True) -> int:
    """Say how a run goes on that was broken off, and give its exit code.

    Args:
        end: what broke it off: an interruption, a reader that has gone, another run, or storage that is
            full or gone.
        address: of its results, for people.
        in_words: whether an interruption is told in words; what else goes wrong is so in any case.
    """
    from studies.running.lease import LeaseLost

    if isinstance(end, KeyboardInterrupt | BrokenPipeError):
        if isinstance(end, BrokenPipeError):
            stop_talking()
        if in_words:
            print(
                f"\nInterrupted. Finished trials are recorded in {address}; "
                f"the same command continues where this one stopped.",
                file=sys.stderr,
            )
        return INTERRUPTED
    reason = getattr(end, "strerror", None) or end
    if isinstance(end, LeaseLost):
        told = f"{reason}: that one goes on with what is left, and once it has ended the same command does so"
    else:
        told = (
            f"they cannot be read or written ({reason}): once that is mended, the same command continues "
            f"where this one stopped"
        )
    print(f"error: the results in {address}: {told}; finished trials are kept", file=sys.stderr)
    return FAILED


def status(options: StudyOptions) -> int:
    """Print how much of a results folder's study is done, and what failed."""
    from studies.command_line.tables import status_text
    from studies.records.place import opened

    with opened(options.results) as place:
        folder = _folder(options, place, whole=False)
        print(printable_lines(status_text(folder, place)))
    return DONE


def report(options: StudyOptions) -> int:
    """Write summary, report and figures of a results folder from its records."""
    from studies.records.place import opened

    with opened(options.results) as place:
        _report_on(place, _folder(options, place))
    return DONE


def _report_on(place: Place, folder: Path) -> None:
    from studies.report.report import newest_report

    written = newest_report(place, folder)
    figure = folder / "figures" / "accuracy.png"
    print(written.table)
    print(f"\nreport: {place.address(written.path)}")
    print(f"to send: {place.address(written.page)}")
    if figure.exists():
        print(f"figure: {place.address(figure)}")


def _write_report(place: Place, folder: Path) -> None:
    # The records are safe whatever happens here, and the exit code is theirs.
    try:
        _report_on(place, folder)
    except BrokenPipeError:  # it is written, and nobody wants to read its table
        stop_talking()
    except Exception as error:
        told = error if isinstance(error, UsageError) else repr(error)
        print(f"the report could not be written: {told}", file=sys.stderr)


def stop_talking(descriptor: int = 1) -> None:
    """Write no more to a stdout whose reader has gone, neither now nor at the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _study(options: StudyOptions) -> Study:
    from studies.study import file as study_file

    chosen = {key: value for key, value in vars(options).items() if value is not None}
    return study_file.resolve(options.study, chosen, options.settings)


def _folder(options: StudyOptions, place: Place, whole: bool = True) -> Path:
    """The results folder that a study's or a folder's name means."""
    from studies.study import toml_files

    names = [options.name] if options.name else [options.study, _results_name(options.study)]
    for name in names:
        place.fetch(name, whole=whole)
        folder = place.path / name
        if (folder / "study.toml").exists():
            if not options.name and options.study != folder.name:  # a path, not a name
                _refuse_another(Path(options.study).expanduser(), folder, options)
            return folder
    known = [name for name in place.names() if _is_study(place, name)]
    if not options.name and options.study not in known:
        toml_files.read(options.study)  # says so where there is no such study
    there = f"; there are: {', '.join(known)}" if known else ""
    raise UsageError(
        f"no results of {names[-1]!r} in {options.results}{there}; run it first, "
        f"or choose another folder with --results or another name with --name"
    )


def _refuse_another(given: Path, found: Path, options: StudyOptions) -> None:
    """Raise UsageError where a path was given of one results folder, and another of its name was found."""
    if (given / "study.toml").is_file() and not given.samefile(found):
        raise UsageError(
            f"{options.study} is not the {found.name} in {options.results}: say where it lies with --results "
            f"{given.parent}"
        )


def _is_study(place: Place, name: str) -> bool:
    try:
        return place.storage(name).read("study.toml") is not None
    except OSError:  # it may be, but is not asked for
        return False


def _results_name(study: str) -> str:
    """What the results of a study are called: by its file, or by the file's stem once it is gone.

    Of a folder the last part, with whatever follows a dot in it: `runs/lr0.1`.
    """
    from studies.study import toml_files

    path = Path(study).expanduser()
    if study in toml_files.built_in() or (path.suffix == ".toml" and path.is_file()):
        return str(toml_files.read(study)["name"])
    return path.stem if path.suffix == ".toml" else path.name


def _estimator(options: StudyOptions, checked: Plan) -> Estimator:
    from studies.executors.choose import local
    from studies.executors.resources import Resources
    from studies.records.checkpoints import is_trained
    from studies.running.estimate import Estimator, records_of

    study = checked.study
    here = options.executor == "local"
    asked = local(study, options.workers or 1) if here else Resources.on_a_cluster(study)
    counts = study.data.counts if study.data else {}
    others = {each.fingerprint: each.counts for each in study.other_data.values()}
    trained = partial(is_trained, checked.results)
    records = records_of(checked.results)
    return Estimator(records, asked.threads, counts, others, trained, study.devices)


@contextmanager
def ended_cleanly() -> Iterator[None]:
    """Let a request to terminate end the run as Ctrl-C does."""
    import signal

    def interrupt(signum: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
