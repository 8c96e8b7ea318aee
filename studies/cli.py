"""The command line: `python -m studies`.

Every command imports what it needs when it runs, so that `--help` answers at once; none of them
loads a backend.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies import bench, inspection
from studies.errors import UsageError

if TYPE_CHECKING:
    from studies.estimate import Estimator
    from studies.runner import Plan
    from studies.study import Study

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

EXIT_CODES = (
    "exit code 0: all done; 1: some trial failed; 2: wrong use; 130: interrupted, run it again"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: those of the command line by default.
    """
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `| head` had enough
        sys.stderr.close()
        return DONE


def list_studies(options: argparse.Namespace) -> int:
    """Print the built-in studies."""
    from studies import study_file

    for name in study_file.built_in():
        raw = study_file.read(name)
        print(f"{name}: {raw.get('question', '')}")
        print(f"    {raw.get('command', '')}   ({raw.get('run_time', '')})")
    return DONE


def plan(options: argparse.Namespace) -> int:
    """Print the trials of a study, what they cost and which are done."""
    from studies.tables import plan_table

    checked = _checked_plan(options)
    print(plan_table(checked, _estimator(options, checked), options.workers))
    return DONE


def run(options: argparse.Namespace) -> int:
    """Run what is missing of a study, then write its report."""
    from studies import progress, runner
    from studies.executors.local import LocalExecutor
    from studies.results_folder import check_permitted

    executor = LocalExecutor(options.workers, options.threads)
    check_permitted(options.results)  # before data are prepared, which may take long
    checked = _checked_plan(options)
    shown = progress.display(_estimator(options, checked))
    try:
        with _ended_cleanly():
            outcome = runner.run(checked, executor, shown, options.retry_failed)
    except KeyboardInterrupt:
        print(
            f"\nInterrupted. Finished trials are recorded in {checked.folder}; "
            f"the same command continues where this one stopped.",
            file=sys.stderr,
        )
        return INTERRUPTED
    _write_report(checked.folder)
    for record in outcome.failed:
        label = f"{record['model']} size {record['size']} seed {record['seed']}"
        print(f"failed: {label} {record['backend']}: {record.get('reason')}", file=sys.stderr)
    if outcome.failed:
        print("--retry-failed runs the failed trials again", file=sys.stderr)
    return FAILED if outcome.failed else DONE


def status(options: argparse.Namespace) -> int:
    """Print how much of a results folder's study is done, and what failed."""
    from studies.tables import status_text

    print(status_text(_folder(options)))
    return DONE


def report(options: argparse.Namespace) -> int:
    """Write summary, report and figures of a results folder from its records."""
    _report_on(_folder(options))
    return DONE


def _report_on(folder: Path) -> None:
    from studies.report import table, write_report

    path = write_report(folder)
    print(table(folder))
    print(f"\nreport: {path}")
    figure = folder / "figures" / "accuracy.png"
    if figure.exists():
        print(f"figure: {figure}")


def _write_report(folder: Path) -> None:
    # The records are safe whatever happens here, and the exit code is theirs.
    try:
        _report_on(folder)
    except Exception as error:
        print(f"the report could not be written: {error!r}", file=sys.stderr)


def _checked_plan(options: argparse.Namespace) -> Plan:
    from studies import runner

    return runner.make_plan(_study(options), options.results)


def _study(options: argparse.Namespace) -> Study:
    from studies import study_file

    chosen = {key: value for key, value in vars(options).items() if value is not None}
    return study_file.resolve(options.study, chosen, options.set or [])


def _folder(options: argparse.Namespace) -> Path:
    """The results folder that a study's or a folder's name means."""
    from studies import study_file

    names = [options.name] if options.name else [options.study, Path(options.study).stem]
    for name in names:
        folder = options.results.expanduser().resolve() / name
        if (folder / "study.toml").exists():
            return folder
    known = sorted(path.parent.name for path in options.results.glob("*/study.toml"))
    if not options.name and options.study not in known:
        study_file.read(options.study)  # says so where there is no such study
    there = f"; there are: {', '.join(known)}" if known else ""
    raise UsageError(
        f"no results of {names[-1]!r} in {options.results}{there}; run it first, "
        f"or choose another folder with --results or another name with --name"
    )


def _estimator(options: argparse.Namespace, checked: Plan) -> Estimator:
    from studies.estimate import Estimator, records_of
    from studies.executors.local import LocalExecutor

    threads = LocalExecutor(options.workers, options.threads).threads
    counts = checked.study.data.counts if checked.study.data else {}
    return Estimator(records_of(checked.results), threads, counts)


@contextmanager
def _ended_cleanly() -> Iterator[None]:
    """Let a request to terminate end the run as Ctrl-C does."""
    import signal

    def interrupt(signum: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m studies",
        description="Learning curves, scaling laws and crossing points of image models.",
        epilog=EXIT_CODES,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _command(commands, "list", list_studies)
    for name, function in {"plan": plan, "run": run}.items():
        command = _command(commands, name, function)
        _folder_options(command)
        _study_options(command)
    commands.choices["run"].add_argument(
        "--retry-failed", action="store_true", help="run the trials that failed again"
    )
    for name, function in {"status": status, "report": report}.items():
        _folder_options(_command(commands, name, function))
    bench.add_options(_command(commands, "bench", bench.run))
    inspection.add_options(_command(commands, "inspect", inspection.run))
    return parser


def _command(commands: Any, name: str, function: Callable[..., int]) -> argparse.ArgumentParser:
    summary = (function.__doc__ or "").splitlines()[0]
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=summary, epilog=EXIT_CODES
    )
    command.set_defaults(command=function)
    return command


def _folder_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("study", metavar="STUDY", help="a built-in study, or a TOML file's path")
    command.add_argument("--name", help="name of the results folder (default: the study's)")
    command.add_argument(
        "--results", metavar="DIR", type=Path, default=Path("runs"), help="default: runs"
    )


def _study_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--dataset", metavar="D", help="shapes, fashion_mnist, a TFDS name, or folder:PATH")
    add("--image-size", metavar="N", type=int, help="pixels of the images' sides")
    add("--sizes", metavar="N,N", type=_integers, help="numbers of training images")
    add("--models", metavar="A,B", type=_words, help="the study's entries or published names")
    add("--seeds", metavar="N", type=int, help="number of seeds")
    add("--steps", metavar="N", type=int, help="training steps of every trial")
    add(
        "--backend",
        metavar="B,B",
        type=_words,
        dest="backends",
        help="tensorflow, jax, torch, or several of them",
    )
    add("--executor", choices=["local"], default="local", help="where trials run")
    add("--workers", metavar="N", type=int, default=1, help="trials at a time (default: 1)")
    add("--threads", metavar="N", type=int, help="threads a trial (default: cores / workers)")
    add(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        help="any field of the study, such as recipe.learning_rate=3e-4; may be repeated",
    )


def _integers(text: str) -> list[int]:
    try:
        return [int(word.replace("_", "")) for word in _words(text)]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected whole numbers with commas between them, not {text!r}"
        ) from None


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
