"""The controller study: how fast, how steadily and how cheaply it holds the floor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from experiments.report.document import NO, OPEN, YES, Verdict
from experiments.report.jobs import SweepRecord
from experiments.study.base import Study
from experiments.study.control_calibration import Tell, calibrate
from experiments.study.control_readings import Reading, read_jobs
from experiments.study.control_response import TOLERANCE_RUNGS, Response
from experiments.study.control_views import build_plots, build_table
from experiments.study.job_groups import describe_progress
from experiments.study.statistics import estimate_mean

MOST_VIOLATIONS: Final = 0.001
"""Share of the samples after settling that may lie below the floor [-]."""
MOST_COST: Final = 1.15
"""Cost of the later half over that of the best fixed frequency, at most [-]."""
NO_YARDSTICK: Final = "`scribble run --resume DIR` computes it once the jobs have ended"


def complete(record: SweepRecord, tell: Tell) -> None:
    """Compute the yardsticks that the jobs do not carry.

    Args:
        record: The sweep, its jobs ended.
        tell: Is told what is being computed.

    Raises:
        RecordError: The sweep's folder cannot be written.
    """
    calibrate(record, tell)


def examine(record: SweepRecord) -> Study:
    """Say how the controller behaved.

    Args:
        record: The sweep, finished or not.
    """
    readings, problems = read_jobs(record)
    sentences = (
        describe_progress(record),
        *(tell(readings) for tell in (_tell_start, _tell_floor, _tell_cost)),
        *(tell(readings) for tell in (_tell_loads, _tell_faults, _tell_real)),
    )
    return Study(
        title="Controller study",
        question=(
            "How fast, how steadily and how cheaply does the controller hold the "
            "floor, under loads that change and with a sensor that fails?"
        ),
        findings=(*(each for each in sentences if each), *problems),
        verdicts=(
            _judge_floor(readings),
            _judge_cost(readings),
            _judge_sensor(readings),
        )
        if readings
        else (),
        tables=(build_table(readings),) if readings else (),
        plots=build_plots(readings),
    )


def spread(values: Sequence[float | None], form: Callable[[float], str]) -> str:
    """Write a mean, and from where to where the values go if there are several.

    Args:
        values: Values of repetitions; None is left out.
        form: Writes one of them.
    """
    known = [value for value in values if value is not None]
    if not known:
        return "not measured"
    mean = form(sum(known) / len(known))
    ends = form(min(known)), form(max(known))
    return mean if ends[0] == ends[1] else f"{mean} ({ends[0]} to {ends[1]})"


def estimate(values: Sequence[float | None], unit: str) -> str:
    """Write a mean, with its 95% interval where there are several values.

    Args:
        values: Values of seeds; None is left out.
        unit: Follows the number.
    """
    found = estimate_mean(values)
    return "an unknown number of" if found is None else found.format(unit)


def _seconds(value: float) -> str:
    return f"{value:.2g} s" if value < 10 else f"{value:.1f} s"


def _tell_start(readings: Sequence[Reading]) -> str:
    frugal = [each for each in readings if each.objective == "floor"]
    if not frugal:
        return ""
    reached = spread([each.reached_s for each in frugal], _seconds)
    starts = [each.start_up for each in frugal]
    settled = spread([each.settling_s if each else None for each in starts], _seconds)
    over = spread([each.overshoot for each in frugal], lambda r: f"{r:.3f}")
    under = spread(
        [each.overshoot if each else None for each in starts],
        lambda rungs: f"{rungs:.2f} rungs",
    )
    return (
        f"From random phases the floor was reached after {reached} of simulated time. "
        f"The frequency, which starts at the top, came within {TOLERANCE_RUNGS:g} "
        f"rungs of where it stays after {settled} and went {under} below that; until "
        f"then r overshot its later mean by {over}.{_tell_unsettled(starts)}"
    )


def _tell_unsettled(starts: Sequence[Response | None]) -> str:
    """Say where a run was too short for what is told of its settling."""
    count = sum(each is not None and not each.is_settled for each in starts)
    if not count:
        return ""
    return (
        f" It was still moving when {count} of {len(starts)} runs ended, so what is "
        "said of their later half is not final; give them a longer "
        "dynamics.duration_s."
    )


def _tell_floor(readings: Sequence[Reading]) -> str:
    known = [each for each in readings if each.violations is not None]
    missed = len(readings) - len(known)
    text = ""
    if known:
        worst = max(known, key=lambda each: each.violations or 0.0)
        least = min(each.least for each in known if each.least is not None)
        floor = worst.config.tunnel.min_coherence
        text = f"Once reached, the floor of {floor:g} was "
        text += (
            f"missed in {worst.violations:.2%} of the samples at worst ({worst.case})"
            if worst.violations
            else "never missed"
        )
        text += f"; the least r was {least:.4f}."
    if missed:
        text += f" {missed} of {len(readings)} runs never reached it."
    return text.strip()


def _tell_cost(readings: Sequence[Reading]) -> str:
    frugal = [each for each in readings if each.objective == "floor"]
    if not frugal:
        return ""
    ratios = [each.compare(each.fixed) for each in frugal]
    if all(ratio is None for ratio in ratios):
        reasons = {str(each.reason) for each in frugal if each.reason}
        why = f": {'; '.join(sorted(reasons))}." if reasons else f"; {NO_YARDSTICK}."
        return f"What the best fixed frequency would cost is not known{why}"
    fixed = estimate([each.fixed.get("late_hz") for each in frugal], "Hz")
    late = estimate([each.late_hz for each in frugal], "Hz")
    oracle = estimate([each.compare(each.oracle) for each in frugal], "times")
    text = (
        f"Seeking the cheapest frequency, it made {late} of events per bridge in the "
        f"later half, {estimate(ratios, 'times')} the best fixed frequency ({fixed}) "
        f"and {oracle} an oracle that knows the future."
    )
    prices = [_price_start(each) for each in frugal]
    text += f" Finding it cost as much as {spread(prices, _seconds)} at that frequency."
    walls = [
        each.wall_s / each.fixed_wall_s
        for each in frugal
        if each.fixed_wall_s and each.wall_s
    ]
    if walls:
        text += (
            " In wall time, under the same real load, the whole run took "
            f"{estimate(walls, 'times')} that of the best fixed frequency (one run "
            "each)."
        )
    return text


def _price_start(reading: Reading) -> float | None:
    """Return what was spent beyond the late frequency, in seconds of it."""
    whole_hz, late_hz = reading.job.frequency_hz, reading.late_hz
    simulated_s = reading.job.record.number("simulated_seconds")
    if whole_hz is None or not late_hz or simulated_s is None:
        return None
    return max(0.0, (whole_hz / late_hz - 1.0) * simulated_s)


def _tell_loads(readings: Sequence[Reading]) -> str:
    following = [
        each for each in readings if each.objective == "headroom" and each.is_sound
    ]
    answers = [answer for each in following for answer in each.load_responses]
    if not following:
        return ""
    text = ""
    if answers:
        falls = [answer.settling_s for answer in answers if answer.change < 0]
        rises = [answer.settling_s for answer in answers if answer.change >= 0]
        text = (
            f"Following the resources, it settled after a change of the load within "
            f"{spread(rises, _seconds)} upwards and {spread(falls, _seconds)} "
            f"downwards ({len(answers)} changes), and overshot the new level by at "
            f"most {max(answer.overshoot for answer in answers):.2f} rungs."
        )
        moving = sum(not answer.is_settled for answer in answers)
        text += f" {moving} times it had not settled by the next." if moving else ""
    shares = [each.offered_share for each in following]
    text += (
        " What the machine offered decided in "
        f"{spread(shares, lambda share: f'{share:.0%}')} of the later half, the floor "
        "in the rest."
    )
    errors = [each.tracking_rungs for each in following]
    if any(error is not None for error in errors):
        error = spread(errors, lambda rungs: f"{rungs:.2f} rungs")
        text += (
            f" It stayed within {error} (root of the mean square) of what the true "
            "load left and the floor needed."
        )
    return text.strip()


def _tell_faults(readings: Sequence[Reading]) -> str:
    faulty = [each for each in readings if each.has_met_fault]
    if not faulty:
        return ""
    stale = max(faulty, key=lambda each: each.stale_share)
    text = (
        f"With a failing sensor ({', '.join(_list_faults(faulty))}) up to "
        f"{stale.stale_share:.0%} of the decisions rested on a stale sample"
    )
    wrong = [each.wrong_offers for each in faulty if each.wrong_offers is not None]
    if wrong:
        text += f", and {sum(wrong)} followed a reading that cannot be true"
    far = [each for each in faulty if each.tracking_rungs is not None]
    if far:
        worst = max(far, key=lambda each: each.tracking_rungs or 0.0)
        text += (
            f"; the frequency was furthest from what was right with "
            f"{_name_fault(worst)}, by {worst.tracking_rungs:.2f} rungs"
        )
    return f"{text}."


def _tell_real(readings: Sequence[Reading]) -> str:
    """Say what a real load came to; other work may have kept it away."""
    real = [each for each in readings if each.config.load.kind == "real"]
    pairs = [
        tuple(
            each.job.record.number("load", "cpu", key) for key in ("asked", "achieved")
        )
        for each in real
    ]
    if not any(None not in pair for pair in pairs):
        return ""
    asked, achieved = (
        spread([pair[i] for pair in pairs], lambda share: f"{share:.0%}")
        for i in (0, 1)
    )
    return (
        f"The real load took {achieved} of the cores on average, of {asked} asked for; "
        "wall times are comparable only where it got what it asked for."
    )


def _name_fault(reading: Reading) -> str:
    fault = reading.config.fault
    return f"{fault.kind} ({fault.value})" if fault.kind == "lie" else fault.kind


def _list_faults(readings: Sequence[Reading]) -> list[str]:
    return list(dict.fromkeys(_name_fault(each) for each in readings))


def _judge_floor(readings: Sequence[Reading]) -> Verdict:
    question = "Floor held once reached?"
    missed = [each for each in readings if each.violations is None]
    broken = [each for each in readings if (each.violations or 0.0) > MOST_VIOLATIONS]
    if missed or broken:
        cases = ", ".join(dict.fromkeys(each.case for each in [*missed, *broken]))
        return Verdict(
            question,
            NO,
            f"{len(missed) + len(broken)} of {len(readings)} runs never reached it or "
            f"missed it in more than {MOST_VIOLATIONS:.1%} of the samples: {cases}.",
        )
    worst = max(each.violations or 0.0 for each in readings)
    return Verdict(
        question,
        YES,
        f"Missed in {worst:.3g} of the samples once reached, at worst, in "
        f"{len(readings)} runs ({MOST_VIOLATIONS:g} allowed).",
    )


def _judge_cost(readings: Sequence[Reading]) -> Verdict:
    question = "Near the best fixed cost?"
    frugal = [each for each in readings if each.objective == "floor"]
    ratios = [each.compare(each.fixed) for each in frugal]
    known = [ratio for ratio in ratios if ratio is not None]
    if not frugal:
        return Verdict(question, OPEN, "No run sought the cheapest frequency.")
    if not known:
        text = f"The best fixed frequency is not known; {NO_YARDSTICK}."
        return Verdict(question, OPEN, text)
    worst = max(known)
    oracles = [each.compare(each.oracle) for each in frugal]
    against = max((ratio for ratio in oracles if ratio is not None), default=None)
    text = (
        f"{worst:.3f} times the events of the best fixed frequency in the later half "
        f"at worst ({MOST_COST:g} allowed)"
    )
    text += "." if against is None else f"; {against:.3f} times the oracle's."
    return Verdict(question, YES if worst <= MOST_COST else NO, text)


def _judge_sensor(readings: Sequence[Reading]) -> Verdict:
    question = "Failing sensor harmless?"
    asked = [each for each in readings if not each.is_sound]
    faulty = [each for each in asked if each.has_met_fault]
    if asked and not faulty:
        text = "Every run ended before its sensor was to fail (fault.start_s)."
        return Verdict(question, OPEN, text)
    counts = [each.wrong_offers for each in faulty if each.wrong_offers is not None]
    if not counts:
        return Verdict(question, OPEN, "No run that follows the resources had a fault.")
    broken = [each for each in faulty if (each.violations or 0.0) > MOST_VIOLATIONS]
    missed = [each for each in faulty if each.violations is None]
    text = (
        f"{sum(counts)} decisions followed a reading that cannot be true; the floor "
        f"was missed in {len(broken) + len(missed)} of {len(faulty)} runs with a fault."
    )
    is_harmless = not sum(counts) and not broken and not missed
    return Verdict(question, YES if is_harmless else NO, text)
