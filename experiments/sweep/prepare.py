"""From words to a plan: everything that can be refused before anything is written."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.config import RunConfig
from engine.errors import ConfigError, quote
from experiments.hydra_errors import translate_error
from experiments.outcome import MissingPackageError
from experiments.overrides import (
    compose_node,
    open_hydra,
    read_node,
    refuse_doubles,
    refuse_idle_words,
    tidy_overrides,
    to_plain_node,
)
from experiments.plugins import SWEEPERS
from experiments.study import STUDIES
from experiments.sweep.feasibility import refuse_impossible
from experiments.sweep.neighbours import REAL, refuse_neighbours, refuse_ports
from experiments.sweep.place import SWEEP_KEY, read_place, refuse_place
from experiments.sweep.plan import (
    FIXED_KEYS,
    SweepPlan,
    expand_jobs,
    is_hydra_word,
    join_words,
    key_of_word,
    parse_words,
    span_axes,
)
from experiments.sweep.trials import compose_trials, list_trials

if TYPE_CHECKING:
    from omegaconf import DictConfig

_EXTRAS: Final[Mapping[str, tuple[str, str]]] = {
    "hydra/launcher=joblib": ("joblib", "joblib"),
    "hydra/launcher=ray": ("ray", "ray"),
    "hydra/launcher=submitit_local": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "hydra/launcher=submitit_slurm": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "hydra/sweeper=optuna": ("optuna", "optuna"),
}
"""Words that need a module, and the extra that brings it."""


@dataclass(frozen=True)
class PreparedSweep:
    """A plan, and where it is to be kept."""

    plan: SweepPlan
    """The jobs."""
    folder: Path
    """Folder of the sweep, absolute; not made yet."""


def prepare_sweep(
    words: Sequence[str],
    pairs: Sequence[Sequence[str]] = (),
    options: Mapping[str, Any] | None = None,
) -> PreparedSweep:
    """Plan a new sweep; nothing touches the disk.

    Args:
        words: As typed, such as ``seed=1,2,3``.
        pairs: Groups of words that move together.
        options: How jobs run.

    Returns:
        The plan and its folder.

    Raises:
        ConfigError: A word is not allowed, or the folder holds something else.
        MissingPackageError: A launcher or sweeper is not installed.
    """
    tidy_pairs, single = _split_pairs(pairs)
    tidy = [*tidy_overrides(words), *single]
    refuse_doubles(tidy)
    hydra_words = [word for word in tidy if is_hydra_word(word)]
    own_words = [word for word in tidy if not is_hydra_word(word)]
    _check_hydra_words([*hydra_words, *(w for pair in tidy_pairs for w in pair)])
    with open_hydra():
        node = _compose_fixed(hydra_words, own_words)
        sweeper = SWEEPERS.get(str(node.hydra.sweeper.get("_target_")), "foreign")
        if sweeper != "foreign":
            given = to_plain_node(node.hydra.sweeper)
            params, given_pairs = _leave_out(given, own_words, tidy_pairs)
            own_words = join_words(params, own_words)
            tidy_pairs += given_pairs
        plan = SweepPlan(sweeper, own_words, hydra_words, os.getcwd())
        plan.options = dict(options or {})
        plan.study = _name_study(own_words)
        folder = read_place(node)
        launcher = read_launcher(node)
        configs = _fill_plan(plan, tidy_pairs, read_settings(node, "sweeper"))
        check_neighbours(plan, node)
    refuse_ports([config.metrics for config in configs], len(plan.jobs), launcher)
    refuse_place(folder, plan)
    return PreparedSweep(plan, folder)


def check_extras(words: Sequence[str]) -> None:
    """Make sure that launcher and sweeper are installed.

    Args:
        words: Words for Hydra.

    Raises:
        MissingPackageError: One is not; names the extra that brings it.
    """
    for word in words:
        module, extra = _EXTRAS.get(word.lstrip("+"), ("", ""))
        if module and not _is_installed(module):
            raise MissingPackageError(
                f"{word} needs the extra {extra}; run: pip install "
                f"'scribble-engine[{extra}]'."
            )


def check_neighbours(plan: SweepPlan, node: DictConfig) -> None:
    """Make sure that jobs do not load one another.

    Args:
        plan: With its jobs.
        node: Composed configuration, with Hydra's own.

    Raises:
        ConfigError: They would.
    """
    sweeper = to_plain_node(node.hydra.sweeper)
    is_search = plan.sweeper == "optuna"
    batch = sweeper.get("batch" if is_search else "max_batch_size")
    is_one_by_one = batch == 1 or (plan.sweeper == "grid" and len(plan.jobs) < 2)
    if plan.has_real_load and not is_one_by_one:
        refuse_neighbours(to_plain_node(node.hydra.launcher))


def read_launcher(node: DictConfig) -> dict[str, Any]:
    """Read the settings of the launcher.

    Args:
        node: Composed configuration, with Hydra's own.

    Raises:
        ConfigError: One is out of range, or refers to a key that is not there.
    """
    settings = read_settings(node, "launcher")
    counts = {name: settings.get(name) for name in ("n_jobs", "workers")}
    for name, count in counts.items():
        if count == 0 or (name == "workers" and (count or 1) < 0):
            raise ConfigError(
                f"hydra.launcher.{name} is {count}, so no job would run; give the "
                "number of jobs at a time, such as 2."
            )
    return settings


def read_settings(node: DictConfig, group: str) -> dict[str, Any]:
    """Read Hydra's settings of a launcher or sweeper, lists of a sweep as they stand.

    Args:
        node: Composed configuration, with Hydra's own.
        group: ``launcher`` or ``sweeper``.

    Raises:
        ConfigError: A setting refers to a key that is not there.
    """
    from omegaconf.errors import OmegaConfBaseException

    settings = to_plain_node(node.hydra[group])
    try:
        return {
            key: node.hydra[group][key] if _is_reference(value) else value
            for key, value in settings.items()
        }
    except OmegaConfBaseException as error:
        raise translate_error(error) from error


def _is_reference(value: object) -> bool:
    return isinstance(value, str) and "${" in value


def _split_pairs(
    pairs: Sequence[Sequence[str]],
) -> tuple[list[list[str]], list[str]]:
    """Tell words that move together from those with one value, typed after them."""
    moving, single = [], []
    for pair in pairs:
        tidy = tidy_overrides(pair)
        parsed = zip(parse_words(tidy), tidy, strict=True)
        flags = [(override.is_sweep_override(), word) for override, word in parsed]
        moving.append([word for moves, word in flags if moves])
        single += [word for moves, word in flags if not moves]
    return moving, single


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of its parent
        return False


def _check_hydra_words(words: Sequence[str]) -> None:
    check_extras(words)
    refuse_idle_words(words, is_sweep=True)
    for word in words:
        key = key_of_word(word)
        if key in FIXED_KEYS:
            raise ConfigError(
                f"{key} is set by the sweep itself (job folders are numbered, and "
                "sweep.parquet says what is in them); leave it out."
            )
    several = [p for p in parse_words(words) if p.is_sweep_override()]
    for override in several:
        if is_hydra_word(str(override.input_line)):
            raise ConfigError(
                f"{quote(override.input_line)} names several values, and a sweep has "
                "one launcher, sweeper and folder; choose one."
            )


def _compose_fixed(hydra_words: list[str], own_words: list[str]) -> DictConfig:
    """Compose what does not vary, and with it Hydra's own node."""
    parsed = zip(parse_words(own_words), own_words, strict=True)
    fixed = [word for override, word in parsed if not override.is_sweep_override()]
    return compose_node([*hydra_words, *fixed], with_hydra=True)


def _name_study(words: Sequence[str]) -> str | None:
    """Name the study that the experiment's jobs are for."""
    values = {key_of_word(word): word.partition("=")[2] for word in words}
    return values["experiment"] if values.get("experiment") in STUDIES else None


def _fill_plan(
    plan: SweepPlan, pairs: list[list[str]], sweeper: Mapping[str, Any]
) -> list[RunConfig]:
    """List the jobs, and compose every value of every word once.

    Returns:
        What was composed, perhaps not valid.

    Raises:
        ConfigError: A word is not allowed, or a value suits no job.
    """
    if plan.sweeper == "grid":
        axes = span_axes(plan.words, pairs)
        plan.jobs = expand_jobs(axes)
        varied = {
            key for keys, points in axes if len(points) > 1 for key in keys.split()
        }
        plan.words = [word for word in plan.words if key_of_word(word) not in varied]
        trials = list_trials(axes)
    else:
        if pairs:
            raise ConfigError(
                "Pairs are lists of values; only hydra/sweeper=basic takes them."
            )
        if plan.sweeper == "optuna":
            from experiments.sweep.search import read_search

            read_search(sweeper, plan.words)
        trials = list_trials(span_axes(_keep_discrete(plan.words)))
    configs = []
    nodes = compose_trials(trials, plan.hydra)
    for trial, node in zip(trials, nodes, strict=True):
        _refuse_shared_folder(node)
        configs.append(read_node(node, trial))
    plan.has_real_load = any(config.load.kind == REAL for config in configs)
    if plan.sweeper == "grid":
        refuse_impossible(axes, configs)
    return configs


def _keep_discrete(words: Sequence[str]) -> list[str]:
    """Leave out intervals, which have no list of values to compose."""
    parsed = zip(parse_words(words), words, strict=True)
    return [
        word
        for override, word in parsed
        if not override.is_sweep_override() or override.is_discrete_sweep()
    ]


def _leave_out(
    sweeper: Mapping[str, Any], words: Sequence[str], pairs: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Read an experiment's axes and pairs, without those that typed words replace."""
    paired = {key_of_word(word) for pair in pairs for word in pair}
    typed = paired.union(map(key_of_word, words))
    return (
        [word for word in _read_params(sweeper) if key_of_word(word) not in paired],
        [
            pair
            for pair in _read_pairs(sweeper)
            if typed.isdisjoint(map(key_of_word, pair))
        ],
    )


def _read_params(sweeper: Mapping[str, Any]) -> list[str]:
    """Read the axes that an experiment's YAML gives, as ``hydra.sweeper.params``."""
    params = sweeper.get("params") or {}
    return tidy_overrides([f"{key}={_to_text(value)}" for key, value in params.items()])


def _read_pairs(sweeper: Mapping[str, Any]) -> list[list[str]]:
    """Likewise the pairs, ``hydra.sweeper.pairs``."""
    return [
        tidy_overrides([f"{key}={_to_text(value)}" for key, value in pair.items()])
        for pair in sweeper.get("pairs") or ()
    ]


def _to_text(value: object) -> str:
    """Write a YAML value as Hydra's grammar has it; a list is a list of values."""
    if isinstance(value, list):
        return ",".join(str(entry).replace(" ", "") for entry in value)
    words = {None: "null", True: "true", False: "false"}
    return (
        words.get(value, str(value))
        if isinstance(value, (bool, type(None)))
        else (str(value))
    )


def _refuse_shared_folder(node: DictConfig) -> None:
    record = to_plain_node(node.record)
    named = record.get("folder")
    if named is not None:
        raise ConfigError(
            f"record.folder is {quote(named)}, but every job of a sweep is recorded in "
            f"a folder of its own; leave it out and name their parent by {SWEEP_KEY}."
        )
