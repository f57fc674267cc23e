"""The policy comparison: development, default and production under the same load.

Jobs of one seed see the same network and the same load, so policies are compared seed
by seed: the interval of a difference does not hold what the seeds themselves differ by.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from experiments.report.charts import TIME, build_series
from experiments.report.document import (
    NO,
    OPEN,
    YES,
    Axis,
    Cell,
    Plot,
    Rule,
    Series,
    Table,
    Verdict,
)
from experiments.report.jobs import Job, SweepRecord
from experiments.report.records import read_run
from experiments.report.run import format_setting
from experiments.study.base import Study
from experiments.study.job_groups import describe_progress
from experiments.study.policy_measures import (
    COHERENCE,
    ENERGY,
    EVENTS,
    FAILED,
    GROUPS,
    JUDGED,
    MEASURES,
    VIOLATIONS,
    Difference,
    Measure,
    Policy,
    compare_policies,
    group_policies,
    read_coherence,
    read_frequency,
    read_pace,
)
from experiments.wording import format_jobs

BASELINE: Final = "default"
"""The policy that others are compared with."""
TITLE: Final = "Policy comparison"
QUESTION: Final = (
    "What do the policies buy and what do they cost under the same load, and for whom "
    "is each?"
)
SETTINGS_TOLD: Final = 4
"""Settings that a sentence names at most."""


def examine(record: SweepRecord) -> Study:
    """Say what the jobs found about their policies.

    Args:
        record: The sweep's folder.
    """
    policies = group_policies(record.jobs)
    if not policies:
        text = describe_progress(record) or "No job has left a summary with an r."
        return Study(TITLE, QUESTION, (text,))
    base = next((p for p in policies if p.name == BASELINE), policies[0])
    keys = tuple(key for key in record.keys if key not in GROUPS)
    told = [_describe_policy(p, base, keys) for p in policies if p is not base]
    findings = (
        describe_progress(record),
        _describe_base(base, policies, keys),
        *told,
        _describe_energy(policies),
    )
    return Study(
        TITLE,
        QUESTION,
        tuple(text for text in findings if text),
        tuple(_judge(policies, base, keys)),
        (_tabulate(policies), *_tabulate_differences(policies, base, keys)),
        tuple(_draw(policies)),
    )


def _describe_base(
    base: Policy, policies: Sequence[Policy], keys: Sequence[str]
) -> str:
    facts = _list_facts(base)
    text = f"{base.name} reached {facts} ({format_jobs(len(base.jobs))})"
    others = [policy for policy in policies if policy is not base]
    gains = {p.name: _list_told(base, p, keys, are_gains=True) for p in others}
    known = [f"{', '.join(v)} than {name}" for name, v in gains.items() if v]
    if not others:
        return f"{text}; there is no other policy to compare it with."
    if known:
        return f"{text}; it is for whoever wants {'; and '.join(known)}."
    return f"{text}; no gain over the others was measured."


def _list_facts(policy: Policy) -> str:
    facts = []
    for measure, unit in ((COHERENCE, ""), (EVENTS, "Hz")):
        found = policy.estimate(measure)
        if found:
            name = "an r of " if measure is COHERENCE else "at "
            facts.append(f"{name}{found.format(unit)}")
    failed = policy.estimate(FAILED)
    if failed:
        facts.append(f"with {failed.mean:.2g} of its attempts failed")
    return " ".join(facts)


def _describe_policy(policy: Policy, base: Policy, keys: Sequence[str]) -> str:
    """Say for whom a policy is: what it gains, at what price, and what it sets."""
    count = format_jobs(len(policy.jobs))
    text = f"{policy.name} reached {_list_facts(policy)} ({count})"
    gains = _list_told(policy, base, keys, are_gains=True)
    prices = _list_told(policy, base, keys, are_gains=False)
    settings = _list_settings(policy, base)
    if not _has_intervals(policy, base, keys):
        text += (
            "; with fewer than two seeds in common, no difference is told from chance"
        )
    elif gains:
        text += f"; it is for whoever wants {', '.join(gains)} than {base.name}"
        text += f", at the price of {', '.join(prices)}" if prices else ", at no price"
    elif prices:
        text += f"; against {base.name} it costs {', '.join(prices)} and gains nothing "
        text += "measured here, so it is for whoever wants what it sets"
    else:
        text += f"; no difference from {base.name} was measured, so its settings decide"
    return f"{text}: {settings}." if settings else f"{text}."


def _has_intervals(policy: Policy, base: Policy, keys: Sequence[str]) -> bool:
    found = compare_policies(policy, base, COHERENCE, keys)
    return found is not None and found.estimate.half_width is not None


def _list_told(
    policy: Policy, other: Policy, keys: Sequence[str], *, are_gains: bool
) -> list[str]:
    """List the sure differences that are gains, or those that are not."""
    found = [compare_policies(policy, other, measure, keys) for measure in JUDGED]
    return [
        difference.format()
        for difference in found
        if difference and difference.is_told and difference.is_gain == are_gains
    ]


def _list_settings(policy: Policy, base: Policy) -> str:
    """List the settings that a policy has and the other has not."""
    before = base.settings
    changed = [
        f"{key}={format_setting(value)} ({format_setting(before[key])})"
        for key, value in policy.settings.items()
        if key in before and before[key] != value
    ]
    more = len(changed) - SETTINGS_TOLD
    tail = f" and {more} more" if more > 0 else ""
    return ", ".join(changed[:SETTINGS_TOLD]) + tail


def _describe_energy(policies: Sequence[Policy]) -> str:
    is_known = any(policy.estimate(ENERGY) for policy in policies)
    return "" if is_known else "Energy was not measured: no job saw a meter of it."


def _judge(
    policies: Sequence[Policy], base: Policy, keys: Sequence[str]
) -> list[Verdict]:
    return [_judge_floor(policies), _judge_thrift(policies, base, keys)]


def _judge_floor(policies: Sequence[Policy]) -> Verdict:
    question = "Floor held by every policy?"
    known = [
        (policy.name, job)
        for policy in policies
        for job in policy.jobs
        if job.has_held_floor is not None
    ]
    missed = [name for name, job in known if not job.has_held_floor]
    if not known:
        return Verdict(question, OPEN, "No job says whether it held.")
    text = f"{len(known) - len(missed)} of {len(known)} jobs held it"
    if missed:
        worst = [
            f"{policy.name} {found.mean:.2%}"
            for policy in policies
            if policy.name in missed and (found := policy.estimate(VIOLATIONS))
        ]
        text += f"; time below it: {', '.join(worst) or 'it was never reached'}"
    return Verdict(question, NO if missed else YES, f"{text}.")


def _judge_thrift(
    policies: Sequence[Policy], base: Policy, keys: Sequence[str]
) -> Verdict:
    """Judge whether another policy makes do with fewer events at no lower r."""
    question = f"Cheaper than {base.name} without loss?"
    others = [policy for policy in policies if policy is not base]
    if not any(_has_intervals(policy, base, keys) for policy in others):
        text = "It takes another policy, and two seeds or more."
        return Verdict(question, OPEN, text)
    winners = []
    for policy in others:
        cost = compare_policies(policy, base, EVENTS, keys)
        value = compare_policies(policy, base, COHERENCE, keys)
        if _is_gain(cost) and not _is_loss(value) and cost is not None:
            winners.append(f"{policy.name} takes {cost.format()}")
    if winners:
        return Verdict(question, YES, f"{'; '.join(winners)}.")
    return Verdict(question, NO, "No other policy takes fewer events at no lower r.")


def _is_gain(difference: Difference | None) -> bool:
    return difference is not None and difference.is_told and difference.is_gain


def _is_loss(difference: Difference | None) -> bool:
    return difference is not None and difference.is_told and not difference.is_gain


def _tabulate(policies: Sequence[Policy]) -> Table:
    """Lay the means out, a column per policy."""
    rows: list[tuple[Cell, ...]] = [("jobs", *(len(p.jobs) for p in policies))]
    for measure in MEASURES:
        found = [policy.estimate(measure) for policy in policies]
        cells = [
            estimate.format() if estimate else "not measured" for estimate in found
        ]
        rows.append((measure.column, *cells))
    caption = "Means over jobs ± half the 95% interval (Student's t)."
    columns = ("quantity", *(policy.name for policy in policies))
    return Table("By policy", columns, tuple(rows), caption)


def _tabulate_differences(
    policies: Sequence[Policy], base: Policy, keys: Sequence[str]
) -> list[Table]:
    rows = []
    for policy in policies:
        for measure in MEASURES if policy is not base else ():
            found = compare_policies(policy, base, measure, keys)
            if found is not None:
                rows.append((policy.name, *_list_difference(measure, found)))
    columns = (
        "policy", "in", f"difference from {base.name}", "±", "unit", "pairs", "is told",
    )  # fmt: skip
    caption = (
        "Jobs compared in pairs that are alike but for the policy. A difference is "
        "told where its interval leaves 0 out and it is worth a word."
    )
    return [Table("Differences", columns, tuple(rows), caption)] if rows else []


def _list_difference(measure: Measure, found: Difference) -> tuple[Cell, ...]:
    factor = 100.0 if measure.is_relative else 1.0
    width = found.estimate.half_width
    return (
        measure.name,
        factor * found.estimate.mean,
        None if width is None else factor * width,
        "%" if measure.is_relative else "-",
        found.estimate.count,
        found.is_told,
    )


def _draw(policies: Sequence[Policy]) -> list[Plot]:
    """Draw r against cost, wall time, and what one job of each did in time."""
    floors = {
        job.record.number("coherence", "floor") for p in policies for job in p.jobs
    }
    known = sorted(floor for floor in floors if floor is not None)
    rules = tuple(Rule(floor, f"floor {floor:g}") for floor in known)
    frequency = Axis("average tunnel frequency [Hz]")
    plots = [
        Plot(
            "Coherence against cost",
            frequency,
            Axis(COHERENCE.column),
            tuple(_draw_trade(policy) for policy in policies),
            rules,
            caption="A dot per job; the higher and the further left, the better.",
        ),
        Plot(
            "Wall time",
            Axis("policy", "category"),
            Axis("wall time per simulated second [s]"),
            tuple(_draw_wall(policy) for policy in policies),
        ),
        *_draw_courses(policies, rules),
    ]
    return [plot for plot in plots if any(series.x for series in plot.series)]


def _draw_trade(policy: Policy) -> Series:
    places = [
        (x, y, job)
        for job in policy.jobs
        if (x := read_frequency(job)) is not None and (y := read_coherence(job))
    ]
    return Series(
        policy.name,
        tuple(x for x, _, _ in places),
        tuple(y for _, y, _ in places),
        "dots",
        tuple(_describe_job(policy, job) for _, _, job in places),
    )


def _draw_wall(policy: Policy) -> Series:
    known = [(pace, job) for job in policy.jobs if (pace := read_pace(job)) is not None]
    hover = tuple(_describe_job(policy, job) for _, job in known)
    across = (policy.name,) * len(known)
    return Series(policy.name, across, tuple(pace for pace, _ in known), "dots", hover)


def _describe_job(policy: Policy, job: Job) -> str:
    lines = [policy.name, f"job {job.name}, seed {format_setting(job.value('seed'))}"]
    for measure in MEASURES:
        value = measure.read(job)
        if value is not None:
            lines.append(f"{measure.column}  {value:.4g}")
    return "\n".join(lines)


def _draw_courses(policies: Sequence[Policy], rules: tuple[Rule, ...]) -> list[Plot]:
    """Draw frequency and r over time for the first job of each policy."""
    frequency: list[Series] = []
    coherence: list[Series] = []
    for policy in policies:
        columns = read_run(policy.jobs[0].record.folder).series
        times = columns.get("simulated_s")
        if times is None or not len(times) or "frequency_hz" not in columns:
            continue
        hz, r = columns["frequency_hz"], columns["coherence"]
        drawn = {policy.name: np.asarray(hz)}
        frequency += build_series(times, drawn, style="step", floor=0.0)
        coherence += build_series(times, {policy.name: np.asarray(r)})
    told = "The first job of each policy."
    hertz = Axis("tunnel frequency [Hz]", "log")
    return [
        Plot("Frequency in time", TIME, hertz, tuple(frequency), caption=told),
        Plot(
            "Coherence in time", TIME, Axis("r [-]"), tuple(coherence), rules, (), told
        ),
    ]
