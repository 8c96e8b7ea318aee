"""Do the intervals hold what they say, and does the verdict name the right model? By simulation.

    python -m studies.analysis.coverage --output results/coverage
    python -m studies.analysis.coverage --output results/coverage --stopping

Thousands of small studies are run from beginning to end, each with a folder of images of its own
(`studies.analysis.simulated_studies`), and their 90 % intervals and verdicts are held against the
truth: for equal models a difference of 0, otherwise the mean over all studies, which is fifty times
as exact as one study. The second command runs studies that stop once their verdict is settled, as those of
`advise` do. Exit code 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from studies.analysis.intervals import accuracy_of, difference_of
from studies.analysis.outcomes import Scores
from studies.analysis.simulated_studies import World
from studies.analysis.stopping import MOST_SEEDS, settled

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.9
SEEDS = (2, 3, 5)
KINDS = ("accuracy", "equal", "unequal")
SEQUENTIAL = (
    3,
    5,
    10,
)  # seeds at most, where they stop with the verdict; beyond MOST_SEEDS to see why

# The bars: of nominal 90 %.
LOWEST, HIGHEST, FEW_ERRORS = 0.86, 0.97, 10  # in every cell; above HIGHEST only with few errors
MEAN = (0.88, 0.95)  # over all cells
FALSE_WINNER, WRONG_WINNER = 0.12, 0.05  # of equal models, and of unequal ones


def worlds() -> dict[str, World]:
    """The studies that are simulated, by name.

    A test set drawn anew is a fifth of the folder, of which 70 % are trained on. Beside an official
    one, every training set has nine tenths of the pool, or all of it ("whole"). "Early" is a small
    size of a large data set, where seeds differ most.
    """
    found = {}
    for test, weaker in ((150, 0.7), (1000, 0.85), (10_000, 0.95)):
        folder, pool = (5 * test, 7 * test // 2), min(4 * test, 4000)
        for near, signals in (("50 %", (0.55, 0.6)), ("99 %", (2.7, 2.9))):
            for learner, features in (("data alone", 0), ("random features", 32)):
                of = f"{learner}, near {near}, {test}"
                signal = signals[features > 0]
                if test < 10_000 or not features:
                    found[f"anew, {of}"] = World(test, *folder, signal, weaker, False, features)
                    nine = pool * 9 // 10
                    found[f"official, {of}"] = World(
                        test, pool, nine, signal, weaker, True, features
                    )
                else:
                    found[f"official, early, {of}"] = World(
                        test, 10_000, 300, signal, weaker, True, features
                    )
    for test in (150, 1000):
        folder = (5 * test, 7 * test // 2)
        found[f"anew, bursts of 5, {test}"] = World(test, *folder, 0.9, 0.7, False, group=5)
        found[f"anew, classes 9 : 1, {test}"] = World(
            test, *folder, 0.9, 0.7, False, shares=(0.9, 0.1)
        )
    found["official, classes 7 : 2 : 1, bursts of 4, 1000"] = World(
        1000, 4000, 3600, 1.4, 0.7, True, 32, shares=(0.7, 0.2, 0.1), group=4
    )
    found["anew, early, random features, 1000"] = World(1000, 5000, 100, 0.9, 0.7, False, 32)
    found["official, whole, data alone, 1000"] = World(1000, 4000, 4000, 0.9, 0.85, True)
    found["official, whole, random features, 1000"] = World(1000, 4000, 4000, 0.9, 0.85, True, 32)
    return found


def limits() -> dict[str, World]:
    """Studies beyond what is promised: nothing but the draw differs, and it is nearly always the same.

    A few hundred images, nine tenths of them in every training set, tested on thousands of others:
    the seeds hardly show how far another draw would have moved them.
    """
    return {
        "limit: official, data alone, 270 of 300, 10000": World(10_000, 300, 270, 0.9, 0.9, True)
    }


def simulate(world: World, studies: int, rng: np.random.Generator) -> pd.DataFrame:
    """Runs studies of one kind.

    Returns:
        One row a number of seeds and kind ("accuracy" of a model, difference of two "equal" or
        "unequal" ones): seeds, kind, truth, errors (mean number in a test set; of uneven classes,
        in the rarest one), coverage, coverage_error (Monte Carlo, one standard error), width
        (median), winner and wrong (share of studies that name any, and the worse of two unequal
        models).
    """
    import pandas as pd

    values: dict[str, list[float]] = {"accuracy": [], "unequal": []}
    found: dict[tuple[int, str], list[tuple[float, float]]] = {}
    errors = 0.0
    for _ in range(studies):
        study = world.study(max(SEEDS), rng)
        errors += _errors(study["a"][0], world.uneven) / studies
        scores = {
            "accuracy": study["a"],
            "equal": _minus(study["a"], study["b"]),
            "unequal": _minus(study["a"], study["c"]),
        }
        for seeds in SEEDS:
            for kind in KINDS:
                of = accuracy_of if kind == "accuracy" else difference_of
                estimate = of(scores[kind][:seeds], world.uneven, world.overlap, LEVEL)
                found.setdefault((seeds, kind), []).append((estimate.low, estimate.high))
                if seeds == max(SEEDS) and kind in values:
                    values[kind].append(estimate.mean)
    truth = {kind: float(np.mean(several)) for kind, several in values.items()} | {"equal": 0.0}
    rows = []
    for (seeds, kind), intervals in found.items():
        low, high = np.array(intervals).T
        held = float(np.mean((low <= truth[kind]) & (truth[kind] <= high)))
        named = np.array([np.mean(low > 0), np.mean(high < 0)])
        rows.append(
            {
                "seeds": seeds,
                "kind": kind,
                "truth": truth[kind],
                "errors": errors,
                "coverage": held,
                "coverage_error": math.sqrt(held * (1.0 - held) / studies),
                "width": float(np.median(high - low)),
                "winner": math.nan if kind == "accuracy" else float(named.sum()),
                "wrong": float(named[1]) if kind == "unequal" else math.nan,
            }
        )
    return pd.DataFrame(rows)


def simulate_stopping(world: World, studies: int, rng: np.random.Generator) -> pd.DataFrame:
    """Runs studies that are looked at after every seed and stop where their verdict is settled.

    Returns:
        One row a number of seeds that there are at most: studies, most, winner (share of studies of
        equal models that name any), wrong and power (of unequal ones: that name the worse, and the
        better), seeds and unequal_seeds (mean number that was run, of equal and of unequal models).
    """
    import pandas as pd

    found: dict[tuple[int, str], list[tuple[bool, bool, int]]] = {}
    for _ in range(studies):
        study = world.study(max(SEQUENTIAL), rng)
        for kind, other in (("equal", "b"), ("unequal", "c")):
            scores = _minus(study["a"], study[other])
            looks = [
                difference_of(scores[:seeds], world.uneven, world.overlap, LEVEL)
                for seeds in range(2, len(scores) + 1)
            ]
            for most in SEQUENTIAL:
                last = next((e for e in looks if e.seeds == most or settled(e, most)), looks[-1])
                found.setdefault((most, kind), []).append((last.low > 0, last.high < 0, last.seeds))
    rows = []
    for most in SEQUENTIAL:
        equal, unequal = (np.array(found[most, k], float).mean(axis=0) for k in KINDS[1:])
        rows.append(
            {
                "studies": studies,
                "most": most,
                "winner": round(equal[0] + equal[1], 9),
                "wrong": unequal[1],
                "power": unequal[0],
                "seeds": equal[2],
                "unequal_seeds": unequal[2],
            }
        )
    return pd.DataFrame(rows)


def missed_bars(table: pd.DataFrame) -> list[str]:
    """What in a table of `simulate` misses the bars, a sentence each; empty if all hold."""
    table, missed = _promised(table), []
    for row in table.to_dict("records"):
        cell = f"{row['world']}, {row['seeds']} seeds, {row['kind']}"
        if row["coverage"] < LOWEST:
            missed.append(f"{cell}: covers {row['coverage']:.1%}, below {LOWEST:.0%}")
        if row["coverage"] > HIGHEST and row["errors"] >= FEW_ERRORS:
            missed.append(f"{cell}: covers {row['coverage']:.1%}, above {HIGHEST:.0%}")
        if row["kind"] == "equal" and row["winner"] > FALSE_WINNER:
            missed.append(f"{cell}: {row['winner']:.1%} name a winner, above {FALSE_WINNER:.0%}")
        if row["wrong"] > WRONG_WINNER:
            missed.append(
                f"{cell}: {row['wrong']:.1%} name the wrong one, above {WRONG_WINNER:.0%}"
            )
    for name, part in (
        ("accuracies", table[table["kind"] == "accuracy"]),
        ("differences", table[table["kind"] != "accuracy"]),
    ):
        mean = part["coverage"].mean()
        if not MEAN[0] <= mean <= MEAN[1]:
            missed.append(
                f"{name}: cover {mean:.1%} on average, not {MEAN[0]:.0%} to {MEAN[1]:.0%}"
            )
    return missed


def missed_by_stopping(table: pd.DataFrame) -> list[str]:
    """What in a table of `simulate_stopping` misses the bars, a sentence each."""
    missed = []
    for row in _promised(table[table["most"] <= MOST_SEEDS]).to_dict("records"):
        cell = f"{row['world']}, up to {row['most']} seeds"
        if row["winner"] > FALSE_WINNER:
            missed.append(f"{cell}: {row['winner']:.1%} name a winner, above {FALSE_WINNER:.0%}")
        if row["wrong"] > WRONG_WINNER:
            missed.append(
                f"{cell}: {row['wrong']:.1%} name the wrong one, above {WRONG_WINNER:.0%}"
            )
    return missed


def stopping_markdown(table: pd.DataFrame) -> str:
    """The table of studies that stop, for people."""
    promised, missed = _promised(table[table["most"] <= MOST_SEEDS]), missed_by_stopping(table)
    most, studies = promised[promised["most"] == MOST_SEEDS], int(table["studies"].min())
    lines = [
        "# Do verdicts name the right model where seeds stop once it is settled?",
        "",
        f"{studies:,} simulated studies a row or more, looked at after every seed from the second on, and "
        "ended by the rule of `studies/analysis/stopping.py`, which `advise` drops trials by. Written by "
        "`python -m studies.analysis.coverage --stopping --output results/coverage`. Monte Carlo error of "
        f"a share of 10 %: {100 * math.sqrt(0.09 / studies):.1f} points (one standard error).",
        "",
        f"- Of equally good models at most {FALSE_WINNER:.0%} of studies name a winner: at most "
        f"{promised['winner'].max():.1%}, {promised['winner'].mean():.1%} on average.",
        f"- Of unequal models at most {WRONG_WINNER:.0%} name the wrong one: at most "
        f"{promised['wrong'].max():.1%}.",
        f"- Of up to {MOST_SEEDS} seeds, studies of equal models run {most['seeds'].mean():.1f} on average, "
        f"of unequal ones {most['unequal_seeds'].mean():.1f}.",
        f"- Rows of more than {MOST_SEEDS} seeds are beyond what `advise` runs: with as many looks the bars "
        "would not hold everywhere.",
        "",
        *(["**Missed:** " + "; ".join(missed) + ".", ""] if missed else []),
        "| study | studies | up to seeds | false winner | wrong winner | power | seeds, equal | "
        "seeds, unequal |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in table.to_dict("records"):
        cells = [
            str(row["world"]), f"{row['studies']:,}", str(row["most"]), f"{100 * row['winner']:.1f}",
            f"{100 * row['wrong']:.1f}", f"{100 * row['power']:.0f}", f"{row['seeds']:.1f}",
            f"{row['unequal_seeds']:.1f}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def markdown(table: pd.DataFrame, studies: int) -> str:
    """The table for people, with the bars and how they were met."""
    everything, table, missed = table, _promised(table), missed_bars(table)
    means = table.groupby(table["kind"] == "accuracy")["coverage"].mean()
    equal, unequal = (table[table["kind"] == kind] for kind in ("equal", "unequal"))
    many = table[table["errors"] >= FEW_ERRORS]["coverage"]
    lines = [
        "# Do 90 % intervals hold the truth, and verdicts name the right model?",
        "",
        f"{studies:,} simulated studies a row, each with a folder drawn anew; how they are made is "
        "in `studies/analysis/simulated_studies.py`. Written by `python -m "
        "studies.analysis.coverage --output results/coverage`. Monte Carlo error of a coverage of "
        f"90 %: {100 * math.sqrt(0.09 / studies):.1f} points (one standard error).",
        "",
        f"- Coverage in every cell at least {LOWEST:.0%}: lowest {table['coverage'].min():.1%}.",
        f"- On average {MEAN[0]:.0%} to {MEAN[1]:.0%}: accuracies {means[True]:.1%}, differences "
        f"{means[False]:.1%}.",
        f"- Above {HIGHEST:.0%} only where fewer than {FEW_ERRORS} errors are expected: elsewhere "
        f"at most {many.max():.1%}.",
        f"- Of equally good models at most {FALSE_WINNER:.0%} of studies name a winner: at most "
        f"{equal['winner'].max():.1%}, {equal['winner'].mean():.1%} on average.",
        f"- Of unequal models at most {WRONG_WINNER:.0%} name the wrong one: at most "
        f"{unequal['wrong'].max():.1%}.",
        "",
        *(["**Missed:** " + "; ".join(missed) + ".", ""] if missed else []),
        "`data alone`: nothing but the data differs between seeds; `random features`: weights drawn "
        "by seed besides. `overlap`: share of the training images that two seeds have in common. "
        "`errors`: mean number in one test set, of uneven classes in the rarest one. Columns of "
        "coverage: a model's accuracy, the difference of two equal models, of two unequal ones. "
        "`power`: share of studies that name the better of the unequal ones, `by` how much it is "
        "better, in points. Rows called `limit` are beyond the "
        "bars: they show where the assumption about shared training images (`DRAW_SHARE` in "
        "`studies/analysis/variance.py`) is too kind.",
        "",
        "| study | overlap | accuracy | errors | seeds | accuracy covered | equal | unequal | "
        "false winner | wrong winner | power | by |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (world, seeds), rows in everything.groupby(["world", "seeds"], sort=False):
        of = rows.set_index("kind")
        power = of.loc["unequal", "winner"] - of.loc["unequal", "wrong"]
        cells = [
            str(world),
            f"{of['overlap'].iloc[0]:.2f}",
            f"{100 * of.loc['accuracy', 'truth']:.1f}",
            f"{of.loc['accuracy', 'errors']:.1f}",
            str(seeds),
            *(f"{100 * of.loc[kind, 'coverage']:.1f}" for kind in KINDS),
            f"{100 * of.loc['equal', 'winner']:.1f}",
            f"{100 * of.loc['unequal', 'wrong']:.1f}",
            f"{100 * power:.0f}",
            f"{100 * of.loc['unequal', 'truth']:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    import pandas as pd

    parser = argparse.ArgumentParser(prog="python -m studies.analysis.coverage")
    parser.add_argument("--output", type=Path, required=True, help="folder for the table")
    parser.add_argument("--studies", type=int, default=2000, help="simulated studies a row (2000)")
    parser.add_argument("--only", default="", help="only rows whose name holds this text")
    parser.add_argument(
        "--stopping", action="store_true", help="studies that stop once their verdict is settled"
    )
    options = parser.parse_args(arguments)
    run = simulate_stopping if options.stopping else simulate
    parts = []
    for number, (name, world) in enumerate((worlds() | limits()).items()):
        if options.only not in name:
            continue
        # Numbered, not in turn: a row is the same whichever others are asked for.
        part = run(world, options.studies, np.random.default_rng([int(options.stopping), number]))
        parts.append(part.assign(world=name, overlap=world.overlap))
        shown = part
        if not options.stopping:
            shown = part.pivot(index="seeds", columns="kind", values="coverage")[list(KINDS)]
        print(f"{name}\n{shown.round(3).to_string()}", flush=True)
    if not parts:
        parser.error(f"no row's name holds '{options.only}'")
    table = pd.concat(parts, ignore_index=True)
    options.output.mkdir(parents=True, exist_ok=True)
    table = table[["world", "overlap", *table.columns.drop(["world", "overlap"])]]
    name = "stopping" if options.stopping else "coverage"
    table.round(5).to_csv(options.output / f"{name}.csv", index=False)
    text = stopping_markdown(table) if options.stopping else markdown(table, options.studies)
    (options.output / f"{name}.md").write_text(text, encoding="utf-8")
    missed = (missed_by_stopping if options.stopping else missed_bars)(table)
    print("\n".join(missed) if missed else "all bars hold")
    return int(bool(missed))


def _promised(table: pd.DataFrame) -> pd.DataFrame:
    return table[~table["world"].isin(limits())]


def _errors(scores: Scores, uneven: bool) -> float:
    """Number of wrong predictions, of uneven classes those of the rarest one."""
    wrong = scores.value == 0
    if uneven:
        classes, counts = np.unique(scores.label, return_counts=True)
        wrong = wrong & (scores.label == classes[counts.argmin()])
    return float(wrong.sum())


def _minus(a: Sequence[Scores], b: Sequence[Scores]) -> list[Scores]:
    """Differences of two models' scores on the same images in the same order."""
    return [
        Scores(one.seed, one.value.astype(float) - two.value, one.group, one.label)
        for one, two in zip(a, b, strict=True)
    ]


if __name__ == "__main__":
    sys.exit(main())
