# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Coherence and bridges
#
# You know the Kuramoto model: oscillators with different natural frequencies
# $\omega_i$, which pull each other together. On a crystal, each one feels its
# neighbours only:
#
# $$\dot\theta_i = \omega_i + K \sum_{j \text{ near } i} \sin(\theta_j - \theta_i).$$
#
# $K$ counts per edge and is not divided by anything. The **coherence** is the order
# parameter $r = |\langle e^{i\theta} \rangle|$: 0 for none, 1 for perfect.
#
# This notebook shows three things, each by running the engine:
#
# 1. a lattice alone cannot stay coherent once it is large,
# 2. a few long-range bridges rescue it, at any size,
# 3. the bridges need to act only now and then, which is where time is saved.
#
# It runs in half a minute on one core. Numbers are for frequencies in Hz and
# couplings in rad/s; what matters is only the ratio of $K$ to the spread $\sigma$ of
# $\omega$.

# %%
import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from scipy import sparse
from scipy.sparse.linalg import cg

from engine.bridge import build_matchings
from engine.config import (
    BackendConfig,
    BridgesConfig,
    ControllerConfig,
    DynamicsConfig,
    LatticeConfig,
    LoadConfig,
    RunConfig,
)
from engine.system import ScribbleSystem

K = 216.0  # coupling of a lattice edge, and strength of a bridge [rad/s]
DT_S = 0.00025  # lattice time step [s]
FLOOR = 0.87  # the coherence that we want to keep
BLUE, ORANGE, GREY = "#0969da", "#bc4c00", "#8c959f"
FOLDER = Path(tempfile.mkdtemp())

plt.rcParams.update(
    {"axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 96}
)


def build_run(side, ratio, bridges, *, hz=1.0 / DT_S, duration_s=1.0, windows=0):
    """A square lattice of side x side nodes with K / sigma = ratio, at a fixed f."""
    return RunConfig(
        lattice=LatticeConfig(
            shape=(side, side),
            coupling_rad_s=K,
            spread_hz=K / ratio / (2.0 * np.pi),
            initial_phases="aligned",
        ),
        bridges=bridges,
        dynamics=DynamicsConfig(dt_s=DT_S, duration_s=duration_s),
        controller=ControllerConfig(
            objective="fixed", fixed_frequency_hz=hz, error_windows=windows
        ),
        backend=BackendConfig("cpu", threads=1),
        load=LoadConfig(kind="synthetic", level=0.0),  # an idle machine, always
    )


def run(config):
    """Run; return coherence over the second half, final phases and the summary."""
    values = []
    with ScribbleSystem(config) as system:
        summary = system.run(lambda progress: values.append(progress.coherence))
        phases = system.lattice.phases * (2.0 * np.pi / 2**32)
    count = round(config.dynamics.duration_s / DT_S / 40)
    settled = float(np.mean(values[count // 2 : count]))
    return settled, phases.reshape(config.lattice.shape), summary


# %% [markdown]
# ## 1. A lattice alone
#
# Say the coupling is strong, so that neighbours differ little. Then $\sin(\theta_j -
# \theta_i) \approx \theta_j - \theta_i$, and the locked state solves a linear
# equation: with the lattice Laplacian's eigenvalues $\lambda_k = 4 - 2\cos k_x -
# 2\cos k_y$,
#
# $$W^2 = \langle \theta^2 \rangle = \frac{\sigma^2}{K^2}\,\frac{1}{N}
# \sum_{k \ne 0} \frac{1}{\lambda_k^2}, \qquad r = e^{-W^2/2}.$$
#
# The sum is carried by the longest waves, $\lambda \sim k^2$ with $k \sim 2\pi/L$. So
# in the plane $W$ grows **in proportion to the side** $L$: each oscillator is content
# with its neighbours, but small differences add up along the way. To keep $r$ at
# 0.87, $K$ has to grow with $L$, $K/\sigma = 0.118\,L$.


# %%
def predict_bare(side, ratio):
    """The linear theory of the lattice alone."""
    k = 2.0 * np.pi * np.fft.fftfreq(side)
    eigenvalues = 4.0 - 2.0 * np.cos(k)[:, None] - 2.0 * np.cos(k)
    roughness = (1.0 / eigenvalues.ravel()[1:] ** 2).sum() / side**2 / ratio**2
    return np.exp(-roughness / 2.0)


NO_BRIDGES = BridgesConfig(kind="none")
sides = np.array([8, 16, 32, 64, 96, 128])
# The longest wave of a larger lattice needs longer to settle, L^2 / (4 pi^2 K).
times_s = 0.5 + sides**2 / (4.0 * K)
seen = {
    ratio: [
        run(build_run(int(side), ratio, NO_BRIDGES, duration_s=float(time_s)))[0]
        for side, time_s in zip(sides, times_s)
    ]
    for ratio in (4.0, 8.0)
}

# %%
figure, axes = plt.subplots(figsize=(7, 3.8))
many = np.unique(np.geomspace(8, 512, 40).astype(int))
for (ratio, values), colour in zip(seen.items(), (ORANGE, BLUE)):
    axes.semilogx(
        many, [predict_bare(side, ratio) for side in many], color=colour, alpha=0.5
    )
    axes.plot(sides, values, "o", color=colour, label=f"$K/\\sigma$ = {ratio:g}")
axes.axhline(FLOOR, color=GREY, linestyle="--", linewidth=1)
axes.text(8, FLOOR - 0.07, f"floor {FLOOR:g}", color=GREY)
axes.set_xticks(
    [8, 16, 32, 64, 128, 256, 512], ["8", "16", "32", "64", "128", "256", "512"]
)
axes.minorticks_off()
axes.set(xlabel="side L of the lattice", ylabel="coherence r", ylim=(0.0, 1.03))
axes.set_title("A lattice alone loses coherence as it grows (lines: theory)")
axes.legend(frameon=False)
plt.show()

for ratio, values in seen.items():
    theory = [predict_bare(int(side), ratio) for side in sides]
    # One draw of frequencies scatters about the mean over all draws.
    assert np.abs(np.subtract(values, theory)).max() < 0.12
    assert values[-1] < FLOOR < values[0]
assert abs(predict_bare(64, 0.1179 * 64) - FLOOR) < 0.001

# %% [markdown]
# ## 2. Few bridges
#
# Now lace the lattice with **bridges**: links between random nodes, however far
# apart, here as strong as a lattice edge. We take $K/\sigma = 2$ on 64 x 64 nodes,
# where the lattice alone has no coherence at all, and add very few.
#
# The theory stays as simple. With the Laplacian $\mathcal L$ of lattice *plus*
# bridges, the locked phases are $\mathcal L^{-1}\omega$, and
#
# $$r \approx 1 - J/2, \qquad J = \frac{1}{N} \sum_i (\mathcal L^{-1} \omega)_i^2$$
#
# (Skardal, Taylor, Sun 2014). Random links close the gap at the bottom of the
# spectrum: no wave is long any more, so $J$ stops growing with the lattice.

# %%
SIDE, RATIO = 64, 2.0


def draw_bridges(per_node, side=SIDE):
    """Random pairs of nodes, `per_node` bridges for every node, saved as a file."""
    pairs = build_matchings(side**2, BridgesConfig(per_node=1), seed=1)
    chosen = np.random.default_rng(1).permutation(len(pairs))
    chosen = np.sort(chosen[: round(per_node * side**2)])
    path = FOLDER / f"bridges_{side}_{per_node:g}.npz"
    np.savez(path, source=pairs.sources[chosen], target=pairs.targets[chosen])
    return BridgesConfig(kind="file", path=str(path), strength_rad_s=K)


def predict(config):
    """r = 1 - J/2 for lattice plus bridges, by one conjugate-gradient solve."""
    side = config.lattice.shape[0]
    count, nodes = side**2, np.arange(side**2).reshape(side, side)
    pairs = np.load(config.bridges.path)
    neighbours = [np.roll(nodes, 1, axis).ravel() for axis in (0, 1)]
    left = np.concatenate([nodes.ravel(), nodes.ravel(), pairs["source"]])
    right = np.concatenate([*neighbours, pairs["target"]])
    links = sparse.coo_array((np.full(len(left), K), (left, right)), (count, count))
    laplacian = sparse.csgraph.laplacian(links.tocsr() + links.tocsr().T)
    with ScribbleSystem(config) as system:
        omega = 2.0 * np.pi * system.lattice.detunings_hz.astype(float)
    phases, _ = cg(laplacian, omega - omega.mean(), rtol=1e-8)
    return 1.0 - ((phases - phases.mean()) ** 2).mean() / 2.0


densities = np.array([0.02, 0.03, 0.05, 0.1, 0.2, 0.5])
laced = [build_run(SIDE, RATIO, draw_bridges(density)) for density in densities]
found = [run(config)[0] for config in laced]
expected = [predict(config) for config in laced]

# %%
figure, axes = plt.subplots(figsize=(7, 3.8))
axes.semilogx(densities, expected, color=ORANGE, label="theory, 1 - J/2")
axes.plot(densities, found, "o", color=BLUE, label="runs")
bare = run(build_run(SIDE, RATIO, NO_BRIDGES, duration_s=4.0))[0]
axes.axhline(bare, color=GREY, linewidth=1)
axes.text(0.02, bare + 0.02, "no bridges", color=GREY)
axes.axhline(FLOOR, color=GREY, linestyle="--", linewidth=1)
axes.text(0.02, FLOOR + 0.02, f"floor {FLOOR:g}", color=GREY)
axes.set_xticks(densities, [f"{density:g}" for density in densities])
axes.minorticks_off()
axes.set(xlabel="bridges per node", ylabel="coherence r", ylim=(0.0, 1.03))
axes.set_title("One bridge for every ten nodes is enough")
axes.legend(frameon=False, loc="center right")
plt.show()

held = densities >= 0.1
assert np.abs(np.subtract(found, expected))[held].max() < 0.02
assert min(np.array(found)[held]) > FLOOR > bare

# %% [markdown]
# And it does not depend on the size: what held the lattice of 64 x 64 holds larger
# ones just as well, while the lattice alone only gets worse. The phase field shows
# why. Without bridges it drifts over many turns; with them it stays within a fraction
# of one.

# %%
large = 128
alone = run(build_run(large, RATIO, NO_BRIDGES, duration_s=4.0))
few = run(build_run(large, RATIO, draw_bridges(0.1, large)))
figure, panels = plt.subplots(1, 2, figsize=(6, 2.9), layout="constrained")
colours = plt.get_cmap("twilight_shifted", 32)
for panel, (coherence, phases, _), name in zip(
    panels, (alone, few), ("no bridges", "0.1 bridges per node")
):
    centred = np.angle(np.exp(1j * phases) / np.exp(1j * phases).mean())
    image = panel.imshow(
        centred, cmap=colours, vmin=-np.pi, vmax=np.pi, interpolation="nearest"
    )
    panel.spines[:].set_visible(False)
    panel.set(xticks=[], yticks=[], title=f"{name}: r = {coherence:.2f}")
bar = figure.colorbar(image, ax=panels, label="phase", ticks=[-np.pi, 0.0, np.pi])
bar.ax.set_yticklabels([r"$-\pi$", "0", r"$\pi$"])
plt.show()

assert alone[0] < 0.5
assert abs(few[0] - found[list(densities).index(0.1)]) < 0.03

# %% [markdown]
# ## 3. Rarely
#
# Evaluating every bridge in every step is what makes large networks slow: a bridge
# reaches far through memory, a lattice neighbour does not. Here a bridge acts by
# **tunnel events** at a frequency $f$ instead. An event applies the exact motion of
# two coupled phases for all the time since the last one, so the mean pull does not
# depend on $f$. Only an error remains, and it vanishes fast as $f$ rises.
#
# Scribble forecasts $r(f)$ from the same linear algebra, before anything is run
# (`scribble forecast`). A run can also measure how far it lies from the network whose
# bridges act all the time: with `error_windows` it goes on for a few windows at two
# frequencies in turn.

# %%
bridges = draw_bridges(0.25)
frequencies = np.array([10.0, 15.0, 24.0, 39.0, 63.0, 102.0, 165.0, 267.0, 699.0])
runs = [
    run(build_run(SIDE, RATIO, bridges, hz=float(hz), duration_s=2.0, windows=4))
    for hz in frequencies
]
rates = np.array([settled for settled, _, _ in runs])
tags = [summary.coherence for _, _, summary in runs]
limit = run(build_run(SIDE, RATIO, bridges))[0]

# %%
from engine.forecast import build_forecaster

forecaster = build_forecaster(build_run(SIDE, RATIO, bridges))
line = np.geomspace(10.0, 699.0, 25)
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
left.semilogx(
    line,
    [forecaster.forecast(float(hz)).coherence for hz in line],
    color=ORANGE,
    label="forecast",
)
left.plot(frequencies, rates, "o", color=BLUE, label="runs")
left.axhline(limit, color=GREY, linewidth=1)
left.text(10, limit + 0.015, "every bridge in every step", color=GREY)
left.axhline(FLOOR, color=GREY, linestyle="--", linewidth=1)
left.text(150, FLOOR - 0.035, f"floor {FLOOR:g}", color=GREY)
left.set(xlabel="tunnel frequency f [Hz]", ylabel="coherence r", ylim=(0.6, 1.0))
left.set_title("How rarely bridges need to act")
left.legend(frameon=False, loc="lower right")

right.loglog(frequencies, limit - rates, "o", color=BLUE, label="true")
right.errorbar(
    frequencies,
    [tag["continuous"] - r for tag, r in zip(tags, rates)],
    [tag["distance_stderr"] for tag in tags],
    fmt="_",
    color=ORANGE,
    markersize=10,
    label="as each run itself says",
)
right.set(xlabel="tunnel frequency f [Hz]", ylabel="distance from every step")
right.set_title("Each run carries its price tag")
right.legend(frameon=False)
plt.show()

cheapest = min(hz for hz, r in zip(frequencies, rates) if r >= FLOOR)
saved = 1.0 / (DT_S * cheapest)
print(f"{cheapest:g} Hz holds the floor, with {saved:.0f} times fewer events.")
assert saved > 30.0
for hz, r, tag in zip(frequencies, rates, tags):
    forecast = forecaster.forecast(float(hz))
    assert not forecast.is_trusted or abs(forecast.coherence - r) < 0.01
    if r > 0.7:
        miss = abs(tag["distance_to_continuous"] - (limit - r))
        assert miss < 3.0 * tag["distance_stderr"] + 0.002

# %% [markdown]
# ## A controller that finds it
#
# Nobody needs to look for that frequency by hand. With `controller=floor` a run
# starts at the top of the ladder and sinks to the lowest frequency that was *seen* to
# hold the floor; under other objectives it gives way to whoever else needs the
# machine, but never below it.

# %%
from dataclasses import replace

steered = build_run(SIDE, RATIO, bridges, duration_s=6.0)
steered = replace(steered, controller=ControllerConfig(objective="floor"))
rows = []
with ScribbleSystem(steered) as system:
    summary = system.run(
        lambda at: rows.append((at.simulated_s, at.frequency_hz, at.coherence))
    )
times, chosen, coherence = np.array(rows).T
figure, (top, below) = plt.subplots(
    2, 1, figsize=(7, 4.2), sharex=True, layout="constrained"
)
top.plot(times, coherence, color=BLUE)
top.axhline(FLOOR, color=GREY, linestyle="--", linewidth=1)
top.set(ylabel="coherence r", ylim=(0.8, 1.0))
top.set_title("The controller sinks to the floor and stays above it")
below.semilogy(times, chosen, color=ORANGE)
below.set(xlabel="simulated time [s]", ylabel="frequency [Hz]")
below.set_yticks([50, 100, 200, 400, 700], ["50", "100", "200", "400", "700"])
below.minorticks_off()
plt.show()

print(
    f"{summary.events_saved_factor:.0f} times fewer events than every bridge in every "
    "step"
)
print(
    f"share of the time below the floor: {summary.coherence['violation_fraction']:.1%}"
)
assert summary.coherence["minimum_after_settling"] >= FLOOR - 0.005
assert summary.events_saved_factor > 25.0

# %% [markdown]
# ## What to take away
#
# * In the plane a lattice needs $K \propto L$ to stay coherent; no finite coupling
#   serves every size.
# * A tenth of a bridge per node removes the size from the problem, and one linear
#   solve says how coherent the network will be.
# * Those bridges may act tens of times more rarely than the lattice steps, at a price
#   that is known beforehand and measured afterwards.
#
# From here: `scribble run +experiment=demo` shows the controller under a load,
# `scribble forecast` answers for your own network, and `bridges=file` takes your own
# edge list.
