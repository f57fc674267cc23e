"""One lattice step, as the users of other packages would write it, and Scribble's own.

The work is an Euler step of d theta_i/dt = omega_i + K sum_j sin(theta_j - theta_i) on
a periodic square lattice. A builder imports its package itself, so that a missing one
leaves the others alone. Contestants on a GPU are in `gpu_contestants.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import dataclass
from functools import cached_property, partial
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from engine.backends.protocol import TABLEAUS
from engine.backends.stepping import SteppingBackend
from engine.geometry import build_geometry

COUPLING_RAD_S, DT_S, SPREAD_HZ = 216.0, 0.00025, 34.4
TWO_PI = 2.0 * np.pi
STEP_BYTES = 12
"""Traffic of one step per node: phase and detuning read, phase written [byte]."""


@dataclass(frozen=True)
class Problem:
    """The same lattice for everybody."""

    phases: np.ndarray
    """Binary angles, uint32, shape (side, side)."""
    detunings_hz: np.ndarray
    """Natural frequency minus frame [Hz], float32, shape (side, side)."""

    @property
    def side(self) -> int:
        """Nodes along one axis [-]."""
        return len(self.phases)

    def to_theta(self, kind: type) -> np.ndarray:
        """Return the phases [rad], shape (side, side)."""
        return (self.phases * (TWO_PI / 2**32)).astype(kind)

    def to_omega(self, kind: type) -> np.ndarray:
        """Return the natural frequencies in the frame [rad/s], shape (side, side)."""
        return (TWO_PI * self.detunings_hz.astype(np.float64)).astype(kind)

    @cached_property
    def neighbours(self) -> np.ndarray:
        """Flat site ids of the four neighbours, shape (4, nodes)."""
        sites = np.arange(self.side**2).reshape(self.side, self.side)
        moves = ((1, 0), (-1, 0), (1, 1), (-1, 1))
        return np.array([np.roll(sites, shift, axis).ravel() for shift, axis in moves])


def build_problem(side: int) -> Problem:
    """Draw the lattice that all contestants of a run share; seeded."""
    rng = np.random.default_rng(0)
    phases = rng.integers(0, 2**32, (side, side), dtype=np.uint32)
    detunings_hz = (SPREAD_HZ * rng.standard_normal((side, side))).astype(np.float32)
    return Problem(phases, detunings_hz)


def do_not_wait(_: Any) -> None:
    """Return at once: what runs on the CPU here is there when its call returns."""


@dataclass
class Stepper:
    """A way to step the lattice, with its state."""

    state: Any
    """Whatever the way keeps between steps."""
    leap: Callable[[Any, int], Any]
    """Takes the state and a number of steps, gives the new state."""
    to_host: Callable[[Any], Any] = np.asarray
    """Reads the phases [rad] out of a state."""
    wait: Callable[[Any], Any] = do_not_wait
    """Blocks until a state is really there."""

    def advance(self, count: int) -> None:
        """Run `count` steps and wait for the last."""
        self.state = self.leap(self.state, count)
        self.wait(self.state)

    def read_phases(self) -> np.ndarray:
        """Return the phases [rad], float64, shape (nodes,)."""
        return np.asarray(self.to_host(self.state), np.float64).ravel()


@dataclass(frozen=True)
class Contestant:
    """Somebody who can do the work."""

    name: str
    """As in the table."""
    build: Callable[[Problem], Stepper]
    """Imports the package, allocates; the first steps compile."""
    role: str = "peer"
    """engine, peer or floor (a copy, which computes nothing)."""
    device: str = "cpu"
    """cpu or gpu."""
    threads: int = 1
    """CPU threads that do arithmetic [-]."""
    package: str = "numpy"
    """What pip installs."""
    largest_side: int | None = None
    """Nodes along an axis beyond which it is not sensible [-]; None: no limit."""
    moved_bytes: int = STEP_BYTES
    """What a floor moves per node; its time is scaled to `STEP_BYTES` [byte]."""

    @property
    def module(self) -> str:
        """Name to import, which the packages here share but for their extras."""
        return self.package.partition("[")[0].removesuffix("-cuda12x")


def repeat(step: Callable[[Any], Any]) -> Callable[[Any, int], Any]:
    """Make a leap of single steps."""

    def leap(state: Any, count: int) -> Any:
        for _ in range(count):
            state = step(state)
        return state

    return leap


def advance_engine(backend: SteppingBackend, lattice: Any, count: int) -> Any:
    """Run `count` lattice steps on a back end: the only place that calls it."""
    backend.step_lattice(lattice, TABLEAUS["euler"], DT_S, count)
    return lattice


def build_engine(
    backend: SteppingBackend, problem: Problem, wait: Callable[[Any], Any] = do_not_wait
) -> Stepper:
    """Step the lattice on a back end of Scribble.

    Args:
        backend: Where it runs.
        problem: The lattice.
        wait: Blocks until the device is idle.
    """
    shape = problem.phases.shape
    lattice = backend.build_lattice(
        build_geometry("square", shape),
        problem.phases.ravel(),
        problem.detunings_hz.ravel(),
        COUPLING_RAD_S,
    )

    def to_host(state: Any) -> np.ndarray:
        return backend.read_phases(state) * (TWO_PI / 2**32)

    return Stepper(lattice, partial(advance_engine, backend), to_host, wait)


def build_reference(problem: Problem) -> Stepper:
    """Step with the back end that is written to be read: the truth here."""
    from engine.backends.reference import ReferenceBackend

    return build_engine(ReferenceBackend(), problem)


def build_cpu(threads: int, problem: Problem) -> Stepper:
    """Step with the `cpu` back end."""
    from engine.backends import select_backend
    from engine.config import BackendConfig

    choice = select_backend(BackendConfig("cpu", threads), problem.side**2)
    return build_engine(choice.backend, problem)


def step_by_roll(xp: Any, theta: Any, omega: Any) -> Any:
    """Take a step with four shifted copies and a sine per edge.

    Args:
        xp: numpy, cupy, jax.numpy or torch.
        theta: Phases [rad], shape (side, side).
        omega: Natural frequencies [rad/s], shape (side, side).
    """
    pull = xp.sin(xp.roll(theta, 1, 0) - theta)
    pull += xp.sin(xp.roll(theta, -1, 0) - theta)
    pull += xp.sin(xp.roll(theta, 1, 1) - theta)
    pull += xp.sin(xp.roll(theta, -1, 1) - theta)
    return theta + DT_S * (omega + COUPLING_RAD_S * pull)


def step_by_two_sines(theta: np.ndarray, omega: np.ndarray) -> np.ndarray:
    """Take a step as a NumPy user who knows the identity: two sines per node."""
    sine, cosine = np.sin(theta), np.cos(theta)
    sines, cosines = (
        np.roll(wave, 1, 0)
        + np.roll(wave, -1, 0)
        + np.roll(wave, 1, 1)
        + np.roll(wave, -1, 1)
        for wave in (sine, cosine)
    )
    pull = cosine * sines - sine * cosines
    return theta + DT_S * (omega + COUPLING_RAD_S * pull)


def build_roll(kind: type, problem: Problem) -> Stepper:
    """Step as a NumPy user would."""
    omega = problem.to_omega(kind)
    leap = repeat(lambda theta: step_by_roll(np, theta, omega))
    return Stepper(problem.to_theta(kind), leap)


def build_two_sines(kind: type, problem: Problem) -> Stepper:
    """Step as a NumPy user who knows the identity."""
    omega = problem.to_omega(kind)
    leap = repeat(lambda theta: step_by_two_sines(theta, omega))
    return Stepper(problem.to_theta(kind), leap)


def build_sparse(kind: type, problem: Problem) -> Stepper:
    """Step with a sparse adjacency A: c (A s) - s (A c), two sines per node.

    `solve_ivp` and its kin choose their own steps, which is other work.
    """
    from scipy.sparse import csr_array

    nodes = problem.side**2
    rows = np.tile(np.arange(nodes), 4)
    ones = np.ones(4 * nodes, kind)
    links = (ones, (rows, problem.neighbours.ravel()))
    adjacency = csr_array(links, shape=(nodes, nodes))
    omega = problem.to_omega(kind).ravel()

    def step(theta: np.ndarray) -> np.ndarray:
        sine, cosine = np.sin(theta), np.cos(theta)
        pull = cosine * (adjacency @ sine) - sine * (adjacency @ cosine)
        return theta + DT_S * (omega + COUPLING_RAD_S * pull)

    return Stepper(problem.to_theta(kind).ravel(), repeat(step))


def build_numba(kind: type, threads: int, problem: Problem, **options: Any) -> Stepper:
    """Step as a Numba user would: two loops and a sine per edge.

    Args:
        kind: float32 or float64.
        threads: Threads to use.
        problem: The lattice.
        options: Further options of `njit`.
    """
    import numba

    @numba.njit(parallel=True, **options)
    def advance_nodes(theta, omega, coupling, dt, out):
        rows, columns = theta.shape
        for i in numba.prange(rows):
            for j in range(columns):
                here = theta[i, j]
                pull = np.sin(theta[(i + 1) % rows, j] - here)
                pull += np.sin(theta[(i - 1) % rows, j] - here)
                pull += np.sin(theta[i, (j + 1) % columns] - here)
                pull += np.sin(theta[i, (j - 1) % columns] - here)
                out[i, j] = here + dt * (omega[i, j] + coupling * pull)

    theta, omega = problem.to_theta(kind), problem.to_omega(kind)
    gains = kind(COUPLING_RAD_S), kind(DT_S)

    def step(state: Any) -> Any:
        theta, spare = state
        numba.set_num_threads(threads)
        advance_nodes(theta, omega, *gains, spare)
        return spare, theta

    return Stepper((theta, np.empty_like(theta)), repeat(step), lambda state: state[0])


def build_jax(platform: str, problem: Problem, *, is_looped: bool) -> Stepper:
    """Step as a JAX user would: `jit`, float32, four rolls.

    Args:
        platform: cpu or gpu.
        problem: The lattice.
        is_looped: Whether all steps of a turn run in one `fori_loop`, or are
            called one by one.
    """
    import jax
    from jax import numpy as jnp

    device = jax.devices(platform)[0]
    omega = jax.device_put(problem.to_omega(np.float32), device)
    theta = jax.device_put(problem.to_theta(np.float32), device)
    step = jax.jit(lambda theta, omega: step_by_roll(jnp, theta, omega))

    @jax.jit
    def run_loop(theta: Any, omega: Any, count: Any) -> Any:
        def body(_: Any, theta: Any) -> Any:
            return step_by_roll(jnp, theta, omega)

        return jax.lax.fori_loop(0, count, body, theta)

    def leap(theta: Any, count: int) -> Any:
        if is_looped:
            return run_loop(theta, omega, count)
        return repeat(lambda theta: step(theta, omega))(theta, count)

    return Stepper(theta, leap, wait=jax.block_until_ready)


def build_torch(
    device: str, threads: int, problem: Problem, *, is_compiled: bool
) -> Stepper:
    """Step as a PyTorch user would, float32, eagerly or by `torch.compile`.

    Args:
        device: cpu or cuda.
        threads: CPU threads of PyTorch.
        problem: The lattice.
        is_compiled: Whether `torch.compile` makes the step.
    """
    import torch

    torch.set_num_threads(threads)
    omega = torch.from_numpy(problem.to_omega(np.float32)).to(device)
    theta = torch.from_numpy(problem.to_theta(np.float32)).to(device)

    def take_step(theta: Any, omega: Any) -> Any:
        return step_by_roll(torch, theta, omega)

    step = torch.compile(take_step) if is_compiled else take_step
    wait = (lambda _: torch.cuda.synchronize()) if device == "cuda" else do_not_wait
    leap = repeat(lambda theta: step(theta, omega))
    return Stepper(theta, leap, lambda theta: theta.cpu().numpy(), wait)


def build_kuramoto(problem: Problem) -> Stepper:
    """Step with the derivative of the package `kuramoto`, which is dense: N x N.

    Its own `run` hands that derivative to an adaptive solver and divides K by the
    degree; the Euler step is written around it, with K as it is.
    """
    from kuramoto import Kuramoto

    nodes = problem.side**2
    adjacency = np.zeros((nodes, nodes))
    np.add.at(adjacency, (np.tile(np.arange(nodes), 4), problem.neighbours.ravel()), 1)
    omega = problem.to_omega(np.float64).ravel()
    model = Kuramoto(coupling=COUPLING_RAD_S, dt=DT_S, natfreqs=omega)

    def step(theta: np.ndarray) -> np.ndarray:
        rate = model.derivative(theta, 0.0, adjacency, COUPLING_RAD_S)
        return theta + DT_S * rate

    return Stepper(problem.to_theta(np.float64).ravel(), repeat(step))


def build_jitcode(problem: Problem) -> Stepper:
    """Step with the right-hand side that JiTCODE writes in C, line by line.

    Its integrators are adaptive; the Euler step is written around its `f`.
    """
    from jitcode import jitcode, y
    from symengine import sin

    omega = problem.to_omega(np.float64).ravel()

    def list_rates() -> Iterator[Any]:
        for i, around in enumerate(problem.neighbours.T):
            pull = sum(sin(y(int(j)) - y(i)) for j in around)
            yield float(omega[i]) + COUPLING_RAD_S * pull

    system = jitcode(list_rates, n=problem.side**2, verbose=False)
    # It builds by setuptools, which would take a pyproject.toml here for its own.
    with TemporaryDirectory() as folder, chdir(folder):
        system.generate_f_C()
        system.compile_C()
    leap = repeat(lambda theta: theta + DT_S * system.f(0.0, theta))
    return Stepper(problem.to_theta(np.float64).ravel(), leap)


def build_numba_copy(threads: int, problem: Problem) -> Stepper:
    """Read two arrays and write a third, 12 bytes per node, on several threads."""
    import numba

    @numba.njit(parallel=True)
    def merge(first, second, out):
        for i in numba.prange(out.size):
            out[i] = first[i] + second[i]

    detunings = problem.detunings_hz.ravel().view(np.uint32)

    def step(state: Any) -> Any:
        phases, spare = state
        numba.set_num_threads(threads)
        merge(phases, detunings, spare)
        return spare, phases

    phases = problem.phases.ravel().copy()
    return Stepper((phases, np.empty_like(phases)), repeat(step), lambda pair: pair[0])


def build_numpy_copy(problem: Problem) -> Stepper:
    """Copy the phases by `np.copyto`: 8 bytes per node on one thread."""

    def step(state: Any) -> Any:
        phases, spare = state
        np.copyto(spare, phases)
        return spare, phases

    pair = (problem.phases.copy(), np.empty_like(problem.phases))
    return Stepper(pair, repeat(step), lambda pair: pair[0])


def list_engines(cores: int) -> list[Contestant]:
    """List the `cpu` back end on one and on all threads."""
    return [
        Contestant(
            "Scribble cpu", partial(build_cpu, threads), "engine", threads=threads
        )
        for threads in sorted({1, cores})
    ]


def list_floors(cores: int) -> list[Contestant]:
    """List the copies that move as many bytes as a step must."""
    floors = [
        Contestant("copy, Numba", partial(build_numba_copy, threads), "floor",
                   threads=threads, package="numba")
        for threads in sorted({1, cores})
    ]  # fmt: skip
    return [*floors, Contestant("copy, np.copyto", build_numpy_copy, "floor",
                                moved_bytes=8)]  # fmt: skip


def list_cpu_peers(cores: int) -> list[Contestant]:
    """List the other ways to step the lattice on the CPU, installed or not."""
    single, double = np.float32, np.float64
    numba = partial(Contestant, threads=cores, package="numba")
    jax = partial(Contestant, threads=cores, package="jax")
    torch = partial(Contestant, threads=cores, package="torch")
    return [
        Contestant("np.roll, float64", partial(build_roll, double)),
        Contestant("np.roll, float32", partial(build_roll, single)),
        Contestant("np.roll, float32, 2 sines", partial(build_two_sines, single)),
        Contestant("scipy.sparse, float64", partial(build_sparse, double),
                   package="scipy"),
        Contestant("scipy.sparse, float32", partial(build_sparse, single),
                   package="scipy"),
        numba("Numba, float64", partial(build_numba, double, cores)),
        numba("Numba, float32", partial(build_numba, single, cores)),
        numba("Numba, float32, fastmath",
              partial(build_numba, single, cores, fastmath=True)),
        jax("JAX, step by step", partial(build_jax, "cpu", is_looped=False)),
        jax("JAX, fori_loop", partial(build_jax, "cpu", is_looped=True)),
        torch("torch, eager", partial(build_torch, "cpu", cores, is_compiled=False)),
        torch("torch.compile", partial(build_torch, "cpu", cores, is_compiled=True)),
        Contestant("kuramoto", build_kuramoto, package="kuramoto", largest_side=32),
        Contestant("JiTCODE", build_jitcode, package="jitcode", largest_side=64),
    ]  # fmt: skip
