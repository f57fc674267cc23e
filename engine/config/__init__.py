"""What a run is made of: frozen dataclasses, their ranges and cross-field rules.

No Hydra here, and no import from any other room but errors and constants. The keys are
those of `conf/` and of the command line; each group has a file of its own.
"""

from __future__ import annotations

from engine.config.bridges import BRIDGE_KINDS, PLACEMENTS, BridgesConfig
from engine.config.controller import OBJECTIVES, ControllerConfig
from engine.config.dynamics import INTEGRATORS, DynamicsConfig
from engine.config.fault import FAULT_KINDS, LIES, FaultConfig
from engine.config.inputs import check_inputs
from engine.config.lattice import (
    COUPLING_RANGES,
    DISTRIBUTIONS,
    INITIAL_PHASES,
    LATTICE_AXES,
    LATTICE_KINDS,
    SAMPLINGS,
    LatticeConfig,
)
from engine.config.load import (
    CPU_TARGETS,
    GPU_TARGETS,
    LOAD_KINDS,
    PROFILES,
    REAL_PROFILES,
    GeneratorConfig,
    LoadConfig,
    to_generator,
)
from engine.config.machine import BackendConfig, ResourcesConfig
from engine.config.mesh import AUTO_RULE, MESH_RULES, MOST_SHARES, MeshConfig
from engine.config.output import (
    TRACKERS,
    MetricsConfig,
    ObserveConfig,
    RecordConfig,
)
from engine.config.rollout import (
    ROLLOUT_TARGETS,
    STAGE_SHARES,
    RolloutConfig,
    list_changes,
)
from engine.config.run import RunConfig
from engine.config.tunnel import TunnelConfig

__all__ = [
    "AUTO_RULE",
    "BRIDGE_KINDS",
    "COUPLING_RANGES",
    "CPU_TARGETS",
    "DISTRIBUTIONS",
    "FAULT_KINDS",
    "GPU_TARGETS",
    "INITIAL_PHASES",
    "INTEGRATORS",
    "LATTICE_AXES",
    "LATTICE_KINDS",
    "LIES",
    "LOAD_KINDS",
    "MESH_RULES",
    "MOST_SHARES",
    "OBJECTIVES",
    "PLACEMENTS",
    "PROFILES",
    "REAL_PROFILES",
    "ROLLOUT_TARGETS",
    "SAMPLINGS",
    "STAGE_SHARES",
    "TRACKERS",
    "BackendConfig",
    "BridgesConfig",
    "ControllerConfig",
    "DynamicsConfig",
    "FaultConfig",
    "GeneratorConfig",
    "LatticeConfig",
    "LoadConfig",
    "MeshConfig",
    "MetricsConfig",
    "ObserveConfig",
    "RecordConfig",
    "ResourcesConfig",
    "RolloutConfig",
    "RunConfig",
    "TunnelConfig",
    "check_inputs",
    "list_changes",
    "to_generator",
]
