"""Sweeps: many runs through Hydra's multirun, where no job stops or hides another.

`prepare.py` turns words into a plan (`plan.py`), `multirun.py` starts Hydra, by which
`launch.py` hands the jobs to a launcher, each runs as `job.py` says in a `process.py`
of its own, on a GPU of `slots.py`, and all that is known of it is in files
(`status.py`), from which `table.py` and `views/sweep.py` tell how the sweep stands, at
its end (`ending.py`) or at any time before.
"""

from experiments.sweep.command import (
    SweepOptions,
    dry_run_sweep,
    resume_sweep,
    run_sweep,
    show_sweep,
)
from experiments.sweep.job import SweepJob
from experiments.sweep.status import JobStatus, read_statuses
from experiments.sweep.table import build_table, collect_rows, write_table

__all__ = [
    "JobStatus",
    "SweepJob",
    "SweepOptions",
    "build_table",
    "collect_rows",
    "dry_run_sweep",
    "read_statuses",
    "resume_sweep",
    "run_sweep",
    "show_sweep",
    "write_table",
]
