"""Sweeps up and down: what they find, and where theory says that they must jump."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import integrate, stats

from engine.config import RunConfig
from engine.errors import ConfigError
from engine.system import ScribbleSystem
from experiments.hysteresis import (
    HysteresisLoop,
    Point,
    SweepPlan,
    check_plan,
    list_findings,
    sweep_system,
)
from experiments.hysteresis.loop import DOWN, STRENGTH, UP

BuildConfig = Callable[..., RunConfig]
SPREAD_HZ = 34.4
SPREAD_RAD_S = 2.0 * math.pi * SPREAD_HZ


def build_loop(up: list[float], down: list[float]) -> HysteresisLoop:
    """A sweep over 0, 10, 20 ... rad/s with these values of r, both by rising K."""
    plan = SweepPlan(high_rad_s=10.0 * (len(up) - 1), point_count=len(up))
    ways = [(UP, 10.0 * k, r) for k, r in enumerate(up)]
    ways += [(DOWN, 10.0 * k, r) for k, r in enumerate(down)][::-1]
    return HysteresisLoop(plan, tuple(Point(*way, 0.0) for way in ways))


def test_area_and_jumps() -> None:
    loop = build_loop([0.0, 0.1, 0.1, 0.9, 1.0], [0.0, 0.6, 0.8, 0.9, 1.0])
    # Differences 0, 0.5, 0.7, 0, 0, joined by straight lines.
    assert loop.area_rad_s == pytest.approx(12.0)
    up, down = loop.find_jump(UP), loop.find_jump(DOWN)
    assert (up.value_rad_s, up.before, up.after) == (25.0, 0.1, 0.9)
    assert (down.value_rad_s, down.before, down.after) == (5.0, 0.6, 0.0)
    assert list_findings(loop) == [
        "area of the loop: 12 rad/s (r down minus r up)",
        "jump up: at 25 rad/s, r 0.100 to 0.900",
        "jump down: at 5 rad/s, r 0.600 to 0.000",
    ]


def test_smooth_sweep_has_no_jump() -> None:
    ramp = [0.05 * k for k in range(10)]
    loop = build_loop(ramp, ramp)
    assert loop.area_rad_s == 0.0
    assert loop.to_dict()["jumps"] == {UP: None, DOWN: None}
    assert list_findings(loop)[1:] == ["jump up: none", "jump down: none"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"parameter": "lattice.shape"}, "it must be one of lattice.coupling_rad_s"),
        ({"low_rad_s": 5.0, "high_rad_s": 5.0}, "--to must be above --from"),
        ({"low_rad_s": -1.0}, "lattice.coupling_rad_s must not be below 0"),
        ({"high_rad_s": math.inf}, "--to inf"),
        ({"point_count": 1}, "--points is 1; it must be at least 2"),
        ({"settle_s": 0.0}, "--settle is 0 s"),
        ({"measure_s": math.nan}, "--measure is nan s"),
        ({"parameter": STRENGTH}, "it cannot be 0 or change its sign"),
        ({"high_rad_s": 2e12}, "both in "),
    ],
)
def test_bad_plans_are_refused(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        SweepPlan(**changes).validate()  # type: ignore[arg-type]


def test_strength_needs_bridges(build_config: BuildConfig) -> None:
    plan = SweepPlan(parameter=STRENGTH, low_rad_s=5.0)
    with pytest.raises(ConfigError, match="but bridges=none"):
        plan.apply(build_config(bridges={"kind": "none"}))
    assert plan.apply(build_config()).bridges.strength_rad_s == 5.0


def test_too_strong_a_coupling_is_refused_before_the_sweep(
    build_config: BuildConfig,
) -> None:
    plan = SweepPlan(high_rad_s=1e6)
    with (
        ScribbleSystem(plan.apply(build_config())) as system,
        pytest.raises(ConfigError, match="too long for the largest detuning"),
    ):
        check_plan(system, plan)


def test_stronger_bridges_bring_coherence(build_config: BuildConfig) -> None:
    plan = SweepPlan(STRENGTH, 2.0, 200.0, point_count=3, settle_s=0.2, measure_s=0.05)
    config = build_config(
        lattice={"initial_phases": "aligned", "coupling_rad_s": 54.0},
        backend={"threads": 1},
    )
    with ScribbleSystem(plan.apply(config)) as system:
        loop = sweep_system(system, plan, lambda point: None)
    first, _, last = loop.select(UP)
    assert first.coherence < 0.6
    assert last.coherence > 0.9
    # Far more coupling than spread: one locked state, which remembers nothing.
    assert last.coherence == pytest.approx(loop.select(DOWN)[-1].coherence, abs=0.01)


def sweep_mean_field(
    build_config: BuildConfig,
    couplings: tuple[float, float],
    points: int,
    *,
    inertia_s: float = 0.0,
    distribution: str = "gaussian",
) -> HysteresisLoop:
    """Sweep an all-to-all network, its couplings in units of the spread."""
    low, high = (SPREAD_RAD_S * coupling for coupling in couplings)
    plan = SweepPlan("lattice.coupling_rad_s", low, high, points, 0.4, 0.1)
    config = build_config(
        lattice={
            "kind": "chain", "shape": (1000,), "coupling_range": "all",
            "spread_hz": SPREAD_HZ, "distribution": distribution,
        },
        bridges={"kind": "none"},
        dynamics={
            "inertia_s": inertia_s, "integrator": "leapfrog" if inertia_s else "euler",
        },
        controller={"objective": "fixed"},
        record={"forecast": False},
        backend={"threads": 1},
    )  # fmt: skip
    with ScribbleSystem(plan.apply(config)) as system:
        return sweep_system(system, plan, lambda point: None)


def find_onset(inertia: float) -> float:
    """Coupling at which incoherence becomes unstable, in units of the spread.

    1 = (K/2) (pi g(0) - m int g(w) / (1 + m^2 w^2) dw), which is 2 / (pi g(0)) without
    inertia, and 2 D (1 + m D) for a lorentzian (Acebron, Bonilla, Spigler 2000,
    doi:10.1103/PhysRevE.62.3437).
    """
    density = stats.norm.pdf
    tail, _ = integrate.quad(
        lambda w: density(w) / (1.0 + (inertia * w) ** 2), -np.inf, np.inf
    )
    return float(2.0 / (math.pi * density(0.0) - inertia * tail))


def test_inertia_opens_the_loop(build_config: BuildConfig) -> None:
    inertia_s = 0.006
    onset = find_onset(inertia_s * SPREAD_RAD_S)
    low, high = 0.35 * onset, 1.15 * onset
    loop = sweep_mean_field(build_config, (low, high), 9, inertia_s=inertia_s)
    up, down = loop.find_jump(UP), loop.find_jump(DOWN)
    # Incoherence is stable up to the onset, but the fluctuations of N oscillators leave
    # it before: seen at 0.88 of it for N = 1000, 0.91 for 20,000 (it rises with N, as
    # in Olmi, Navas, Boccaletti, Torcini 2014, doi:10.1103/PhysRevE.90.042905).
    assert 0.75 < up.value_rad_s / SPREAD_RAD_S / onset < 1.05
    # Locked states live on far below (Tanaka, Lichtenberg, Oishi 1997), though not
    # below the onset without inertia.
    assert down.value_rad_s < 0.65 * up.value_rad_s
    assert down.value_rad_s > find_onset(0.0) * SPREAD_RAD_S
    # r differs by 0.7 to 0.9 between both jumps.
    assert loop.area_rad_s > 0.7 * (up.value_rad_s - down.value_rad_s)


def test_loop_is_closed_without_inertia(build_config: BuildConfig) -> None:
    step = 0.2
    onset = find_onset(0.0)
    assert onset == pytest.approx(1.59577, abs=1e-5)
    loop = sweep_mean_field(build_config, (onset - 2.5 * step, onset + 4.5 * step), 8)
    # Incoherent oscillators leave 1/sqrt(1000) = 0.03, which both ways need not share;
    # slowness near the onset adds as much.
    width = 7.0 * step * SPREAD_RAD_S
    assert abs(loop.area_rad_s) < 0.04 * width
    for way in (UP, DOWN):
        values = [point.coherence for point in loop.select(way)]
        assert max(values[:2]) < 0.15
        assert values[-1] > 0.7


def test_uniform_law_jumps_where_it_must(build_config: BuildConfig) -> None:
    loop = sweep_mean_field(build_config, (1.0, 2.0), 11, distribution="uniform")
    up, down = loop.find_jump(UP), loop.find_jump(DOWN)
    # K_c = 4 g / pi = 1.273 g: between the points at 1.2 and 1.3, where the way up may
    # still be growing.
    assert down.value_rad_s / SPREAD_RAD_S == pytest.approx(1.25)
    assert 1.2 < up.value_rad_s / SPREAD_RAD_S < 1.4
    # The last locked state is near pi / 4, and r is exact above .
    assert math.pi / 4.0 < down.before < 0.84
    locked = {point.value_rad_s / SPREAD_RAD_S: point for point in loop.select(DOWN)}
    for coupling, exact in ((1.5, 0.89861), (2.0, 0.95189)):
        (value,) = (p for k, p in locked.items() if k == pytest.approx(coupling))
        # 1000 quantiles stand for the law, so r is exact to about 1/1000.
        assert value.coherence == pytest.approx(exact, abs=1e-3)
