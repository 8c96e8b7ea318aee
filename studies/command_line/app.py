"""The command line, `python -m studies`: commands, their options and the exit codes.

Loading this module loads neither a backend nor anything large, so that `--help` answers at once.
"""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from studies.command_line import commands
from studies.command_line import models as model_commands
from studies.command_line.advise import AdviseOptions, advise
from studies.command_line.cached import CacheOptions, cache
from studies.command_line.check import CheckOptions, check
from studies.command_line.commands import DONE, INTERRUPTED, USAGE, StudyOptions, stop_talking
from studies.command_line.compare import CompareOptions
from studies.command_line.compare import compare as compare_runs
from studies.command_line.options import (
    DATASETS,
    RUNS,
    Address,
    Backend,
    Checkpoint,
    ExecutorName,
    FitOption,
    Groups,
    ImageSize,
    Imports,
    KeepModelsOption,
    KeptModel,
    LogFormat,
    LogFormatOption,
    Name,
    Results,
    RetryFailed,
    SkipBroken,
    StudyName,
    TensorBoard,
    Weights,
    Workers,
    here,
    option,
)
from studies.command_line.typed import Command, seeds_of, sizes_of, told, words
from studies.errors import UsageError
from studies.inspection import inspect as inspection

# As it was started: messages and records hold commands that can be copied.
PROGRAM = "vit-studies" if Path(sys.argv[0]).stem == "vit-studies" else "python -m studies"
EXIT_CODES = (
    "exit code 0: all done; 1: some trial failed; 2: wrong use; 130: interrupted, run it again"
)

app = typer.Typer(
    help="Learning curves, scaling laws and crossing points of image models.",
    epilog=EXIT_CODES,
    no_args_is_help=False,
    add_completion=False,
    rich_markup_mode=None,  # plain text: it answers faster, and is the same in a pipe
    pretty_exceptions_enable=False,
)


command = functools.partial(app.command, cls=Command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: those of the command line by default.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    typed = f"{PROGRAM} {shlex.join(given)}"
    try:
        code = app(args=given, prog_name=PROGRAM, obj=typed, standalone_mode=False)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except TyperException as error:
        print(f"error: {told(error, PROGRAM)}", file=sys.stderr)
        return USAGE
    return code if isinstance(code, int) else DONE


@command("list", epilog=EXIT_CODES)
def list_studies() -> None:
    """Print the built-in studies."""
    _end(commands.list_studies)


@command(epilog="exit code 0: it is written; 2: wrong use")
def init(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of the study; NAME.toml is written.")
    ],
) -> None:
    """Write a study file to begin with, in the folder one is in."""
    _end(commands.init, name, PROGRAM)


# One list of options for both: a planned command line runs by changing one word.
@command("run", epilog=EXIT_CODES, help="Run what is missing of a study, write its report.")
@command("plan", epilog=EXIT_CODES, help="Print a study's trials, their cost and what is done.")
def plan_or_run(
    context: typer.Context,
    study: StudyName,
    name: Name = None,
    results: Results = RUNS,
    dataset: Annotated[str | None, option(DATASETS, metavar="D")] = None,
    image_size: ImageSize = None,
    fit: FitOption = None,
    skip_broken: SkipBroken = False,
    groups: Groups = None,
    import_: Imports = None,
    sizes: Annotated[
        str | None, option("Numbers of training images, or auto.", metavar="N,N")
    ] = None,
    models: Annotated[
        str | None, option("The study's entries or published names.", metavar="A,B")
    ] = None,
    seeds: Annotated[str | None, option("Number of seeds, or auto.", metavar="N")] = None,
    steps: Annotated[int | None, option("Training steps of every trial.")] = None,
    backend: Annotated[
        str | None, option("tensorflow, jax, torch, or several of them.", metavar="B,B")
    ] = None,
    devices: Annotated[
        int | None, option("Devices that train one model together (1).", min=1)
    ] = None,
    executor: Annotated[ExecutorName, option("Where trials run.")] = ExecutorName.local,
    address: Address = None,
    workers: Workers = None,
    threads: Annotated[
        int | None, option("Threads a device (its share of the cores; on a cluster 1).")
    ] = None,
    gpus: Annotated[
        float | None, option("GPUs a device (those there are; on a cluster none).")
    ] = None,
    memory: Annotated[str | None, option("Memory a trial, such as 4GB.", metavar="AMOUNT")] = None,
    keep_models: KeepModelsOption = None,
    set_: Annotated[
        list[str] | None,
        option(
            "Any field of the study, such as recipe.learning_rate=3e-4; may be repeated.",
            "--set",
            metavar="KEY=VALUE",
        ),
    ] = None,
    retry_failed: RetryFailed = False,
    log_format: LogFormatOption = LogFormat.text,
    tensorboard: TensorBoard = False,
) -> None:
    options = StudyOptions(
        study=study,
        command=context.obj,
        name=name,
        results=results,
        dataset=dataset,
        image_size=image_size,
        fit=fit.value if fit else None,
        skip_broken=skip_broken or None,
        groups=groups,
        imports=import_,
        sizes=None if sizes is None else sizes_of(sizes),
        models=None if models is None else words(models),
        seeds=None if seeds is None else seeds_of(seeds),
        steps=steps,
        backends=None if backend is None else words(backend),
        keep_models=keep_models.value if keep_models else None,
        settings=set_ or [],
        devices=devices,
        executor=executor.value,
        address=address,
        workers=workers,
        threads=threads,
        gpus=gpus,
        memory=memory,
        retry_failed=retry_failed,
        log_format=log_format.value,
        tensorboard=tensorboard,
    )
    _end(commands.plan if context.info_name == "plan" else commands.run, options)


@command("check", epilog="exit code 0: as it should be; 1: run would refuse it; 2: wrong use")
def check_data(
    dataset: Annotated[str, typer.Argument(metavar="D", help=DATASETS)],
    image_size: ImageSize = None,
    fit: FitOption = None,
    skip_broken: SkipBroken = False,
    groups: Groups = None,
    import_: Imports = None,
) -> None:
    """Print what is known of a data set before anything is trained on it."""
    options = CheckOptions(
        dataset=dataset,
        program=PROGRAM,
        image_size=image_size,
        fit=fit.value if fit else "crop",
        skip_broken=skip_broken,
        groups=groups or "",
        imports=tuple(import_ or ()),
    )
    _end(check, options)


@command("advise", epilog=EXIT_CODES)
def advise_on_data(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(metavar="D", help=DATASETS)],
    budget: Annotated[str, option("Time from start to answer: 30m, 1h30m.", metavar="TIME")],
    target: Annotated[
        str | None, option("Accuracy to collect images for, such as 95%.", metavar="A")
    ] = None,
    cost_per_image: Annotated[float | None, option("Prices the target.", min=0)] = None,
    weights: Weights = None,
    json: Annotated[bool, option("Print JSON alone, for programs.", "--json")] = False,
    workers: Annotated[int | None, option("Trials at a time (one a core).", min=1)] = None,
    image_size: ImageSize = None,
    fit: FitOption = None,
    skip_broken: SkipBroken = False,
    groups: Groups = None,
    import_: Imports = None,
    name: Name = None,
    results: Results = RUNS,
    log_format: LogFormatOption = LogFormat.text,
) -> None:
    """Answer within a time: a ViT or a ResNet for these images, and what would more of them buy?"""
    reading = {
        "image_size": image_size,
        "fit": fit.value if fit else None,
        "skip_broken": skip_broken or None,
        "groups": groups,
        "imports": import_,
    }
    options = AdviseOptions(
        dataset=dataset,
        budget=budget,
        command=context.obj,
        results=results,
        target=target,
        cost_per_image=cost_per_image,
        json=json,
        workers=workers,
        reading=reading,
        weights=tuple(words(weights or "")),
        name=name,
        log_format=log_format.value,
    )
    _end(advise, options)


@command("cache")
def cached_data(
    remove: Annotated[str | None, option("What to remove: a name, or all.", metavar="NAME")] = None,
    unused_days: Annotated[
        float | None, option("Remove what was not used for so long.", metavar="N", min=0)
    ] = None,
) -> None:
    """Print what lies prepared in the cache, or remove some of it."""
    _end(cache, CacheOptions(remove, unused_days))


@command(epilog=EXIT_CODES)
def status(study: StudyName, name: Name = None, results: Results = RUNS) -> None:
    """Print what of a study is done, what is running and what failed."""
    _end(commands.status, StudyOptions(study, name=name, results=results))


@command(epilog=EXIT_CODES)
def report(study: StudyName, name: Name = None, results: Results = RUNS) -> None:
    """Write a results folder's report anew from its records."""
    _end(commands.report, StudyOptions(study, name=name, results=results))


@command(epilog="exit code 0: compared; 2: wrong use")
def compare(
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", help="A results folder, or its URL.")],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="Another one of the same study.")],
    output: Annotated[
        Any, option("Write compare.md and its figure there.", metavar="DIR", parser=here)
    ] = None,
    results: Results = RUNS,
) -> None:
    """Compare one study run twice: on two machines, backends or versions."""
    _end(compare_runs, CompareOptions((run_a, run_b), results, output))


@command(epilog=EXIT_CODES)
def bench(
    context: typer.Context,
    fit: Annotated[
        bool, option("Measure fit and data reading of the built-in models.", "--fit")
    ] = False,
    model: Annotated[
        str | None, option("Names (ViT-S/16), or small; with --fit STUDY/MODEL.", metavar="M,M")
    ] = None,
    mode: Annotated[str, option("train, inference, or both.", metavar="W,W")] = "train",
    image_size: Annotated[
        int | None, option("Pixels (224, small 32; with --fit its study's).", min=1)
    ] = None,
    batch_size: Annotated[
        str | None, option("Images a step (8, small 64; with --fit its study's).", metavar="N,N")
    ] = None,
    backend: Annotated[
        str | None, option("Those that are installed by default.", metavar="B,B")
    ] = None,
    dtype: Annotated[
        str, option("float32, mixed_bfloat16, mixed_float16, or several.", metavar="T,T")
    ] = "float32",
    rounds: Annotated[int, option("Turns of every contender.", min=1)] = 11,
    seconds: Annotated[float, option("Of a turn.")] = 4.0,
    threads: Annotated[int | None, option("One a core by default.", min=1)] = None,
    output: Annotated[Any, option("Folder of the files.", metavar="DIR", parser=here)] = RUNS
    / "bench",
) -> None:
    """Measure how fast models compute here, beside peers that are installed."""
    given = {name: value for name, value in locals().items() if name != "context"}
    from studies.bench import bench as bench_room  # which loads NumPy

    _end(bench_room.run, bench_room.Options(**given, command=context.obj))


@command(epilog=EXIT_CODES)
def inspect(
    checkpoint: Checkpoint,
    images: Annotated[
        str,
        option(
            "A folder of images, or a data set: shapes, fashion_mnist, a TFDS name, folder:PATH.",
            metavar="D",
        ),
    ],
    model: Annotated[
        str | None, option("The model that the weights are for, such as ViT-B/16.")
    ] = None,
    image_size: Annotated[int, option("Pixels of the images' sides, with --model.", min=1)] = 224,
    show: Annotated[int, option("Number of attention maps.", min=1)] = 6,
    count: Annotated[
        int, option("Images that the attention distance is averaged over.", min=1)
    ] = 128,
    backend: Annotated[Backend | None, option("KERAS_BACKEND, or Keras' own, by default.")] = None,
    name: Annotated[
        str | None,
        option(
            "Name of the results folder; by default inspect- and the checkpoint's name, or its "
            "folder's name for a trial's best.keras."
        ),
    ] = None,
    results: Results = RUNS,
) -> None:
    """Draw what a trained ViT attends to and has learned."""
    given = locals()
    given |= {"backend": backend.value if backend else None}
    # Where they lie is settled when they are opened.
    options = inspection.Options(**{**given, "checkpoint": Path(), "results": RUNS})
    _end(model_commands.inspect, options, checkpoint, results)


@command(epilog="exit code 0: all done; 1: some images cannot be read; 2: wrong use")
def predict(
    model: KeptModel,
    images: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Images, in folders or not, or one image.")
    ],
    csv: Annotated[Path | None, option("The table's file (stdout by default).", "--csv")] = None,
    all_classes: Annotated[
        bool, option("A column with the probability of each class.", "--all-classes")
    ] = False,
    backend: Annotated[Backend | None, option("KERAS_BACKEND, or Keras' own, by default.")] = None,
) -> None:
    """Classify new images with a trained model.

    One line an image: file, predicted, confidence.
    """
    given = locals()
    given |= {"backend": backend.value if backend else None}
    from studies.inspection import predict as prediction  # which loads pydantic

    _end(model_commands.predict, prediction.Options(**{**given, "model": Path()}), model)


def _end(command: Callable[..., int], *arguments: Any) -> None:
    """Run a command and end with its exit code."""
    try:
        code = command(*arguments)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:  # `| head` had enough
        stop_talking()
        code = DONE
    raise typer.Exit(code)
