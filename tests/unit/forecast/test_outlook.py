"""A run says what is expected of it, and afterwards what came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from engine.config import RunConfig
from engine.system import Progress, ScribbleSystem, outlook
from engine.system.outlook import LateMeans, spread_frequency

BuildConfig = Callable[..., RunConfig]
KEYS = {
    "coherence_unlimited", "coherence", "frequency_hz", "outcome", "difference",
    "is_trusted", "reason",
}  # fmt: skip


def test_late_means_leave_the_beginning_out() -> None:
    late = LateMeans()
    assert late.coherence is None
    assert late.frequency_hz(10, 1e-3) == 0.0
    for period in range(1, 101):
        late.add(0.1 if period <= 25 else 0.9, 0 if period <= 25 else 20, 10)
    # From the 33rd of 100 periods on: 2 attempts a step, 10 bridges, 1 ms.
    assert late.coherence == pytest.approx(0.9)
    assert late.frequency_hz(10, 1e-3) == pytest.approx(200.0)


def test_summary_compares_forecast_and_outcome(build_config: BuildConfig) -> None:
    config = build_config(
        lattice={"shape": (32, 32), "initial_phases": "aligned"},
        dynamics={"duration_s": 0.5},
        controller={"objective": "fixed", "fixed_frequency_hz": 102.0},
    )
    with ScribbleSystem(config) as system:
        assert "at the fixed 102 Hz" in system.description["forecast"]
        entry = system.run().to_dict()["forecast"]
    assert set(entry) == KEYS
    assert entry["is_trusted"]
    assert entry["frequency_hz"] == pytest.approx(102.0, rel=0.02)
    assert entry["difference"] == entry["outcome"] - entry["coherence"]
    assert abs(entry["difference"]) < 0.01
    assert entry["coherence"] < entry["coherence_unlimited"]


def test_forecast_changes_no_bit(build_config: BuildConfig) -> None:
    digests = set()
    for is_on in (True, False):
        with ScribbleSystem(build_config(record={"forecast": is_on})) as system:
            summary = system.run()
            digests.add(summary.state_digest)
            assert ("forecast" in system.description) is is_on
            assert (summary.forecast is not None) is is_on
    assert len(digests) == 1


@pytest.mark.parametrize("rule", ["none", "plastic"])
def test_floor_out_of_reach_is_said_before(
    rule: str, build_config: BuildConfig
) -> None:
    groups = {"tunnel": {"min_coherence": 0.999}, "mesh": {"rule": rule}}
    with ScribbleSystem(build_config(**groups)) as system:
        text = system.description["forecast"]
    assert "the floor of 0.999 is out of reach, see scribble forecast" in text


@pytest.mark.parametrize(
    ("rule", "objective", "words"),
    [
        ("plastic", "floor", "if all bridges acted alike; the mesh needs less"),
        ("plastic", "fixed", "if all bridges acted alike; the mesh reaches more"),
        ("none", "fixed", "the floor of 0.87 is out of reach, see scribble forecast"),
    ],
)
def test_mesh_is_promised_to_do_better(
    rule: str, objective: str, words: str, build_config: BuildConfig
) -> None:
    # 15 Hz hold 0.87 with a mesh only; what bridges reach without limit holds it.
    config = build_config(
        mesh={"rule": rule},
        controller={"objective": objective, "fixed_frequency_hz": 15.0},
    )
    with ScribbleSystem(config) as system:
        text = system.description["forecast"]
    assert words in text
    assert ("acted alike" in text) is (rule != "none")
    assert ("out of reach" in text) is (rule == "none")


def test_run_with_a_mesh_is_compared_by_its_shares(build_config: BuildConfig) -> None:
    config = build_config(
        lattice={"shape": (32, 32), "initial_phases": "aligned"},
        dynamics={"duration_s": 2.0},
        controller={"objective": "fixed", "fixed_frequency_hz": 24.0},
        mesh={"rule": "plastic", "period": 8, "longest_period": 8},
    )
    with ScribbleSystem(config) as system:
        summary = system.run()
        alike = system._parts.outlook._forecaster.forecast(24.0)
    entry = summary.forecast
    assert set(entry) == KEYS
    assert entry["is_trusted"]
    # As forecasts promise; if all bridges acted alike, r would be 0.1 lower.
    assert abs(entry["difference"]) < 0.01
    assert entry["coherence"] > alike.coherence + 0.05
    distance = entry["coherence_unlimited"] - entry["coherence"]
    assert summary.coherence["distance_to_continuous"] == distance


def test_run_too_short_for_a_look_keeps_its_forecast(build_config: BuildConfig) -> None:
    entries = []
    for rule in ("none", "plastic"):
        with ScribbleSystem(build_config(mesh={"rule": rule})) as system:
            entries.append(system.run().forecast)
    assert entries[0] == entries[1]
    assert entries[0]["coherence"] is not None


def test_shares_found_at_the_end_are_not_trusted(build_config: BuildConfig) -> None:
    config = build_config(
        lattice={"shape": (32, 32), "initial_phases": "aligned"},
        dynamics={"duration_s": 0.5},
        controller={"objective": "fixed", "fixed_frequency_hz": 15.0},
        mesh={"rule": "plastic", "period": 45},
    )
    with ScribbleSystem(config) as system:  # 50 control periods, a look in the 45th
        summary = system.run()
    assert not summary.forecast["is_trusted"]
    assert "the mesh moved 100% of the bridges" in summary.forecast["reason"]
    assert summary.coherence["distance_reason"].startswith(
        "the forecast is not trusted"
    )


@pytest.mark.parametrize(("seed", "is_early"), [(0, False), (1, True)])
def test_phases_that_were_seen_to_unwind_are_not_doubted(
    seed: int, is_early: bool, build_config: BuildConfig
) -> None:
    # These bridges are weak. The first network has its last vortices in its later
    # part, which takes 0.04 from its mean r; the second loses them early.
    config = build_config(
        lattice={"shape": (32, 32), "spread_hz": 2.0},
        bridges={"strength_rad_s": 4.0},
        dynamics={"duration_s": 1.0},
        mesh={"rule": "none"},
    )
    with ScribbleSystem(replace(config, seed=seed)) as system:
        assert "may lock around vortices" in system.description["forecast"]
        entry = system.run().forecast
    assert entry["is_trusted"] is is_early
    assert ("may lock around vortices" in entry["reason"]) is not is_early
    assert (abs(entry["difference"]) < 0.01) is is_early


def test_frequency_is_spread_as_the_network_does(build_config: BuildConfig) -> None:
    config = build_config(mesh={"rule": "none"})
    with ScribbleSystem(config) as system:
        network = system.network
        assert spread_frequency(network, 30.0) == 30.0
        network[3].frequency = 432.0
        network.apply_requests()
        pinned = spread_frequency(network, 30.0)
        assert pinned[3] == network[3].frequency
        assert np.delete(pinned, 3) == pytest.approx(30.0)
        network.share_budget(np.arange(len(network)) % 6, 6)
        for hz in (30.0, 200.0):  # some shares meet the ladder's top at the second
            network.follow(hz)
            np.testing.assert_array_equal(
                spread_frequency(network, hz), network.frequencies_hz
            )
            network.follow(61.0)
            assert spread_frequency(network, hz).mean() == pytest.approx(hz, rel=0.05)


def test_run_that_is_stopped_waits_for_no_forecast(build_config: BuildConfig) -> None:
    def stop(_: Progress) -> None:
        system.request_stop()

    with ScribbleSystem(build_config()) as system:
        summary = system.run(stop)
    entry = summary.forecast
    assert (summary.status, entry["reason"]) == ("interrupted", outlook.CUT_OFF)
    assert (entry["coherence"], entry["is_trusted"]) == (None, False)
    assert entry["outcome"] == pytest.approx(summary.coherence["final"])


def test_no_forecast_has_a_reason(
    build_config: BuildConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScribbleSystem(build_config(bridges={"kind": "none"})) as system:
        entry = system.run().to_dict()["forecast"]
    assert set(entry) == KEYS
    assert (entry["coherence"], entry["is_trusted"]) == (None, False)
    assert entry["reason"].startswith("without bridges")
    with ScribbleSystem(build_config(bridges={"strength_rad_s": -9.0})) as system:
        text = system.description["forecast"]
        assert system.run().to_dict()["forecast"]["coherence"] is None
    assert text.startswith("none: 512 of 512 bridges repel, but coherence is forecast")
    directed = {"kind": "procedural", "directed": True}
    with ScribbleSystem(build_config(bridges=directed)) as system:
        text = system.description["forecast"]
    assert text.startswith("none: all bridges are directed, but")
    monkeypatch.setattr(outlook, "MAX_RUN_EDGES", 1000)
    with ScribbleSystem(build_config()) as system:
        text = system.description["forecast"]
    assert text.startswith("none: 1,024 edges are more than the 1,000")
