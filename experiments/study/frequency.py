"""The frequency sweep: what coherence costs, and where the controller works.

The frontier is r, once settled, over the fixed tunnel frequency, which is also the cost
in events per bridge and simulated second. Two frequencies stand out on it: the knee and
the cheapest that holds the floor (`frequency_curve.py` defines both).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from experiments.report.document import NO, OPEN, YES, Verdict
from experiments.report.jobs import Job, SweepRecord
from experiments.report.verdicts import FORECAST_TOLERANCE
from experiments.study.base import Study
from experiments.study.frequency_curve import POINTS_OF_KNEE, find_crossing
from experiments.study.frequency_frontier import Frontier, Rung, build_frontiers
from experiments.study.frequency_plots import draw, list_forecast, tabulate
from experiments.study.job_groups import describe_progress
from experiments.study.statistics import Estimate

NETWORKS_TOLD: Final = 4
"""Networks with a sentence of their own at most."""
COST_TOLERANCE: Final = 0.15
"""How much dearer than the cheapest fixed frequency the controller may be [-]."""
TITLE: Final = "Frequency sweep"
QUESTION: Final = (
    "What coherence does a tunnel frequency buy, at what cost, and how near the "
    "cheapest one does the controller work?"
)


def examine(record: SweepRecord) -> Study:
    """Say what the jobs found about coherence and its cost.

    Args:
        record: The sweep's folder.
    """
    frontiers = build_frontiers(record)
    progress = describe_progress(record)
    if not frontiers:
        text = progress or "No job has left a frequency and an r."
        return Study(TITLE, QUESTION, (text,))
    if len(frontiers) == 1:
        told = _describe_frontier(frontiers[0])
    else:
        told = _summarise_frontiers(frontiers)
    return Study(
        TITLE,
        QUESTION,
        tuple(text for text in (progress, *told) if text),
        tuple(_judge(frontiers)),
        (tabulate(frontiers),),
        tuple(draw(frontiers)),
    )


def _describe_frontier(frontier: Frontier) -> list[str]:
    return [
        _describe_range(frontier),
        _describe_knee(frontier),
        _describe_floor(frontier),
        _describe_forecast(frontier),
        *(_describe_controller(frontier, rung) for rung in frontier.adaptive),
    ]


def _describe_range(frontier: Frontier) -> str:
    if len(frontier.fixed) < 2:
        return "Fewer than two fixed frequencies are known, so there is no frontier."
    low, high = frontier.fixed[0], frontier.fixed[-1]
    seeds = f", mean of {len(frontier.seeds)} seeds" if len(frontier.seeds) > 1 else ""
    text = (
        f"From {_tell(low.frequency_hz)} to {_tell(high.frequency_hz)} Hz r goes from "
        f"{_tell(low.coherence)} to {_tell(high.coherence)}"
    )
    if low.pace and high.pace:
        text += (
            f", and a simulated second takes {low.pace.mean:.3g} s to "
            f"{high.pace.mean:.3g} s of wall time"
        )
    return f"{text} ({len(frontier.fixed)} fixed frequencies{seeds})."


def _tell(estimate: Estimate | None) -> str:
    return "?" if estimate is None else f"{estimate.mean:.4g}"


def _describe_knee(frontier: Frontier) -> str:
    knee, spread = frontier.knee, frontier.knee_hz
    places = [rung.place for rung in frontier.fixed if rung.place]
    if len(places) < POINTS_OF_KNEE:
        return ""
    chord = f"the chord of r over log f from {places[0][0]:.3g} Hz to"
    chord = f"{chord} {places[-1][0]:.4g} Hz"
    if knee is None:
        return f"There is no knee: no point lies above {chord}."
    hz = _tell_spread(knee[0], spread)
    return (
        f"The knee, the point farthest above {chord}, is at {hz} Hz with an r of "
        f"{knee[1]:.3f}."
    )


def _tell_spread(value: float, spread: Estimate | None) -> str:
    """Write a value of the mean curve with the interval over seeds."""
    width = spread.half_width if spread else None
    return Estimate(value, width, spread.count if spread else 1).format()


def _describe_floor(frontier: Frontier) -> str:
    if frontier.floor is None or not frontier.fixed:
        return ""
    hz = frontier.find_floor_hz()
    if hz is None:
        best = frontier.fixed[-1]
        return (
            f"No fixed frequency holds the floor of {frontier.floor:g}: the highest, "
            f"{_tell(best.frequency_hz)} Hz, reaches {_tell(best.coherence)}."
        )
    lowest = frontier.fixed[0].place
    if lowest is not None and hz <= lowest[0]:
        return (
            f"Every fixed frequency holds the floor of {frontier.floor:g} in the mean, "
            f"so the cheapest that does lies below {hz:.3g} Hz."
        )
    text = (
        f"The cheapest fixed frequency that holds the floor of {frontier.floor:g} in "
        "the mean, interpolated between rungs, is "
        f"{_tell_spread(hz, frontier.floor_hz)} Hz"
    )
    every_hz = _find_every_step(frontier)
    if every_hz:
        text += f", {every_hz / hz:.3g} times fewer events than in every step"
    return f"{text}."


def _find_every_step(frontier: Frontier) -> float | None:
    """Return the frequency of every bridge in every step [Hz], None where unknown."""
    dt_s = {p.job.record.setting("dynamics", "dt_s") for p in frontier.points}
    step_s = dt_s.pop() if len(dt_s) == 1 else None
    return 1.0 / step_s if isinstance(step_s, float) and step_s > 0.0 else None


def _list_misses(frontier: Frontier) -> list[float]:
    """List how far r came from forecasts that are trusted [-]."""
    misses = []
    for point in frontier.points:
        entry = point.job.record.summary.get("forecast")
        if isinstance(entry, dict) and entry.get("is_trusted"):
            miss = point.job.record.number("forecast", "difference")
            misses += [] if miss is None else [miss]
    return misses


def _describe_forecast(frontier: Frontier) -> str:
    misses = _list_misses(frontier)
    if not misses:
        return "There is no trusted forecast to compare with."
    rms = float(np.sqrt(np.mean(np.square(misses))))
    text = (
        f"Where it is trusted ({len(misses)} of {len(frontier.points)} jobs), the "
        f"forecast missed r by {rms:.1g} rms and {max(map(abs, misses)):.1g} at most"
    )
    places = list_forecast(frontier)
    reached = frontier.floor and find_crossing(places, frontier.floor)
    if reached and reached > places[0][0]:
        return f"{text}; it puts the floor at {reached:.3g} Hz."
    return f"{text}."


def _describe_controller(frontier: Frontier, rung: Rung) -> str:
    hz, r = rung.frequency_hz, rung.coherence
    if hz is None or r is None:
        return ""
    text = (
        f"In the later half, {rung.words} worked at {hz.format('Hz')} "
        f"with an r of {r.format()}"
    )
    ratio = frontier.compare(rung)
    if ratio is None:
        return f"{text}."
    text += f": {ratio.format()} times the events of the cheapest fixed frequency"
    wall = _compare_wall(frontier, rung)
    return f"{text} and {wall:.3g} times its wall time." if wall else f"{text}."


def _compare_wall(frontier: Frontier, rung: Rung) -> float | None:
    """Divide a controller's wall time by that of the cheapest fixed frequency."""
    hz = frontier.find_floor_hz()
    pace = frontier.find_pace(hz) if hz else None
    return rung.pace.mean / pace if pace and rung.pace else None


def _summarise_frontiers(frontiers: Sequence[Frontier]) -> list[str]:
    told = [_summarise_frontier(frontier) for frontier in frontiers[:NETWORKS_TOLD]]
    more = len(frontiers) - NETWORKS_TOLD
    return [*told, f"{more} more are in the table."] if more > 0 else told


def _summarise_frontier(frontier: Frontier) -> str:
    """Describe one of several networks in a sentence."""
    hz, knee = frontier.find_floor_hz(), frontier.knee
    facts = [f"knee at {knee[0]:.3g} Hz (r {knee[1]:.3f})"] if knee else []
    if frontier.floor is not None and frontier.fixed:
        held = "out of reach" if hz is None else f"held from {hz:.3g} Hz on"
        facts.append(f"floor of {frontier.floor:g} {held}")
    for rung in frontier.adaptive:
        ratio = frontier.compare(rung)
        more = f", {ratio.format()} times that of the floor" if ratio else ""
        facts.append(
            f"{rung.words} at {_tell(rung.frequency_hz)} Hz"
            f" (r {_tell(rung.coherence)}){more}"
        )
    return f"{frontier.name}: {'; '.join(facts) or 'nothing to tell yet'}."


def _judge(frontiers: Sequence[Frontier]) -> list[Verdict]:
    return [
        _judge_floor(frontiers),
        _judge_cost(frontiers),
        _judge_forecast(frontiers),
    ]


def _judge_floor(frontiers: Sequence[Frontier]) -> Verdict:
    question = "Floor held by the controller?"
    jobs: list[Job] = [
        point.job
        for frontier in frontiers
        for rung in frontier.adaptive
        for point in rung.points
        if point.job.has_held_floor is not None
    ]
    if not jobs:
        return Verdict(question, OPEN, "No job let a controller choose the frequency.")
    held = sum(bool(job.has_held_floor) for job in jobs)
    text = f"{held} of {len(jobs)} jobs held it from when they first reached it."
    return Verdict(question, YES if held == len(jobs) else NO, text)


def _judge_cost(frontiers: Sequence[Frontier]) -> Verdict:
    """Judge controller=floor, whose aim it is to be cheap."""
    question = "Controller as cheap as the cheapest fixed frequency?"
    ratios = [
        ratio
        for frontier in frontiers
        for rung in frontier.adaptive
        if rung.objective == "floor" and (ratio := frontier.compare(rung)) is not None
    ]
    if not ratios:
        text = "It takes jobs of controller=floor, and fixed ones on both sides of it."
        return Verdict(question, OPEN, text)
    worst = max(ratios, key=lambda ratio: ratio.mean)
    text = (
        f"controller=floor takes {worst.format()} times its events, and "
        f"{1.0 + COST_TOLERANCE:g} are allowed."
    )
    is_cheap = worst.mean <= 1.0 + COST_TOLERANCE
    return Verdict(question, YES if is_cheap else NO, text)


def _judge_forecast(frontiers: Sequence[Frontier]) -> Verdict:
    question = "Forecast met?"
    misses = [miss for frontier in frontiers for miss in _list_misses(frontier)]
    if not misses:
        return Verdict(question, OPEN, "No job has a trusted forecast.")
    worst = max(map(abs, misses))
    text = f"r missed it by at most {worst:.2g}; {FORECAST_TOLERANCE:g} is promised."
    return Verdict(question, YES if worst <= FORECAST_TOLERANCE else NO, text)
