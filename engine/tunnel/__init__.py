"""Tunnelling: when bridges act, how likely they succeed, who decides how often.

`schedule.py` plans windows, `probability.py` holds the success law, `law.py` the
pure control law, `cost.py` what it costs here, `controller.py` joins them,
`statistics.py` counts events by node, and `metrics.py` tells Prometheus (`series.py`
names what a scrape reads, `endpoint.py` serves it). Layer 4 (README, "The house").
"""

from engine.tunnel.controller import (
    QuantumTunnel,
    TunnelController,
    find_affordable_hz,
)
from engine.tunnel.cost import CostModel
from engine.tunnel.law import ControlLaw, Decision, Observation
from engine.tunnel.metrics import TunnelMetrics
from engine.tunnel.probability import mean_probability, transmission_probability
from engine.tunnel.schedule import TunnelSchedule

__all__ = [
    "ControlLaw",
    "CostModel",
    "Decision",
    "Observation",
    "QuantumTunnel",
    "TunnelController",
    "TunnelMetrics",
    "TunnelSchedule",
    "find_affordable_hz",
    "mean_probability",
    "transmission_probability",
]
