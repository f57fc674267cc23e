"""Wanda, the mesh that spends tunnel events where they count.

`paths.py` moves the ends of bridges under a fixed count of them. Imports configuration,
back ends and bridges.
"""

from engine.wanda.paths import (
    RETIRED_SHARE,
    PathPlan,
    PathReport,
    check_edges,
    find_stiffnesses,
    optimize_paths,
    plan_paths,
)

__all__ = [
    "RETIRED_SHARE",
    "PathPlan",
    "PathReport",
    "check_edges",
    "find_stiffnesses",
    "optimize_paths",
    "plan_paths",
]
