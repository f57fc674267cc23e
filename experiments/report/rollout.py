"""How a new tunnel policy was rolled out: its stages, its gates, both frequencies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from experiments.report.charts import TIME, build_series, find_floor
from experiments.report.document import (
    NO,
    OPEN,
    YES,
    Axis,
    Band,
    Cell,
    Plot,
    Rule,
    Section,
    Table,
    Verdict,
    to_number,
)
from experiments.report.records import RunRecord, dig
from experiments.report.thinning import F64Array, build_bands
from experiments.wording import format_frequency

OLD_ALONE: Final = "old policy"
"""Label of the time in which no bridge follows the new policy."""
STAGE_COLUMNS: Final = (
    "stage", "share of bridges", "from [s]", "to [s]", "windows", "old policy [Hz]",
    "new policy [Hz]", "gates",
)  # fmt: skip
GATE_COLUMNS: Final = ("stage", "gate", "found", "limit", "held", "why")
BEGINNINGS: Final = (("passed", "It passed"), ("unfinished", "It is unfinished"))
ANSWERS: Final = (("passed", YES), ("rolled back", NO), ("not started", NO))


def build_rollout_section(record: RunRecord) -> Section | None:
    """Show a rollout, if there was one.

    Args:
        record: What the folder holds.
    """
    if not has_rollout(record):
        return None
    return Section(
        "Rollout of a new policy",
        sentences=tuple(_describe_changes(record)),
        plots=tuple(_draw_rollout(record)),
        tables=tuple(_list_stages(record)),
    )


def has_rollout(record: RunRecord) -> bool:
    """Say whether a new policy was to be rolled out.

    Args:
        record: What the folder holds.
    """
    return isinstance(record.summary.get("rollout"), Mapping)


def judge_rollout(record: RunRecord) -> Verdict:
    """Judge whether the new policy was taken over.

    Args:
        record: A run with a rollout.
    """
    found = record.summary["rollout"]
    question, verdict = "Policy taken over?", str(found.get("verdict"))
    share, stages = to_number(found.get("share")), _read_stages(record)
    where = f" in stage {stages[-1].get('name')}" if stages else ""
    text = f"{dict(BEGINNINGS).get(verdict, f'It was {verdict}')}{where}"
    if share is not None:
        text += f"; {share:.0%} of the bridges follow the new policy"
    reason = found.get("reason")
    text += f": {reason}" if reason else ""
    return Verdict(question, dict(ANSWERS).get(verdict, OPEN), f"{text.rstrip('.')}.")


def _read_stages(record: RunRecord) -> list[Mapping[str, Any]]:
    stages = dig(record.summary, "rollout", "stages")
    known = stages if isinstance(stages, list) else []
    return [stage for stage in known if isinstance(stage, Mapping)]


def _describe_changes(record: RunRecord) -> Iterator[str]:
    """Say what sets the new policy apart."""
    changes = dig(record.summary, "rollout", "changes")
    pairs = changes.items() if isinstance(changes, Mapping) else ()
    told = [
        f"{key} {pair[0]} to {pair[1]}"
        for key, pair in pairs
        if isinstance(pair, list) and len(pair) == 2
    ]
    if told:
        yield f"The new policy changes {', '.join(told)}."


def _draw_rollout(record: RunRecord) -> Iterator[Plot]:
    """Draw share, frequencies and coherence over time, the stages as bands."""
    trace = record.trace
    begins, stages = trace.get("simulated_s"), trace.get("rollout_stage")
    if begins is None or stages is None or len(begins) < 2:
        return
    # A decision holds until the next one; the last, as long as the one before it.
    ends = np.append(begins[1:], 2.0 * begins[-1] - begins[-2])
    labels = np.array([stage or OLD_ALONE for stage in stages], dtype=object)
    bands = build_bands(ends, labels, OLD_ALONE)
    shares = trace.get("rollout_share")
    if shares is not None:
        shares = np.nan_to_num(shares)
        yield Plot(
            "Bridges under the new policy",
            TIME,
            Axis("share [-]"),
            build_series(ends, {"share": shares}, style="step"),
            (),
            bands,
            "Bands: stages of the rollout.",
        )
        yield from _draw_frequencies(record, ends, shares, bands)
    if "coherence" in trace:
        floor = find_floor(record)
        yield Plot(
            "Coherence during the rollout",
            TIME,
            Axis("r [-]"),
            build_series(begins, {"r": trace["coherence"]}),
            () if floor is None else (Rule(floor, f"floor {floor:g}"),),
            bands,
            "Bands: stages of the rollout.",
        )


def _draw_frequencies(
    record: RunRecord, ends: F64Array, shares: F64Array, bands: tuple[Band, ...]
) -> Iterator[Plot]:
    """Draw what each policy has decided while bridges followed it."""
    old, new = (
        record.trace.get(name) for name in ("frequency_hz", "rollout_frequency_hz")
    )
    if old is None or new is None:
        return
    columns = {
        # With all bridges under the new policy, the decision is the new one's.
        "old policy": np.where(shares < 1.0, old, np.nan),
        "new policy": np.where(shares > 0.0, new, np.nan),
    }
    yield Plot(
        "Tunnel frequency of each policy",
        TIME,
        Axis("frequency [Hz]", "log"),
        build_series(ends, columns, style="step", floor=0.0),
        (),
        bands,
        "Bands: stages of the rollout.",
    )


def _list_stages(record: RunRecord) -> Iterator[Table]:
    """Lay out every stage, then every gate as it was found last."""
    stages = _read_stages(record)
    if stages:
        yield Table("Stages", STAGE_COLUMNS, tuple(map(_list_stage, stages)))
    rows = [
        _list_gate(str(stage.get("name")), gate)
        for stage in stages
        for gate in stage.get("gates") or ()
        if isinstance(gate, Mapping)
    ]
    if rows:
        yield Table("Gates", GATE_COLUMNS, tuple(rows))


def _list_stage(stage: Mapping[str, Any]) -> tuple[Cell, ...]:
    share = to_number(stage.get("share"))
    is_judged = bool(stage.get("gates"))
    held = ("hold" if stage.get("has_passed") else "do not hold") if is_judged else "-"
    return (
        str(stage.get("name")),
        "-" if share is None else f"{share:.0%}",
        to_number(stage.get("began_s")),
        to_number(stage.get("ended_s")),
        to_number(stage.get("windows")),
        _show_frequency(stage.get("old_hz")),
        _show_frequency(stage.get("new_hz")),
        held,
    )


def _list_gate(stage: str, gate: Mapping[str, Any]) -> tuple[Cell, ...]:
    return (
        stage,
        str(gate.get("name")),
        to_number(gate.get("value")),
        to_number(gate.get("limit")),
        "yes" if gate.get("has_passed") else "no",
        str(gate.get("reason") or "-"),
    )


def _show_frequency(value: Any) -> str:
    hz = to_number(value)
    return "-" if hz is None else format_frequency(hz)
