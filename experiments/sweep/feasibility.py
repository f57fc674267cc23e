"""Values of a sweep that no job could accept, told before any job starts.

A configuration is composed for every value once, not for every job. That of a job
follows from these: it has all in which those of its values differ from the first one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import reduce
from typing import Any, TypeVar

from engine.config import RunConfig, check_inputs
from engine.errors import ConfigError
from experiments.sweep.plan import Axis

Config = TypeVar("Config")


def refuse_impossible(axes: Sequence[Axis], trials: Sequence[RunConfig]) -> None:
    """Make sure that each value of a sweep suits some job.

    Values that are impossible together are left to their own jobs.

    Args:
        axes: From `span_axes`.
        trials: Configurations of `list_trials`, in that order; not validated.

    Raises:
        ConfigError: A value suits no job; says why.
    """
    first, others = trials[0], iter(trials[1:])
    lists = [[first, *itertools.islice(others, len(points) - 1)] for _, points in axes]
    for index, configs in enumerate(lists or [[first]]):
        for config in configs:
            flaw = _find_flaw(config)
            rest = [*lists[:index], *lists[index + 1 :]]
            if flaw and all(map(_find_flaw, _list_jobs(first, config, rest))):
                raise flaw


def _list_jobs(
    first: RunConfig, config: RunConfig, lists: Sequence[Sequence[RunConfig]]
) -> Iterator[RunConfig]:
    """List what becomes of a configuration with all combinations of other values."""
    for points in itertools.product(*lists):
        yield reduce(lambda job, point: _change(job, first, point), points, config)


def _change(config: Config, first: Config, point: Config) -> Config:
    """Return a configuration with everything in which `point` differs from `first`."""
    changes: dict[str, Any] = {}
    for field in fields(config):  # type: ignore[arg-type]
        own, old, new = (getattr(one, field.name) for one in (config, first, point))
        if is_dataclass(own):
            changes[field.name] = _change(own, old, new)
        elif new != old:
            changes[field.name] = new
    return replace(config, **changes)  # type: ignore[type-var]


def _find_flaw(config: RunConfig) -> ConfigError | None:
    try:
        config.validate()
        check_inputs(config)
    except ConfigError as error:
        return error
    return None
