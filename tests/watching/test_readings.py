"""What a scrape says of a run: the right figures under documented names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric

from engine.system import vitals
from engine.tunnel.series import SERIES

UNITS = ("seconds", "hertz", "ratio", "bytes", "watts", "celsius", "joules")
COUNTS = {
    "scribble_nodes",
    "scribble_bridges",
    "scribble_idle_cores",
    "scribble_used_cores",
    "scribble_controller_state",
    "scribble_run",
}
"""Gauges of plain counts and of no number at all: they have no unit."""


def list_rows(families: dict[str, Metric]) -> set[tuple[str, ...]]:
    """List name, type, labels and meaning of every family, as the table does."""
    rows = set()
    for family in families.values():
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = sorted({key for sample in family.samples for key in sample.labels})
        rows.add((f"`{name}`", family.type, ", ".join(labels), family.documentation))
    return rows


def test_documented_table_is_what_is_exported(
    watched: Any, grafana_folder: Path
) -> None:
    lines = (grafana_folder / "README.md").read_text("utf-8").splitlines()
    cells = [line.strip("|").split("|") for line in lines if line.startswith("| `")]
    table = {tuple(cell.strip() for cell in row) for row in cells}
    assert table == list_rows(watched.families)


def test_every_series_is_exported(watched: Any) -> None:
    names = {f"{s.name}_info" if s.kind == "info" else s.name for s in SERIES}
    missing = names - set(watched.families)
    # A run of a fraction of a second has timed steps and events, and these GPUs
    # know everything: nothing may be missing.
    assert not missing


def test_names_follow_the_conventions(watched: Any) -> None:
    for name, family in watched.families.items():
        assert name.startswith("scribble_")
        base = name.removesuffix("_info")
        if family.type != "counter" and base not in COUNTS:
            assert base.endswith(UNITS), name
        if family.type == "counter":
            assert all(s.name.endswith("_total") for s in family.samples)


def test_figures_are_those_of_the_run(watched: Any) -> None:
    progress, summary = watched.progress, watched.summary
    assert watched.value("scribble_coherence_ratio") == progress.coherence
    assert watched.value("scribble_coherence_floor_ratio") == progress.floor
    assert watched.value("scribble_steps_total") == summary.steps
    assert watched.value("scribble_simulated_seconds_total") == pytest.approx(0.05)
    assert watched.value("scribble_target_simulated_seconds") == pytest.approx(0.05)
    assert watched.value("scribble_progress_ratio") == 1.0
    assert watched.value("scribble_remaining_seconds") == 0.0
    assert watched.value("scribble_chosen_frequency_hertz") == progress.frequency_hz
    assert watched.value("scribble_offered_frequency_hertz") == progress.offered_hz
    assert watched.value("scribble_required_frequency_hertz") == progress.required_hz
    assert watched.value("scribble_maximum_frequency_hertz") == progress.maximum_hz
    assert watched.value("scribble_nodes") == summary.nodes
    assert watched.value("scribble_bridges") == summary.bridges
    assert watched.value("scribble_node_step_seconds") > 0.0
    assert watched.value("scribble_used_cores") == 1.5
    for resource, share in progress.metrics.availability_by_resource.items():
        name = "scribble_resource_availability_ratio"
        assert watched.value(name, resource=resource) == share


def test_one_state_holds_and_periods_add_up(watched: Any) -> None:
    name = "scribble_controller_state"
    states = {state: watched.value(name, **{name: state}) for state in vitals.STATES}
    assert states == {
        state: float(state == watched.progress.state) for state in vitals.STATES
    }
    periods = [watched.value("scribble_periods_total", state=s) for s in vitals.STATES]
    assert sum(periods) == 5.0  # 200 steps in periods of 40


def test_gpus_are_told_apart_and_unknown_figures_left_out(watched: Any) -> None:
    name = "scribble_gpu_power_watts"
    assert watched.value(name, gpu="0", uuid="GPU-a") == 210.5
    assert len(watched.families[name].samples) == 1  # the lost one knows no power


def test_nothing_went_wrong(watched: Any) -> None:
    for kind in (vitals.TRACKER, vitals.REFUSED_SCRAPE):
        assert watched.value("scribble_errors_total", kind=kind) == 0.0


def test_info_names_the_run(watched: Any) -> None:
    [sample] = watched.families["scribble_run_info"].samples
    assert sample.labels["folder"] == "mine"
    assert sample.labels["backend"] == "cpu"
    assert sample.labels["shape"] == "16x16"
    assert sample.value == 1.0


def test_port_file_is_there_during_the_run_only(watched: Any) -> None:
    assert watched.port_file["address"] == "127.0.0.1"
    assert watched.port_file["pid"] == os.getpid()
    folder = Path(watched.config.record.folder)
    assert not (folder / "metrics.json").exists()
    assert (folder / "summary.json").exists()


def test_time_left_scales_with_what_is_left(watched: Any) -> None:
    from dataclasses import replace

    half = replace(watched.progress, step=100, step_count=300, wall_s=4.0)
    assert vitals.estimate_remaining_s(half) == 8.0
    start = replace(watched.progress, step=0, wall_s=0.0)
    assert vitals.estimate_remaining_s(start) is None
