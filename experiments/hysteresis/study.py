"""What a sweep up and down leaves for the report, as a study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from experiments.hysteresis.loop import COUPLING, DOWN, LEAST_JUMP, UP, HysteresisLoop
from experiments.report.document import NO, YES, Axis, Plot, Series, Table, Verdict
from experiments.study.base import Study

LABELS: Final = ((COUPLING, "coupling K"), ("bridges.strength_rad_s", "strength kappa"))
"""What each parameter is called on axes and in sentences."""


def build_study(loop: HysteresisLoop, findings: Sequence[str]) -> Study:
    """Put a sweep into the form that `scribble report` shows.

    Args:
        loop: The sweep.
        findings: What it has found, in lines.
    """
    name = dict(LABELS)[loop.plan.parameter]
    return Study(
        f"Hysteresis of the {name}",
        f"Does coherence depend on whether the {name} rises or falls?",
        tuple(f"{line[:1].upper()}{line[1:]}." for line in findings),
        (_judge_ways(loop),) if loop.is_complete else (),
        (_build_table(loop, f"{name} [rad/s]"),),
        (_build_plot(loop, f"{name} [rad/s]"),),
    )


def _judge_ways(loop: HysteresisLoop) -> Verdict:
    """Say whether both ways differ by as much as counts for a jump."""
    value_rad_s, gap = loop.find_gap()
    return Verdict(
        "Hysteresis seen?",
        YES if abs(gap) >= LEAST_JUMP else NO,
        f"r down minus r up is {gap:+.3f} at {value_rad_s:.4g} rad/s, where both "
        f"ways differ most; {LEAST_JUMP:g} either way counts.",
    )


def _build_plot(loop: HysteresisLoop, label: str) -> Plot:
    """Lay out r over the parameter, a line for each way."""
    series = []
    for way in (UP, DOWN):
        points = loop.select(way)
        values = tuple(point.value_rad_s for point in points)
        if points:
            found = tuple(point.coherence for point in points)
            series.append(Series(way, values, found))
    return Plot(
        "Coherence up and down",
        Axis(label),
        Axis("r [-]"),
        tuple(series),
        caption=f"{loop.plan.settle_s:g} s to settle at each point, then r is "
        f"averaged over {loop.plan.measure_s:g} s of simulated time.",
    )


def _build_table(loop: HysteresisLoop, label: str) -> Table:
    """List every value of the parameter with r of both ways, as far as they went."""
    downs = {point.value_rad_s: point for point in loop.select(DOWN)}
    pairs = [(up, downs.get(up.value_rad_s)) for up in loop.select(UP)]
    return Table(
        "Every point",
        (label, "r up", "r down", "deviation up", "deviation down"),
        tuple(
            (
                up.value_rad_s,
                up.coherence,
                None if down is None else down.coherence,
                up.coherence_deviation,
                None if down is None else down.coherence_deviation,
            )
            for up, down in pairs
        ),
    )
