"""What the mesh saves: events for the same coherence, and never at its cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from engine.config import MeshConfig, RunConfig
from engine.system import ScribbleSystem

pytestmark = pytest.mark.validation

BuildConfig = Callable[..., RunConfig]
LAWS = {"gaussian": (34.4, None), "uniform": (59.6, None), "lorentzian": (10.0, 300.0)}


@pytest.fixture
def measure(build_config: BuildConfig) -> Callable[[str, str, float], float]:
    """Mean r over the last 2 of 12 s on 96 x 96 nodes at a fixed mean frequency."""

    def run(rule: str, law: str, frequency_hz: float) -> float:
        spread_hz, cutoff_hz = LAWS[law]
        config = build_config(
            lattice={
                "shape": (96, 96),
                "distribution": law,
                "spread_hz": spread_hz,
                "cutoff_hz": cutoff_hz,
            },
            controller={"objective": "fixed", "fixed_frequency_hz": frequency_hz},
            backend={"threads": 1},
            record={"forecast": False},
        )
        values: list[float] = []
        with ScribbleSystem(replace(config, mesh=MeshConfig(rule))) as system:
            system.advance(10.0)
            system.advance(2.0, lambda at: values.append(at.coherence))
        return float(np.mean(values))

    return run


@pytest.mark.parametrize("law", ["gaussian", "uniform"])
def test_two_fifths_of_the_events_do(
    measure: Callable[[str, str, float], float], law: str
) -> None:
    # Alike, bridges reach 0.87 at 39 Hz; two fifths of that are 15.6 Hz.
    assert measure("none", law, 39.0) < 0.88
    assert measure("plastic", law, 15.6) > 0.88


@pytest.mark.parametrize("frequency_hz", [20.0, 60.0, 267.0])
@pytest.mark.parametrize("law", LAWS)
def test_mesh_is_never_worse_than_none(
    measure: Callable[[str, str, float], float], law: str, frequency_hz: float
) -> None:
    # Where both are near the continuous network, they may differ by noise alone:
    # 1e-3 is a few standard errors of r over 2 s.
    alike = measure("none", law, frequency_hz)
    assert measure("plastic", law, frequency_hz) > alike - 1e-3
