"""One run of `advise`: its rounds of trials until time or question end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from studies.advise.budget import Budget, OutOfTime, in_units
from studies.advise.design import (
    LEARNING_RATES,
    Question,
    begun_study,
    from_scratch,
    tuning_of,
    with_starts,
)
from studies.advise.image_size import fitting
from studies.advise.pace import Pace
from studies.advise.rounds import End, Round, State, Unit, forecast, next_round
from studies.advise.weights import starts
from studies.analysis.by_size import difference_estimates
from studies.analysis.findings import leading, main_backend
from studies.analysis.stopping import MOST_SEEDS, settled
from studies.errors import UsageError
from studies.executors import Event
from studies.machine.threads import cores
from studies.records.frames import read_results
from studies.records.store import Record, ResultsStore
from studies.running import runner
from studies.running.estimate import Estimator, duration, records_of
from studies.running.runner import Display, Plan
from studies.study.defaults import default_sizes
from studies.study.study import Study
from studies.study.trial import Trial

if TYPE_CHECKING:
    from studies.executors.local import LocalExecutor

SPARE = 1.2  # times the least time, where a budget is proposed


class Session:
    """Runs rounds of trials within a budget.

    Args:
        question: what is asked about.
        budget: of time; it runs already.
        executor: runs the trials.

    Attributes:
        resized: a sentence about the image size where that follows from the weights; else nothing.

    Raises:
        UsageError: data, models or the results folder are not as they must be.
    """

    def __init__(self, question: Question, budget: Budget, executor: LocalExecutor) -> None:
        self.budget, self._executor = budget, executor
        self._in_vain: set[str] = set()  # trials that have failed in this run: once is enough
        self._all_tried = False  # all that could still change the answer
        self._lanes = min(executor.workers, max(1, len(cores()) // executor.threads))
        plain = from_scratch(question)
        begun = begun_study(question)
        if begun is not None:
            plain = plain.model_copy(update={"backends": begun.backends[:1]})
        found = starts(question.weights, plain.backends[0])
        plain, self.resized = fitting(plain, found, begun)
        study = with_starts(plain, found, begun=begun)
        self._adopt(runner.make_plan(study, question.place))
        if (
            found
            and tuning_of(begun) is None
            and self._reach() < max(size for _, size in self._grid)
        ):
            whole, reach = self._plan, self._reach()
            study = with_starts(plain, found, LEARNING_RATES[1], begun)
            self._adopt(runner.make_plan(study, question.place))
            if self._reach() <= reach:
                self._adopt(whole)

    @property
    def failed(self) -> list[Record]:
        """The trials that have failed in this run, and where it had no time for all, those before it."""
        asked = {id_ for trials in self._grid.values() for id_ in trials if not self._all_tried}
        asked |= self._in_vain
        fields = ("status", "model", "size", "seed", "reason")
        records = ResultsStore(self.folder / "trials.jsonl").records(fields)
        return [r for r in records if r["status"] == "failed" and r["trial_id"] in asked]

    def _adopt(self, plan: Plan) -> None:
        """Take a plan, and all units that there may be of its study."""
        self._plan = plan
        study, data = plan.study, plan.study.data
        assert data is not None  # the plan found it
        sizes = default_sizes(data.counts["train"], data.num_classes)
        whole = study.model_copy(update={"sizes": sizes, "seeds": MOST_SEEDS})
        self._grid: dict[Unit, dict[str, Trial]] = {}
        for trial in whole.trials(data):
            self._grid.setdefault((trial.seed, trial.size), {})[trial.trial_id] = trial
        self._pace = Pace(self.estimator(), plan.costs, self.budget.clock)

    def _reach(self) -> int:
        """The largest size that the budget is expected to hold a verdict on; 0: it holds none."""
        state = self._state()
        rounds = forecast(state)
        sizes = [
            trial.size for each in rounds if each.purpose == "verdict" for trial in each.trials
        ]
        return max(sizes, default=state.top or 0)

    @property
    def study(self) -> Study:
        """The study, with its data in it."""
        return self._plan.study

    @property
    def folder(self) -> Path:
        """Its results folder."""
        return self._plan.folder

    def planned(self) -> list[Round]:
        """The rounds that the budget will hold, as far as one can tell now.

        Raises:
            UsageError: it holds not even the smallest useful set of trials.
        """
        state = self._state()
        chosen = next_round(state)
        if isinstance(chosen, Round) and chosen.purpose == "speed":  # is there hope beyond it?
            chosen = next_round(replace(state, measured=True))
        if isinstance(chosen, End) and state.top is None and self._state(again=False).top is None:
            raise UsageError(self._too_short(chosen))
        return forecast(state)

    def estimated(self) -> str:
        """What the times of a plan rest on, as a sentence."""
        trials = [trial for unit in self._grid.values() for trial in unit.values()]
        return self.estimator().basis(trials, self._plan.costs)

    def run(self, display: Callable[[Estimator], Display], say: Callable[[str], None]) -> End:
        """Run rounds until the time is up or nothing is left to tell.

        Args:
            display: makes what shows a round's trials.
            say: tells what a round is for.

        Raises:
            KeyboardInterrupt: handed on; the next run continues.
        """
        while isinstance(chosen := next_round(self._state()), Round):
            say(self._purpose(chosen))
            watched = _Watched(display(self.estimator()), self._pace)
            began = self.budget.elapsed
            try:
                with self.budget.enforced():
                    outcome = runner.run(self._of(chosen), self._executor, watched, True)
            except OutOfTime:
                say("the time is up: trials at work are interrupted, and continue in a later run")
                spent = (
                    self.budget.elapsed - began
                )  # it takes longer than that, whatever was expected
                needs = max(self._seconds(chosen), 1.5 * spent)
                return End("time", needs, max(trial.size for trial in chosen.trials))
            self._in_vain |= {r["trial_id"] for r in outcome.added if r["status"] != "done"}
            self._pace.learn(self.estimator())
        self._all_tried = chosen.reason != "time"
        return chosen

    def more(self, end: End) -> str:
        """The budget with which the next run would do what comes next."""
        return in_units(SPARE * end.needs + self.budget.kept + 30.0)

    def _state(self, again: bool = True) -> State:
        """What is there, and what is missing; trials that failed in earlier runs too, if `again`."""
        records = ResultsStore(self.folder / "trials.jsonl").records(("status",))
        ended = {
            record["trial_id"]
            for record in records
            if record["status"] != "failed" or not again or record["trial_id"] in self._in_vain
        }
        state = State(
            missing={
                unit: [trial for id_, trial in trials.items() if id_ not in ended]
                for unit, trials in self._grid.items()
            },
            seconds=self._pace.seconds,
            lanes=self._lanes,
            left=self.budget.left,
            measured=self._measured,
        )
        top = state.top
        return replace(state, settled=top is not None and self._settled(top))

    @property
    def _measured(self) -> bool:
        """Whether the models' speed on this machine is known."""
        return all(self._pace.known(trial) for trial in self._grid[min(self._grid)].values())

    def _settled(self, size: int) -> bool:
        """Whether more seeds at a size would change the verdict on no pair that the study names."""
        results = read_results(self.folder)
        backend = main_backend(results.frame)
        mine = results.frame[results.frame["backend"] == backend]
        mine = mine[mine["size"] == size]
        arms = set(mine["model"])  # not those all of whose trials failed
        pairs = [pair for pair in self.study.pairs if arms.issuperset(pair)]
        if not pairs:
            return False
        metric, mine = leading(mine, results.source)
        found = (difference_estimates(mine, *pair, metric, source=results.source) for pair in pairs)
        return all(size in each and settled(each[size]) is not None for each in found)

    def _of(self, chosen: Round) -> Plan:
        """A plan of a round's trials alone; its study has what earlier rounds had, and theirs."""
        sizes = tuple(sorted({trial.size for trial in chosen.trials}))
        seeds = 1 + max(trial.seed for trial in chosen.trials)
        study = self._plan.study.model_copy(update={"sizes": sizes, "seeds": seeds})
        return Plan(study, self._plan.place, list(chosen.trials), self._plan.costs, {})

    def _seconds(self, chosen: Round) -> float:
        units = {(trial.seed, trial.size) for trial in chosen.trials}
        return self._state().takes(sorted(units))

    def estimator(self) -> Estimator:
        """Times by the records that there are now."""
        data = self._plan.study.data
        counts = data.counts if data else {}
        return Estimator(records_of(self._plan.results), self._executor.threads, counts)

    def _purpose(self, chosen: Round) -> str:
        """What a round is for, in a few words."""
        size = max(trial.size for trial in chosen.trials)
        seeds = max(trial.seed for trial in chosen.trials) + 1
        all_of_them = size == max(size for _, size in self._grid)
        return {
            "speed": f"how fast trials run here: {size:,} images",
            "verdict": f"who is ahead: two seeds of {size:,} images"
            + ("" if all_of_them else ", as many as end in time"),
            "law": f"what more images would buy: {size:,} images",
            "seeds": f"how sure it is: {seeds} seeds",
        }[chosen.purpose]

    def _too_short(self, end: End) -> str:
        least = in_units(SPARE * end.needs + self.budget.elapsed + self.budget.kept)
        how = "as these models train here" if self._measured else "by estimate"
        return (
            f"a budget of {duration(self.budget.seconds)} is too short: the smallest useful set of "
            f"trials, two seeds of {' and '.join(self.study.arms)} at {end.size:,} images, takes about "
            f"{duration(end.needs)} ({how}); give at least --budget {least}"
        )


def begin(question: Question, budget: Budget, executor: LocalExecutor) -> Session:
    """A session, for which data are prepared, within the budget.

    Raises:
        UsageError: as of `Session`, or there is no time left when that is done.
    """
    try:
        with budget.enforced():
            return Session(question, budget, executor)
    except OutOfTime:
        raise UsageError(
            f"preparing these images alone takes longer than a budget of {duration(budget.seconds)}: give "
            f"--budget {in_units(2.0 * budget.elapsed)} or more"
        ) from None


class _Watched:
    """A display that lets the pace see what it shows."""

    def __init__(self, display: Display, pace: Pace) -> None:
        self._display, self._pace = display, pace

    def start(self, plan: Plan, trials: list[Trial], workers: int) -> None:
        self._pace.begin(workers)
        self._display.start(plan, trials, workers)

    def event(self, trial: Trial, event: Event) -> None:
        self._pace.event(trial, event)
        self._display.event(trial, event)

    def stop(self) -> None:
        self._display.stop()
