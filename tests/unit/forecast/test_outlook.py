"""A run says what is expected of it, and afterwards what came."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.config import RunConfig
from engine.system import ScribbleSystem, outlook
from engine.system.outlook import LateMeans

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


def test_floor_out_of_reach_is_said_before(build_config: BuildConfig) -> None:
    with ScribbleSystem(build_config(tunnel={"min_coherence": 0.999})) as system:
        text = system.description["forecast"]
    assert "the floor of 0.999 is out of reach, see scribble forecast" in text


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
