"""A run says how far it lies from the network whose every bridge acts all the time."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.config import RunConfig
from engine.system import ScribbleSystem
from engine.system.pricing import (
    ErrorWindows,
    choose_other_frequency,
    find_price,
)

BuildConfig = Callable[..., RunConfig]
TRUSTED = {
    "coherence_unlimited": 0.97, "coherence": 0.9, "difference": 0.001,
    "is_trusted": True, "reason": "",
}  # fmt: skip


def fill_windows(
    config: RunConfig, measure: Callable[[float, int], float], settled_hz: float = 50.0
) -> ErrorWindows:
    """Tell windows r = measure(frequency, number of the control period)."""
    windows, period = ErrorWindows(config), 0
    for hz in windows.open_in_turn(settled_hz):
        for _ in range(windows.window_steps // config.controller.period_steps):
            windows.add(measure(hz, period))
            period += 1
    return windows


@pytest.mark.parametrize("exponent", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("settled_hz", [50.0, 699.0])
def test_known_laws_lie_within_the_standard_error(
    build_config: BuildConfig, exponent: float, settled_hz: float
) -> None:
    config = build_config(controller={"error_windows": 3})
    windows = fill_windows(config, lambda hz, _: 0.9 - hz**-exponent, settled_hz)
    price = windows.estimate()
    assert price is not None
    assert price.source == "windows"
    # A uniform distribution ends sqrt(3) standard deviations from its middle.
    miss = abs(price.distance - settled_hz**-exponent)
    assert miss <= math.sqrt(3.0) * price.stderr * (1.0 + 1e-9)
    assert price.stderr < 0.1 * price.distance


def test_steady_drift_cancels(build_config: BuildConfig) -> None:
    config = build_config(controller={"error_windows": 2})
    still = fill_windows(config, lambda hz, _: 0.9 - 1.0 / hz).estimate()
    moved = fill_windows(config, lambda hz, at: 0.9 - 1.0 / hz + 1e-3 * at).estimate()
    assert moved.distance == pytest.approx(still.distance)
    assert moved.stderr > still.stderr


def test_scatter_of_the_pairs_is_in_the_standard_error(
    build_config: BuildConfig,
) -> None:
    random, width, pairs = np.random.default_rng(0), 1e-3, 400
    config = build_config(controller={"error_windows": pairs})
    windows = fill_windows(config, lambda hz, _: random.normal(0.9, width))
    # Each window averages 2 of its 8 periods, and a pair subtracts two windows. Nothing
    # tells both frequencies apart here, so the law adds nothing; what is taken for the
    # rest of a way is at most 3 times a difference of two such means.
    scatter = 1.08 * width * math.sqrt(2.0 / 2.0 / pairs)
    price = windows.estimate()
    assert 0.9 * scatter < price.stderr < 4.0 * scatter
    assert abs(price.distance) < 4.0 * price.stderr


def test_unsettled_windows_widen_the_standard_error(build_config: BuildConfig) -> None:
    config = build_config(controller={"error_windows": 4})
    state = {"r": 0.9}

    def relax(hz: float, at: int) -> float:
        state["r"] += 0.2 * (0.9 - 1.0 / hz - state["r"])
        return state["r"]

    price = fill_windows(config, relax).estimate()
    miss = abs(price.distance - 1.0 / 50.0)
    # A window is 1.8 times as long as r needs to relax: far too short.
    assert miss > 0.001
    assert miss < 3.0 * price.stderr


def test_single_pair_has_no_standard_error(build_config: BuildConfig) -> None:
    config = build_config(controller={"error_windows": 1})
    price = fill_windows(config, lambda hz, _: 0.9 - 1.0 / hz).estimate()
    assert price.stderr is None


def test_broken_pair_does_not_count(build_config: BuildConfig) -> None:
    windows = ErrorWindows(build_config(controller={"error_windows": 2}))
    with closing(windows.open_in_turn(50.0)) as turns:
        next(turns)
        windows.add(0.9)
    assert windows.estimate() is None
    assert not windows.is_open


@pytest.mark.parametrize(
    ("settled_hz", "other_hz"),
    [(50.0, 400.0), (699.0, 4000.0), (2000.0, 4000.0), (3000.0, 375.0)],
)
def test_other_frequency_fits_the_time_step(settled_hz: float, other_hz: float) -> None:
    assert choose_other_frequency(settled_hz, 4000.0) == other_hz


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (None, "record.forecast is off"),
        ({"coherence": None, "reason": "too large"}, "no forecast was made;"),
        ({"is_trusted": False, "reason": "slip"}, "the forecast is not trusted;"),
        ({"difference": 0.05}, "has not come to what was forecast"),
    ],
)
def test_unknown_distance_says_why(
    build_config: BuildConfig, changes: dict[str, Any] | None, reason: str
) -> None:
    windows = ErrorWindows(build_config())
    price = find_price(windows, None if changes is None else TRUSTED | changes, 10)
    entry = price.to_dict(0.9)
    assert entry["continuous"] is entry["distance_to_continuous"] is None
    assert entry["distance_source"] is None
    assert reason in entry["distance_reason"]
    assert "controller.error_windows" in entry["distance_reason"]
    known = find_price(windows, TRUSTED, 10).to_dict(0.9)
    assert known["continuous"] == pytest.approx(0.97)
    assert known["distance_source"] == "forecast"


def measure_late(config: RunConfig) -> float:
    """Return the coherence over the second half of a run."""
    values: list[float] = []
    with ScribbleSystem(config) as system:
        system.run(lambda progress: values.append(progress.coherence))
    return float(np.mean(values[len(values) // 2 :]))


@pytest.mark.parametrize("probability", [1.0, 0.5])
@pytest.mark.parametrize(
    "lattice",
    [
        {"kind": "square", "shape": (48, 48)},
        {"kind": "cubic", "shape": (12, 12, 12), "spread_hz": 60.0},
        {"kind": "chain", "shape": (2048,), "spread_hz": 15.0},
    ],
)
def test_both_ways_agree_with_the_continuous_network(
    build_config: BuildConfig, lattice: dict[str, Any], probability: float
) -> None:
    hz = 63.0
    tunnel = {"linewidth_hz": 1e5, "max_probability": probability}
    config = build_config(
        lattice={**lattice, "initial_phases": "aligned"},
        dynamics={"duration_s": 0.5},
        tunnel=tunnel,
        controller={"objective": "fixed", "fixed_frequency_hz": hz},
        backend={"threads": 1},
    )
    every_step = replace(
        config,
        tunnel=replace(config.tunnel, max_probability=1.0),
        controller=replace(config.controller, fixed_frequency_hz=4000.0),
    )
    truth = measure_late(every_step) - measure_late(config)
    with ScribbleSystem(config) as system:
        theory = system.run().coherence
    assert theory["distance_source"] == "forecast"
    # The forecast misses r of a run by 0.001 to 0.002, which is the time step's, and by
    # 0.005 at most (README); both ends of the distance share the time step.
    assert theory["distance_to_continuous"] == pytest.approx(truth, abs=0.005)
    pairs = replace(config.controller, error_windows=4)
    with ScribbleSystem(replace(config, controller=pairs)) as system:
        measured = system.run().coherence
    assert measured["distance_source"] == "windows"
    # Three standard errors, and 0.001 for what the truth itself scatters.
    tolerance = 3.0 * measured["distance_stderr"] + 0.001
    assert measured["distance_to_continuous"] == pytest.approx(truth, abs=tolerance)
    assert measured["distance_stderr"] < 0.1 * truth


@pytest.mark.parametrize(
    "groups",
    [
        {"bridges": {"kind": "procedural"}},
        {"dynamics": {"duration_s": 1.0, "diffusion_rad2_s": 20.0}},
        {"dynamics": {"integrator": "leapfrog", "inertia_s": 0.002}},
    ],
)
def test_windows_measure_where_no_theory_holds(
    build_config: BuildConfig, groups: dict[str, dict[str, Any]]
) -> None:
    dynamics = {"duration_s": 0.5} | groups.get("dynamics", {})
    config = build_config(
        **groups | {"dynamics": dynamics},
        lattice={"shape": (64, 64), "initial_phases": "aligned"},
        tunnel={"linewidth_hz": 1e5},
        controller={"objective": "fixed", "fixed_frequency_hz": 63.0},
        record={"forecast": False},
        backend={"threads": 1},
    )
    every_step = replace(config.controller, fixed_frequency_hz=4000.0)
    truth = measure_late(replace(config, controller=every_step)) - measure_late(config)
    pairs = replace(config.controller, error_windows=6)
    with ScribbleSystem(replace(config, controller=pairs)) as system:
        measured = system.run().coherence
    # As above; noise makes the means of half a run of 4096 nodes scatter by 0.001.
    tolerance = 3.0 * measured["distance_stderr"] + 0.002
    assert measured["distance_to_continuous"] == pytest.approx(truth, abs=tolerance)


def test_forecast_follows_a_frequency_that_moves(build_config: BuildConfig) -> None:
    config = build_config(
        lattice={"shape": (48, 48), "initial_phases": "aligned"},
        dynamics={"duration_s": 4.0},
        load={"profile": "square", "level": 0.95, "period_s": 1.0},
        mesh={"rule": "none"},
        backend={"threads": 1},
    )
    with ScribbleSystem(config) as system:
        entry = system.run().forecast
        at_mean = system._parts.outlook._forecaster.forecast(entry["frequency_hz"])
    # Half of the time at 699 Hz, half near 60: the forecast at the mean is far off.
    assert abs(at_mean.coherence - entry["outcome"]) > 0.01
    assert abs(entry["difference"]) < 0.005


def test_windows_replay_and_leave_the_run_as_it_was(
    build_config: BuildConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    priced = build_config(
        dynamics={"duration_s": 0.2},
        controller={"objective": "floor", "error_windows": 2},
        record={"folder": str(folder)},
    )
    with ScribbleSystem(priced) as system:
        first = system.run()
    assert first.steps == 800 + 4 * 320
    replayed = replace(
        priced,
        record=replace(priced.record, folder=None),
        load=replace(priced.load, kind="replay", trace=str(folder)),
    )
    with ScribbleSystem(replayed) as system:
        assert system.run().state_digest == first.state_digest
    plain = replace(replayed, controller=replace(priced.controller, error_windows=0))
    with ScribbleSystem(replace(plain, load=priced.load)) as system:
        second = system.run()
    for key in ("final", "mean", "minimum_after_settling"):
        assert first.coherence[key] == second.coherence[key]
    assert first.average_frequency_hz == second.average_frequency_hz
    assert first.events_saved_factor == second.events_saved_factor
    assert first.tunnels["attempted"] > 2 * second.tunnels["attempted"]
    assert first.forecast == second.forecast


def test_controller_does_not_fight_the_windows(build_config: BuildConfig) -> None:
    config = build_config(
        dynamics={"duration_s": 0.2},
        controller={"objective": "floor", "error_windows": 1},
    )
    seen: list[tuple[int, float]] = []
    with ScribbleSystem(config) as system:
        system.run(lambda at: seen.append((at.step_count, at.frequency_hz)))
        settled, other = (hz for _, hz in (seen[-9], seen[-1]))
        assert other == min(8.0 * settled, 4000.0)
        assert {hz for _, hz in seen[-8:]} == {other}
        assert {count for count, _ in seen} == {system.step}
        system.advance(0.01, lambda at: seen.append((at.step_count, at.frequency_hz)))
    assert seen[-1][1] != other


def test_no_windows_without_bridges_or_with_pinned_ones(
    build_config: BuildConfig,
) -> None:
    priced = {"error_windows": 2}
    with ScribbleSystem(
        build_config(bridges={"kind": "none"}, controller=priced)
    ) as system:
        summary = system.run()
    assert summary.steps == 200
    assert "without bridges" in summary.coherence["distance_reason"]
    with ScribbleSystem(build_config(controller=priced)) as system:
        system.network[0].frequency = 102.0
        summary = system.run()
    assert summary.steps == 200
    assert "bridges were pinned" in summary.coherence["distance_reason"]


def test_run_stopped_in_its_windows_is_said_not_to_replay(
    build_config: BuildConfig,
) -> None:
    with ScribbleSystem(build_config(controller={"error_windows": 2})) as system:
        summary = system.run(lambda at: at.step > 500 and system.request_stop())
    assert summary.status == "interrupted"
    assert "not replayable: it was stopped in its error windows" in summary.notes
