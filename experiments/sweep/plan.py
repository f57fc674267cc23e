"""The plan of a sweep: which jobs there are, kept in the sweep's folder.

Words such as ``seed=1,2,3`` span axes, a pair is one axis on which several keys move
together, and the jobs are the product of the axes, the last one fastest.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.config.hints import check_types
from engine.disk import write_text
from engine.errors import ConfigError, RecordError, quote
from engine.intake import describe, read_json, take_mapping
from engine.recording.folder import CONFIG_FILE
from experiments.hydra_errors import translate_error
from experiments.quoting import unquote_text

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

PLAN_FILE: Final = "sweep.json"
"""The plan, in the folder of the sweep."""

MAX_JOBS: Final = 100_000
"""Most jobs of one sweep."""

MAX_NUMBER: Final = 10**9
"""More jobs than any sweep has."""
FIXED_KEYS: Final = ("hydra.sweep.subdir", "hydra.sweeper.only")
"""Keys that a sweep sets itself."""
OPTIONS: Final = {"is_recorded": bool, "is_isolated": bool, "memory_bytes": int}
"""How jobs run; each may be left out."""

Axis = tuple[str, list[list[str]]]
"""Keys that move along it, and for each point the words that set them."""


@dataclass(frozen=True)
class PlannedJob:
    """One job that shall run."""

    job: int
    """Its number and the name of its folder, >= 0."""
    overrides: list[str]
    """All words that configure it."""


@dataclass
class SweepPlan:
    """What a sweep is made of."""

    sweeper: str
    """``grid``, ``optuna`` or ``foreign``; only the jobs of a grid are known ahead."""
    words: list[str]
    """Words with one value, the same for all jobs, and those that Optuna searches."""
    hydra: list[str]
    """Words for Hydra itself, such as its launcher."""
    working_folder: str
    """Where relative paths begin."""
    options: dict[str, Any] = field(default_factory=dict)
    """How jobs run: ``is_recorded``, ``is_isolated``, ``memory_bytes``."""
    jobs: list[PlannedJob] = field(default_factory=list)
    """The jobs, by number."""
    study: str | None = None
    """Name of the study that the jobs are for."""
    has_real_load: bool = False
    """Whether a job may load the machine for real."""


def write_plan(folder: Path, plan: SweepPlan) -> None:
    """Write the plan whole or not at all.

    Args:
        folder: Folder of the sweep.
        plan: What to write.

    Raises:
        WriteError: The folder cannot be written.
    """
    write_text(folder / PLAN_FILE, f"{json.dumps(asdict(plan), indent=2)}\n")


def read_plan(folder: Path) -> SweepPlan:
    """Read the plan of a sweep.

    Args:
        folder: Folder of the sweep.

    Raises:
        RecordError: The folder holds no sweep, or its plan is damaged.
    """
    path = folder / PLAN_FILE
    try:
        values = dict(take_mapping(read_json(path)))
        jobs = [PlannedJob(**job) for job in values.pop("jobs")]
        plan = SweepPlan(**values, jobs=jobs)
        for entry in (*jobs, plan):
            check_types("", entry)
        _check_stored(plan)
        return plan
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _build_missing(folder) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RecordError(
            f"{path} cannot be read as the plan of a sweep ({describe(error)}); start "
            "the sweep anew in another folder."
        ) from error


def _build_missing(folder: Path) -> RecordError:
    """Build the error for what holds no plan."""
    if folder.is_file():
        return RecordError(f"{folder} is a file; name the folder of a sweep.")
    if (folder / CONFIG_FILE).is_file():
        return RecordError(
            f"{folder} holds a run, not a sweep; look at it by scribble report "
            f"{folder}, or go on with it by scribble resume {folder}."
        )
    return RecordError(
        f"{folder} holds no sweep ({PLAN_FILE} is missing); name the folder that "
        "`scribble run -m` made."
    )


def _check_stored(plan: SweepPlan) -> None:
    """Check that a plan asks for jobs in folders of its own, and for nothing else.

    Raises:
        ValueError: A word would lead elsewhere, or name code to be called.
    """
    numbers = {job.job for job in plan.jobs}
    if len(numbers) < len(plan.jobs) or not all(0 <= n < MAX_NUMBER for n in numbers):
        raise ValueError("its jobs are not numbered from 0 on, each once")
    own = (*plan.words, *(word for job in plan.jobs for word in job.overrides))
    strange = [word for word in own if is_hydra_word(word)]
    strange += [word for word in plan.hydra if key_of_word(word) in FIXED_KEYS]
    strange += [word for word in (*own, *plan.hydra) if "_target_" in word]
    if strange:
        raise ValueError(f"the word {quote(strange[0])} has no place in it")
    for name, value in plan.options.items():
        if value is not None and not isinstance(value, OPTIONS.get(name, ())):
            raise ValueError(f"the option {quote(name)} is {quote(value)}")


def is_hydra_word(word: str) -> bool:
    """Tell whether a word configures Hydra, not the run.

    Args:
        word: Such as ``hydra/launcher=ray``.
    """
    return word.lstrip("+").startswith(("hydra.", "hydra/"))


def key_of_word(word: str) -> str:
    """Return the key that a word sets, without the plus of experiments.

    Args:
        word: Such as ``+experiment=demo``.
    """
    return word.partition("=")[0].lstrip("+")


def parse_value(text: str) -> str | float | bool | None:
    """Read the value of a word: a number, true, false, null, or text as it stands.

    Args:
        text: What follows the equals sign. ``nan`` and ``inf`` are text: they name a
            choice such as that of ``fault.value``, and JSON has no number for them.
            What is in quotes is text too.
    """
    for convert in (int, float):
        try:
            number = convert(text)
        except ValueError:
            continue
        return number if math.isfinite(number) else text
    words = {"true": True, "false": False, "null": None}
    return words.get(text.lower(), unquote_text(text))


def join_words(earlier: Sequence[str], later: Sequence[str]) -> list[str]:
    """Join words; of those that set the same key the last one counts.

    Args:
        earlier: Such as a plan's.
        later: Such as those typed now.
    """
    return list({key_of_word(word): word for word in (*earlier, *later)}.values())


def parse_words(words: Sequence[str]) -> list[Override]:
    """Parse words by Hydra's grammar.

    Args:
        words: Tidy overrides.

    Raises:
        ConfigError: A word cannot be read.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_overrides(list(words))
    except HydraException as error:
        raise translate_error(error, words) from error


def span_axes(words: Sequence[str], pairs: Sequence[Sequence[str]] = ()) -> list[Axis]:
    """Turn words into axes; a word with one value is an axis with one point.

    Args:
        words: Tidy overrides.
        pairs: Groups of words that move together, each with as many values.

    Returns:
        One axis per word, then one per pair.

    Raises:
        ConfigError: A word cannot be read, has no list of values, or a pair does not
            fit together.
    """
    axes: dict[str, Axis] = {}
    for override, word in zip(parse_words(words), words, strict=True):
        axes[key_of_word(word)] = (key_of_word(word), _list_points(override, word))
    for pair in pairs:
        keys, points = _zip_pair(pair)
        taken = [key for key in keys if key in axes]
        if taken:
            raise ConfigError(
                f"{taken[0]} is set both in a pair and on its own; name it once."
            )
        axes |= dict.fromkeys(keys, (" ".join(keys), points))
    unique = {id(points): (keys, points) for keys, points in axes.values()}
    return list(unique.values())


def _zip_pair(pair: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Put the first values of a pair together, then the second ones, and so on."""
    keys = [key_of_word(word) for word in pair]
    lists = [
        _list_points(override, word)
        for override, word in zip(parse_words(pair), pair, strict=True)
    ]
    counts = [len(values) for values in lists]
    if len(pair) < 2 or len(set(keys)) < len(keys) or len(set(counts)) > 1:
        found = ", ".join(f"{k} has {n}" for k, n in zip(keys, counts, strict=True))
        raise ConfigError(
            "A pair needs two or more keys with equally many values, but "
            f"{found or 'none has several'}; "
            "write --pair lattice.shape=[64,64],[128,128] bridges.per_node=2,4."
        )
    return keys, [
        [word for point in together for word in point]
        for together in zip(*lists, strict=True)
    ]


def _list_points(override: Override, word: str) -> list[list[str]]:
    if not override.is_sweep_override():
        return [[word]]
    if not override.is_discrete_sweep():
        raise ConfigError(
            f"{quote(word)} names an interval, which only hydra/sweeper=optuna "
            "searches; list values, such as 1,2,3 or range(1,4)."
        )
    key = override.get_key_element()
    return [[f"{key}={value}"] for value in list_values(override, word)]


def list_values(override: Override, word: str) -> list[str]:
    """List the values of a word that names several.

    Args:
        override: The word, parsed.
        word: As typed.

    Returns:
        One or more values, as Hydra's grammar has them.

    Raises:
        ConfigError: It names none, too many, or a pattern.
    """
    from hydra.errors import HydraException

    try:
        values = [*itertools.islice(override.sweep_string_iterator(), MAX_JOBS + 1)]
    except (HydraException, ValueError, ArithmeticError):
        values = []  # a pattern, or a range without beginning, end or step
    if not values:
        raise ConfigError(
            f"{quote(word)} gives no values that can be listed; write them, such as "
            "seed=1,2,3, seed=range(1,4) or lattice=chain,square."
        )
    _check_count(len(values), word)
    return values


def _check_count(count: int, what: str) -> None:
    if count > MAX_JOBS:
        raise ConfigError(
            f"{quote(what)} asks for more than {MAX_JOBS} jobs, each with a folder and "
            "a process of its own; sweep fewer values at a time."
        )


def expand_jobs(axes: Sequence[Axis]) -> list[PlannedJob]:
    """List every combination of the axes' points, the last axis fastest.

    Args:
        axes: From `span_axes`.

    Raises:
        ConfigError: They are too many.
    """
    lists = [points for _, points in axes]
    what = " ".join(keys for keys, points in axes if len(points) > 1)
    _check_count(math.prod(map(len, lists)), what)
    combinations = itertools.product(*lists)
    return [
        PlannedJob(number, [word for point in points for word in point])
        for number, points in enumerate(combinations)
    ]


def drop_common(jobs: Mapping[int, Sequence[str]]) -> dict[int, list[str]]:
    """Leave only the words that set jobs apart.

    Args:
        jobs: Overrides by number.

    Returns:
        Likewise, without words that all jobs share; jobs that are all alike keep them.
    """
    common = set.intersection(*map(set, jobs.values())) if jobs else set()
    if all(common.issuperset(words) for words in jobs.values()):
        return {number: list(words) for number, words in jobs.items()}
    return {
        number: [word for word in words if word not in common]
        for number, words in jobs.items()
    }
