"""A recorded run beside its replay under another policy: the same load, two answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.disk import write_text
from engine.intake import read_json, read_table, take_mapping
from engine.recording.folder import SUMMARY_FILE
from engine.recording.trace import TRACE_FILE
from experiments.report.document import to_number
from experiments.report.records import dig
from experiments.wording import format_count, format_frequency

if TYPE_CHECKING:
    from rich.table import Table

UNKNOWN: Final = "unknown"
"""What stands for a figure that was not recorded."""

Figures = dict[str, Any]


def collect_figures(summary: Mapping[str, Any], folder: Path | None) -> Figures:
    """Collect what two policies are compared by.

    Args:
        summary: Content of a ``summary.json``.
        folder: Its run folder, for the shares of the controller's states; or None.

    Returns:
        Figures by name, of JSON types; None where unknown.
    """
    paths = {
        "coherence_mean": ("coherence", "mean"),
        "coherence_least_after_settling": ("coherence", "minimum_after_settling"),
        "settled_at_s": ("coherence", "settled_at_seconds"),
        "violation_fraction": ("coherence", "violation_fraction"),
        "floor": ("coherence", "floor"),
        "average_frequency_hz": ("average_frequency_hz",),
        "tunnels_attempted": ("tunnels", "attempted"),
        "events_saved_factor": ("events_saved_factor",),
        "simulated_s": ("simulated_seconds",),
    }
    figures = {name: to_number(dig(summary, *path)) for name, path in paths.items()}
    return {
        **figures,
        "controller_state": str(summary.get("controller_state", UNKNOWN)),
        "state_shares": read_state_shares(folder) if folder is not None else None,
    }


def read_state_shares(folder: Path) -> dict[str, float] | None:
    """Count the controller's states in a trace.

    Args:
        folder: Run folder.

    Returns:
        Share of decisions by state [-], most frequent first; None without a trace.
    """
    try:
        states = read_table(folder / TRACE_FILE, ["state"])["state"]
    except Exception:  # noqa: BLE001 - PyArrow has many
        return None
    counts = Counter(states.tolist())
    total = max(1, counts.total())
    return {str(state): count / total for state, count in counts.most_common()}


def add_to_summary(folder: Path, name: str, entry: Mapping[str, Any]) -> None:
    """Add an entry to the summary of a run folder, all or nothing.

    Args:
        folder: Run folder.
        name: Key of the entry.
        entry: Its content, of JSON types.

    Raises:
        WriteError: The disk takes no more.
    """
    path = folder / SUMMARY_FILE
    summary = {**take_mapping(read_json(path)), name: entry}
    text = json.dumps(summary, indent=2, ensure_ascii=False)
    write_text(path, f"{text}\n")


def list_rows(recorded: Figures, replayed: Figures) -> list[tuple[str, str, str]]:
    """Put two sets of figures into words, side by side.

    Args:
        recorded: Of the recorded run.
        replayed: Of its replay.

    Returns:
        Label, recorded and replayed.
    """
    left, right = _describe(recorded), _describe(replayed)
    return [(label, text, right[label]) for label, text in left.items()]


def build_comparison_table(rows: list[tuple[str, str, str]]) -> Table:
    """Lay a comparison out for a terminal.

    Args:
        rows: Label, recorded and replayed.
    """
    from rich.table import Table

    table = Table(box=None, padding=(0, 2))
    table.add_column("", style="dim", no_wrap=True)
    table.add_column("recorded")
    table.add_column("replayed")
    for row in rows:
        table.add_row(*row)
    return table


def _describe(figures: Figures) -> dict[str, str]:
    shares = figures["state_shares"]
    states = figures["controller_state"]
    if shares:
        listed = (f"{state} {share:.1%}" for state, share in shares.items())
        states = ", ".join(listed)
    return {
        "coherence mean": _number(figures["coherence_mean"], ".4f"),
        "least after settling": _number(
            figures["coherence_least_after_settling"], ".4f"
        ),
        "floor": _number(figures["floor"], ".3f"),
        "below the floor": _number(figures["violation_fraction"], ".2%"),
        "settled at": _number(figures["settled_at_s"], ".3f", " s"),
        "mean frequency": _word(format_frequency, figures["average_frequency_hz"]),
        "tunnel attempts": _word(format_count, figures["tunnels_attempted"]),
        "fewer events by": _number(figures["events_saved_factor"], ".3g", " times"),
        "simulated": _number(figures["simulated_s"], "g", " s"),
        "controller": states,
    }


def _number(value: float | None, form: str, unit: str = "") -> str:
    return UNKNOWN if value is None else f"{value:{form}}{unit}"


def _word(write: Callable[[float], str], value: float | None) -> str:
    return UNKNOWN if value is None else write(value)
