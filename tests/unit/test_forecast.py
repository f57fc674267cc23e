"""Memory is forecast before anything is allocated, and the forecast holds."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.config import RolloutConfig, RunConfig
from engine.errors import ResourceError
from engine.forecast import check_memory, estimate_memory
from engine.system import ScribbleSystem

BuildConfig = Callable[..., RunConfig]


def test_refusal_names_the_bytes_and_the_cure(build_config: BuildConfig) -> None:
    config = build_config(lattice={"shape": (40000, 40000)})
    need = estimate_memory(config, "cpu").host_bytes
    assert need > 1.6e9 * 12
    with pytest.raises(ResourceError) as caught:
        check_memory(config, "cpu", need - 1, None)
    message = str(caught.value)
    assert f"The run needs {need} bytes" in message
    assert f"but {need - 1} bytes" in message
    assert "shrink lattice.shape or bridges.per_node." in message
    assert check_memory(config, "cpu", need, None).host_bytes == need


def test_gpu_memory_counts_too(build_config: BuildConfig) -> None:
    config = build_config(lattice={"shape": (4096, 4096)})
    need = estimate_memory(config, "cuda").device_bytes
    # Phases, spare phases and detunings at least.
    assert need >= 12 * 4096**2
    with pytest.raises(ResourceError, match="of GPU memory"):
        check_memory(config, "cuda", 2**50, need - 1)
    assert estimate_memory(config, "cpu").device_bytes == 0


def test_counting_turns_needs_more(build_config: BuildConfig) -> None:
    shape = {"shape": (512, 512)}
    alone = build_config(lattice=shape)
    seen = build_config(lattice=shape, observe={"frequency_window_s": 0.05})
    for name, width in (("cpu", 12), ("cuda", 12), ("reference", 16)):
        place = "device_bytes" if name == "cuda" else "host_bytes"
        more, less = (
            getattr(estimate_memory(config, name), place) for config in (seen, alone)
        )
        assert more - less >= width * 512 * 512


@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_estimate_covers_what_an_observed_run_takes(
    name: str, build_config: BuildConfig, tmp_path: Path
) -> None:
    config = build_config(
        lattice={"shape": (256, 256)},
        bridges={"kind": "none"},
        dynamics={"duration_s": 0.001},
        backend={"name": name},
        observe={
            "snapshot_every_s": 0.001, "frequency_window_s": 0.001, "probe_count": 64,
        },
        record={"folder": str(tmp_path / "run"), "overwrite": True},
    )  # fmt: skip
    small = replace(config, lattice=replace(config.lattice, shape=(16, 16)))
    with ScribbleSystem(small) as warm:
        warm.run()
    tracemalloc.start()
    try:
        with ScribbleSystem(config) as system:
            system.run()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    need = estimate_memory(config, name).host_bytes
    assert need / 4 < peak < need


@pytest.mark.parametrize("placement", ["balanced", "aligned"])
def test_estimate_covers_what_placing_takes(
    placement: str, build_config: BuildConfig
) -> None:
    config = build_config(
        lattice={"shape": (128, 128)},
        bridges={"placement": placement},
        record={"forecast": False},
    )
    small = replace(config, lattice=replace(config.lattice, shape=(16, 16)))
    with ScribbleSystem(small):
        pass
    tracemalloc.start()
    try:
        with ScribbleSystem(config):
            peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    need = estimate_memory(config, "cpu").host_bytes
    assert need / 4 < peak < need


@pytest.mark.parametrize("integrator", ["rk2", "rk4"])
@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_stages_need_more(
    name: str, integrator: str, build_config: BuildConfig
) -> None:
    euler = build_config(dynamics={"integrator": "euler"})
    staged = build_config(dynamics={"integrator": integrator})
    place = "device_bytes" if name == "cuda" else "host_bytes"
    more, less = (
        getattr(estimate_memory(config, name), place) for config in (staged, euler)
    )
    assert more > less


@pytest.mark.parametrize(
    ("name", "bridges", "integrator"),
    [
        ("reference", "matchings", "rk4"),
        ("cpu", "matchings", "euler"),
        ("cpu", "procedural", "euler"),
        ("reference", "procedural", "euler"),
        ("cpu", "small_world", "euler"),
        ("cpu", "none", "rk4"),
        ("cpu", "none", "leapfrog"),
        ("reference", "matchings", "leapfrog"),
    ],
)
def test_estimate_covers_what_a_run_takes(
    name: str, bridges: str, integrator: str, build_config: BuildConfig
) -> None:
    config = build_config(
        lattice={"shape": (512, 512) if bridges == "procedural" else (96, 96)},
        bridges={"kind": bridges},
        dynamics={
            "integrator": integrator,
            "inertia_s": 0.01 if integrator == "leapfrog" else 0.0,
            "duration_s": 0.001,
        },
        backend={"name": name},
        mesh={"rule": "none"},  # so short a run never looks at its bridges
    )
    need = estimate_memory(config, name).host_bytes
    small = replace(config, lattice=replace(config.lattice, shape=(16, 16)))
    with ScribbleSystem(small) as warm:
        warm.run()  # imports and compiled code are not part of the problem
    tracemalloc.start()
    try:
        with ScribbleSystem(config) as system:
            system.run()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # At most four times too careful, or runs that fit would be refused.
    assert need / 4 < peak < need


def test_a_billion_nodes_fit_on_one_card(build_config: BuildConfig) -> None:
    config = build_config(
        lattice={"shape": (2**15, 2**15)}, bridges={"kind": "procedural", "per_node": 4}
    )
    config.validate()
    need = estimate_memory(config, "cuda")
    # 12 bytes per node and 20 per bridge.
    assert need.device_bytes == 12 * 2**30 + 20 * 2**31 < 80e9
    stored = build_config(lattice={"shape": (2**15, 2**15)})
    assert estimate_memory(stored, "cuda").device_bytes > 80e9


def test_host_holds_no_column_of_procedural_bridges(build_config: BuildConfig) -> None:
    few, many = (
        # So large that the plan of a control period is not what counts.
        build_config(
            lattice={"shape": (512, 512)},
            bridges={"kind": "procedural", "per_node": layers},
        )
        for layers in (1, 64)
    )
    assert estimate_memory(few, "cuda").host_bytes == (
        estimate_memory(many, "cuda").host_bytes
    )


@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_moving_bridges_in_a_rollout_is_covered(
    name: str, build_config: BuildConfig
) -> None:
    base = build_config(
        lattice={"shape": (96, 96), "initial_phases": "aligned"},
        controller={"period_steps": 1},
        dynamics={"duration_s": 0.01},
        backend={"name": name},
    )
    # Windows of 16 periods; aligned phases hold the floor from the first one on.
    new = replace(base.tunnel, linewidth_hz=1728.0)
    spans = {"start_s": 0.0, "settle_s": 0.0, "window_s": 0.004}
    rollout = RolloutConfig(target="alpha", tunnel=new, **spans)
    config = replace(base, rollout=rollout)
    small = replace(config, lattice=replace(config.lattice, shape=(16, 16)))
    with ScribbleSystem(small) as warm:
        warm.run()
    tracemalloc.start()
    try:
        with ScribbleSystem(config) as system:
            assert system.run().rollout["stages"][-1]["name"] == "alpha"
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert estimate_memory(config, name).host_bytes / 4 < peak
    assert peak < estimate_memory(config, name).host_bytes
