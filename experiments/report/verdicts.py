"""Verdicts on a run, each with the number it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from engine.config import LoadConfig
from engine.errors import ConfigError
from engine.monitor.sources import evaluate_load
from experiments.replay import UNREPLAYABLE
from experiments.report.document import NO, OPEN, YES, Verdict, to_number
from experiments.report.records import UNFINISHED, RunRecord, dig
from experiments.report.resources import MEMORY, OTHERS
from experiments.report.thinning import F64Array
from experiments.wording import format_frequency

FORECAST_TOLERANCE: Final = 0.01
"""How near a trusted forecast of r is to come [-], as the forecast itself promises."""
LOAD_TOLERANCE: Final = 0.03
"""How near the load on the cores is to come to what was asked for [-]."""

Resources = Mapping[str, F64Array]


def judge_run(record: RunRecord, resources: Resources) -> tuple[Verdict, ...]:
    """Judge a run.

    Args:
        record: What the folder holds.
        resources: What the trace saw of the machine.
    """
    return (
        _judge_end(record),
        _judge_floor(record),
        _judge_load(record, resources),
        _judge_resources(record, resources),
        _judge_sensor(record),
        _judge_forecast(record),
    )


def _judge_end(record: RunRecord) -> Verdict:
    question = "Finished?"
    reached, asked = (
        record.number("simulated_seconds"),
        to_number(record.setting("dynamics", "duration_s")),
    )
    how_far = "" if reached is None else f" after {reached:.4g} simulated seconds"
    if reached is not None and asked is not None and record.status != "done":
        how_far += f" of {asked:.4g}"
    if record.status == "done":
        return Verdict(question, YES, f"It was done{how_far}.")
    if record.status == UNFINISHED:
        return Verdict(question, OPEN, "No summary was written.")
    reasons = [note for note in list_notes(record) if not note.startswith(UNREPLAYABLE)]
    reason = f": {' '.join(reasons)}" if reasons else "."
    return Verdict(question, NO, f"It was {record.status}{how_far}{reason}")


def list_notes(record: RunRecord) -> list[str]:
    """List what the engine itself had to say.

    Args:
        record: What the folder holds.
    """
    notes = record.summary.get("notes")
    return [str(note) for note in notes] if isinstance(notes, list) else []


def _judge_floor(record: RunRecord) -> Verdict:
    question = "Floor held?"
    floor, final = (
        record.number("coherence", "floor"),
        record.number("coherence", "final"),
    )
    if floor is None or final is None:
        return Verdict(question, OPEN, "The coherence at the end was not recorded.")
    violated = record.number("coherence", "violation_fraction")
    least = record.number("coherence", "minimum_after_settling")
    settled_s = record.number("coherence", "settled_at_seconds")
    if violated is None or least is None:
        seen = record.series.get("coherence")
        best = (
            f", {np.nanmax(seen):.3f} at best" if seen is not None and len(seen) else ""
        )
        text = f"r never reached {floor:g}: {final:.3f} at the end{best}."
        return Verdict(question, NO, text)
    since = "" if settled_s is None else f" at {settled_s:.4g} s"
    if violated == 0.0:
        text = f"r never fell below {floor:g} once settled{since}; least {least:.3f}."
        return Verdict(question, YES, text)
    text = (
        f"r was below {floor:g} in {violated:.2%} of the control periods after settling"
        f"{since}; least {least:.3f}."
    )
    return Verdict(question, NO, text)


def _judge_load(record: RunRecord, resources: Resources) -> Verdict:
    question = "Target load reached?"
    load = record.setting("load")
    kind = load.get("kind") if isinstance(load, Mapping) else None
    if kind is None:
        return Verdict(question, OPEN, "What was asked for is not known.")
    if kind == "none":
        return Verdict(
            question, OPEN, "No load was asked for; the run met what was there."
        )
    if kind == "replay":
        return Verdict(
            question, OPEN, "The load is that of the trace of an earlier run."
        )
    if kind == "real":
        return _judge_real_load(record, question)
    asked, seen = read_asked_load(record, load), resources.get(OTHERS)
    if asked is None or seen is None:
        return Verdict(question, OPEN, "The load on the cores was not recorded.")
    gap = float(np.nanmean(np.abs(seen - asked)))
    text = (
        f"{np.nanmax(asked):.1%} of the cores were asked for at the peak and "
        f"{np.nanmax(seen):.1%} seen; {np.nanmean(asked):.1%} and "
        f"{np.nanmean(seen):.1%} on average, {100 * gap:.2g} points apart."
    )
    return Verdict(question, YES if gap <= LOAD_TOLERANCE else NO, text)


def _judge_real_load(record: RunRecord, question: str) -> Verdict:
    """Judge by what the load generator itself compared, after settling."""
    names = ("asked", "achieved", "mean_deviation")
    found = [record.number("load", "cpu", name) for name in names]
    asked, achieved, gap = found
    if asked is None or achieved is None or gap is None:
        return Verdict(question, OPEN, "The load on the cores was not recorded.")
    text = (
        f"{asked:.1%} of the cores were asked for and {achieved:.1%} achieved on "
        f"average, {100 * gap:.2g} points apart."
    )
    ended_by = dig(record.summary, "load", "ended_by")
    is_whole = ended_by in (None, "run")
    text += "" if is_whole else f" It ended early, by {ended_by}."
    is_reached = is_whole and gap <= LOAD_TOLERANCE
    return Verdict(question, YES if is_reached else NO, text)


def read_asked_load(record: RunRecord, load: Mapping[str, Any]) -> F64Array | None:
    """Evaluate a made-up load at the times of the trace.

    Args:
        record: A run with a trace.
        load: Its group ``load``.

    Returns:
        Share of the cores asked for at each decision [-]; None where it is unknown.
    """
    times = record.trace.get("simulated_s")
    known = {key: load[key] for key in LoadConfig.__dataclass_fields__ if key in load}
    if times is None or not len(times):
        return None
    try:
        config = LoadConfig(**known)
        config.validate()
        return np.array([evaluate_load(config, at) for at in times])
    except (ConfigError, TypeError, ValueError):
        return None


def _judge_resources(record: RunRecord, resources: Resources) -> Verdict:
    question = "Resources respected?"
    objective = record.setting("controller", "objective")
    used, offered = record.series.get("frequency_hz"), record.series.get("offered_hz")
    required = record.series.get("required_hz")
    if used is None or offered is None or required is None or not len(used):
        return Verdict(question, OPEN, "No decision of the controller was recorded.")
    if not record.number("bridges"):
        return Verdict(
            question, OPEN, "Without bridges there was nothing to slow down."
        )
    if objective == "fixed":
        return Verdict(
            question, OPEN, "The frequency was fixed; no resource was asked."
        )
    beyond = used > 1.001 * offered
    excused = beyond & (required > 1.001 * offered)
    memory, memory_text = _judge_memory(record, resources)
    text = (
        f"The frequency kept to what the machine offered in {1 - np.mean(beyond):.1%} "
        "of the control periods"
    )
    if excused.any():
        text += " and went beyond it, as the law of the floor asked, "
        text += f"in {np.mean(excused):.1%}"
    is_kept = memory and bool(np.all(beyond == excused))
    return Verdict(question, YES if is_kept else NO, f"{text}.{memory_text}")


def _judge_sensor(record: RunRecord) -> Verdict:
    """Say how far the figures of the machine could be trusted."""
    question = "Sensor sound?"
    if "sensor" not in record.summary:
        return Verdict(question, OPEN, "It was not recorded.")
    stale, decisions, disbelieved, age_s = (
        record.number("sensor", key)
        for key in ("stale", "decisions", "disbelieved", "longest_age_s")
    )
    if stale is None or decisions is None:
        return Verdict(question, YES, "Every sample was fresh, and could be true.")
    text = f"{stale:.0f} of {decisions:.0f} decisions rested on a stale sample"
    text += "" if age_s is None else f", {age_s:.3g} s old at most"
    flaws = dig(record.summary, "sensor", "flaws")
    if disbelieved and isinstance(flaws, list):
        text += f"; {disbelieved:.0f} readings were not believed: {', '.join(flaws)}"
    return Verdict(question, NO, f"{text}.")


def _judge_memory(record: RunRecord, resources: Resources) -> tuple[bool, str]:
    """Compare the least free memory with its threshold."""
    least, seen = (
        to_number(record.setting("resources", "min_memory_threshold")),
        resources.get(MEMORY),
    )
    if least is None or seen is None:
        return True, ""
    low = float(np.nanmin(seen))
    return (
        low >= least,
        f" At least {low:.0%} of memory stayed free, of {least:.0%} asked.",
    )


def _judge_forecast(record: RunRecord) -> Verdict:
    question = "Forecast met?"
    forecast = record.summary.get("forecast")
    if not isinstance(forecast, Mapping):
        return Verdict(question, OPEN, "Nothing was forecast.")
    expected, seen = (to_number(forecast.get(key)) for key in ("coherence", "outcome"))
    if expected is None or seen is None:
        reason = str(forecast.get("reason") or "the run ended too early").rstrip(".")
        return Verdict(question, OPEN, f"There is nothing to compare: {reason}.")
    hz = to_number(forecast.get("frequency_hz"))
    where = "" if hz is None else f" at {format_frequency(hz)} on average"
    gap = seen - expected
    text = f"r {expected:.3f} was forecast{where}, {seen:.3f} came ({gap:+.3f})"
    if not forecast.get("is_trusted"):
        return Verdict(
            question, OPEN, f"{text}; not trusted: {forecast.get('reason')}."
        )
    if abs(gap) <= FORECAST_TOLERANCE:
        return Verdict(question, YES, f"{text}.")
    return Verdict(question, NO, f"{text}, further than {FORECAST_TOLERANCE:g}.")
