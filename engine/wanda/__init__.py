"""Wanda, the mesh: which bridges get how much of the tunnel budget, and where they end.

`census.py` sorts bridges into cells by what their traces show, `rules.py` says how
often a cell shall act, `policy.py` holds the learned one of these rules, and `mesh.py`
joins them as AdvancedNeuralMesh. `paths.py` moves the ends of bridges under a fixed
count of them. Layer 4 (README, "The house").
"""

from engine.wanda.census import Census, Kinds, find_kinds, take_census
from engine.wanda.mesh import AdvancedNeuralMesh, Allotment, build_mesh
from engine.wanda.paths import (
    RETIRED_SHARE,
    PathPlan,
    PathReport,
    check_edges,
    find_stiffnesses,
    optimize_paths,
    plan_paths,
)
from engine.wanda.policy import Policy, load_policy
from engine.wanda.rules import Rule, build_rule

__all__ = [
    "RETIRED_SHARE",
    "AdvancedNeuralMesh",
    "Allotment",
    "Census",
    "Kinds",
    "PathPlan",
    "PathReport",
    "Policy",
    "Rule",
    "build_mesh",
    "build_rule",
    "check_edges",
    "find_kinds",
    "find_stiffnesses",
    "load_policy",
    "optimize_paths",
    "plan_paths",
    "take_census",
]
