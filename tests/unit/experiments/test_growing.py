"""A table that is whole at every moment, at a bounded cost."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyarrow import parquet

from engine.errors import RecordError
from experiments.growing import LEAST_ROWS, REWRITE_SHARE, GrowingTable

COLUMNS = {"time_s": "float64", "held_bytes": "int64"}


def test_file_holds_all_but_the_last_few_rows_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "load.parquet"
    table = GrowingTable(path, COLUMNS)
    writes, before = 0, -1
    for index in range(1000):
        table.add({"time_s": index / 2.0, "held_bytes": None})
        rows = parquet.read_metadata(path).num_rows
        missing = index + 1 - rows
        assert missing < max(LEAST_ROWS, rows // REWRITE_SHARE + 1)
        writes += rows != before
        before = rows
    # The first, 256 rows by eights, then growth by at least a 33rd: 33 ln(1000 / 256).
    assert writes <= 1 + 32 + 45
    table.write()
    found = parquet.read_table(path).to_pydict()
    assert found["time_s"] == [index / 2.0 for index in range(1000)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["load.parquet"]


def test_disk_that_takes_no_more_is_one_sentence(tmp_path: Path) -> None:
    table = GrowingTable(tmp_path / "gone" / "load.parquet", COLUMNS)
    with pytest.raises(RecordError, match=r"load\.parquet cannot be written"):
        table.add({"time_s": 0.0, "held_bytes": 1})
