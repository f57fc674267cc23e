"""Profiles of a real load: those of synthetic ones, and recorded utilisation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from engine.config import PROFILES, GeneratorConfig, LoadConfig
from engine.errors import RecordError
from engine.load.profile import build_weight, read_utilisation
from engine.monitor import evaluate_load
from engine.system import ScribbleSystem


def write_table(path: Path, **columns: list[Any]) -> Path:
    parquet.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("profile", PROFILES)
def test_weight_is_the_synthetic_profile_from_nothing_to_all(profile: str) -> None:
    config = GeneratorConfig(profile=profile, start_s=0.5, period_s=2.0, cpu=(0.3,))
    weight = build_weight(config)
    shape = LoadConfig(profile=profile, level=1.0, start_s=0.5, period_s=2.0)
    for time_s in (0.0, 0.5, 0.9, 1.5, 1.7, 2.5, 3.9):
        assert weight(time_s) == evaluate_load(shape, time_s)
        assert 0.0 <= weight(time_s) <= 1.0


def test_table_is_played_from_its_first_row_and_its_last_one_holds(
    tmp_path: Path,
) -> None:
    table = write_table(
        tmp_path / "any.parquet",
        time_s=[10.0, 11.0, 12.5, 13.0],
        utilisation=[0.2, None, 1.4, 0.6],
    )
    weight = build_weight(GeneratorConfig(profile="trace", trace=str(table)))
    assert [weight(t) for t in (0.0, 1.0, 2.49, 2.5, 3.0, 99.0)] == [
        0.2, 0.2, 0.2, 1.0, 0.6, 0.6,
    ]  # fmt: skip


def test_trace_of_a_run_is_what_others_used(build_config: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    config = build_config(
        load={"profile": "step", "level": 0.75, "start_s": 0.03},
        record={"folder": str(folder)},
    )
    with ScribbleSystem(config) as system:
        system.run()
    for path in (folder, folder / "trace.parquet"):
        times_s, shares = read_utilisation(path)
        assert times_s == sorted(set(times_s))
        assert (shares[0], shares[-1]) == (0.0, 0.75)
    real = replace(config.load, kind="real", profile="trace", trace=str(folder))
    real.validate()


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"time_s": [0.0]}, "the columns time_s and utilisation"),
        ({"time_s": [0.0], "utilisation": ["x"]}, "cannot be read as utilisation"),
        ({"time_s": [0.0], "utilisation": [None]}, "holds no utilisation"),
        ({"time_s": [1.0, 0.0], "utilisation": [0.0, 0.1]}, "goes back in time"),
        ({"metrics": ["{}"]}, "cannot be read as utilisation"),
    ],
)
def test_unusable_tables_are_named(
    columns: dict[str, list[Any]], words: str, tmp_path: Path
) -> None:
    table = write_table(tmp_path / "bad.parquet", **columns)
    with pytest.raises(RecordError, match=r"bad\.parquet") as caught:
        read_utilisation(table)
    assert words in str(caught.value)


def test_absent_trace_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="nowhere"):
        build_weight(GeneratorConfig(profile="trace", trace=str(tmp_path / "nowhere")))
