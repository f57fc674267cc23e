"""The closing table of a run, and its one-line form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from engine.errors import count_noun
from experiments.wording import format_count, format_frequency

STATUS_STYLES: Final = (
    ("done", "bold green"),
    ("interrupted", "bold magenta"),
    ("failed", "bold red"),
)
"""Colours from the terminal's own palette."""
DISTANCE_MEANS: Final = (("forecast", "theory"), ("windows", "measured"))
"""Sources of the distance to the continuous network, in a word."""


def build_summary_table(summary: Mapping[str, Any], folder: str | None) -> Table:
    """Lay the figures of a finished run out.

    Why no forecast was made is said before the run, and not again.

    Args:
        summary: Content of ``summary.json``.
        folder: Run folder, or None where nothing was recorded.
    """
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in _list_facts(summary, folder):
        table.add_row(label, text)
    return table


def format_summary_lines(summary: Mapping[str, Any], folder: str | None) -> str:
    """Write the same figures as lines of ``label: text``, for logs and pipes.

    Args:
        summary: Content of ``summary.json``.
        folder: Run folder, or None where nothing was recorded.
    """
    facts = _list_facts(summary, folder)
    return "\n".join(f"{label}: {text.plain}" for label, text in facts)


def format_summary_line(summary: Mapping[str, Any], folder: str | None) -> str:
    """Put the outcome of a run into one line, the folder last.

    Args:
        summary: Content of ``summary.json``.
        folder: Run folder, or None where nothing was recorded.
    """
    coherence = summary["coherence"]
    return (
        f"{summary['status']}: coherence {_number(coherence['final'])} (floor "
        f"{_number(coherence['floor'])}), average frequency "
        f"{_frequency(summary['average_frequency_hz'])}, "
        f"{_saving(summary['events_saved_factor'])}, {folder or 'not recorded'}"
    )


def _list_facts(
    summary: Mapping[str, Any], folder: str | None
) -> Iterator[tuple[str, Text]]:
    style = dict(STATUS_STYLES).get(str(summary["status"]), "bold")
    yield "status", Text(str(summary["status"]), style=style)
    yield "coherence", _coherence_text(summary["coherence"])
    forecast = summary.get("forecast")
    if forecast is not None and forecast["coherence"] is not None:
        yield "forecast", Text(describe_forecast(forecast))
    if "distance_source" in summary["coherence"]:
        yield "continuous", Text(describe_distance(summary["coherence"]))
    if summary.get("observation") is not None:
        yield "observed", Text(describe_observation(summary["observation"]))
    yield "controller", Text(str(summary["controller_state"]))
    if summary.get("rollout") is not None:
        yield "rollout", Text(describe_rollout(summary["rollout"]))
    if summary.get("mesh") is not None:
        yield "mesh", Text(describe_mesh(summary["mesh"]))
    average = _frequency(summary["average_frequency_hz"])
    yield "frequency", Text(f"{average} on average")
    yield "events", Text(_describe_events(summary))
    yield "speed", Text(_describe_speed(summary))
    yield "stages", Text(_describe_stages(summary["stage_seconds"]))
    yield "digest", Text(str(summary["state_digest"]))
    yield "folder", Text(folder or "not recorded")


def _coherence_text(coherence: Mapping[str, Any]) -> Text:
    least, floor = coherence["minimum_after_settling"], coherence["floor"]
    text = Text(f"final {_number(coherence['final'])}, mean ")
    text.append(f"{_number(coherence['mean'])}, least after settling ")
    is_held = least is None or least >= floor
    text.append(_number(least), style="bold green" if is_held else "bold red")
    return text.append(f", floor {_number(floor)}")


def describe_distance(coherence: Mapping[str, Any]) -> str:
    """Say how far a run lies from the network whose every bridge acts all the time.

    Args:
        coherence: Entry `coherence` of `summary.json`.
    """
    distance, stderr = coherence["distance_to_continuous"], coherence["distance_stderr"]
    if distance is None or coherence["continuous"] is None:
        return f"unknown: {coherence['distance_reason']}"
    doubt = "" if stderr is None else f" +- {stderr:.4f}"
    means = dict(DISTANCE_MEANS)[coherence["distance_source"]]
    if stderr is not None and abs(distance) < stderr:
        return (
            "not told apart from this run: every bridge all the time would change r "
            f"by {distance:.4f}{doubt} ({means})"
        )
    return (
        f"r {_number(coherence['continuous'])} with every bridge all the time, "
        f"{distance:.4f}{doubt} from this run ({means})"
    )


def describe_forecast(forecast: Mapping[str, Any]) -> str:
    """Compare what was expected with what came, in one line.

    Args:
        forecast: Entry ``forecast`` of ``summary.json``.
    """
    expected, outcome = forecast["coherence"], forecast["outcome"]
    if expected is None:
        return f"none: {forecast['reason']}"
    mean_hz = _frequency(forecast["frequency_hz"])
    text = f"r {_number(expected)} expected at {mean_hz} on average"
    if outcome is not None:
        text += f", {_number(outcome)} seen, difference {forecast['difference']:+.3f}"
    doubt = "" if forecast["is_trusted"] else f" (not trusted: {forecast['reason']})"
    return text + doubt


def describe_rollout(rollout: Mapping[str, Any]) -> str:
    """Say how far a new policy came, and what stopped it.

    Args:
        rollout: Entry ``rollout`` of ``summary.json``.
    """
    changes = ", ".join(
        f"{key} {before} to {after}"
        for key, (before, after) in rollout["changes"].items()
    )
    reason = f": {rollout['reason']}" if rollout["reason"] else ""
    stage = rollout["stages"][-1]["name"]
    return (
        f"{rollout['verdict']} in stage {stage}, {rollout['share']:.0%} of the bridges "
        f"under the new policy ({changes}){reason}"
    )


def describe_mesh(mesh: Mapping[str, Any]) -> str:
    """Say how a mesh shares the budget out, and what it took.

    Args:
        mesh: Entry ``mesh`` of ``summary.json``.
    """
    if not mesh["shares"]:
        return f"{mesh['rule']}: the run ended before it looked"
    spread = zip(mesh["frequencies_hz"], mesh["shares"], strict=True)
    used = [hz for hz, share in spread if share > 0.0]
    return (
        f"{mesh['rule']}: {_frequency(used[0])} to {_frequency(used[-1])}, "
        f"{count_noun(mesh['looks'], 'look')}, {mesh['wall_share']:.1%} of the time"
    )


def describe_observation(observation: Mapping[str, Any]) -> str:
    """Say what was seen of single nodes, in one line.

    Args:
        observation: Entry ``observation`` of ``summary.json``.
    """
    parts = []
    if observation["snapshots"]:
        parts.append(f"{observation['snapshots']} snapshots")
    frequency, locking = observation["frequency"], observation["locking"]
    if frequency is not None:
        cluster = frequency["cluster"]
        parts.append(
            f"{cluster['share']:.1%} of the nodes at {cluster['frequency_hz']:.2f} Hz "
            f"over {frequency['window_s']:.3g} s"
        )
    if locking is not None and locking["mean"] is not None:
        parts.append(f"mean phase locking {locking['mean']:.3f}")
    return ", ".join(parts) or "nothing yet"


def _describe_events(summary: Mapping[str, Any]) -> str:
    tunnels = summary["tunnels"]
    return (
        f"{format_count(tunnels['successful'])} succeeded, "
        f"{format_count(tunnels['failed'])} failed; "
        f"{_saving(summary['events_saved_factor'])}"
    )


def _describe_speed(summary: Mapping[str, Any]) -> str:
    steps, wall_s = summary["steps"], summary["wall_seconds"]
    pace = format_count(steps / wall_s) if wall_s else "unknown"
    nodes = format_count(summary["node_steps_per_second"])
    return (
        f"{steps} steps in {wall_s:.1f} s: {pace} steps/s, {nodes} node steps/s on "
        f"{summary['device'] or summary['backend']}"
    )


def _describe_stages(stages: Mapping[str, float]) -> str:
    total_s = sum(stages.values())
    if not total_s:
        return "not measured"
    return ", ".join(f"{name} {span / total_s:.1%}" for name, span in stages.items())


def _saving(factor: float | None) -> str:
    return "saving unknown" if factor is None else f"{factor:.3g} times fewer events"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _frequency(value: float | None) -> str:
    return "unknown" if value is None else format_frequency(value)
