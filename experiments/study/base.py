"""Study: what the jobs of a sweep say about one question."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

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
