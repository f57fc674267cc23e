"""The report on a run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from engine.config import RunConfig
from experiments.replay import UNREPLAYABLE
from experiments.report.charts import build_run_plots, list_shares
from experiments.report.document import Document, Section, Table
from experiments.report.fields import build_pictures
from experiments.report.mesh import build_mesh_section
from experiments.report.nodes import build_node_section
from experiments.report.records import RunRecord, flatten
from experiments.report.resources import read_resources
from experiments.report.rollout import (
    build_rollout_section,
    has_rollout,
    judge_rollout,
)
from experiments.report.verdicts import judge_run, list_notes
from experiments.wording import format_count, format_frequency, format_span

OWN_KEYS: Final = (
    "status", "backend", "device", "seed", "nodes", "bridges", "steps",
    "simulated_seconds", "wall_seconds", "stage_seconds", "node_steps_per_second",
    "tunnels", "average_frequency_hz", "coherence", "controller_state",
    "events_saved_factor", "energy_joules", "state_digest", "folder", "forecast",
    "notes", "observation", "rollout", "mesh", "paths",
)  # fmt: skip
"""Entries of the summary that the report shows by itself; others become a table."""
PHASE_SENTENCE: Final = (
    "Each pixel is a site, or the mean of several; equal colours are equal phases, and "
    "the colours close on themselves after a turn."
)
RECORD_GROUP: Final = "record."
_PLAIN_TEXT: Final = re.compile(r"[A-Za-z_./][\w./-]*")


def build_run_document(record: RunRecord) -> Document:
    """Build the report on a run.

    Args:
        record: What the folder holds.
    """
    resources = read_resources(record.trace)
    series = Section("Time series", plots=build_run_plots(record, resources))
    problems = list(record.problems)
    fields = Section(
        "Phase field",
        sentences=(PHASE_SENTENCE,),
        pictures=build_pictures(record.folder, problems),
    )
    nodes = build_node_section(record)
    rollout, mesh = build_rollout_section(record), build_mesh_section(record)
    sections = [
        build_question(record),
        *([rollout] if rollout is not None else []),
        *([series] if series.plots else []),
        *([mesh] if mesh is not None else []),
        *([fields] if fields.pictures else []),
        *([nodes] if nodes is not None else []),
        Section("Figures", tables=tuple(_list_figures(record))),
        build_environment(record),
        build_reproduction(record),
    ]
    return Document(
        title=record.name,
        kind="run",
        findings=tuple(describe_run(record)),
        verdicts=(
            *judge_run(record, resources),
            *([judge_rollout(record)] if has_rollout(record) else []),
        ),
        sections=tuple(part for part in sections if _has_content(part)),
        problems=tuple(problems),
    )


def _has_content(section: Section) -> bool:
    parts = (section.tables, section.plots, section.pictures, section.commands)
    return any(parts) or bool(section.sentences)


def describe_run(record: RunRecord) -> list[str]:
    """Say in sentences what a run did and found.

    Args:
        record: What the folder holds.
    """
    if not record.summary:
        return ["How the run ended is not known."]
    lines = [_describe_size(record)]
    final, mean = (
        record.number("coherence", "final"),
        record.number("coherence", "mean"),
    )
    if final is not None and mean is not None:
        lines.append(f"Coherence r ended at {final:.3f} and was {mean:.3f} on average.")
    lines += _describe_distance(record)
    saved, hz = (
        record.number("events_saved_factor"),
        record.number("average_frequency_hz"),
    )
    if saved is not None and hz is not None:
        lines.append(
            f"Bridges tunnelled at {format_frequency(hz)} on average, {saved:.3g} "
            "times fewer events than every bridge in every step."
        )
    states, times = record.series.get("state"), record.series.get("simulated_s")
    if states is not None and times is not None and record.number("bridges"):
        shares = list_shares(states.tolist(), times)
        told = ", ".join(f"{name} {share:.1%}" for name, share in shares)
        lines += [f"Controller: {told} of the time."] if shares else []
    joules = record.number("energy_joules")
    lines += [] if joules is None else [f"The GPU took {joules:.4g} J."]
    return [*lines, *list_notes(record)]


def _describe_distance(record: RunRecord) -> list[str]:
    """Say how far the run lies from the network whose every bridge acts always."""
    distance = record.number("coherence", "distance_to_continuous")
    continuous = record.number("coherence", "continuous")
    if distance is None or continuous is None:
        return []
    stderr = record.number("coherence", "distance_stderr")
    doubt = "" if stderr is None else f" ± {stderr:.4f}"
    if stderr is not None and abs(distance) < stderr:
        return [
            "How r would change with every bridge acting all the time could not be "
            f"told: by {distance:.4f}{doubt}."
        ]
    return [
        f"With every bridge acting all the time r would be {continuous:.3f}, "
        f"{distance:.4f}{doubt} from this run."
    ]


def _describe_size(record: RunRecord) -> str:
    nodes, bridges = record.number("nodes"), record.number("bridges")
    simulated, wall = record.number("simulated_seconds"), record.number("wall_seconds")
    if None in (nodes, bridges, simulated, wall):
        return f"The run was {record.status}; its summary lacks figures."
    where = record.summary.get("device") or record.summary.get("backend")
    return (
        f"{simulated:.4g} simulated seconds of {nodes:,.0f} nodes and {bridges:,.0f} "
        f"bridges took {wall:.3g} s on {where}."
    )


def list_changes(config: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """List the settings that are not the default: what was set, and the default.

    Args:
        config: Nested configuration, as recorded.
    """
    defaults = flatten(asdict(RunConfig()))
    changes = {}
    for key, value in flatten(config).items():
        default = defaults.get(key)
        default = list(default) if isinstance(default, tuple) else default
        if value != default and not key.startswith(RECORD_GROUP):
            changes[key] = (value, default)
    return changes


def format_setting(value: Any) -> str:
    """Write a setting as the command line takes it.

    Args:
        value: A plain value, or a list of these.
    """
    if isinstance(value, list):
        return f"[{','.join(format_setting(entry) for entry in value)}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def format_override(value: Any) -> str:
    """Write a setting in the grammar of overrides, quoted where it must be.

    Args:
        value: A plain value, or a list of these.
    """
    if isinstance(value, list):
        return f"[{','.join(map(format_override, value))}]"
    text = format_setting(value)
    if not isinstance(value, str) or _PLAIN_TEXT.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def build_question(record: RunRecord) -> Section:
    """Show what was asked: settings other than the default first, then all.

    Args:
        record: What the folder holds.
    """
    changes = list_changes(record.config)
    rows = [
        (key, format_setting(value), format_setting(default))
        for key, (value, default) in changes.items()
    ]
    rest = [
        (key, format_setting(value))
        for key, value in flatten(record.config).items()
        if key not in changes
    ]
    if not rows and not rest:
        return Section("What was asked")
    count = len(rows)
    told = f"{count} settings differ" if count != 1 else "One setting differs"
    tables = (
        [Table("Set", ("setting", "value", "default"), tuple(rows))] if rows else []
    )
    tables.append(Table("Defaults", ("setting", "value"), tuple(rest)))
    return Section(
        "What was asked",
        sentences=(f"{told} from the default.",),
        tables=tuple(tables),
        is_folded=True,
    )


def _list_figures(record: RunRecord) -> list[Table]:
    """Lay out the figures of the summary."""
    if not record.summary:
        return []
    wall = record.number("wall_seconds")
    rows: list[tuple[str, str]] = [("status", record.status)]
    if wall is not None:
        rows.append(("wall time", format_span(wall)))
    rate = record.number("node_steps_per_second")
    if rate is not None:
        rows.append(("speed", f"{format_count(rate)} node steps/s"))
    for name in ("attempted", "successful", "failed"):
        count = record.number("tunnels", name)
        if count is not None:
            rows.append((f"tunnel events {name}", f"{count:,.0f}"))
    for key, value in flatten({"coherence": record.summary.get("coherence")}).items():
        if value == "":  # no reason, for there is a figure
            continue
        rows.append((key.replace(".", " ").replace("_", " "), format_value(value)))
    stages = record.summary.get("stage_seconds")
    for name, span in (stages if isinstance(stages, Mapping) else {}).items():
        rows.append((f"stage {name}", f"{format_value(span)} s"))
    rows.append(("controller at the end", str(record.summary.get("controller_state"))))
    tables = [Table("Summary", ("figure", "value"), tuple(rows))]
    more = {key: v for key, v in record.summary.items() if key not in OWN_KEYS}
    return [*tables, *build_extra_tables(more)]


def build_extra_tables(values: Mapping[str, Any]) -> tuple[Table, ...]:
    """Lay out entries as they are, those without a value left out.

    Args:
        values: Nested mappings of plain values.
    """
    rows = [
        (key, format_value(value))
        for key, value in flatten(values).items()
        if value is not None
    ]
    return (Table("Besides", ("figure", "value"), tuple(rows)),) if rows else ()


def format_value(value: Any) -> str:
    """Write a recorded value for people, four digits where it is a fraction.

    Args:
        value: A plain value.
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and len(value) > 12:
        return f"{len(value)} values"
    return "unknown" if value is None else format_setting(value)


def build_environment(record: RunRecord) -> Section:
    """Show what the run ran on.

    Args:
        record: What the folder holds.
    """
    rows = [
        (key.removeprefix("packages."), "-" if value is None else str(value))
        for key, value in flatten(record.environment).items()
    ]
    table = Table("Versions and machine", ("name", "value"), tuple(rows))
    return Section("Environment", tables=(table,) if rows else (), is_folded=True)


def build_reproduction(record: RunRecord) -> Section:
    """Show the commands that repeat the run, and the digest to compare with.

    Args:
        record: What the folder holds.
    """
    words = [
        f"{key}={format_override(value)}"
        for key, (value, _) in list_changes(record.config).items()
    ]
    run = shlex.join(["scribble", "run", *words])
    commands = [run] if record.config else []
    sentences = []
    note = next((n for n in list_notes(record) if n.startswith(UNREPLAYABLE)), None)
    if record.trace and note is None:
        commands.append(shlex.join(["scribble", "replay", record.name]))
        sentences.append(
            "A replay repeats the run on its recorded trace, to the same digest; a new "
            "run meets the machine as it is then."
        )
    digest = record.summary.get("state_digest")
    if isinstance(digest, str):
        sentences.append(f"State digest: {digest}.")
    commit = record.environment.get("git_commit")
    if isinstance(commit, str):
        sentences.append(f"Commit of the engine: {commit}.")
    return Section("How to reproduce it", tuple(sentences), tuple(commands))
