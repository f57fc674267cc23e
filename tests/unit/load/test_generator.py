"""The generator's loop in a world on paper: targets, comparisons, limits."""

from __future__ import annotations

from typing import Any

import pytest

from engine.config import GeneratorConfig
from engine.errors import ConfigError
from engine.load.generator import GRACE_S, LoadGenerator

GIB = 2**30


def test_asked_is_achieved_core_by_core(rig: Any) -> None:
    rig.build(GeneratorConfig(cpu=(0.9, 0.1)))
    rig.run(0.5)
    sample = rig.run(5.0)[-1]
    assert [core.cpu for core in sample.cores] == [0, 1]
    assert [core.generated for core in sample.cores] == pytest.approx([0.9, 0.1])
    assert (sample.asked, sample.achieved) == pytest.approx((0.5, 0.5))
    assert sample.utilisation == pytest.approx(0.5)


def test_own_load_and_that_of_the_machine_are_told_apart(rig: Any) -> None:
    rig.world.others = [0.3, 0.3]
    rig.build(GeneratorConfig(cpu=(0.6,)))
    rig.run(0.5)
    sample = rig.run(5.0)[-1]
    assert sample.asked == sample.achieved == pytest.approx(0.6)
    assert sample.utilisation == pytest.approx(0.9)


def test_what_neighbours_take_shows_as_not_achieved(rig: Any) -> None:
    rig.world.others = [0.7, 0.7]
    generator = rig.build(GeneratorConfig(cpu=(0.6,)))
    rig.run(5.0)
    cpu = generator.tally.to_dict()["cpu"]
    assert cpu["asked"] == pytest.approx(0.6)
    assert cpu["achieved"] == pytest.approx(0.3)
    assert cpu["mean_deviation"] == pytest.approx(0.3)


def test_errors_of_two_cores_do_not_cancel(rig: Any) -> None:
    rig.world.others = [0.5, 0.0]
    generator = rig.build(GeneratorConfig(cpu=(0.9, 0.1)))
    rig.run(5.0)
    assert generator.tally.to_dict()["cpu"]["mean_deviation"] == pytest.approx(0.2)


@pytest.mark.parametrize("others", [0.0, 0.25, 0.6])
def test_machine_is_filled_up_to_the_target(others: float, rig: Any) -> None:
    rig.world.others = [others, others]
    rig.build(GeneratorConfig(cpu=(0.6,), cpu_target="machine"))
    rig.run(6.0)
    sample = rig.run(2.0)[-1]
    assert sample.asked == pytest.approx(0.6)
    assert sample.achieved == sample.utilisation == pytest.approx(0.6, abs=0.01)
    assert sample.generated == pytest.approx(0.6 - others, abs=0.01)


def test_base_level_holds_off_the_peak(rig: Any) -> None:
    config = GeneratorConfig(
        cpu=(0.8, 0.4), profile="square", base_level=0.2, period_s=4.0
    )
    rig.build(config)
    asked = {round(sample.asked, 3) for sample in rig.run(8.0)}
    assert {0.6, 0.2} <= asked


def test_memory_is_held_above_the_headroom_and_given_back(rig: Any) -> None:
    rig.build(GeneratorConfig(cpu=(0.0,), memory=0.5, headroom=0.25))
    sample = rig.run(1.0)[-1]
    assert sample.asked is None
    assert sample.memory_held_bytes == 8 * GIB
    # 4 GiB must stay free, and others come step by step.
    for others, held in ((6, 6), (8, 4), (7, 5)):
        rig.world.others_bytes = others * GIB
        assert rig.run(1.0)[-1].memory_held_bytes == held * GIB
    assert rig.generator.stop is None


def test_no_memory_left_ends_the_load(rig: Any) -> None:
    rig.build(GeneratorConfig(memory=0.5, headroom=0.25))
    rig.run(1.0)
    rig.world.others_bytes = 15 * GIB
    rig.run(1.0)
    assert rig.generator.stop.kind == "memory"
    assert not any(child.is_alive for child in rig.world.children)


def test_heat_ends_the_load(rig: Any) -> None:
    rig.build(GeneratorConfig(temperature_limit_c=80.0))
    rig.world.heat_c = 79.0
    assert rig.run(1.0)[-1].temperature_c == 79.0
    rig.world.heat_c = 80.0
    rig.run(1.0)
    assert rig.generator.stop.kind == "temperature"
    assert rig.generator.step() is None


def test_end_comes_by_itself_and_workers_know_it_too(rig: Any) -> None:
    rig.build(GeneratorConfig(duration_s=2.0))
    rig.run(1.9)
    assert rig.generator.stop is None
    rig.run(0.2)
    assert rig.generator.stop.kind == "duration"
    assert rig.generator.ended_s == pytest.approx(2.0, abs=0.06)
    assert {child.limit_s for child in rig.world.children} == {2.0 + GRACE_S}
    assert not any(child.is_alive for child in rig.world.children)


@pytest.mark.parametrize("index", [0, 2])
def test_lost_worker_ends_the_load(index: int, rig: Any) -> None:
    rig.build(GeneratorConfig(memory=0.1))
    rig.run(1.0)
    rig.world.children[index].is_alive = False
    rig.run(0.1)
    assert rig.generator.stop.kind == "worker"
    assert rig.generator.stop.is_early


def test_settling_does_not_count(rig: Any) -> None:
    generator = rig.build(GeneratorConfig())
    assert len(rig.run(0.95)) == 1
    assert generator.tally.to_dict()["cpu"] is None
    rig.run(1.0)
    assert generator.tally.to_dict()["cpu"]["asked"] == pytest.approx(0.5)


def test_row_has_every_core(rig: Any) -> None:
    rig.build(GeneratorConfig())
    row = rig.run(1.0)[0].to_row()
    assert row["cpu0_asked"] == pytest.approx(0.5)
    assert row["cpu1_total"] == pytest.approx(0.5)
    assert row["gpu_busy"] is None


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (GeneratorConfig(cpu=(0.1, 0.2, 0.3)), "cpu names 3 cores, but 2 may be used"),
        (GeneratorConfig(cpu=(0.0,)), "Nothing is asked for"),
        (GeneratorConfig(duration_s=1e6), r"duration_s is 1e\+06"),
    ],
)
def test_what_does_not_fit_is_refused(
    config: GeneratorConfig, words: str, rig: Any
) -> None:
    with pytest.raises(ConfigError, match=words):
        LoadGenerator(config)
    assert rig.world.children == []


def test_a_load_of_nothing_rests_where_that_is_allowed(rig: Any) -> None:
    generator = rig.build(GeneratorConfig(cpu=(0.0,)), may_rest=True)
    samples = rig.run(3.0)
    assert len(rig.world.children) == 2
    assert [(one.asked, one.achieved) for one in samples] == [(0.0, 0.0)] * len(samples)
    assert generator.tally.to_dict()["cpu"]["mean_deviation"] == 0.0


def test_load_of_a_run_that_was_cut_off_goes_on_in_its_profile(rig: Any) -> None:
    """Profile, comparison and limit go by the time of both parts together."""
    config = GeneratorConfig(
        cpu=(0.8,), profile="ramp", start_s=2.0, period_s=4.0, duration_s=10.0
    )
    first = rig.build(config)
    rig.run(4.0)
    passed_s, before = first.elapsed_s, first.tally.to_state()
    assert passed_s == pytest.approx(4.0)
    first.close()
    rig.world.children.clear()
    rig.world.advance(1000.0)
    second = rig.build(config, passed_s=passed_s)
    second.tally.from_state(before)
    assert second.tally.to_state() == before
    assert rig.world.children[-1].limit_s == pytest.approx(6.0 + GRACE_S)
    samples = rig.run(3.0)
    assert samples[0].time_s > passed_s
    # Half way up the ramp at 4 s, at its top at 6 s.
    assert samples[0].asked == pytest.approx(
        0.4 + 0.1 * (samples[0].time_s - 4), abs=0.1
    )
    assert samples[-1].asked == pytest.approx(0.8)
    rig.run(4.0)
    assert second.stop is not None
    assert (second.stop.kind, second.ended_s) == (
        "duration",
        pytest.approx(10.0, abs=0.1),
    )
