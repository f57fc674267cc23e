"""Telemetry of host, container and GPU, and the tunnel frequency it allows.

Layer 3 (README, "The house"); importing it loads psutil, and never NVML.
"""

from engine.monitor.availability import Availability, judge_availability
from engine.monitor.faults import FaultySource
from engine.monitor.gpu import GpuProbe, GpuSampler
from engine.monitor.live import LiveSource
from engine.monitor.metrics import (
    CgroupState,
    CoreState,
    GpuState,
    MemoryState,
    ProcessState,
    ResourceMetrics,
    ResourceSample,
    TunnelStatistics,
)
from engine.monitor.monitor import ResourceMonitor
from engine.monitor.sources import (
    ReplaySource,
    Source,
    SyntheticSource,
    evaluate_load,
)

__all__ = [
    "Availability",
    "CgroupState",
    "CoreState",
    "FaultySource",
    "GpuProbe",
    "GpuSampler",
    "GpuState",
    "LiveSource",
    "MemoryState",
    "ProcessState",
    "ReplaySource",
    "ResourceMetrics",
    "ResourceMonitor",
    "ResourceSample",
    "Source",
    "SyntheticSource",
    "TunnelStatistics",
    "evaluate_load",
    "judge_availability",
]
