"""What only the `cpu` back end promises: threads, memory, exact integers."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from engine.backends import register_backend, select_backend
from engine.backends.cpu import CpuBackend, count_allowed_cores
from engine.backends.philox import draw_words
from engine.backends.protocol import TABLEAUS, LatticeState
from engine.config import BackendConfig
from engine.errors import BackendUnavailableError, ConfigError
from engine.geometry import build_geometry


def build_state(backend: CpuBackend, coupling_rad_s: float = 216.0) -> LatticeState:
    geometry = build_geometry("square", (9, 7))
    phases, words, _, _ = draw_words(1, 1, 63)
    detunings = (words.astype(np.float64) / 2.0**32 - 0.5).astype(np.float32) * 68
    return backend.build_lattice(geometry, phases, detunings, coupling_rad_s)


def test_threads_are_counted() -> None:
    most = numba.config.NUMBA_NUM_THREADS
    assert CpuBackend().threads == min(count_allowed_cores(), most)
    assert CpuBackend(1).threads == 1
    assert CpuBackend(1).device.endswith(", 1 thread")
    with pytest.raises(ConfigError, match=f"backend.threads is {most + 1}"):
        CpuBackend(most + 1)


def test_lattice_copies_the_phases_it_is_given() -> None:
    backend = CpuBackend(1)
    geometry = build_geometry("chain", (4,))
    phases = np.arange(4, dtype=np.uint32)
    state = backend.build_lattice(geometry, phases, np.ones(4, np.float32), 1.0)
    backend.step_lattice(state, TABLEAUS["euler"], 0.01)
    assert phases.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("integrator", TABLEAUS)
def test_steps_never_write_what_they_read(integrator: str) -> None:
    # 20 steps of one lattice equal 20 fresh lattices of one step each: no stage
    # buffer leaks into the next step.
    backend = CpuBackend(1)
    state = build_state(backend)
    fresh = backend.read_phases(state)
    for _ in range(20):
        backend.step_lattice(state, TABLEAUS[integrator], 0.00025)
        single = build_state(backend)
        backend.write_phases(single, fresh)
        backend.step_lattice(single, TABLEAUS[integrator], 0.00025)
        fresh = backend.read_phases(single)
    assert np.array_equal(backend.read_phases(state), fresh)


def test_integrators_may_alternate_on_one_lattice() -> None:
    backend = CpuBackend(1)
    state, other = build_state(backend), build_state(backend)
    for name in ("rk4", "euler", "rk2", "rk4"):
        backend.step_lattice(state, TABLEAUS[name], 0.00025)
        fresh = build_state(backend)
        backend.write_phases(fresh, backend.read_phases(other))
        backend.step_lattice(fresh, TABLEAUS[name], 0.00025)
        other = fresh
    assert np.array_equal(backend.read_phases(state), backend.read_phases(other))


def test_free_oscillators_move_by_their_detuning() -> None:
    backend = CpuBackend(1)
    state = build_state(backend, coupling_rad_s=0.0)
    before = backend.read_phases(state)
    backend.step_lattice(state, TABLEAUS["euler"], 2.0**-12)
    moved = (backend.read_phases(state) - before).astype(np.int32)
    # The product with a power of two is exact, so only the last rounding is left.
    assert np.array_equal(moved, np.rint(state.detunings.astype(np.float64) * 2**20))


def test_a_common_turn_changes_nothing() -> None:
    # Binary angles wrap for free: half a turn everywhere is half a turn in the end.
    backend = CpuBackend(1)
    state, turned = build_state(backend), build_state(backend)
    backend.write_phases(turned, backend.read_phases(state) + np.uint32(2**31))
    for _ in range(10):
        for each in (state, turned):
            backend.step_lattice(each, TABLEAUS["euler"], 0.00025)
    gap = backend.read_phases(turned) - backend.read_phases(state)
    assert (gap == 2**31).all()


def test_selection_says_why() -> None:
    choice = select_backend(BackendConfig("auto"), 100)
    assert choice.backend.name == "cpu"
    assert "100 nodes are fewer than backend.auto_min_nodes=65536" in choice.reason
    assert select_backend(BackendConfig("reference"), 1).reason == "asked for"


def test_auto_takes_cuda_only_where_it_is_usable() -> None:
    from engine.backends.probe import probe_cuda

    choice = select_backend(BackendConfig("auto"), 10**6)
    expected = "cuda" if probe_cuda().is_usable else "cpu"
    assert choice.backend.name == expected
    assert "usable" in choice.reason


def test_cuda_asked_for_and_absent() -> None:
    from engine.backends.probe import probe_cuda

    if probe_cuda().is_usable:
        pytest.skip("CUDA is usable here")
    with pytest.raises(BackendUnavailableError) as caught:
        select_backend(BackendConfig("cuda"), 10**6)
    assert "CUDA is not usable" in str(caught.value)
    assert str(caught.value).endswith("Or use backend=cpu.")


def test_registered_backend_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.backends._BUILDERS", {})
    register_backend("mine", lambda config: CpuBackend(1))
    assert select_backend(BackendConfig("mine"), 1).backend.name == "cpu"
    with pytest.raises(ConfigError, match="choose one of: mine"):
        select_backend(BackendConfig("mien"), 1)
