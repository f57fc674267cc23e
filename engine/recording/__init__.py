"""Recording: the run folder, its tables and its summary.

`recorder.py` writes, `folder.py` knows the files and who may write them, `tables.py`
the tables, `checkpoint.py` what a run can go on from,
`parts.py` the rows that checkpoints rely on, `lock.py` keeps a second run out,
`trace.py` reads a trace back for replay, `summary.py` holds the figures,
`environment.py` says what it ran on, `endpoint.py` where it can be scraped;
`tracker.py` tells others of it, `mlflow_sink.py` MLflow. Layer 5 (README, "The house").
"""

from engine.recording.endpoint import EndpointRecord, read_endpoint
from engine.recording.environment import describe_environment
from engine.recording.folder import check_folder, to_yaml
from engine.recording.recorder import RunRecorder
from engine.recording.summary import (
    CoherenceTally,
    RunSummary,
    StageTimes,
    digest_state,
)
from engine.recording.trace import MetricsEncoder, Trace, read_trace

__all__ = [
    "CoherenceTally",
    "EndpointRecord",
    "MetricsEncoder",
    "RunRecorder",
    "RunSummary",
    "StageTimes",
    "Trace",
    "check_folder",
    "describe_environment",
    "digest_state",
    "read_endpoint",
    "read_trace",
    "to_yaml",
]
