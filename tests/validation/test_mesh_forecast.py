"""Runs with a mesh come to what the theory says of their shares."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.config import RunConfig
from engine.system import ScribbleSystem

pytestmark = pytest.mark.validation

BuildConfig = Callable[..., RunConfig]


@pytest.mark.parametrize("placement", ["random", "aligned"])
@pytest.mark.parametrize("objective", ["floor", "fixed"])
def test_run_with_the_mesh_comes_to_its_forecast(
    objective: str, placement: str, build_config: BuildConfig
) -> None:
    config = build_config(
        lattice={"shape": (64, 64)},
        bridges={"placement": placement},
        dynamics={"duration_s": 12.0},
        controller={"objective": objective, "fixed_frequency_hz": 16.0},
        mesh={"rule": "plastic"},
    )
    with ScribbleSystem(config) as system:
        summary = system.run()
        mean_hz = summary.forecast["frequency_hz"]
        alike = system._parts.outlook._forecaster.forecast(mean_hz)
    assert summary.forecast["is_trusted"], summary.forecast["reason"]
    # What every trusted forecast promises; bridges that act alike are far from it.
    assert abs(summary.forecast["difference"]) < 0.01
    assert summary.forecast["coherence"] > alike.coherence + 0.05
    assert summary.coherence["distance_source"] == "forecast"


def test_heavy_tails_are_not_trusted(build_config: BuildConfig) -> None:
    """Oscillators that drift are beyond the theory, with a mesh as without."""
    config = build_config(
        lattice={
            "shape": (64, 64),
            "distribution": "lorentzian",
            "spread_hz": 10.0,
            "cutoff_hz": 300.0,
        },
        dynamics={"duration_s": 8.0},
        controller={"objective": "fixed", "fixed_frequency_hz": 16.0},
        mesh={"rule": "plastic"},
    )
    with ScribbleSystem(config) as system:
        entry = system.run().forecast
    assert not entry["is_trusted"]
    assert "slip" in entry["reason"] or "drift" in entry["reason"]
