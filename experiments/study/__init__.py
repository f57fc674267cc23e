"""Studies: sweeps that answer a question, with sentences, verdicts, tables and plots.

The experiment's YAML lays out the jobs, a module here examines what they left, and
``study.json`` in the sweep's folder keeps the answer (contract: report/study.py). The
files of a study begin with its word, and only the first of them is found by name:

======================  ==============================================================
`examination.py`        from a sweep's folder to ``study.json``, by the table below
`base.py`               what a study is: findings, verdicts, tables, plots
`job_groups.py`         jobs that are missing, or alike but for some keys
`later_half.py`         a job's figures once it has settled
`statistics.py`         means with intervals, fitted powers, ratios
`load.py`               load_study: sentences and tables; `load_points.py` measures
                        jobs, `load_verdicts.py` judges, `load_plots.py` draws
`frequency.py`          frequency_sweep: sentences and verdicts; `frequency_frontier.py`
                        groups working points, `frequency_curve.py` finds knee and
                        crossing, `frequency_plots.py` draws
`policies.py`           policy_comparison: sentences, tables, plots; what policies are
                        compared in is in `policy_measures.py`
`scaling.py`            scaling: fits, sentences, plots; a job's costs by size are in
                        `scaling_sizes.py`
`control.py`            controller_study: sentences and verdicts; `control_readings.py`
                        measures jobs, `control_response.py` settling and overshoot,
                        `control_views.py` tabulates and draws
`control_yardsticks.py` the best fixed frequency and the oracle, by a network that can
                        be taken back in time (`control_plant.py`); computed once and
                        kept by `control_calibration.py`
`mesh.py`               mesh_study: sentences and verdicts; `mesh_points.py` measures
                        what each job needs, `mesh_plots.py` tabulates and draws
`mesh_optimum.py`       the best frequencies of a small network by an offline search; a
                        program of its own
======================  ==============================================================
"""

from collections.abc import Mapping
from typing import Final

STUDIES: Final[Mapping[str, str]] = {
    "controller_study": "control",
    "frequency_sweep": "frequency",
    "load_study": "load",
    "mesh_study": "mesh",
    "policy_comparison": "policies",
    "scaling": "scaling",
}
"""Name of the experiment, and the module here that examines its jobs."""
