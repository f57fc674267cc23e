"""Sources: profiles as functions of time, and recordings given back exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import PROFILES, LoadConfig, ResourcesConfig, TunnelConfig
from engine.errors import ConfigError, RecordError
from engine.monitor.availability import judge_availability
from engine.monitor.live import LiveSource
from engine.monitor.metrics import ResourceMetrics
from engine.monitor.monitor import ResourceMonitor
from engine.monitor.sources import (
    ReplaySource,
    Source,
    SyntheticSource,
    evaluate_load,
)

PROFILE_POINTS = [
    ("constant", [(0.0, 0.8), (1.0, 0.8), (99.0, 0.8)]),
    ("step", [(0.99, 0.2), (1.0, 0.8), (99.0, 0.8)]),
    ("ramp", [(0.5, 0.2), (1.0, 0.2), (3.0, 0.5), (5.0, 0.8), (9.0, 0.8)]),
    ("square", [(0.5, 0.2), (1.0, 0.8), (2.9, 0.8), (3.0, 0.2), (5.0, 0.8)]),
    ("sine", [(0.5, 0.2), (1.0, 0.2), (2.0, 0.5), (3.0, 0.8), (5.0, 0.2)]),
]


def build_load(profile: str = "constant", level: float = 0.8) -> LoadConfig:
    return LoadConfig(
        kind="synthetic",
        profile=profile,
        level=level,
        base_level=0.2,
        start_s=1.0,
        period_s=4.0,
    )


@pytest.mark.parametrize(("profile", "points"), PROFILE_POINTS)
def test_profiles(profile: str, points: list[tuple[float, float]]) -> None:
    load = build_load(profile)
    for simulated_s, expected in points:
        assert evaluate_load(load, simulated_s) == pytest.approx(expected)


def test_noise_holds_a_level_for_a_period_and_spreads_evenly() -> None:
    load = build_load("noise", 1.0)
    assert evaluate_load(load, 0.99) == 0.2
    assert evaluate_load(load, 1.0) == evaluate_load(load, 4.99)
    levels = [evaluate_load(load, 1.0 + 4.0 * period) for period in range(400)]
    assert len(set(levels)) == 400
    # Mean and deviation of a uniform share: 1/2 and 1/sqrt(12); five standard errors
    # of 400 draws are 0.072 and, for a share's square, 0.075 at most.
    shares = [(level - 0.2) / 0.8 for level in levels]
    assert sum(shares) / 400 == pytest.approx(0.5, abs=0.072)
    assert sum(share**2 for share in shares) / 400 == pytest.approx(1 / 3, abs=0.075)


def test_noise_depends_on_its_seed_alone() -> None:
    def draw(seed: int) -> list[float]:
        load = LoadConfig(kind="synthetic", profile="noise", seed=seed)
        return [evaluate_load(load, at) for at in (40.0, 0.0, 8.0)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


@given(
    profile=st.sampled_from(PROFILES),
    level=st.floats(0.0, 1.0),
    simulated_s=st.floats(0.0, 1e6),
)
def test_load_stays_between_its_two_levels(
    profile: str, level: float, simulated_s: float
) -> None:
    load = evaluate_load(build_load(profile, level), simulated_s)
    low, high = sorted((level, 0.2))
    assert low - 1e-12 <= load <= high + 1e-12


@given(
    level=st.floats(0.0, 1.0),
    threshold=st.floats(0.0, 0.5),
    cores=st.floats(0.5, 256.0),
)
def test_memory_never_binds_before_the_cores(
    level: float, threshold: float, cores: float
) -> None:
    config = ResourcesConfig(min_memory_threshold=threshold, optimal_core_count=256)
    sample = SyntheticSource(build_load(level=level), cores=cores).read(0.0)
    by_resource = judge_availability(sample, config).by_resource
    assert by_resource["cores"] == pytest.approx(1.0 - level)
    assert by_resource["memory"] >= 1.0 - level - 1e-12


def test_synthetic_samples_are_a_function_of_time_alone() -> None:
    one, two = (SyntheticSource(build_load("sine")) for _ in range(2))
    assert [one.read(t / 7) for t in range(50)] == [two.read(t / 7) for t in range(50)]
    assert one.read(2.0).cores.allowed_cores == 8.0


@pytest.mark.parametrize("size", [{"cores": 0}, {"memory_bytes": 0}])
def test_impossible_machine_is_refused(size: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="above 0"):
        SyntheticSource(build_load(), **size)  # type: ignore[arg-type]


def record(level: float, simulated_s: float) -> ResourceMetrics:
    with ResourceMonitor(source=SyntheticSource(build_load(level=level))) as monitor:
        return monitor.update(simulated_s)


def test_replay_gives_the_last_record_at_or_before_a_time() -> None:
    records = [(0.1 * i, record(0.1 * i, 0.1 * i)) for i in range(1, 6)]
    replay = ReplaySource([(time_s, row.to_dict()) for time_s, row in records])
    with ResourceMonitor(source=replay) as monitor:
        for time_s, recorded in records:
            assert monitor.update(time_s) == recorded
            assert monitor.update(time_s + 0.05) == recorded
            assert monitor.get_optimal_tunnel_frequency() == recorded.tunnel_frequency
        assert monitor.update(0.0) == records[0][1]
        assert monitor.update(1e9) == records[-1][1]


def test_of_two_records_at_one_time_the_later_counts() -> None:
    first, second = record(0.1, 0.0), record(0.9, 0.0)
    replay = ReplaySource([(0.0, first.to_dict()), (0.0, second.to_dict())])
    assert replay.read(0.0).recorded == second


def test_unusable_traces_are_refused() -> None:
    row = record(0.1, 0.0).to_dict()
    with pytest.raises(RecordError, match="no rows"):
        ReplaySource([])
    with pytest.raises(RecordError, match="goes back from 2 s to 1 s"):
        ReplaySource([(2.0, row), (1.0, row)])
    with pytest.raises(RecordError, match="lacks"):
        ReplaySource([(0.0, {"cores": None})])


def test_all_three_are_sources() -> None:
    row = record(0.1, 0.0).to_dict()
    live = LiveSource(ResourcesConfig())
    for source in (live, SyntheticSource(build_load()), ReplaySource([(0.0, row)])):
        assert isinstance(source, Source)
        source.close()


def test_recorded_samples_can_be_judged_by_another_policy() -> None:
    made = SyntheticSource(LoadConfig(kind="synthetic", level=0.5))
    lax = ResourcesConfig(min_memory_threshold=0.1)
    with ResourceMonitor(lax, source=made) as monitor:
        recorded = monitor.update(0.0)
    rows = [(0.0, recorded.to_dict())]
    strict = ResourcesConfig(min_memory_threshold=0.7, stale_after_s=1.0)
    tunnel = TunnelConfig(base_frequency=100.0)
    with ResourceMonitor(strict, tunnel=tunnel, source=ReplaySource(rows)) as monitor:
        assert monitor.update(0.0) == recorded
    anew = ReplaySource(rows, judges_anew=True)
    with ResourceMonitor(strict, tunnel=tunnel, source=anew) as monitor:
        seen = monitor.update(0.0)
    # Three quarters of the memory are free and 0.7 must be: (0.75 - 0.7) / 0.3.
    assert seen.availability == pytest.approx(0.05 / 0.3)
    assert seen.limiting_resource == "memory"
    assert seen.tunnel_frequency == seen.availability * tunnel.maximum_frequency_hz
    assert seen.cores == recorded.cores
    with ResourceMonitor(lax, source=ReplaySource(rows, judges_anew=True)) as monitor:
        assert monitor.update(0.0) == recorded
