"""A sweep by Optuna: jobs are made up as results come in.

The study is kept nowhere but in the job folders, so a sweep that was killed goes on
from what has ended, and a result that was repaired by hand counts.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from engine.disk import write_text
from engine.errors import ConfigError, quote, unknown_choice
from engine.intake import read_json
from experiments.schema import find_hint
from experiments.sweep.figures import check_figure, refuse_absent
from experiments.sweep.launch import launch_batch, launch_due
from experiments.sweep.plan import (
    PlannedJob,
    key_of_word,
    list_values,
    parse_value,
    parse_words,
    read_plan,
    write_plan,
)
from experiments.sweep.table import SUMMARY_PREFIX, collect_rows

if TYPE_CHECKING:
    import optuna
    from hydra.core.override_parser.types import IntervalSweep, Override
    from hydra.plugins.launcher import Launcher
    from optuna.distributions import BaseDistribution

BEST_FILE: Final = "best.json"
"""The best job so far, in the folder of the sweep."""
DIRECTIONS: Final = ("minimize", "maximize")
_BOUND: Final = re.compile(r"\s*([\w.]+)\s*(<=|>=)\s*([-+\w.]+)\s*")


@dataclass(frozen=True)
class Bound:
    """A condition on a figure of the summary."""

    key: str
    """Key of ``summary.json``, such as ``coherence.final``."""
    sign: str
    """``<=`` or ``>=``."""
    limit: float | str
    """A number, or another key."""

    def measure(self, row: Mapping[str, Any]) -> float:
        """Say by how much a job breaks it.

        Args:
            row: The job's row of the sweep table.

        Returns:
            The excess; not positive where it holds, infinite where it is not known.
        """
        value = row.get(f"{SUMMARY_PREFIX}{self.key}")
        limit = self.limit
        if isinstance(limit, str):
            limit = row.get(f"{SUMMARY_PREFIX}{limit}", math.nan)
        if value is None or limit is None or math.isnan(float(limit)):
            return math.inf
        excess = float(value) - float(limit)
        return excess if self.sign == "<=" else -excess


@dataclass(frozen=True)
class Search:
    """What is looked for, and where."""

    objective: str
    """Key of ``summary.json``."""
    direction: Literal["minimize", "maximize"]
    """One of `DIRECTIONS`."""
    bounds: tuple[Bound, ...]
    """What must hold."""
    space: Mapping[str, BaseDistribution]
    """Where to look, by key."""
    fixed: tuple[str, ...]
    """Words with one value."""
    trials: int
    """Jobs in all."""
    batch: int
    """Jobs at once."""
    seed: int
    """Of the sampler."""


def run_search(launcher: Launcher, folder: str, settings: Mapping[str, Any]) -> None:
    """Start trials until there are enough, and write down the best.

    Args:
        launcher: Hydra's launcher.
        folder: Folder of the sweep.
        settings: Fields of `experiments.plugins.OptunaSweeperSettings`.

    Raises:
        ConfigError: A setting or a word is not allowed.
    """
    place = Path(folder)
    search = read_search(settings, read_plan(place).words)
    launch_due(launcher, folder, settings["only"])
    while settings["only"] == "unfinished":
        plan = read_plan(place)
        count = min(search.batch, search.trials - len(plan.jobs))
        if count <= 0:
            break
        study = recall_study(search, collect_rows(place))
        first = len(plan.jobs)
        jobs = [
            PlannedJob(first + index, _ask_words(study, search))
            for index in range(count)
        ]
        write_plan(place, replace(plan, jobs=[*plan.jobs, *jobs]))
        launch_batch(launcher, jobs)
        check_figures(search, collect_rows(place))
        write_best(search, place)
    write_best(search, place)


def read_search(settings: Mapping[str, Any], words: Sequence[str]) -> Search:
    """Read what is looked for.

    Args:
        settings: Fields of `experiments.plugins.OptunaSweeperSettings`.
        words: Words of the run; those with several values span the space.

    Raises:
        ConfigError: A setting or a word is not allowed.
    """
    if settings["direction"] not in DIRECTIONS:
        key = "hydra.sweeper.direction"
        raise unknown_choice(key, settings["direction"], DIRECTIONS)
    for name in ("trials", "batch"):
        if settings[name] < 1:
            raise ConfigError(
                f"hydra.sweeper.{name} is {settings[name]}; it must be 1 or more."
            )
    bounds = tuple(_read_bound(text) for text in settings["constraints"])
    for key, figure in _list_figures(settings["objective"], bounds):
        check_figure(key, figure)
    parsed = list(zip(parse_words(words), words, strict=True))
    space = {
        override.get_key_element(): _to_distribution(override, word)
        for override, word in parsed
        if override.is_sweep_override()
    }
    if not space:
        raise ConfigError(
            "hydra/sweeper=optuna has nothing to search; give a key several values or "
            "an interval, such as 'tunnel.linewidth_hz=interval(100,2000)'."
        )
    return Search(
        settings["objective"],
        settings["direction"],
        bounds,
        space,
        tuple(word for override, word in parsed if not override.is_sweep_override()),
        settings["trials"],
        settings["batch"],
        settings["seed"],
    )


def _read_bound(text: str) -> Bound:
    match = _BOUND.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"hydra.sweeper.constraints holds {quote(text)}; write KEY<=VALUE or "
            "KEY>=VALUE with keys of summary.json, such as "
            "'coherence.final>=coherence.floor'."
        )
    key, sign, limit = match.groups()
    try:
        return Bound(key, sign, float(limit))
    except ValueError:
        return Bound(key, sign, limit)


def _list_figures(objective: str, bounds: Sequence[Bound]) -> Iterator[tuple[str, str]]:
    """List the keys of Hydra's that name figures, and the figures that they name."""
    yield "hydra.sweeper.objective", objective
    for bound in bounds:
        yield "hydra.sweeper.constraints", bound.key
        if isinstance(bound.limit, str):
            yield "hydra.sweeper.constraints", bound.limit


def check_figures(search: Search, rows: Sequence[Mapping[str, Any]]) -> None:
    """Make sure that what is looked for occurs in summaries.

    Args:
        search: What is looked for.
        rows: The sweep table.

    Raises:
        ConfigError: No job that ended well has such a figure.
    """
    for key, figure in _list_figures(search.objective, search.bounds):
        refuse_absent(key, figure, rows)


def _to_distribution(override: Override, word: str) -> BaseDistribution:
    """Turn the values of a word into Optuna's terms."""
    from hydra.core.override_parser.types import IntervalSweep, RangeSweep
    from optuna import distributions

    value = override.value()
    is_log = "log" in getattr(value, "tags", ())
    if isinstance(value, IntervalSweep):
        start, end = _read_ends(value, word, is_log=is_log)
        if "int" in value.tags or (isinstance(start, int) and isinstance(end, int)):
            low = math.ceil(start)
            high = max(low, math.floor(end))
            return distributions.IntDistribution(low, high, log=is_log)
        if find_hint(override.get_key_element().lstrip("+")) is int:
            raise ConfigError(
                f"{quote(word)} holds fractions, but a whole number is asked for; "
                "write int(interval(low,high))."
            )
        return distributions.FloatDistribution(float(start), float(end), log=is_log)
    choices = list_values(override, word)
    if isinstance(value, RangeSweep):
        values = [float(text) for text in choices]
        if all(v.is_integer() for v in values):
            return distributions.CategoricalDistribution([int(v) for v in values])
        return distributions.CategoricalDistribution(values)
    return distributions.CategoricalDistribution(choices)


def _read_ends(
    interval: IntervalSweep, word: str, *, is_log: bool
) -> tuple[float, float]:
    """Read where an interval begins and ends.

    Raises:
        ConfigError: It is empty, endless, or too low for a logarithm.
    """
    start, end = interval.start, interval.end
    if start is None or end is None or not start < end:
        raise ConfigError(f"{quote(word)} is empty; write interval(low,high).")
    if math.isinf(start) or math.isinf(end):
        raise ConfigError(f"{quote(word)} has no end; write interval(low,high).")
    if is_log and start <= 0:
        raise ConfigError(
            f"{quote(word)} begins at {start:g}, and a logarithmic search must begin "
            "above 0; write tag(log,interval(low,high))."
        )
    return start, end


def _ask_words(study: optuna.Study, search: Search) -> list[str]:
    """Ask for one more trial and write it as words."""
    trial = study.ask(dict(search.space))
    return [*search.fixed, *(f"{key}={value}" for key, value in trial.params.items())]


def recall_study(search: Search, rows: Sequence[Mapping[str, Any]]) -> optuna.Study:
    """Build the study from what has ended.

    Args:
        search: What is looked for.
        rows: The sweep table.

    Returns:
        A study that knows every job with a result.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # The seed moves on with what is known, or every batch would be drawn alike.
    sampler = optuna.samplers.TPESampler(seed=search.seed + len(rows))
    study = optuna.create_study(direction=search.direction, sampler=sampler)
    for row in rows:
        value = _read_value(search, row)
        if value is None:
            continue
        excesses = {
            f"{bound.key}{bound.sign}{bound.limit}": bound.measure(row)
            for bound in search.bounds
        }
        trial = optuna.trial.create_trial(
            value=value,
            params=_recall_params(search, row),
            distributions=dict(search.space),
            constraints={key: min(x, 1e9) for key, x in excesses.items()},
        )
        study.add_trial(trial)
    return study


def _recall_params(search: Search, row: Mapping[str, Any]) -> dict[str, Any]:
    """Find a job's place in the space."""
    from optuna.distributions import CategoricalDistribution

    params: dict[str, Any] = {}
    for key, distribution in search.space.items():
        value = row[key_of_word(key)]
        if isinstance(distribution, CategoricalDistribution):
            names = {
                str(parse_value(str(choice))): choice for choice in distribution.choices
            }
            value = names.get(str(value), distribution.choices[0])
        params[key] = value
    return params


def _read_value(search: Search, row: Mapping[str, Any]) -> float | None:
    """Read the figure of a job that ended well."""
    value = row.get(f"{SUMMARY_PREFIX}{search.objective}")
    if row["status"] != "done" or value is None:
        return None
    if isinstance(value, str) or not math.isfinite(float(value)):
        raise ConfigError(
            f"hydra.sweeper.objective is {search.objective}, which is "
            f"{quote(value)} in job {row['job']}; name a number of summary.json, such "
            "as wall_seconds."
        )
    return float(value)


def find_best(
    search: Search, rows: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """Find the best job that holds every constraint.

    Args:
        search: What is looked for.
        rows: The sweep table.

    Returns:
        Its row; None where no job does.
    """
    sign = 1.0 if search.direction == "minimize" else -1.0
    best, best_value = None, math.inf
    for row in rows:
        value = _read_value(search, row)
        is_held = all(bound.measure(row) <= 0.0 for bound in search.bounds)
        if value is not None and is_held and sign * value < best_value:
            best, best_value = row, sign * value
    return best


def write_best(search: Search, folder: Path) -> None:
    """Write the best job so far.

    Args:
        search: What is looked for.
        folder: Folder of the sweep.
    """
    row = find_best(search, collect_rows(folder))
    content = {
        "objective": search.objective,
        "direction": search.direction,
        "constraints": [f"{b.key}{b.sign}{b.limit}" for b in search.bounds],
        "job": row and row["job"],
        "value": row and row[f"{SUMMARY_PREFIX}{search.objective}"],
        "overrides": row
        and {key_of_word(key): row[key_of_word(key)] for key in search.space},
    }
    text = f"{json.dumps(content, indent=2)}\n"
    write_text(folder / BEST_FILE, text, is_shared=True)


def describe_best(folder: Path) -> str:
    """Say which job is the best so far.

    Args:
        folder: Folder of the sweep.
    """
    path = folder / BEST_FILE
    best = read_json(path) if path.exists() else {"job": None}
    if best["job"] is None:
        return "best: none; no job that ended holds every constraint"
    pairs = dict(best["overrides"] or {}).items()
    words = " ".join(f"{key}={value}" for key, value in pairs)
    return f"best: job {best['job']}, {best['objective']} {best['value']:g}, by {words}"
