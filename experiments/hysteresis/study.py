"""What a sweep up and down leaves for the report: the content of its study.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from experiments.hysteresis.loop import COUPLING, DOWN, LEAST_JUMP, UP, HysteresisLoop

LABELS: Final = ((COUPLING, "coupling K"), ("bridges.strength_rad_s", "strength kappa"))
"""What each parameter is called on axes and in sentences."""


def build_study(loop: HysteresisLoop, findings: Sequence[str]) -> dict[str, Any]:
    """Put a sweep into the form that `scribble report` shows.

    Args:
        loop: The finished sweep.
        findings: What it has found, in lines.
    """
    name = dict(LABELS)[loop.plan.parameter]
    return {
        "title": f"Hysteresis of the {name}",
        "question": f"Does coherence depend on whether the {name} rises or falls?",
        "findings": [f"{line[:1].upper()}{line[1:]}." for line in findings],
        "verdicts": [_judge_ways(loop)],
        "plots": [_build_plot(loop, f"{name} [rad/s]")],
        "tables": [_build_table(loop, f"{name} [rad/s]")],
    }


def _judge_ways(loop: HysteresisLoop) -> dict[str, str]:
    """Say whether both ways differ by as much as counts for a jump."""
    value_rad_s, gap = loop.find_gap()
    return {
        "question": "Hysteresis seen?",
        "answer": "yes" if abs(gap) >= LEAST_JUMP else "no",
        "text": (
            f"r down minus r up is {gap:+.3f} at {value_rad_s:.4g} rad/s, where both "
            f"ways differ most; {LEAST_JUMP:g} either way counts."
        ),
    }


def _build_plot(loop: HysteresisLoop, label: str) -> dict[str, Any]:
    """Lay out r over the parameter, a line for each way."""
    series = []
    for way in (UP, DOWN):
        points = loop.select(way)
        values = [point.value_rad_s for point in points]
        coherences = [point.coherence for point in points]
        series.append({"name": way, "style": "line", "x": values, "y": coherences})
    return {
        "kind": "series",
        "title": "Coherence up and down",
        "caption": f"{loop.plan.settle_s:g} s to settle at each point, then r is "
        f"averaged over {loop.plan.measure_s:g} s of simulated time.",
        "x": {"label": label},
        "y": {"label": "r [-]"},
        "series": series,
    }


def _build_table(loop: HysteresisLoop, label: str) -> dict[str, Any]:
    """List every value of the parameter with r of both ways."""
    pairs = zip(loop.select(UP), loop.select(DOWN), strict=True)
    return {
        "title": "Every point",
        "columns": [label, "r up", "r down", "deviation up", "deviation down"],
        "rows": [
            [
                up.value_rad_s,
                up.coherence,
                down.coherence,
                up.coherence_deviation,
                down.coherence_deviation,
            ]
            for up, down in pairs
        ],
    }
