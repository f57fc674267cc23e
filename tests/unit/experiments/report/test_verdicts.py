"""Verdicts follow from the recorded numbers, and name them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.report.document import NO, OPEN, YES, Verdict
from experiments.report.records import RunRecord, read_run
from experiments.report.resources import MEMORY, OTHERS, read_resources
from experiments.report.verdicts import judge_run
from tests.report_folders import build_summary

TIMES = np.array([0.0, 0.5, 1.0, 1.5])


def judge(
    question: str,
    summary: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    resources: dict[str, Any] | None = None,
    **series: list[float],
) -> Verdict:
    columns = {name: np.array(values) for name, values in series.items()}
    trace = {"simulated_s": TIMES}
    record = RunRecord(Path("run"), summary or {}, config or {}, {}, columns, trace)
    found = {v.question: v for v in judge_run(record, resources or {})}
    return found[question]


def test_sensor_is_judged_by_what_was_believed() -> None:
    question = "Sensor sound?"
    assert judge(question).answer == OPEN
    assert judge(question, {"sensor": None}).answer == YES
    sensor = {"stale": 25, "decisions": 100, "disbelieved": 0, "longest_age_s": 2.5}
    late = judge(question, {"sensor": sensor})
    assert (late.answer, late.text) == (
        NO,
        "25 of 100 decisions rested on a stale sample, 2.5 s old at most.",
    )
    sensor |= {"disbelieved": 20, "flaws": ["cores.idle_cores is nan"]}
    lying = judge(question, {"sensor": sensor})
    assert lying.text.endswith(
        "; 20 readings were not believed: cores.idle_cores is nan."
    )


def test_real_run_is_judged_by_its_own_figures(run_folder: Path) -> None:
    record = read_run(run_folder)
    verdicts = {
        verdict.question: verdict
        for verdict in judge_run(record, read_resources(record.trace))
    }
    assert record.problems == ()
    assert verdicts["Finished?"].answer == YES
    assert "0.2 simulated seconds" in verdicts["Finished?"].text
    assert verdicts["Target load reached?"].answer == YES
    assert (
        "90.0% of the cores were asked for at the peak and 90.0% seen"
        in verdicts["Target load reached?"].text
    )
    assert verdicts["Resources respected?"].answer == YES


@pytest.mark.parametrize(
    ("changes", "answer", "words"),
    [
        ({}, YES, "never fell below 0.87"),
        ({"violation_fraction": 0.25}, NO, "25.00% of the control periods"),
        ({"violation_fraction": None}, NO, "never reached 0.87: 0.950 at the end"),
        ({"final": "x"}, OPEN, "not recorded"),
    ],
)
def test_floor(changes: dict[str, Any], answer: str, words: str) -> None:
    summary = build_summary()
    summary["coherence"] |= changes
    verdict = judge("Floor held?", summary)
    assert (verdict.answer, words in verdict.text) == (answer, True)


@pytest.mark.parametrize(
    ("seen", "answer"), [([0.0, 0.8, 0.0, 0.8], NO), ([0.79, 0.81, 0.8, 0.8], YES)]
)
def test_load_is_what_was_asked_for_or_not(seen: list[float], answer: str) -> None:
    config = {"load": {"kind": "synthetic", "profile": "constant", "level": 0.8}}
    verdict = judge("Target load reached?", {}, config, {OTHERS: np.array(seen)})
    assert verdict.answer == answer


@pytest.mark.parametrize(
    ("achieved", "gap", "ended_by", "answer"),
    [
        (0.51, 0.02, "run", YES),
        (0.41, 0.10, "run", NO),
        (0.51, 0.02, "temperature", NO),
    ],
)
def test_a_real_load_is_judged_by_its_own_comparison(
    achieved: float, gap: float, ended_by: str, answer: str
) -> None:
    cpu = {"asked": 0.5, "achieved": achieved, "mean_deviation": gap}
    summary = {"load": {"cpu": cpu, "ended_by": ended_by}}
    verdict = judge("Target load reached?", summary, {"load": {"kind": "real"}})
    assert verdict.answer == answer
    assert f"50.0% of the cores were asked for and {achieved:.1%}" in verdict.text
    assert ("early, by temperature" in verdict.text) == (ended_by != "run")


@pytest.mark.parametrize("kind", ["none", "replay"])
def test_a_load_that_nobody_asked_for_is_not_judged(kind: str) -> None:
    assert judge("Target load reached?", {}, {"load": {"kind": kind}}).answer == OPEN


@pytest.mark.parametrize(
    ("used", "required", "free", "answer", "words"),
    [
        ([10.0, 10.0], [5.0, 5.0], 0.5, YES, "in 100.0% of"),
        (
            [10.0, 40.0],
            [5.0, 40.0],
            0.5,
            YES,
            "as the law of the floor asked, in 50.0%",
        ),
        ([10.0, 40.0], [5.0, 5.0], 0.5, NO, "in 50.0% of"),
        ([10.0, 10.0], [5.0, 5.0], 0.1, NO, "10% of memory stayed free, of 20%"),
    ],
)
def test_going_beyond_the_offer_needs_the_floor_as_a_reason(
    used: list[float], required: list[float], free: float, answer: str, words: str
) -> None:
    verdict = judge(
        "Resources respected?",
        build_summary(),
        {"resources": {"min_memory_threshold": 0.2}},
        {MEMORY: np.array([0.9, free])},
        frequency_hz=used,
        required_hz=required,
        offered_hz=[10.0, 10.0],
    )
    assert (verdict.answer, words in verdict.text) == (answer, True)


@pytest.mark.parametrize(
    ("forecast", "answer"),
    [
        ({"coherence": 0.95, "outcome": 0.953, "is_trusted": True}, YES),
        ({"coherence": 0.95, "outcome": 0.90, "is_trusted": True}, NO),
        ({"coherence": 0.95, "outcome": 0.90, "is_trusted": False}, OPEN),
        ({"coherence": None, "outcome": 0.90, "reason": "too large"}, OPEN),
        (None, OPEN),
    ],
)
def test_forecast(forecast: dict[str, Any] | None, answer: str) -> None:
    summary = build_summary() | {"forecast": forecast}
    verdict = judge("Forecast met?", summary, frequency_hz=[100.0, 100.0])
    assert verdict.answer == answer


def test_an_ending_that_was_not_planned_gives_its_reason() -> None:
    notes = ["not replayable: by hand.", "The disk is full."]
    summary = build_summary() | {"status": "failed", "notes": notes}
    verdict = judge("Finished?", summary, {"dynamics": {"duration_s": 4.0}})
    assert verdict.answer == NO
    assert verdict.text.endswith("after 1 simulated seconds of 4: The disk is full.")
