"""What a run saw of its single nodes: frequencies and phase locking."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.report.document import Axis, Plot, Section, Series, to_number
from experiments.report.records import RunRecord, dig


def build_node_section(record: RunRecord) -> Section | None:
    """Show effective frequencies and phase locking, if they were observed.

    Args:
        record: What the folder holds.
    """
    seen = record.summary.get("observation")
    sentences = [*_describe_frequencies(seen), *_describe_locking(seen)]
    plots = _draw_histogram(dig(seen, "frequency", "histogram"))
    if not sentences and not plots:
        return None
    return Section("Single nodes", tuple(sentences), plots=plots)


def _describe_frequencies(seen: Any) -> list[str]:
    """Say how many nodes share a frequency."""
    names = ("share", "frequency_hz", "width_hz")
    found = [to_number(dig(seen, "frequency", "cluster", name)) for name in names]
    share, hz, width = found
    if share is None or hz is None or width is None:
        return []
    return [f"{share:.1%} of the nodes share a frequency of {hz:.2f} Hz ± {width:.2g}."]


def _describe_locking(seen: Any) -> list[str]:
    """Say how firmly probed nodes hold their phases to one another."""
    mean = to_number(dig(seen, "locking", "mean"))
    count = to_number(dig(seen, "locking", "probe_count"))
    if mean is None or count is None:
        return []
    return [
        f"Pairs of {count:.0f} probed nodes have a mean phase locking of {mean:.3f}."
    ]


def _draw_histogram(histogram: Any) -> tuple[Plot, ...]:
    """Draw how many nodes ran at which frequency."""
    low, high = (to_number(dig(histogram, name)) for name in ("low_hz", "high_hz"))
    counts = dig(histogram, "counts")
    if low is None or high is None or not isinstance(counts, list) or not counts:
        return ()
    heights = [to_number(count) for count in counts]
    edges = np.linspace(low, high, len(heights) + 1)
    # A step ends at its point: each count stands over the bin before its edge.
    series = Series("nodes", tuple(edges.tolist()), (0.0, *heights), "step")
    title, label = "Effective frequencies", Axis("effective frequency [Hz]")
    return (Plot(title, label, Axis("nodes [-]"), (series,)),)
