"""Policies are compared seed by seed, and only sure differences are told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.config import TunnelConfig
from experiments.report.jobs import read_sweep
from experiments.study.base import Study
from experiments.study.policies import examine
from experiments.study.policy_measures import (
    COHERENCE,
    EVENTS,
    compare_policies,
    group_policies,
)
from tests.study_folders import SweepFolder

SEED_R = (0.90, 0.93, 0.96)
"""Seeds differ far more than policies do."""


def add(
    sweep: SweepFolder, name: str, seed: int, *, r: float, hz: float, **more: Any
) -> None:
    words = [f"seed={seed}", f"tunnel={name}", f"resources={name}"]
    width = {"development": 108.0, "default": 432.0}.get(name, 1728.0)
    config = {"seed": seed, "tunnel": TunnelConfig(linewidth_hz=width)}
    tunnels = {"attempted": 1000, "successful": 900, "failed": 100}
    summary = {"tunnels": tunnels} | more
    sweep.add(words, config=config, coherence=r, frequency_hz=hz, summary=summary)


def fill(sweep: SweepFolder, seeds: int = 3) -> None:
    """production: r higher by 0.01 +- 0.001, a tenth fewer events; development dear."""
    for seed, base in enumerate(SEED_R[:seeds]):
        jitter = 0.0004 * (seed - 1)
        add(sweep, "development", seed, r=base, hz=120.0 + seed)
        add(sweep, "default", seed, r=base, hz=100.0)
        add(sweep, "production", seed, r=base + 0.01 + jitter, hz=90.0 + 0.1 * seed)


def study(sweep: SweepFolder) -> Study:
    found = examine(read_sweep(sweep.folder))
    json.dumps(found.to_dict(), allow_nan=False)
    return found


def test_differences_are_paired(sweep: SweepFolder) -> None:
    fill(sweep)
    development, default, production = group_policies(read_sweep(sweep.folder).jobs)
    found = compare_policies(production, default, COHERENCE, ("seed",))
    assert found is not None
    assert found.estimate.mean == pytest.approx(0.01)
    # Deviation 0.0004 over three seeds: 4.303 * 0.0004 / sqrt(3).
    assert found.estimate.half_width == pytest.approx(0.000994, rel=1e-3)
    assert found.is_told and found.is_gain
    # The policies' own intervals overlap by far: only pairs show the difference.
    own = production.estimate(COHERENCE)
    assert own is not None and (own.half_width or 0.0) > 0.05
    events = compare_policies(development, default, EVENTS, ("seed",))
    assert events is not None
    assert events.estimate.mean == pytest.approx(0.21)
    assert events.is_told and not events.is_gain


def test_sentences_say_for_whom(sweep: SweepFolder) -> None:
    fill(sweep)
    default, development, production, energy = study(sweep).findings
    # 1/6, 21/121 and 22/122 fewer: 17.35 on average, 4.303 * 0.683 / sqrt(3) = 1.70.
    assert "whoever wants 17 ± 2% fewer attempted events than development" in default
    assert "against default it costs 21 ± 2% more attempted events" in development
    assert "tunnel.linewidth_hz=108.0 (432.0)" in development
    assert (
        "whoever wants higher r (by 0.0100 ± 0.0010), 9.9 ± 0.2% fewer attempted "
        "events than default, at no price" in production
    )
    assert energy == "Energy was not measured: no job saw a meter of it."


def test_verdicts(sweep: SweepFolder) -> None:
    fill(sweep)
    floor, thrift = study(sweep).verdicts
    assert (floor.answer, thrift.answer) == ("yes", "yes")
    assert "production takes 9.9 ± 0.2% fewer attempted events" in thrift.text
    add(sweep, "default", 3, r=0.8, hz=1.0, coherence={
        "final": 0.8, "mean": 0.8, "violation_fraction": 0.25, "floor": 0.87,
    })  # fmt: skip
    floor = study(sweep).verdicts[0]
    assert floor.answer == "no"
    assert "default 6.25%" in floor.text


def test_energy_is_compared_where_it_was_measured(sweep: SweepFolder) -> None:
    for seed in range(2):
        add(sweep, "default", seed, r=0.9, hz=100.0, energy_joules=50.0)
        add(sweep, "production", seed, r=0.9, hz=100.0, energy_joules=40.0 + 0.1 * seed)
    found = study(sweep)
    assert not any("not measured" in text for text in found.findings)
    assert any("less energy" in text for text in found.findings)


def test_one_seed_tells_no_difference_from_chance(sweep: SweepFolder) -> None:
    fill(sweep, seeds=1)
    found = study(sweep)
    assert any("no difference is told from chance" in text for text in found.findings)
    assert found.verdicts[1].answer == "open"


def test_missing_jobs_and_missing_baseline(sweep: SweepFolder) -> None:
    sweep.add(["tunnel=default"], status="failed")
    assert study(sweep).findings == ("Nothing can be told: of 1 job none is done.",)
    add(sweep, "production", 0, r=0.9, hz=90.0)
    found = study(sweep)
    assert found.findings[0].startswith("Only 1 of 2 jobs")
    assert "there is no other policy to compare it with" in found.findings[1]
    add(sweep, "development", 0, r=0.9, hz=90.0)
    add(sweep, "default", 1, r=0.9, hz=90.0)
    # No seed in common with the baseline: nothing to compare.
    assert len(study(sweep).tables) == 1


def test_policy_of_unlike_groups_has_both_names(sweep: SweepFolder) -> None:
    sweep.add(["tunnel=default", "resources=production"])
    sweep.add(["seed=1"])
    names = [policy.name for policy in group_policies(read_sweep(sweep.folder).jobs)]
    assert names == ["default/production", "the configured policy"]


def test_table_and_plots(sweep: SweepFolder) -> None:
    fill(sweep)
    found = study(sweep)
    assert found.tables[0].columns == (
        *("quantity", "development", "default", "production"),
    )
    rows = {row[0]: row[1:] for row in found.tables[0].rows}
    assert rows["average frequency [Hz]"] == ("121 ± 2", "100", "90.1 ± 0.2")
    assert rows["energy per simulated s [J]"] == ("not measured",) * 3
    assert [plot.title for plot in found.plots] == [
        "Coherence against cost",
        "Wall time",
    ]
