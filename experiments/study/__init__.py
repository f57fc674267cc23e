"""Studies: sweeps that answer a question, with sentences, verdicts, tables and plots.

The experiment's YAML lays out the jobs, a module here examines what they left, and
``study.json`` in the sweep's folder keeps the answer (contract: report/study.py).
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
