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
# # Sweeps and scaling
#
# One run answers one question. A **sweep** runs every combination of some values, keeps
# a folder per job, and survives jobs that fail. This notebook shows
#
# 1. a sweep from the command line, and its table in Python,
# 2. what happens when a job fails, and how the sweep goes on,
# 3. the frontier of coherence against tunnel frequency,
# 4. how cost grows with size,
# 5. how two sweeps are compared.
#
# Everything is small, so that it takes less than a minute.

# %%
import contextlib
import io
import json
import os
import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from pyarrow import parquet

from experiments.cli import main
from experiments.study.statistics import fit_power

FLOOR = 0.87  # the coherence that we want to keep
BLUE, ORANGE, GREY = "#0969da", "#bc4c00", "#8c959f"

work = Path(tempfile.mkdtemp())
os.chdir(work)


def scribble(line):
    """Do what `scribble LINE` does; return its exit code and what it printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = main(line.split())
    return code, printed.getvalue().replace(f"{work}/", "")


def read_table(folder):
    """Read the table of a sweep as columns."""
    return parquet.read_table(f"{folder}/sweep.parquet").to_pydict()


# %% [markdown]
# ## A sweep and its table
#
# Values with commas span axes, and the jobs are their product. `--in-process` saves the
# second that a process of its own costs each job; real sweeps are better off without
# it, because a job that is killed then takes no other with it.

# %%
SMALL = "lattice.shape=[48,48] dynamics.duration_s=0.25 controller=fixed"
AXES = "seed=1,2 controller.fixed_frequency_hz=63,165"
ONE = "backend.threads=1"  # on small lattices, a second thread only waits
code, text = scribble(
    f"run -q -m --in-process hydra.sweep.dir=first {SMALL} {AXES} {ONE}"
)
assert code == 0
print(text.splitlines()[-1])

# %% [markdown]
# The sweep leaves `sweep.parquet`: a row per job, its overrides under their own keys,
# its summary as `summary.coherence.mean` and so on. pyarrow, pandas, Polars and DuckDB
# read it.

# %%
table = read_table("first")
for row in range(len(table["job"])):
    print(
        f"job {table['job'][row]}: {table['status'][row]}, "
        f"seed {table['seed'][row]}, "
        f"{table['controller.fixed_frequency_hz'][row]} Hz, "
        f"r = {table['summary.forecast.outcome'][row]:.3f}"
    )

r = dict(
    zip(
        zip(table["seed"], table["controller.fixed_frequency_hz"]),
        table["summary.forecast.outcome"],
    )
)
seeds = sorted({seed for seed, _ in r})
slow, fast = sorted({hz for _, hz in r}, key=float)
assert all(r[seed, slow] < r[seed, fast] for seed in seeds)

# %% [markdown]
# ## A job that fails
#
# A file that is not there would be refused before the first job. Here bridges come from
# two edge lists, and one of them names a node that the lattice lacks. The other job
# runs all the same, and the sweep says what is wrong.


# %%
def write_ring_road(name, step, last=256):
    """Write an edge list that joins node k to node k + step."""
    pairs = [(k, k + step) for k in range(last) if k + step < last]
    lines = [f"{source},{target}" for source, target in pairs]
    Path(name).write_text("source,target\n" + "\n".join(lines) + "\n")


write_ring_road("near.csv", 37)
write_ring_road("far.csv", 101, last=300)
code, text = scribble(
    "run -q -m --in-process hydra.sweep.dir=second lattice.shape=[16,16] "
    f"dynamics.duration_s=0.2 bridges=file bridges.path=near.csv,far.csv {ONE}"
)
print("exit code", code)
assert code == 1
table = read_table("second")
print(list(zip(table["status"], table["message"])))
assert table["status"] == ["done", "failed"]

# %% [markdown]
# Once the cause is gone, `--resume` runs what is missing and nothing else.

# %%
kept = Path("second/0/summary.json").stat().st_mtime_ns
write_ring_road("far.csv", 101)
code, text = scribble("run -q --resume second")
assert code == 0
table = read_table("second")
print(table["status"])
assert table["status"] == ["done", "done"]
assert Path("second/0/summary.json").stat().st_mtime_ns == kept

# %% [markdown]
# ## The frontier
#
# Some sweeps answer a question: they are **studies**, experiments with a name.
# `frequency_sweep` holds every bridge at one tunnel frequency, from every lattice step
# down the ladder, and puts the controller beside it. In full it is
#
#     scribble run -m +experiment=frequency_sweep
#     scribble report
#
# Here a few rungs of a small lattice do. The pair replaces the study's own: keys
# in a pair move together.

# %%
RUNGS = "fixed,fixed,fixed,fixed,fixed,fixed,floor"
HERTZ = "699,267,102,63,39,15,102"
code, text = scribble(
    "run -q -m --in-process hydra.sweep.dir=frontier +experiment=frequency_sweep "
    f"seed=0 lattice.shape=[48,48] dynamics.duration_s=6 {ONE} "
    f"--pair controller={RUNGS} controller.fixed_frequency_hz={HERTZ}"
)
assert code == 0
study = json.loads(Path("frontier/study.json").read_text())
for sentence in study["findings"][1:4]:
    print(sentence)

# %%
(points,) = study["tables"]
column = {name: index for index, name in enumerate(points["columns"])}
rows = {row[0]: row for row in points["rows"]}
fixed = [row for name, row in rows.items() if name.startswith("fixed")]
hertz = [row[column["events per bridge and s [Hz]"]] for row in fixed]
reached = [row[column["r [-]"]] for row in fixed]
floor = rows["floor"]
figure, axes = plt.subplots(figsize=(6.4, 3.4))
axes.semilogx(hertz, reached, "o-", color=BLUE, label="fixed frequency")
axes.plot(
    floor[column["events per bridge and s [Hz]"]],
    floor[column["r [-]"]],
    "o",
    color=ORANGE,
    label="controller=floor",
)
axes.axhline(FLOOR, color=GREY, linestyle="--", linewidth=1)
axes.set_xlabel("tunnel frequency [Hz]")
axes.set_ylabel("coherence r")
axes.legend(frameon=False)
plt.show()

assert reached == sorted(reached)  # more tunnelling, more coherence
# Fewer than a tenth of the events of the top rung hold the floor ...
held = min(hz for hz, value in zip(hertz, reached) if value >= FLOOR)
assert held < 0.1 * max(hertz)
# ... and the controller finds such a frequency by itself, and keeps the floor.
assert floor[column["r [-]"]] >= FLOOR
assert floor[column["events per bridge and s [Hz]"]] < 0.2 * max(hertz)

# %% [markdown]
# ## Scaling
#
# The study `scaling` runs lattices from 2^12 to 2^20 nodes. What must be true of any
# machine: the work is in proportion to the number of nodes, and coherence does not
# depend on it, because there are bridges. What the time does is a matter of
# the machine, so the exponent is printed, not claimed.

# %%
code, text = scribble(
    f"run -q -m --in-process hydra.sweep.dir=sizes +experiment=scaling seed=0 {ONE} "
    "dynamics.duration_s=0.5 lattice.shape=[32,32],[64,64],[128,128],[256,256]"
)
assert code == 0
table = read_table("sizes")
nodes = np.array(table["summary.nodes"], dtype=float)
events = np.array(table["summary.tunnels.attempted"], dtype=float)
final = np.array(table["summary.coherence.final"])
wall_s = np.array(table["summary.wall_seconds"])
work_fit, time_fit = fit_power(nodes, events), fit_power(nodes, wall_s)
print(f"events ~ nodes^{work_fit.exponent:.3f}")
print(f"wall time ~ nodes^{time_fit.exponent:.1f} on this machine")

figure, axes = plt.subplots(figsize=(6.4, 3.4))
axes.loglog(nodes, wall_s, "o", color=BLUE, label="runs")
fitted = [time_fit.evaluate(x) for x in nodes]
axes.loglog(nodes, fitted, color=GREY, label="fitted power")
axes.set_xlabel("nodes")
axes.set_ylabel("wall time of half a simulated second [s]")
axes.legend(frameon=False)
plt.show()

# Events come in whole numbers per control period: a few in a million are rounded.
assert abs(work_fit.exponent - 1.0) < 1e-3
# Finite networks fluctuate by some 1 / sqrt(nodes), 0.03 for the smallest.
assert np.ptp(final) < 0.05

# %% [markdown]
# ## Comparing
#
# `scribble compare A B` lays two sweeps side by side, jobs matched by their overrides.
# The same configuration gives the same bits.

# %%
code, text = scribble(
    f"run -q -m --in-process hydra.sweep.dir=again {SMALL} {AXES} {ONE}"
)
assert code == 0
first, again = read_table("first"), read_table("again")
assert first["summary.state_digest"] == again["summary.state_digest"]
code, text = scribble("compare first again")
assert code == 0
print(text.splitlines()[-1])
