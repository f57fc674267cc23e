"""Checkpoints, damaged or forged: a run goes on, or one sentence says why not.

Bytes that were changed by chance do not fit their checksums. A forged file has the
right ones, and its author may have written anything: it must still not crash the
reader, keep it busy for ever, or write anywhere but into the folder of the run.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import (
    BackendConfig,
    BridgesConfig,
    ControllerConfig,
    DynamicsConfig,
    LatticeConfig,
    LoadConfig,
    MeshConfig,
    ObserveConfig,
    RecordConfig,
    RolloutConfig,
    RunConfig,
    TunnelConfig,
)
from engine.errors import CheckpointError
from engine.recording.checkpoint import (
    END_MAGIC,
    HEAD,
    TAIL,
    list_checkpoints,
    read_checkpoint,
)
from engine.system import Progress, ScribbleSystem
from tests.faults.harness import Ledger
from tests.fuzz.mutations import bent, damage, explore

PERIOD_S = 0.01
BASE: dict[str, Any] = {
    "lattice": LatticeConfig(shape=(8, 8), initial_phases="aligned"),
    "bridges": BridgesConfig(per_node=2),
    "dynamics": DynamicsConfig(duration_s=0.1),
    "controller": ControllerConfig(objective="floor", period_steps=8),
    "load": LoadConfig(kind="synthetic", level=0.3),
    "record": RecordConfig(forecast=False),
    "backend": BackendConfig("reference"),
}
CASES: dict[str, dict[str, Any]] = {
    "mesh": {
        "mesh": MeshConfig(rule="plastic", period=3, longest_period=7),
        "bridges": BridgesConfig(per_node=2, rewire_every_s=0.03),
    },
    "rollout, observed": {
        "rollout": RolloutConfig(
            target="beta",
            tunnel=TunnelConfig(linewidth_hz=1728.0),
            start_s=0.01,
            settle_s=0.01,
            window_s=0.04,
            max_violation=0.9,
        ),
        "observe": ObserveConfig(
            snapshot_every_s=0.02, frequency_window_s=0.02, probe_count=4
        ),
        "dynamics": DynamicsConfig(
            "leapfrog", duration_s=0.2, inertia_s=0.005, diffusion_rad2_s=2.0
        ),
    },
    "procedural on cpu": {
        "bridges": BridgesConfig("procedural", per_node=2),
        "backend": BackendConfig("cpu"),
    },
}
HOW_MANY = pytest.mark.parametrize(
    "examples", [10, pytest.param(500, marks=pytest.mark.faults)]
)


def cut_off(folder: Path, name: str) -> Path:
    """Run, stop half way, and return the newest checkpoint."""
    changes = {**BASE, **CASES[name]}
    record = RecordConfig(folder=str(folder), forecast=False)
    with ScribbleSystem(RunConfig(**{**changes, "record": record})) as system:

        def stop(progress: Progress) -> None:
            if progress.step >= 120:
                system.request_stop()

        assert system.run(stop).status == "interrupted"
    return list_checkpoints(folder)[0]


def go_on(folder: Path) -> None:
    """Take up a checkpoint and do what comes next."""
    with ScribbleSystem.resume(folder) as system:
        system.advance(PERIOD_S)
        assert 0.0 <= system.coherence <= 1.0 + 1e-9


def split(content: bytes) -> tuple[bytes, dict[str, Any]]:
    """Take a checkpoint apart into head with arrays, and index."""
    length = TAIL.unpack(content[-TAIL.size :])[0]
    end = len(content) - TAIL.size - length
    return content[:end], json.loads(content[end : end + length])


def seal(body: bytes, index: Any) -> bytes:
    """Put a checkpoint together, with the checksum that belongs to it."""
    text = json.dumps(index).encode()
    digest = hashlib.sha256(body[: HEAD.size] + text).digest()
    return body + text + TAIL.pack(len(text), digest, END_MAGIC)


def forge_array(body: bytes, index: dict[str, Any], which: int, change: bytes) -> bytes:
    """Write over an array, and give it the checksum that belongs to it."""
    index = json.loads(json.dumps(index))
    entries = [entry for entry in index["arrays"] if 0 not in entry["shape"]]
    entry = entries[which % len(entries)]
    low, size = entry["offset"], int(entry["dtype"][-1])
    for length in entry["shape"]:
        size *= length
    data = (change * (size // len(change) + 1))[:size]
    entry["sha256"] = hashlib.sha256(data).hexdigest()
    return seal(body[:low] + data + body[low + size :], index)


extremes = st.sampled_from(
    (
        *(b"\0", b"\xff", b"\0\0\0\x80", b"\xff\xff\xff\x7f", b"\0\0\xc0\x7f"),
        *(b"\0\0\0\0\0\0\xf8\x7f", b"\0\0\0\0\0\0\xf0\x7f", b"\xff" * 7 + b"\x7f"),
    )
)
"""All bits, signs, NaN and infinity of the number types that arrays have."""


@HOW_MANY
@pytest.mark.parametrize("name", CASES)
def test_damaged_checkpoints(
    name: str, examples: int, tmp_path: Path, ledger: Ledger
) -> None:
    path, inputs = cut_off(tmp_path / "run", name), ledger.inputs["checkpoints"]
    read_checkpoint(path)
    whole = path.read_bytes()

    @explore(examples)
    @given(damage(whole))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        if inputs.attempt(lambda: read_checkpoint(path)):
            assert split(content)[1] == split(whole)[1]

    check()


@HOW_MANY
@pytest.mark.parametrize("name", CASES)
def test_forged_checkpoints(
    name: str, examples: int, tmp_path: Path, ledger: Ledger
) -> None:
    folder, inputs = tmp_path / "run", ledger.inputs["forged checkpoints"]
    path = cut_off(folder, name)
    (folder / "config.yaml").unlink()
    body, index = split(path.read_bytes())
    go_on(folder)
    indices = bent(index).map(lambda forged: seal(body, forged))
    arrays = st.builds(
        lambda which, change: forge_array(body, index, which, change),
        st.integers(0, 100),
        extremes | st.binary(min_size=1, max_size=64),
    )

    @explore(examples)
    @given(indices | arrays)
    def check(content: bytes) -> None:
        for other in list_checkpoints(folder):
            other.unlink()
        path.write_bytes(content)
        inputs.attempt(lambda: go_on(folder))

    check()
    assert inputs.refused


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda entry: entry.update(shape=[1] * 100_000), "many axes"),
        (lambda entry: entry.update(dims=3), "cannot be read"),
    ],
)
def test_forged_arrays_take_no_time(
    change: Callable[[dict[str, Any]], None], why: str, tmp_path: Path
) -> None:
    path = cut_off(tmp_path / "run", "mesh")
    body, index = split(path.read_bytes())
    change(index["arrays"][0])
    path.write_bytes(seal(body, index))
    with pytest.raises(CheckpointError, match=why):
        read_checkpoint(path)


def test_array_that_is_named_a_thousand_times_is_hashed_once(tmp_path: Path) -> None:
    path = cut_off(tmp_path / "run", "mesh")
    body, index = split(path.read_bytes())
    index["arrays"] += index["arrays"][:1] * 100_000
    path.write_bytes(seal(body, index))
    with pytest.raises(CheckpointError, match="overlap"):
        read_checkpoint(path)


def test_pipe_in_the_place_of_a_checkpoint_keeps_nobody_waiting(tmp_path: Path) -> None:
    path = tmp_path / "000000000008.ckpt"
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match="no regular file"):
        read_checkpoint(path)
