"""Passes over several steps give the bits of the plain step, however they are cut."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from engine.backends import cpu_lattice, cpu_pass
from engine.backends.cpu import CpuBackend
from engine.backends.cpu_pass import CACHE_BYTES, MOST_STEPS, plan_pass, plan_rings
from engine.backends.formulas import TURN_F, rate_increment, sine_cosine
from engine.backends.layout import box_arguments
from engine.backends.philox import draw_words
from engine.backends.protocol import TABLEAUS, Tableau
from engine.geometry import Geometry, build_geometry, build_neighbour_table

U32Array = npt.NDArray[np.uint32]
F32Array = npt.NDArray[np.float32]
DT_S, COUPLING_RAD_S = 0.00025, 216.0
SHAPES = {
    "chain": [(50,), (9001,)],
    "square": [(20, 37), (3, 3), (31, 256), (1, 40), (40, 1)],
    "triangular": [(16, 300), (40, 5)],
    "cubic": [(9, 8, 20), (2, 2, 30), (5, 2, 7)],
    "bcc": [(7, 12, 8)],
    "fcc": [(6, 5, 250), (20, 4, 4)],
}
CASES = [
    pytest.param(kind, shape, closed, id=f"{kind}-{shape}-{closed}")
    for kind, shapes in SHAPES.items()
    for shape, closed in itertools.product(shapes, (True, False))
]


def draw_lattice(geometry: Geometry) -> tuple[U32Array, F32Array]:
    phases, words, _, _ = draw_words(5, 1, geometry.node_count)
    detunings = (words.astype(np.float64) / 2.0**32 - 0.5).astype(np.float32)
    return phases, detunings * np.float32(68.0)


def sum_in_order(field: F32Array, table: npt.NDArray[np.int64]) -> F32Array:
    """Add the neighbours one after the other, as float32; a missing one is zero."""
    padded = np.append(field, np.float32(0.0))
    total = padded[table[:, 0]]
    for column in table.T[1:]:
        total = total + padded[column]
    return total


def step_plainly(
    geometry: Geometry, phases: U32Array, detunings: F32Array, tableau: Tableau
) -> U32Array:
    """Take one step with whole arrays, one stage after the other."""
    table = build_neighbour_table(geometry).reshape(geometry.node_count, -1)
    table = np.where(table < 0, geometry.node_count, table).astype(np.int64)
    coupling = np.float32(COUPLING_RAD_S / (2.0 * np.pi))
    dt, at, total = np.float32(DT_S), phases, np.float32(0.0)
    for k, weight in enumerate(tableau.weights):
        pairs = [sine_cosine(angle) for angle in at]
        sine = np.array([pair[0] for pair in pairs], np.float32)
        cosine = np.array([pair[1] for pair in pairs], np.float32)
        sums = (sum_in_order(sine, table), sum_in_order(cosine, table))
        terms = zip(detunings, sine, cosine, *sums, strict=True)
        rates = [rate_increment(*term, (coupling, dt)) for term in terms]
        increment = np.array(rates, np.float32)
        share = np.float32(weight) * increment
        total = total + share if k else share
        is_last = k == len(tableau.weights) - 1
        move = total if is_last else np.float32(tableau.feeds[k]) * increment
        turned = np.rint(move * TURN_F).astype(np.int64)
        at = (phases + turned).astype(np.uint32)
    return at


@pytest.mark.parametrize("integrator", TABLEAUS)
@pytest.mark.parametrize(("kind", "shape", "closed"), CASES)
def test_passes_give_the_bits_of_plain_steps(
    kind: str, shape: tuple[int, ...], closed: bool, integrator: str
) -> None:
    geometry = build_geometry(kind, shape, (closed,) * len(shape))
    phases, detunings = draw_lattice(geometry)
    expected = phases
    for _ in range(3):
        expected = step_plainly(geometry, expected, detunings, TABLEAUS[integrator])
    for threads in {1, CpuBackend().threads}:
        backend = CpuBackend(threads)
        lattice = backend.build_lattice(geometry, phases, detunings, COUPLING_RAD_S)
        backend.step_lattice(lattice, TABLEAUS[integrator], DT_S, 3)
        assert np.array_equal(backend.read_phases(lattice), expected)


@pytest.mark.parametrize("integrator", TABLEAUS)
@pytest.mark.parametrize(("kind", "shape", "closed"), CASES)
def test_bits_do_not_depend_on_the_cut(
    kind: str, shape: tuple[int, ...], closed: bool, integrator: str
) -> None:
    geometry = build_geometry(kind, shape, (closed,) * len(shape))
    phases, detunings = draw_lattice(geometry)
    box, periodic, offsets = box_arguments(geometry)
    tableau = cpu_pass.tableau_arrays(TABLEAUS[integrator])
    gains = (np.float32(COUPLING_RAD_S / 6.0), np.float32(DT_S) * TURN_F)
    ends = []
    for steps, parts in ((1, 1), (2, 3), (3, 1), (6, 2), (6, 7)):
        is_chain = len(offsets) == 2
        rings = plan_rings(box, len(tableau[1]), steps, is_chain=is_chain)
        scratch = cpu_pass.build_scratch(rings, parts)
        # What an earlier pass left in the planes must not matter.
        scratch[:] = 0x3F800000
        at, out = phases.copy(), np.empty_like(phases)
        for _ in range(6 // steps):
            fields = (at, detunings, out)
            lattice = (box, periodic, offsets)
            cpu_lattice.step_lattice(fields, scratch, rings, *lattice, gains, tableau)
            at, out = out, at
        ends.append(at)
    assert all(np.array_equal(end, ends[0]) for end in ends)
    assert not np.array_equal(ends[0], phases)


@pytest.mark.parametrize("stages", [1, 2, 4])
@pytest.mark.parametrize("threads", [1, 2, 64])
@pytest.mark.parametrize(
    "box",
    [
        (1, 1, 7),
        (1, 1, 2**20),
        (3, 1, 3),
        (256, 1, 256),
        (8192, 1, 8192),
        (99, 256, 256),
    ],
)
def test_a_pass_fits_the_cache_and_overlaps_little(
    box: tuple[int, int, int], threads: int, stages: int
) -> None:
    for count in (1, 4, 40):
        is_chain = box[0] == box[1] == 1
        plan = plan_pass(box, stages, count, threads, is_chain=is_chain)
        extent = box[2] if is_chain else box[0]
        assert 1 <= plan.steps <= min(count, MOST_STEPS)
        assert 1 <= plan.parts <= extent
        assert plan.rings.levels == stages * plan.steps
        if plan.steps > 1:
            assert plan.rings.size * 4 <= CACHE_BYTES
            assert extent >= 4 * plan.rings.levels * threads


def test_large_counts_are_worked_in_several_passes() -> None:
    geometry = build_geometry("square", (128, 64))
    phases, detunings = draw_lattice(geometry)
    backend = CpuBackend(1)
    whole, single = (
        backend.build_lattice(geometry, phases, detunings, COUPLING_RAD_S)
        for _ in range(2)
    )
    backend.step_lattice(whole, TABLEAUS["rk2"], DT_S, 21)
    for _ in range(21):
        backend.step_lattice(single, TABLEAUS["rk2"], DT_S)
    assert np.array_equal(whole.phases, single.phases)
