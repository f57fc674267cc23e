"""What a run writes is forecast, file by file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.config import RunConfig
from engine.forecast import estimate_record
from engine.forecast.record import TOLERANCE
from engine.system import ScribbleSystem

BuildConfig = Callable[..., RunConfig]
WATCHED = {"snapshot_every_s": 0.1, "frequency_window_s": 0.1, "probe_count": 16}


@pytest.mark.parametrize(
    "groups",
    [
        {},
        {"observe": WATCHED, "lattice": {"shape": (64, 64)}},
        {"record": {"every_periods": 4}, "controller": {"period_steps": 10}},
        {"load": {"kind": "none"}},
        {"controller": {"error_windows": 2, "error_window_s": 0.5}},
    ],
)
def test_files_are_as_large_as_forecast(
    groups: dict[str, Any], build_config: BuildConfig, tmp_path: Path
) -> None:
    # Long enough for the columns to tell: a few hundred rows.
    dynamics = {"duration_s": 4.0 if not groups.get("observe") else 2.0}
    # A live run notes what it sees by the clock: its trace may be larger then.
    is_live = groups.get("load") == {"kind": "none"}
    config = build_config(
        **{"dynamics": dynamics, "load": {"kind": "synthetic"}, **groups}
    )
    folder = tmp_path / "run"
    record = replace(config.record, folder=str(folder))
    config = replace(config, record=record)
    forecast = estimate_record(config)
    with ScribbleSystem(config) as system:
        system.run()
        kept = system.write_checkpoint(tmp_path / "aside").stat().st_size
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    for name in forecast.files.keys() - {"texts"}:
        wanted, found = forecast.files[name], sizes.pop(name)
        assert found >= (1.0 - TOLERANCE) * wanted, name
        if not is_live:
            assert found <= (1.0 + TOLERANCE) * wanted, name
    assert set(sizes) == {"config.yaml", "environment.json", "summary.json"}
    assert abs(sum(sizes.values()) - forecast.files["texts"]) <= (
        TOLERANCE * forecast.files["texts"]
    )
    # A checkpoint has no mesh or window in some of these, so it may be smaller.
    assert 0.4 * forecast.checkpoint_bytes <= kept <= 1.25 * forecast.checkpoint_bytes
    assert forecast.total_bytes == sum(forecast.files.values())
    assert forecast.peak_bytes > forecast.total_bytes


def test_without_checkpoints_there_is_one_copy(build_config: BuildConfig) -> None:
    config = build_config()
    record = replace(config.record, checkpoints_kept=0)
    forecast = estimate_record(replace(config, record=record))
    assert forecast.checkpoint_bytes == 0
    assert forecast.peak_bytes == forecast.total_bytes
