"""Two runs or two sweeps side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from experiments.report.charts import TIME, build_series, find_floor
from experiments.report.document import (
    NO,
    OPEN,
    YES,
    Axis,
    Cell,
    Document,
    Plot,
    Rule,
    Section,
    Table,
    Verdict,
)
from experiments.report.jobs import Job, SweepRecord
from experiments.report.records import RunRecord, flatten
from experiments.report.resources import read_resources
from experiments.report.run import RECORD_GROUP, format_setting
from experiments.report.sweep import judge_sweep
from experiments.report.sweep_plots import draw_both
from experiments.report.verdicts import judge_run

FIGURES: Final = (
    ("r at the end [-]", ("coherence", "final")),
    ("r on average [-]", ("coherence", "mean")),
    ("least r after settling [-]", ("coherence", "minimum_after_settling")),
    ("settled at [s]", ("coherence", "settled_at_seconds")),
    ("below the floor [-]", ("coherence", "violation_fraction")),
    ("average frequency [Hz]", ("average_frequency_hz",)),
    ("events saved [times]", ("events_saved_factor",)),
    ("simulated time [s]", ("simulated_seconds",)),
    ("wall time [s]", ("wall_seconds",)),
    ("speed [node steps/s]", ("node_steps_per_second",)),
    ("energy [J]", ("energy_joules",)),
)
"""Figures of two runs that are laid side by side."""
RATIOS: Final = (
    ("tunnelled at", "average_frequency_hz", "Hz"),
    ("took", "wall_seconds", "s"),
)
"""Verb, figure and unit of what is told as a ratio."""
OVERLAID: Final = (
    ("Coherence", "coherence", "coherence [-]", "linear"),
    ("Tunnel frequency", "frequency_hz", "frequency [Hz]", "log"),
    ("Availability", "availability", "availability [-]", "linear"),
)
"""Columns of the time series that are laid over one another."""


def compare_runs(first: RunRecord, second: RunRecord) -> Document:
    """Compare two runs.

    Args:
        first: Called A.
        second: Called B.
    """
    settings = list_differences(first.config, second.config)
    digest = judge_digests(first, second)
    plots = tuple(draw_overlays(first, second))
    sections = [
        Section("Configuration", tables=(_tabulate_settings(settings),)),
        Section("Verdicts", tables=(_tabulate_verdicts(first, second),)),
        Section("Figures", tables=(_tabulate_figures(first, second),)),
        *([Section("Time series", plots=plots)] if plots else []),
    ]
    return Document(
        title=name_pair(first.name, second.name),
        kind="comparison",
        findings=(
            _describe_settings(settings),
            *_describe_gap(first, second),
            digest.text,
        ),
        verdicts=(digest,),
        sections=tuple(sections),
        problems=_join_problems(first.problems, second.problems),
    )


def name_pair(first: str, second: str) -> str:
    """Name a comparison, so that A and B are known from then on.

    Args:
        first: Name of A.
        second: Name of B.
    """
    return f"A: {first}, B: {second}"


def list_differences(
    first: Mapping[str, Any], second: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """List the settings that differ, but for where the runs were recorded.

    Args:
        first: Nested configuration of A.
        second: That of B.
    """
    one, other = flatten(first), flatten(second)
    keys = {key: None for key in (*one, *other) if not key.startswith(RECORD_GROUP)}
    return {
        key: (one.get(key), other.get(key))
        for key in keys
        if one.get(key) != other.get(key)
    }


def _describe_settings(settings: Mapping[str, tuple[Any, Any]]) -> str:
    if not settings:
        return "A and B were asked for the same."
    told = [
        f"{key} ({format_setting(one)} and {format_setting(other)})"
        for key, (one, other) in list(settings.items())[:6]
    ]
    more = f" and {len(settings) - 6} more" if len(settings) > 6 else ""
    return f"They differ in {', '.join(told)}{more}."


def _describe_gap(first: RunRecord, second: RunRecord) -> list[str]:
    """Say how mean coherence, frequency and wall time differ."""
    lines = []
    one, other = (run.number("coherence", "mean") for run in (first, second))
    if one is not None and other is not None:
        lines.append(
            f"r was {one:.3f} on average in A and {other:.3f} in B: a difference of "
            f"{other - one:+.3f}."
        )
    for verb, path, unit in RATIOS:
        one, other = first.number(path), second.number(path)
        if not one or not other:
            continue
        told = f"{one:.4g} {unit}", f"{other:.4g} {unit}"
        if told[0] == told[1]:
            lines.append(f"Both {verb} {told[0]}.")
        else:
            times = f"{other / one:.3g} times as much"
            lines.append(f"A {verb} {told[0]}, B {told[1]}: {times}.")
    return lines


def judge_digests(first: RunRecord, second: RunRecord) -> Verdict:
    """Tell whether two runs ended in the same bits.

    Args:
        first: Called A.
        second: Called B.
    """
    one, other = (run.summary.get("state_digest") for run in (first, second))
    if not isinstance(one, str) or not isinstance(other, str):
        return Verdict("Same bits?", OPEN, "A state digest is not known.")
    if one == other:
        return Verdict("Same bits?", YES, f"The state digests are equal: {one}.")
    text = f"The state digests differ: {one[:16]}… and {other[:16]}…."
    return Verdict("Same bits?", NO, text)


def _tabulate_settings(settings: Mapping[str, tuple[Any, Any]]) -> Table:
    rows = tuple(
        (key, format_setting(one), format_setting(other))
        for key, (one, other) in settings.items()
    )
    return Table("", ("setting", "A", "B"), rows or (("none differs", "", ""),))


def _tabulate_verdicts(first: RunRecord, second: RunRecord) -> Table:
    pairs = zip(
        *(judge_run(run, read_resources(run.trace)) for run in (first, second)),
        strict=True,
    )
    rows = tuple(
        (one.question, f"{one.answer}: {one.text}", f"{other.answer}: {other.text}")
        for one, other in pairs
    )
    return Table("", ("question", "A", "B"), rows)


def _tabulate_figures(first: RunRecord, second: RunRecord) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for label, path in FIGURES:
        one, other = first.number(*path), second.number(*path)
        gap = None if one is None or other is None else other - one
        if one is not None or other is not None:
            rows.append((label, one, other, gap))
    return Table("", ("figure", "A", "B", "B - A"), tuple(rows))


def draw_overlays(first: RunRecord, second: RunRecord) -> list[Plot]:
    """Lay the time series of two runs over one another.

    Args:
        first: Called A.
        second: Called B.
    """
    plots = []
    for title, key, label, scale in OVERLAID:
        series = tuple(
            one
            for name, run in (("A", first), ("B", second))
            if key in run.series and len(run.series[key])
            for one in build_series(
                run.series["simulated_s"],
                {name: run.series[key]},
                floor=0.0 if scale == "log" else None,
            )
        )
        floors = {find_floor(run) for run in (first, second)} - {None}
        rules = tuple(
            Rule(floor, f"floor {floor:g}")
            for floor in sorted(f for f in floors if f is not None)
            if key == "coherence"
        )
        if series:
            plots.append(Plot(title, TIME, Axis(label, scale), series, rules))
    return plots


def _join_problems(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return (*(f"A: {text}" for text in first), *(f"B: {text}" for text in second))


def compare_sweeps(first: SweepRecord, second: SweepRecord) -> Document:
    """Compare two sweeps, job by job of equal overrides.

    Args:
        first: Called A.
        second: Called B.
    """
    others = {_identify(job): job for job in second.jobs}
    pairs = [
        (job, others[_identify(job)]) for job in first.jobs if _identify(job) in others
    ]
    keys = tuple(dict.fromkeys((*first.keys, *second.keys)))
    equal = sum(judge_digests(a.record, b.record).answer == YES for a, b in pairs)
    answer = OPEN if not pairs else YES if equal == len(pairs) else NO
    text = f"{equal} of {len(pairs)} pairs of jobs ended in the same bits."
    digest = Verdict("Same bits?", answer, text)
    rows = tuple(_list_pair(one, other, keys) for one, other in pairs)
    columns = (
        *keys,
        "A",
        "B",
        "r A [-]",
        "r B [-]",
        "B - A",
        "Hz A",
        "Hz B",
        "same bits",
    )
    jobs = (Table("", columns, rows),)
    verdicts = zip(judge_sweep(first), judge_sweep(second), strict=True)
    judged = tuple(
        (one.question, f"{one.answer}: {one.text}", f"{other.answer}: {other.text}")
        for one, other in verdicts
    )
    settings = _list_common_differences(pairs)
    return Document(
        title=name_pair(first.folder.name, second.folder.name),
        kind="comparison",
        findings=(
            f"A has {len(first.jobs)} jobs and B has {len(second.jobs)}; {len(pairs)} "
            "have a counterpart of the same overrides.",
            *_describe_pairs(pairs),
            text,
        ),
        verdicts=(digest,),
        sections=(
            Section("Configuration", tables=(_tabulate_settings(settings),)),
            Section("Verdicts", tables=(Table("", ("question", "A", "B"), judged),)),
            Section("Jobs", plots=draw_both(first, second), tables=jobs),
        ),
        problems=_join_problems(first.problems, second.problems),
    )


def _identify(job: Job) -> tuple[tuple[str, str], ...] | str:
    """Name a job by what was set for it, or by its folder where that is not known."""
    pairs = sorted((key, str(value)) for key, value in job.overrides.items())
    return tuple(pairs) or job.name


def _list_pair(first: Job, second: Job, keys: tuple[str, ...]) -> tuple[Cell, ...]:
    one, other = first.coherence, second.coherence
    gap = None if one is None or other is None else other - one
    digests = judge_digests(first.record, second.record).answer
    return (
        *map(first.value, keys),
        *(f"{job.name}: {job.status}" for job in (first, second)),
        one,
        other,
        gap,
        first.frequency_hz,
        second.frequency_hz,
        {YES: True, NO: False}.get(digests),
    )


def _describe_pairs(pairs: list[tuple[Job, Job]]) -> list[str]:
    gaps = [
        b.coherence - a.coherence
        for a, b in pairs
        if a.coherence is not None and b.coherence is not None
    ]
    if not gaps:
        return []
    mean, most = sum(gaps) / len(gaps), max(gaps, key=abs)
    if most == 0.0:
        return ["r is the same in every pair."]
    return [f"r in B differs by {mean:+.3f} on average, by {most:+.3f} at most."]


def _list_common_differences(
    pairs: list[tuple[Job, Job]],
) -> dict[str, tuple[Any, Any]]:
    """List settings that differ in the first pair whose jobs both left one."""
    for one, other in pairs:
        if one.record.config and other.record.config:
            return list_differences(one.record.config, other.record.config)
    return {}
