"""Files that a configuration names are looked for before anything waits for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import (
    BridgesConfig,
    LatticeConfig,
    LoadConfig,
    MeshConfig,
    RunConfig,
    check_inputs,
)
from engine.config.inputs import list_inputs
from engine.errors import ConfigError


def name_files(path: str) -> dict[str, RunConfig]:
    given = LatticeConfig(distribution="given", frequencies_path=path)
    bridges = BridgesConfig(kind="file", path=path)
    replay = LoadConfig(kind="replay", trace=path)
    return {
        "lattice.frequencies_path": RunConfig(lattice=given),
        "bridges.path": RunConfig(bridges=bridges),
        "load.trace": RunConfig(load=replay),
        "mesh.policy_path": RunConfig(mesh=MeshConfig("learned", policy_path=path)),
    }


@pytest.mark.parametrize("key", name_files(""))
@pytest.mark.parametrize("name", ["missing", "a\0b", "n" * 5000])
def test_file_that_is_not_there_is_named_by_its_key(key: str, name: str) -> None:
    config = name_files(name)[key]
    assert list_inputs(config) == {key: name}
    with pytest.raises(ConfigError, match=f"{key} is '.*no such file") as caught:
        check_inputs(config)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("key", name_files(""))
def test_file_that_is_there_passes(key: str, tmp_path: Path) -> None:
    check_inputs(name_files(str(tmp_path))[key])


def test_file_that_is_not_read_need_not_be_there() -> None:
    idle = RunConfig(
        lattice=LatticeConfig(frequencies_path="missing"),
        bridges=BridgesConfig(path="missing"),
        load=LoadConfig(kind="real", profile="sine", trace="missing"),
        mesh=MeshConfig("plastic", policy_path="missing"),
    )
    assert list_inputs(idle) == {}
    check_inputs(idle)
    trace = LoadConfig(kind="real", profile="trace", trace="missing")
    assert list_inputs(RunConfig(load=trace)) == {"load.trace": "missing"}
