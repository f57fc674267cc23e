"""Verdicts on a load study, each with the numbers that it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from experiments.report.document import NO, OPEN, YES, Verdict
from experiments.report.verdicts import LOAD_TOLERANCE
from experiments.study.load_points import PERCENT, REAL, LevelRow, LoadPoint

NOMINAL: Final = "nominal"
HEADROOM: Final = "headroom"
"""The objective under which a run gives way to others."""
FULL: Final = 0.98
"""Busy share from which on the cores count as full [-]."""
TELLING_RATIO: Final = 0.98
"""A frequency that is lower by less than this factor is called the same [-]."""
HALF: Final = 0.5
STRANGERS: Final = 0.1
"""Share of the cores that strangers may take before a sentence says so [-]."""


def split_lines(rows: Sequence[LevelRow]) -> dict[str, list[LevelRow]]:
    """Take the rows of each line together.

    Args:
        rows: Lines and levels.
    """
    lines: dict[str, list[LevelRow]] = {}
    for row in rows:
        lines.setdefault(row.series, []).append(row)
    return lines


def format_level(level: float) -> str:
    """Write a share of the cores in percent.

    Args:
        level: The share [-].
    """
    return f"{PERCENT * level:.3g}%"


def _format_levels(points: Sequence[LoadPoint]) -> str:
    """Write the levels of jobs, as a span where there are many."""
    levels = sorted({point.level for point in points})
    if len(levels) == 1:
        return f"a load of {format_level(levels[0])}"
    low, high = format_level(levels[0]), format_level(levels[-1])
    if len(levels) == 2:
        return f"both levels of load, {low} and {high}"
    return f"all {len(levels)} levels of load from {low} to {high}"


def _format_floors(points: Sequence[LoadPoint]) -> str:
    floors = sorted({point.floor for point in points if point.floor is not None})
    words = " or ".join(f"{floor:g}" for floor in floors)
    return f"the floor of {words}" if words else "the floor"


def _name(point: LoadPoint) -> str:
    return f"job {point.job} at {format_level(point.level)}"


def describe_floor(points: Sequence[LoadPoint]) -> str:
    """Say whether r stayed above the floor, and where it came nearest.

    Args:
        points: The jobs.
    """
    known = [point for point in points if point.has_held_floor is not None]
    missed = [point for point in known if not point.has_held_floor]
    floor = _format_floors(points)
    if not known:
        return f"Whether r held {floor} was not recorded."
    if missed:
        worst = max(missed, key=lambda p: 1.0 if p.violated is None else p.violated)
        how = (
            "never reached it"
            if worst.violated is None
            else f"was below it in {worst.violated:.2%} of the periods after settling"
        )
        return (
            f"r did not hold {floor} in {len(missed)} of {len(known)} jobs; furthest "
            f"off was {_name(worst)}, which {how}."
        )
    least = min(known, key=lambda p: 1.0 if p.least is None else p.least)
    tail = "" if least.least is None else (
        f"; the least r once settled was {least.least:.3f}, in {_name(least)}"
    )  # fmt: skip
    return f"r stayed above {floor} at {_format_levels(known)}{tail}."


def judge_floor(points: Sequence[LoadPoint]) -> Verdict:
    """Judge whether the floor was held in every job.

    Args:
        points: The jobs.
    """
    question = "Floor held at every level?"
    known = [p.has_held_floor for p in points if p.has_held_floor is not None]
    if not known:
        return Verdict(question, OPEN, "No job has said so yet.")
    answer = YES if all(known) else NO
    return Verdict(question, answer, describe_floor(points))


def judge_retreat(rows: Sequence[LevelRow]) -> Verdict:
    """Judge whether the run took less as others took more.

    Args:
        rows: Lines and levels.
    """
    question = "Did it give way to the load?"
    ends = [ends for line in split_lines(rows).values() if (ends := _find_ends(line))]
    if not ends:
        return Verdict(
            question, OPEN, "That takes controller=headroom and two levels of load."
        )
    ratios = sorted(first / last for first, last, _ in ends)
    stuck = [row for first, last, row in ends if last > TELLING_RATIO * first]
    span = " to ".join(dict.fromkeys(f"{r:.3g}" for r in (ratios[0], ratios[-1])))
    text = (
        f"Bridges tunnelled {span} times more rarely under the most load than under "
        "the least"
    )
    is_bound = bool(stuck) and all(row.share(NOMINAL) < HALF for row in stuck)
    text += ", for the floor allowed no less" if is_bound else ""
    return Verdict(question, NO if stuck else YES, f"{text}.")


def _find_ends(line: Sequence[LevelRow]) -> tuple[float, float, LevelRow] | None:
    """Return the frequency under the least and the most load, and the latter row."""
    known = [
        (hz, row)
        for row in line
        if (hz := row.mean("frequency_hz")) is not None
        and all(point.objective == HEADROOM for point in row.points)
    ]
    return (known[0][0], *known[-1]) if len(known) > 1 else None


def judge_load(points: Sequence[LoadPoint]) -> Verdict:
    """Judge whether the load came to what was asked for.

    Args:
        points: The jobs.
    """
    question = "Target load reached?"
    known = [point for point in points if point.deviation is not None]
    ended = [point for point in points if point.trouble]
    if not known:
        return Verdict(question, OPEN, "The load that was achieved is not known.")
    reached = [p for p in known if (p.deviation or 0.0) <= LOAD_TOLERANCE]
    worst = max(known, key=lambda point: point.deviation or 0.0)
    is_real = any(point.kind == REAL for point in points)
    what = "load" if is_real else "made-up load, as the monitor saw it,"
    text = (
        f"The {what} came within {PERCENT * LOAD_TOLERANCE:g} points of what was asked "
        f"for in {len(reached)} of {len(known)} jobs"
    )
    if len(reached) < len(known):
        text += (
            f"; in {_name(worst)} {worst.achieved:.1%} of the cores came of "
            f"{worst.asked:.1%}"
        )
        text += (
            ", for the cores were full: run, load and others took from one another"
            if (worst.busy or 0.0) >= FULL
            else ""
        )
    if ended:
        text += f"; in {_name(ended[0])} it ended early, by {ended[0].trouble}"
    is_reached = len(reached) == len(known) and not ended
    return Verdict(question, YES if is_reached else NO, f"{text}.")


def describe_strangers(points: Sequence[LoadPoint]) -> list[str]:
    """Say where others than the load were on the machine.

    Args:
        points: The jobs.

    Returns:
        A sentence, or none.
    """
    found = {
        point.job: (point.seen - point.achieved, point)
        for point in points
        if point.kind == REAL
        and point.is_steady
        and point.seen is not None
        and point.achieved is not None
    }
    if not found:
        return []
    share, point = max(found.values(), key=lambda entry: entry[0])
    if share <= STRANGERS:
        return []
    return [
        f"The machine was not idle besides: in {_name(point)} strangers took "
        f"{share:.0%} of the cores, so the levels say less than they seem to."
    ]
