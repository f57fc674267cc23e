"""What the trace saw of the machine: a column per quantity, NaN where unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from engine.intake import parse_json
from experiments.report.document import to_number
from experiments.report.records import Columns, dig
from experiments.report.thinning import F64Array

BUSY, OTHERS, MEMORY = "cores busy", "cores of others", "memory free"
OWN: Final = "cores of this run"
GPU_BUSY, POWER, TEMPERATURE = "utilisation", "power", "temperature"
_GPU_FIELDS: Final = (
    (GPU_BUSY, "utilisation"),
    (POWER, "power_w"),
    (TEMPERATURE, "temperature_c"),
)


def read_resources(trace: Columns) -> dict[str, F64Array]:
    """Take the quantities that are drawn or judged out of the recorded samples.

    Args:
        trace: Columns of ``trace.parquet``.

    Returns:
        Columns of the trace's length: shares [-], power [W] and temperature [deg C] of
        each GPU as ``GPU 0: power``; those that are known nowhere are left out.
    """
    texts = trace.get("metrics")
    if texts is None:
        return {}
    columns: dict[str, F64Array] = {}
    previous, values = None, {}
    for index, text in enumerate(texts):
        if text is not previous and text != previous:
            values, previous = _read_sample(text), text
        for name, value in values.items():
            if name not in columns:
                columns[name] = np.full(len(texts), np.nan)
            columns[name][index] = value
    return columns


def _read_sample(text: Any) -> dict[str, float]:
    """Read one sample; a damaged one is as good as none."""
    try:
        sample = parse_json(text)
    except (TypeError, ValueError):
        return {}
    found: dict[str, float | None] = {
        BUSY: to_number(dig(sample, "cores", "utilisation")),
        OTHERS: _share_cores(sample, "cores", "others_cores"),
        OWN: _share_cores(sample, "process", "cores_used"),
        MEMORY: to_number(dig(sample, "memory", "available_share")),
    }
    gpus = dig(sample, "gpus")
    for gpu in gpus if isinstance(gpus, list) else []:
        for name, key in _GPU_FIELDS:
            found[f"GPU {dig(gpu, 'index')}: {name}"] = to_number(dig(gpu, key))
    return {name: value for name, value in found.items() if value is not None}


def _share_cores(sample: Mapping[str, Any], *path: str) -> float | None:
    """Return a number of cores as a share of those that may be used."""
    used = to_number(dig(sample, *path))
    allowed = to_number(dig(sample, "cores", "allowed_cores"))
    return None if used is None or not allowed else used / allowed
