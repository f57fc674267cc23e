"""Wanda, the mesh: which bridges get how much of the tunnel budget.

`census.py` sorts bridges into cells by what their traces show, `rules.py` says how
often a cell shall act, `policy.py` holds the learned one of these rules,
and `mesh.py` joins them as AdvancedNeuralMesh. Imports configuration,
back ends, bridges and the monitor's metrics.
"""

from engine.wanda.census import Census, Kinds, find_kinds, take_census
from engine.wanda.mesh import AdvancedNeuralMesh, Allotment, build_mesh
from engine.wanda.policy import Policy, load_policy
from engine.wanda.rules import Rule, build_rule

__all__ = [
    "AdvancedNeuralMesh",
    "Allotment",
    "Census",
    "Kinds",
    "Policy",
    "Rule",
    "build_mesh",
    "build_rule",
    "find_kinds",
    "load_policy",
    "take_census",
]
