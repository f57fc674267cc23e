"""Figures of ``summary.json`` that a search may look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.config.hints import list_hints, strip_none
from engine.errors import unknown_choice
from engine.recording.summary import RunSummary
from experiments.sweep.table import SUMMARY_PREFIX


def check_figure(key: str, figure: str) -> None:
    """Refuse a figure that no summary has, as far as that is known before a run.

    Args:
        key: Key that names it, such as ``hydra.sweeper.objective``.
        figure: Such as ``coherence.final``; what groups hold is known after a run only.

    Raises:
        ConfigError: There is no such figure, or it is no number.
    """
    numbers, groups = set(_list_fields(int, float)), set(_list_fields(dict))
    group, _, rest = figure.partition(".")
    if figure not in numbers and not (group in groups and rest):
        names = [*sorted(numbers), *(f"{name}.KEY" for name in sorted(groups))]
        raise unknown_choice(key, figure, names)


def _list_fields(*kinds: type) -> Iterator[str]:
    """List the fields of a summary that hold values of some types."""
    for name, hint in list_hints(RunSummary).items():
        plain = strip_none(hint)
        if getattr(plain, "__origin__", plain) in kinds:
            yield name


def refuse_absent(key: str, figure: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a figure that jobs have shown not to exist.

    Args:
        key: Key that names it.
        figure: Such as ``coherence.final``.
        rows: The sweep table.

    Raises:
        ConfigError: No job that ended well has it.
    """
    column = f"{SUMMARY_PREFIX}{figure}"
    done = [row for row in rows if row["status"] == "done"]
    known = dict.fromkeys(_list_known(done))
    if known and not any(column in row for row in done):
        raise unknown_choice(key, figure, known)


def _list_known(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """List the numbers that summaries hold."""
    for row in rows:
        for name, value in row.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if name.startswith(SUMMARY_PREFIX) and is_number:
                yield name.removeprefix(SUMMARY_PREFIX)
