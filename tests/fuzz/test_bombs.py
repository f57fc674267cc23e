"""Small files that claim to be huge: refused within a limit on the address space.

Each is read in a process that may take one gigabyte of addresses beyond what the
libraries have taken when they were loaded.
"""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from engine.recording.trace import READ_COLUMNS
from tests.faults.harness import Ledger

ROOT = Path(__file__).resolve().parents[2]
ROWS = 2**28
"""Rows of a table that would take gigabytes."""
MAX_FILE = 5 * 2**20
"""All files here are smaller [byte]."""
MAX_ADDRESSES = 2**30
READER = """
import resource, sys
from pathlib import Path
import numpy, pyarrow.parquet, pyarrow.csv, rustworkx, yaml
from engine.bridge import read_edges
from engine.config import BridgesConfig, GeneratorConfig, LatticeConfig
from engine.crystal import draw_detunings
from engine.errors import EngineError
from engine.load.profile import build_weight
from engine.observation import open_locking, open_snapshots
from engine.recording import read_trace
from experiments.report.records import read_run
from experiments.report.study import read_study
from experiments.sweep.plan import read_plan
from experiments.sweep.status import read_status

folder = Path(sys.argv[1])

def read(path):
    name = path.name
    if name.startswith("edges."):
        return read_edges(BridgesConfig("file", path=str(path)), 16)
    if name == "trace.parquet":
        return read_trace(path)
    if name == "load.parquet":
        config = GeneratorConfig(profile="trace", trace=str(path))
        return build_weight(config)
    if name == "frequencies.npy":
        config = LatticeConfig("chain", (16,), distribution="given",
                               frequencies_path=str(path))
        return draw_detunings(config, 0)
    if name == "locking.npz":
        return open_locking(folder)
    if name == "sweep.json":
        return read_plan(folder)
    if name == "status.json":
        return read_status(folder)
    if name == "study.json":
        found = read_study(folder).problems
    else:
        found = read_run(folder).problems
    return sys.exit(f"refused: {found}" if found else None)

pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + MAX_ADDRESSES
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read(next(folder.iterdir()))
except EngineError as error:
    sys.exit(f"refused: {error}")
finally:
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    sys.stdout.write(str(grown * 1024))
"""


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "unpickled")


def to_bomb(columns: dict[str, Any], row_count: int = ROWS) -> bytes:
    """Write a table of many rows, each column of one value, in a few megabytes."""
    part = 2**20
    table = pa.table({name: pa.repeat(value, part) for name, value in columns.items()})
    sink = io.BytesIO()
    with parquet.ParquetWriter(sink, table.schema, compression="zstd") as writer:
        for _ in range(row_count // part):
            writer.write_table(table)
    return sink.getvalue()


def to_header(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    """Write an array whose header promises more than follows."""
    sink = io.BytesIO()
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(sink, header)
    return sink.getvalue() + bytes(64)


def to_archive(members: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return sink.getvalue()


def to_zip_bomb() -> bytes:
    sink = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        sink, {"descr": "<f8", "fortran_order": False, "shape": (2**26,)}
    )
    archive = io.BytesIO()
    with (
        zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as pack,
        pack.open("source.npy", "w", force_zip64=True) as member,
    ):
        member.write(sink.getvalue())
        for _ in range(2**9):
            member.write(bytes(2**20))
    return archive.getvalue()


def nest_entities() -> bytes:
    entities = ['<!ENTITY a0 "0123456789">']
    entities += [f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)]
    return (
        f'<?xml version="1.0"?><!DOCTYPE graphml [{"".join(entities)}]>'
        '<graphml><graph edgedefault="undirected"><node id="&a9;"/></graph></graphml>'
    ).encode()


def nest_aliases() -> bytes:
    lines = ['a0: &a0 ["x", "x", "x", "x", "x", "x", "x", "x", "x", "x"]']
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    return "\n".join(lines).encode()


def write_long_texts() -> bytes:
    """Write a trace of 200 texts of 10 MiB, no two of them alike."""
    sink, length = io.BytesIO(), 10 * 2**20
    kinds = {**dict.fromkeys(READ_COLUMNS, pa.float64()), "metrics": pa.string()}
    schema = pa.schema(list(kinds.items()))
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for number in range(200):
            row = {**dict.fromkeys(READ_COLUMNS, 0.0), "metrics": f"{number:{length}}"}
            writer.write_table(pa.Table.from_pylist([row], schema))
    return sink.getvalue()


BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "zip bomb": ("edges.npz", to_zip_bomb),
    "huge shapes": (
        "edges.npz",
        lambda: to_archive(dict.fromkeys(("source", "target"), to_header((2**40,)))),
    ),
    "huge frequencies": ("frequencies.npy", lambda: to_header((2**40,))),
    "negative shape": ("frequencies.npy", lambda: to_header((-4, -4))),
    "huge probe": (
        "locking.npz",
        lambda: to_archive({"matrix": to_header((2**20, 2**20))}),
    ),
    "rows of bridges": ("edges.parquet", lambda: to_bomb({"source": 1, "target": 2})),
    "rows of a trace": (
        "trace.parquet",
        lambda: to_bomb(
            dict.fromkeys(READ_COLUMNS, 0.0) | {"metrics": "{}"}, ROWS // 8
        ),
    ),
    "texts of a trace": ("trace.parquet", write_long_texts),
    "rows of a load": (
        "load.parquet",
        lambda: to_bomb({"time_s": 0.0, "utilisation": 1.0}),
    ),
    "wide csv": (
        "edges.csv",
        lambda: b",".join([b"c"] * 10**6) + b"\n" + b"1," * 10**6,
    ),
    "long line": ("edges.csv", lambda: b"x" * (4 * 2**20)),
    "entities": ("edges.graphml", nest_entities),
    "deep graphml": ("edges.graphml", lambda: b"<graphml>" + b"<graph>" * 10**5),
    "aliases": ("config.yaml", nest_aliases),
    "deep yaml": ("config.yaml", lambda: b"[" * 10**6),
    "deep json": ("summary.json", lambda: b"[" * 10**6),
    "deep plan": ("sweep.json", lambda: b'{"a":' * 10**6),
    "deep status": ("status.json", lambda: b"[" * 10**6),
    "deep study": ("study.json", lambda: b"[" * 10**6),
    "long number": ("status.json", lambda: b'{"job": ' + b"9" * 10**6 + b"}"),
}
"""What each one is called, and the name and the content of its file."""
QUICK = ("huge shapes", "aliases")


def read_alone(folder: Path) -> subprocess.CompletedProcess[str]:
    """Read the only file of a folder in a process of its own."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            READER.replace("MAX_ADDRESSES", str(MAX_ADDRESSES)),
            str(folder),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.faults)
        for name in BOMBS
    ],
)
def test_bomb_is_refused(name: str, tmp_path: Path, ledger: Ledger) -> None:
    file, build = BOMBS[name]
    content = build()
    assert len(content) < MAX_FILE
    (tmp_path / file).write_bytes(content)
    started_s = time.perf_counter()
    end = read_alone(tmp_path)
    duration_s = time.perf_counter() - started_s
    assert end.returncode == 1, end.stderr[-500:]
    assert end.stderr.startswith("refused: "), end.stderr[-500:]
    assert "Traceback" not in end.stderr
    ledger.inputs["bombs"].keep_worst(duration_s, int(end.stdout))
    ledger.inputs["bombs"].note(is_taken=False)


@pytest.mark.parametrize(
    "name",
    [
        "edges.npz",
        pytest.param("frequencies.npy", marks=pytest.mark.faults),
        pytest.param("locking.npz", marks=pytest.mark.faults),
    ],
)
def test_nothing_is_unpickled(name: str, tmp_path: Path) -> None:
    folder, sign = tmp_path / "files", tmp_path / "sign"
    folder.mkdir()
    evil = np.array([Evil(sign)] * 4, dtype=object)
    if name.endswith(".npy"):
        np.save(folder / name, evil, allow_pickle=True)
    else:
        names = ("source", "target", "nodes", "matrix", "sample_count")
        np.savez(folder / name, allow_pickle=True, **dict.fromkeys(names, evil))
    # The file does what it is meant to where it is trusted.
    found = np.load(folder / name, allow_pickle=True)
    if not isinstance(found, np.ndarray):
        with found:
            assert len(found["source"]) == 4
    assert sign.read_text("utf-8") == "unpickled"
    sign.unlink()
    end = read_alone(folder)
    assert end.stderr.startswith("refused: "), end.stderr[-500:]
    assert not sign.exists()


@pytest.mark.faults
def test_pickles_in_the_place_of_other_files(tmp_path: Path) -> None:
    folder, sign = tmp_path / "files", tmp_path / "sign"
    folder.mkdir()
    for name in ("edges.parquet", "status.json", "config.yaml", "edges.npz"):
        content = pickle.dumps(Evil(sign))
        if name == "config.yaml":
            content = b"!!python/object/apply:os.system ['touch " + bytes(sign) + b"']"
        (folder / name).write_bytes(content)
        end = read_alone(folder)
        assert end.stderr.startswith("refused: "), (name, end.stderr[-500:])
        (folder / name).unlink()
    assert not sign.exists()


def test_deep_json_is_json() -> None:
    with pytest.raises(RecursionError):
        json.loads("[" * 10**6)
