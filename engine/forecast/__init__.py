"""What a run will need and what it will reach, before it is run.

`memory.py` estimates bytes in memory, `record.py` those on the disk, `response.py` is
the answer of lattice plus bridges to tunnel events, `rhythm.py` how often each bridge
acts, `locking.py` the locked state that follows, `scope.py` which networks these know,
`coherence.py` the forecast, `cure.py` what would bring a floor into reach.
Layer 5 (README, "The house").
"""

from engine.forecast.coherence import (
    MAX_EDGES,
    WINDING_DOUBT,
    CoherenceForecast,
    Forecaster,
    LadderForecast,
    build_forecaster,
    count_lattice_edges,
)
from engine.forecast.cure import Cure, find_cure
from engine.forecast.memory import (
    MAX_RUN_EDGES,
    MemoryEstimate,
    check_memory,
    check_period,
    estimate_memory,
)
from engine.forecast.record import RecordEstimate, estimate_record
from engine.forecast.scope import find_obstacle

__all__ = [
    "MAX_EDGES",
    "MAX_RUN_EDGES",
    "WINDING_DOUBT",
    "CoherenceForecast",
    "Cure",
    "Forecaster",
    "LadderForecast",
    "MemoryEstimate",
    "RecordEstimate",
    "build_forecaster",
    "check_memory",
    "check_period",
    "count_lattice_edges",
    "estimate_memory",
    "estimate_record",
    "find_cure",
    "find_obstacle",
]
