"""The mesh study: how few events hold the floor, by rule of the mesh and placement.

Each job is a run with controller=floor; the frequency that it settles at is what it
needs (`mesh_points.py`). It is compared with that of the job without a mesh, on bridges
placed at random, of the same network and seed: so what seeds differ by does not hide
what rules differ by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from experiments.report.document import NO, OPEN, YES, Verdict
from experiments.report.jobs import SweepRecord
from experiments.study.base import Study
from experiments.study.job_groups import describe_progress
from experiments.study.mesh_plots import draw, tabulate
from experiments.study.mesh_points import (
    UNIFORM,
    MeshCell,
    MeshNetwork,
    Need,
    build_networks,
    compare,
    pool_ratios,
    read_needs,
    tell_combination,
)
from experiments.study.statistics import Estimate, estimate_mean

TARGET: Final = 0.40
"""Events that a mesh may need, over those of uniform bridges placed at random [-]."""
TARGET_BOUND: Final = 0.45
"""Below this the whole interval of that ratio shall lie [-]."""
MESH_BUDGET: Final = 0.05
"""Share of the wall time that a mesh may take [-]."""
RIVALS: Final = ("learned", "plastic")
"""Rules that learn from what bridges do."""
UNFINISHED: Final = ("still descending", "far above the floor")
"""Flaws that time would cure."""
NETWORKS_TOLD: Final = 6
"""Networks with a sentence of their own at most."""
TITLE: Final = "Mesh study"
QUESTION: Final = (
    "How few events hold the floor, by the rule that shares them out and by where "
    "bridges go, and what does the mesh cost?"
)


def examine(record: SweepRecord) -> Study:
    """Say what the jobs found about rules and placements.

    Args:
        record: The sweep's folder.
    """
    needs = read_needs(record)
    progress = describe_progress(record)
    if not needs:
        none = "No finished job let controller=floor find the frequency it needs."
        return Study(TITLE, QUESTION, tuple(filter(None, (progress, none))))
    networks = build_networks(needs)
    told = (
        progress,
        _describe_flaws(needs),
        *(_describe_best(network) for network in networks[:NETWORKS_TOLD]),
        _describe_pool(networks),
        _describe_dearer(networks),
        *_describe_rivals(needs),
        _describe_cost(needs),
    )
    return Study(
        TITLE,
        QUESTION,
        tuple(text for text in told if text),
        tuple(_judge(networks, needs)),
        (tabulate(networks),),
        tuple(draw(networks)),
    )


def _describe_flaws(needs: Sequence[Need]) -> str:
    """Say which jobs are no evidence, and why."""
    reasons = Counter(need.flaw for need in needs if need.flaw)
    if not reasons:
        return ""
    told = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    names = Counter(tell_combination(need.combination) for need in needs if need.flaw)
    is_short = any(reason in UNFINISHED for reason in reasons)
    cure = " A longer dynamics.duration_s lets a descent end." if is_short else ""
    where = "; ".join(f"{name}: {count}" for name, count in names.items())
    return (
        f"{sum(reasons.values())} of {len(needs)} jobs do not count as evidence: "
        f"{told} ({where}).{cure}"
    )


def _describe_best(network: MeshNetwork) -> str:
    """Say which combination needs least on a network."""
    where = f"{network.name}: " if network.name else ""
    best, base = network.best, network.find(UNIFORM)
    if best is None or best.ratio is None or best.hz is None:
        lowest = _find_lowest(network)
        if lowest is None or lowest.hz is None:
            return f"{where}no job settled at a frequency that holds the floor."
        return (
            f"{where}{tell_combination(lowest.combination)} works at "
            f"{lowest.hz.format('Hz')}; there is no job of "
            f"{tell_combination(UNIFORM)} of the same seed to compare it with."
        )
    text = (
        f"{where}{tell_combination(best.combination)} needs least: "
        f"{best.ratio.format()} times the events of {tell_combination(UNIFORM)}"
    )
    if base is not None and base.hz is not None:
        text += f", {best.hz.format('Hz')} instead of {base.hz.format('Hz')}"
    return f"{text} ({_count_seeds(best.ratio)})."


def _find_lowest(network: MeshNetwork) -> MeshCell | None:
    known = [(cell.hz.mean, cell) for cell in network.cells if cell.hz]
    return min(known, key=lambda pair: pair[0])[1] if known else None


def _count_seeds(found: Estimate) -> str:
    if found.count == 1:
        return "one seed, so without an interval"
    return f"{found.count} seeds, 95% interval"


def _describe_pool(networks: Sequence[MeshNetwork]) -> str:
    """Say which combination does best over several networks."""
    pooled = pool_ratios(networks)
    if len(networks) < 2 or not pooled:
        return ""
    best = min(pooled, key=lambda key: pooled[key].mean)
    return (
        f"Over all {len(networks)} networks {tell_combination(best)} needs least, "
        f"{pooled[best].format()} times the events of {tell_combination(UNIFORM)} "
        f"({pooled[best].count} pairs of jobs)."
    )


def _describe_dearer(networks: Sequence[MeshNetwork]) -> str:
    """Say whether any combination needs more than uniform bridges."""
    compared = [(n, cell) for n in networks for cell in n.compared]
    if not compared:
        return ""
    dearer = _list_dearer(networks)
    if not dearer:
        if len(compared) == 1:
            return "The one combination compared needs no more than uniform bridges."
        return (
            f"None of the {len(compared)} combinations compared needs more than "
            "uniform bridges."
        )
    told = ", ".join(
        f"{_label(network, cell)} ({cell.ratio.format()} times)"
        for network, cell in dearer
        if cell.ratio
    )
    return f"More than uniform bridges at random need: {told}."


def _list_dearer(
    networks: Sequence[MeshNetwork],
) -> list[tuple[MeshNetwork, MeshCell]]:
    """List the cells whose mean ratio is above 1."""
    return [
        (network, cell)
        for network in networks
        for cell in network.compared
        if cell.ratio is not None and cell.ratio.mean > 1.0
    ]


def _label(network: MeshNetwork, cell: MeshCell) -> str:
    name = tell_combination(cell.combination)
    return f"{name}, {network.name}" if network.name else name


def _describe_rivals(needs: Sequence[Need]) -> list[str]:
    """Say which of the two rules that learn needs fewer events."""
    first, second = RIVALS
    placements = {need.placement for need in needs if need.rule in RIVALS}
    ratios: list[float | None] = []
    for placement in sorted(placements):
        own = [need for need in needs if need.combination == (first, placement)]
        ratios += compare(own, needs, (second, placement))
    found = estimate_mean(ratios)
    if found is None:
        return []
    pairs = "pair" if found.count == 1 else "pairs"
    text = f"{found.format()} times the events of {second} ({found.count} {pairs}"
    if found.half_width is None:
        return [f"{first} needs {text}, too few to tell from chance)."]
    low, high = found.mean - found.half_width, found.mean + found.half_width
    if low <= 1.0 <= high:
        return [f"Neither of {first} and {second} wins: {first} needs {text})."]
    winner, loser = (first, second) if high < 1.0 else (second, first)
    return [f"{winner} wins against {loser}: {first} needs {text})."]


def _describe_cost(needs: Sequence[Need]) -> str:
    """Say what the mesh itself takes."""
    shares = [need.mesh_share for need in needs]
    known = [share for share in shares if share is not None]
    if not known:
        return (
            ""
            if all(need.rule == "none" for need in needs)
            else ("What the mesh itself takes was not measured.")
        )
    mean = sum(known) / len(known)
    return (
        f"The mesh itself took {mean:.2%} of the wall time on average and "
        f"{max(known):.2%} at most ({len(known)} jobs)."
    )


def _judge(networks: Sequence[MeshNetwork], needs: Sequence[Need]) -> list[Verdict]:
    return [
        _judge_target(networks),
        _judge_dearer(networks),
        _judge_cost(needs),
        _judge_evidence(needs),
    ]


def _judge_target(networks: Sequence[MeshNetwork]) -> Verdict:
    """Judge the best combination of each network by the worst of them."""
    question = f"Floor held with {TARGET:g} of the events?"
    best = [(n, n.best) for n in networks]
    known = [(n, c, c.ratio) for n, c in best if c is not None and c.ratio is not None]
    if not known:
        text = f"It takes jobs of {tell_combination(UNIFORM)} and of a mesh."
        return Verdict(question, OPEN, text)
    network, cell, ratio = max(known, key=lambda entry: entry[2].mean)
    text = f"{_label(network, cell)} needs {ratio.format()} of them"
    if len(known) > 1:
        text = f"Of the best on each network, {text}, the most"
    if ratio.half_width is None:
        answer, text = OPEN, f"{text}; an interval takes two seeds or more"
    else:
        is_met = ratio.mean <= TARGET and ratio.mean + ratio.half_width < TARGET_BOUND
        answer = YES if is_met else NO
        text = f"{text}; the interval is to end below {TARGET_BOUND:g}"
    return Verdict(question, answer, f"{text}.")


def _judge_dearer(networks: Sequence[MeshNetwork]) -> Verdict:
    question = "No combination dearer than uniform?"
    compared = [cell for network in networks for cell in network.compared]
    if not compared:
        return Verdict(question, OPEN, "No two jobs can be compared.")
    dearer = [cell for _, cell in _list_dearer(networks)]
    if not dearer:
        worst = max(cell.ratio.mean for cell in compared if cell.ratio)
        text = f"The dearest of {len(compared)} needs {worst:.3g} of the events."
        return Verdict(question, YES, text)
    sure = [
        cell
        for cell in dearer
        if cell.ratio and cell.ratio.mean - (cell.ratio.half_width or 0.0) > 1.0
    ]
    text = f"{len(dearer)} of {len(compared)} need more in the mean"
    text += f", {len(sure)} of them beyond the interval."
    return Verdict(question, NO if sure else OPEN, text)


def _judge_cost(needs: Sequence[Need]) -> Verdict:
    question = f"Mesh under {MESH_BUDGET:.0%} of the time?"
    shares = [need.mesh_share for need in needs]
    known = [share for share in shares if share is not None]
    if not known:
        return Verdict(question, OPEN, "No job with a mesh says what it took.")
    answer = YES if max(known) < MESH_BUDGET else NO
    return Verdict(question, answer, f"{max(known):.2%} of the wall time at most.")


def _judge_evidence(needs: Sequence[Need]) -> Verdict:
    question = "Settled, with the floor held?"
    good = sum(not need.flaw for need in needs)
    text = f"{good} of {len(needs)} jobs; the others are not counted."
    if good == len(needs):
        text = f"{good} of {len(needs)} jobs."
    return Verdict(question, YES if good == len(needs) else NO, text)
