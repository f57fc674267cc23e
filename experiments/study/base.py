"""Study: what the jobs of a sweep say about one question, and how it is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.disk import write_text
from experiments.report.document import HeatMap, Plot, Table, Verdict


@dataclass(frozen=True)
class Study:
    """An answer, with what it rests on."""

    title: str
    """What was studied."""
    question: str
    """What was to be found out, in a sentence."""
    findings: tuple[str, ...]
    """What was found, in sentences; also of jobs that still run, as far as it goes."""
    verdicts: tuple[Verdict, ...] = ()
    """Yes-or-no answers, in the order of their weight."""
    tables: tuple[Table, ...] = ()
    """The figures behind the sentences."""
    plots: tuple[Plot | HeatMap, ...] = ()
    """The same as pictures."""

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``study.json``, as it would be read back."""
        values: dict[str, Any] = to_plain(asdict(self))
        kinds = [
            "heat" if isinstance(plot, HeatMap) else "series" for plot in self.plots
        ]
        values["plots"] = [
            {"kind": kind, **plot}
            for kind, plot in zip(kinds, values["plots"], strict=True)
        ]
        return values


def to_plain(value: Any) -> Any:
    """Turn tuples into lists, throughout.

    Args:
        value: Nested mappings, tuples and plain values.
    """
    if isinstance(value, dict):
        return {key: to_plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(entry) for entry in value]
    return value


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a study's file whole or not at all.

    Args:
        path: A file in the sweep's folder.
        values: What it is to hold.

    Raises:
        WriteError: The folder cannot be written.
    """
    write_text(path, f"{json.dumps(values, indent=1)}\n", is_shared=True)
