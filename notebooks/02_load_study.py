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
# # A study under load
#
# A machine is seldom ours alone. Scribble gives way: as others take the cores, bridges
# tunnel more rarely, down to where the **coherence floor** forbids it. This notebook
#
# 1. runs a **study**: the same network under five levels of load, one line to type,
# 2. reads what the sweep left: its table, and `study.json` with the answer,
# 3. lets a **real** load come and go beside a run,
# 4. asks what **another policy** would have done under that very load.
#
# The commands are those of the terminal; `scribble("run", ...)` stands for
# `scribble run ...`. It takes less than a minute.

# %%
import contextlib
import io
import json
import tempfile
from pathlib import Path

import numpy as np
from IPython.display import Markdown, display
from matplotlib import pyplot as plt
from pyarrow import parquet

from experiments.cli import main

FLOOR = 0.87  # the coherence that is never given up
TOP_HZ = 432.0 / 0.618033988749895  # the ladder's top
BLUE, ORANGE, GREEN, GREY = "#0969da", "#bc4c00", "#1a7f37", "#8c959f"
FOLDER = Path(tempfile.mkdtemp())
SMALL = ["lattice.shape=[64,64]", "backend=cpu", "backend.threads=1"]

plt.rcParams.update(
    {"axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 96}
)


def scribble(*words):
    """Run a command in FOLDER and return what it printed."""
    printed = io.StringIO()
    with contextlib.chdir(FOLDER), contextlib.redirect_stdout(printed):
        assert main(list(words)) == 0
    return printed.getvalue()


# %% [markdown]
# ## 1. The study
#
# `+experiment=load_study` lays the jobs out. As it stands it loads this machine for
# real (`load=real`) and takes some minutes. Here the load is **made up**: the run is
# told that others use a share of the cores. What the controller does with that is then
# the same on every machine, which is what a notebook needs.

# %%
printed = scribble(
    *("run", "-q", "-m", "--in-process", "+experiment=load_study"),
    *("load=synthetic", "load.level=0,0.2,0.4,0.6,0.8,0.99"),
    *("dynamics.duration_s=5", "hydra.sweep.dir=levels", *SMALL),
)
assert "6 of 6 jobs done" in printed

# %% [markdown]
# ## 2. What it left
#
# `sweep.parquet` has a row per job: what was set under its own key, and everything in
# the job's `summary.json` as `summary.…`.

# %%
table = parquet.read_table(FOLDER / "levels" / "sweep.parquet").to_pydict()
levels = np.array(table["load.level"], dtype=float)
least = np.array(table["summary.coherence.minimum_after_settling"])
saved = np.array(table["summary.events_saved_factor"])
assert table["status"] == ["done"] * 6

# %% [markdown]
# `study.json` has the answer: sentences that follow from the numbers, verdicts, tables
# and plots. `scribble report levels` makes a page of it. The sentences:

# %%
study = json.loads((FOLDER / "levels" / "study.json").read_text("utf-8"))
display(Markdown("\n".join(f"* {sentence}" for sentence in study["findings"])))
for verdict in study["verdicts"]:
    print(verdict["question"], verdict["answer"])

by_level = study["tables"][0]
columns = dict(zip(by_level["columns"], zip(*by_level["rows"])))
r, frequency = np.array(columns["r [-]"]), np.array(columns["frequency [Hz]"])

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
left.plot(levels, r, "o-", color=BLUE, label="later half")
left.plot(levels, least, "o", color=ORANGE, markersize=4, label="least once settled")
left.axhline(FLOOR, color=GREY, linestyle="--", linewidth=1)
left.text(0.0, FLOOR + 0.003, f"floor {FLOOR:g}", color=GREY)
left.set(xlabel="load, share of the cores", ylabel="coherence r")
left.set_title("Coherence gives a little")
left.legend(frameon=False, loc="center left")
right.plot(levels, TOP_HZ * (1.0 - levels), color=GREY, label="what the machine offers")
right.plot(levels, frequency, "o", color=BLUE, label="what was used")
right.set(xlabel="load, share of the cores", ylabel="tunnel frequency [Hz]")
right.set_title("The frequency gives way")
right.legend(frameon=False)
plt.show()

# The offer is the idle share of the cores times the ladder's top; while the floor
# allows it, that is what is used (to a rung's dither and the last seconds' settling).
assert np.all(least >= FLOOR)
assert np.all(np.diff(frequency) < 0.0)
assert np.abs(frequency[:4] / (TOP_HZ * (1.0 - levels[:4])) - 1.0).max() < 0.05
assert frequency[-1] > 1.2 * TOP_HZ * (1.0 - levels[-1])
assert saved[-1] > 3.0 * saved[0]

# %% [markdown]
# The curve on the left is flat because the error of $r$ falls as $1/f^2$: most of what
# is given away costs next to nothing. At the far right the machine offers less than the
# floor allows, and the controller stays above the offer: coherence comes first.
#
# ## 3. A real load that comes and goes
#
# Now processes really load the cores beside the run, a second on and a second off, and
# the monitor measures them as it measures any neighbour. What it saw goes into the
# run's **trace**.

# %%
scribble(
    *("run", "-q", "load=real", "load.profile=square", "load.level=0.8"),
    *("load.period_s=2", "dynamics.duration_s=30", "record.folder=square", *SMALL),
)
again = scribble("replay", "square", "-q")
assert "state_digest is equal" in again


# %%
def read_run(folder):
    """Times, frequency and coherence of a run, and its summary."""
    series = parquet.read_table(folder / "timeseries.parquet").to_pydict()
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    names = ("simulated_s", "frequency_hz", "coherence")
    return *(np.array(series[name]) for name in names), summary


def read_load(folder):
    """Share of the cores that others had at each decision."""
    trace = parquet.read_table(folder / "trace.parquet").to_pydict()
    cores = [json.loads(text)["cores"] for text in trace["metrics"]]
    share = [one["others_cores"] / one["allowed_cores"] for one in cores]
    return np.array(trace["simulated_s"]), np.array(share)


# %% [markdown]
# ## 4. What would another policy have done?
#
# The replay above repeated the run to the bit. With a changed key it becomes a
# question: the *same* load, another policy. `tunnel=production` has a wider line, so
# that nearly every attempt succeeds; `controller=floor` asks for no more than the floor
# needs, whatever the machine offers.

# %%
policies = {"recorded": FOLDER / "square"}
for words in ("tunnel=production", "controller=floor"):
    before = set(FOLDER.glob("runs/*"))
    scribble("replay", "square", "-q", words)
    (policies[words],) = set(FOLDER.glob("runs/*")) - before

figure, (top, middle, below) = plt.subplots(
    3, 1, figsize=(8, 6), sharex=True, layout="constrained"
)
times, load = read_load(FOLDER / "square")
top.fill_between(times, load, color=GREY, alpha=0.5, step="post", linewidth=0)
top.set(ylabel="load by others", ylim=(0.0, 1.0))
top.set_title("One load, three policies")
rows = []
for (name, folder), colour in zip(policies.items(), (BLUE, ORANGE, GREEN)):
    times, hz, coherence, summary = read_run(folder)
    middle.semilogy(times, hz, color=colour, linewidth=1, label=name)
    below.plot(times, coherence, color=colour, linewidth=1)
    rows.append((name, summary))
middle.set(ylabel="frequency [Hz]")
middle.set_yticks([50, 100, 200, 400, 700], ["50", "100", "200", "400", "700"])
middle.minorticks_off()
middle.legend(frameon=False, ncols=3, fontsize=8)
below.axhline(FLOOR, color=GREY, linestyle="--", linewidth=1)
below.set(xlabel="simulated time [s]", ylabel="coherence r", ylim=(0.85, 1.0))
plt.show()

# %%
lines = ["| policy | r | below the floor | frequency [Hz] | events saved |", "|---" * 5]
for name, summary in rows:
    seen = summary["coherence"]
    lines.append(
        f"| {name} | {seen['mean']:.3f} | {seen['violation_fraction']:.2%} "
        f"| {summary['average_frequency_hz']:.0f} "
        f"| {summary['events_saved_factor']:.1f} times |"
    )
display(Markdown("\n".join(lines)))

answers = dict(rows)
attempts = {name: one["tunnels"]["attempted"] for name, one in answers.items()}
for name, summary in answers.items():
    assert summary["coherence"]["violation_fraction"] < 0.01, name
    assert summary["coherence"]["minimum_after_settling"] > FLOOR - 0.01, name
# Asking for the least can only cost less than asking for what is offered.
assert attempts["controller=floor"] < attempts["recorded"]
entry = answers["tunnel=production"]["replay"]
assert entry["recorded"]["tunnels_attempted"] == attempts["recorded"]
assert entry["replayed"]["tunnels_attempted"] == attempts["tunnel=production"]

# %% [markdown]
# ## What to take away
#
# * `scribble run -m +experiment=load_study`, then `scribble report`: a study of *your*
#   machine under load, with its verdicts. `load.profile=square,sine` adds lines.
# * Giving way is cheap, for the error falls as $1/f^2$; the floor is kept in any case.
# * A trace keeps the load, so policies can be compared under one and the same. What a
#   slower or faster policy would have done *to* the machine a replay does not know.
