"""Coupling and strengths change while a system lives; its state goes on from there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from engine.config import RunConfig
from engine.errors import ConfigError
from engine.system import ScribbleSystem

BuildConfig = Callable[..., RunConfig]
BACKENDS = ["reference", "cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(params=BACKENDS)
def changed(request: pytest.FixtureRequest) -> dict[str, object]:
    if request.param == "cuda":
        request.getfixturevalue("require_cuda")()
    return {"name": request.param}


def run_twice(config: RunConfig, adjust: Callable[[ScribbleSystem], None]) -> str:
    """Run a while, adjust, run on, and return the digest."""
    with ScribbleSystem(config) as system:
        system.advance(0.02)
        adjust(system)
        system.advance(0.02)
        return system.state_digest()


def test_new_coupling_moves_phases_as_a_lattice_built_with_it(
    build_config: BuildConfig, changed: dict[str, object]
) -> None:
    config = build_config(bridges={"kind": "none"}, backend=changed)
    strong = build_config(
        bridges={"kind": "none"}, backend=changed, lattice={"coupling_rad_s": 432.0}
    )
    with ScribbleSystem(config) as system, ScribbleSystem(strong) as other:
        system.advance(0.02)
        other.lattice.phases = system.lattice.phases
        start = system.lattice.phases.copy()
        # The reference keeps more of its phases than binary angles tell.
        system.lattice.phases = start
        system.adjust_coupling(432.0)
        assert system.lattice.coupling_rad_s == 432.0
        system.advance(0.02)
        other.advance(0.02)
        assert (system.lattice.phases == other.lattice.phases).all()
        assert (system.lattice.phases != start).any()


@pytest.mark.parametrize("kind", ["matchings", "procedural"])
def test_new_strength_changes_what_events_do(
    build_config: BuildConfig, changed: dict[str, object], kind: str
) -> None:
    config = build_config(bridges={"kind": kind}, backend=changed)
    configured = config.bridges.strength_rad_s
    same = run_twice(config, lambda system: system.adjust_strength(configured))
    assert same == run_twice(config, lambda system: None)
    strong = run_twice(config, lambda system: system.adjust_strength(2.0 * configured))
    assert strong != same


@pytest.mark.parametrize("kind", ["matchings", "procedural"])
def test_strength_is_that_of_a_network_built_with_it(
    build_config: BuildConfig, kind: str
) -> None:
    config = build_config(bridges={"kind": kind})
    double = build_config(bridges={"kind": kind, "strength_rad_s": 216.0})
    with ScribbleSystem(config) as system, ScribbleSystem(double) as other:
        for strength in (540.0, 27.0, 216.0):  # scaled from what was built, not twice
            system.adjust_strength(strength)
        assert system.network[3].strength_rad_s == pytest.approx(216.0)
        own, theirs = (each.network.columns_by_id() for each in (system, other))
        # Three factors in float32, each rounded.
        np.testing.assert_allclose(own.dose_rates, theirs.dose_rates, rtol=3e-7)
        assert (own.thresholds == theirs.thresholds).all()


def test_repelling_strengths_keep_their_sign(build_config: BuildConfig) -> None:
    with ScribbleSystem(build_config(bridges={"strength_rad_s": -50.0})) as system:
        system.adjust_strength(-20.0)
        assert system.network[3].strength_rad_s == pytest.approx(-20.0)
        with pytest.raises(ConfigError, match="keep its sign"):
            system.adjust_strength(20.0)


def test_summary_says_what_was_changed(build_config: BuildConfig) -> None:
    with ScribbleSystem(build_config()) as system:
        system.adjust_coupling(100.0)
        system.adjust_strength(50.0)
        summary = system.run()
    assert summary.notes == (
        "not replayable: the bridges' strength was changed by hand",
        "not replayable: the coupling was changed by hand",
    )
    assert summary.forecast["reason"] == "the bridges' strength was changed by hand"
    assert summary.coherence["distance_source"] is None


@pytest.mark.parametrize(
    ("coupling_rad_s", "sentence"),
    [
        (-1.0, "lattice.coupling_rad_s is -1"),
        (float("nan"), "lattice.coupling_rad_s is nan"),
        (1e6, "too long for the largest detuning"),
    ],
)
def test_coupling_out_of_range_changes_nothing(
    build_config: BuildConfig, coupling_rad_s: float, sentence: str
) -> None:
    with ScribbleSystem(build_config(mesh={"rule": "none"})) as system:
        with pytest.raises(ConfigError, match=sentence):
            system.adjust_coupling(coupling_rad_s)
        assert system.lattice.coupling_rad_s == 216.0
        assert system.summarise().forecast["reason"] == ""


@pytest.mark.parametrize("strength_rad_s", [0.0, -1.0, float("inf")])
def test_strength_out_of_range_is_refused(
    build_config: BuildConfig, strength_rad_s: float
) -> None:
    with (
        ScribbleSystem(build_config()) as system,
        pytest.raises(ConfigError, match=r"bridges\.strength_rad_s would become"),
    ):
        system.adjust_strength(strength_rad_s)


def test_advance_checks_its_duration(build_config: BuildConfig) -> None:
    with (
        ScribbleSystem(build_config()) as system,
        pytest.raises(ConfigError, match=r"dynamics\.duration_s is 0"),
    ):
        system.advance(0.0)
