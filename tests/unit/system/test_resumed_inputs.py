"""Resumed runs and what no configuration holds: changes by hand, files, places."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from engine.config import MetricsConfig, RecordConfig, RunConfig
from engine.errors import CheckpointError
from engine.recording.checkpoint import list_checkpoints
from engine.system import ScribbleSystem
from tests.resumed_runs import BASE, OBSERVED, PERIODS, assert_same_run, record, stop_at


def change(**groups: dict[str, Any]) -> RunConfig:
    changed = {
        name: replace(getattr(BASE, name), **values) for name, values in groups.items()
    }
    return replace(BASE, **changed)


def read_files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    with ScribbleSystem(record(BASE, tmp_path / "whole")) as system:
        system.run()
    return tmp_path / "whole"


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    with ScribbleSystem(record(BASE, tmp_path / "cut")) as system:
        assert stop_at(system, 15) == "interrupted"
    return tmp_path / "cut"


def test_frequencies_by_hand_come_back(tmp_path: Path) -> None:
    """Also those that bridges were moved for, which keep the law of that time."""
    lattice = {"initial_phases": "aligned", "spread_hz": 10.0}
    config = change(tunnel={"linewidth_hz": 30.0}, lattice=lattice)
    with ScribbleSystem(config) as first:
        first.adjust_detunings(1.5 * first.lattice.detunings_hz)
        assert first.optimize_paths().retired > 0
        first.write_checkpoint(tmp_path)
        first.adjust_detunings(first.lattice.detunings_hz / 3.0)
        first.advance(0.02)
        first.write_checkpoint(tmp_path)
        first.advance(0.03)
        with ScribbleSystem.resume(tmp_path) as second:
            second.advance(0.03)
            assert second.state_digest() == first.state_digest()


@pytest.mark.parametrize(
    "touch",
    [
        lambda system: system.lattice.adjust_resonance(500.0),
        lambda system: system.lattice.adjust_coupling(150.0),
        lambda system: system.lattice.adjust_detunings(
            0.5 * system.lattice.detunings_hz
        ),
        lambda system: system.network.scale_strengths(0.5),
    ],
)
def test_start_that_was_changed_by_hand_is_kept(
    touch: Callable[[ScribbleSystem], object], tmp_path: Path
) -> None:
    config = change(observe=OBSERVED)
    with ScribbleSystem(replace(config, record=RecordConfig(forecast=False))) as alone:
        touch(alone)
        wanted = alone.run()
    with ScribbleSystem(record(config, tmp_path / "run")) as system:
        touch(system)
        stop_at(system, 3)
    newest, start = list_checkpoints(tmp_path / "run")
    assert int(start.stem) == 0
    newest.unlink()
    with ScribbleSystem.resume(tmp_path / "run") as system:
        found = system.run()
    assert found.state_digest == wanted.state_digest
    assert found.observation is not None
    assert wanted.observation is not None
    assert found.observation["frequency"] == wanted.observation["frequency"]


def test_node_table_holds_the_frequencies_of_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a run is cut off between its last step and its node table."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    config = change(lattice={"drift_period_s": 0.3}, observe={"probe_count": 4})
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    with ScribbleSystem(record(config, whole)) as system:
        system.run()
    with monkeypatch.context() as late:
        late.setattr("engine.observation.observer.write_nodes", interrupt)
        config = record(config, cut, checkpoint_every_s=0.04)
        with ScribbleSystem(config) as system, pytest.raises(KeyboardInterrupt):
            system.run()
    assert not (cut / "nodes.parquet").exists()
    with ScribbleSystem.resume(cut) as system:
        assert system.step == 4 * PERIODS
        system.run()
    tables = [parquet.read_table(run / "nodes.parquet") for run in (whole, cut)]
    assert tables[0].equals(tables[1])


def test_folder_that_was_copied_elsewhere_goes_on_there(
    cut: Path, whole: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(cut, copy)
    before = read_files(cut)
    with ScribbleSystem.resume(copy) as system:
        assert system.run().folder == str(copy)
    assert_same_run(copy, whole)
    assert read_files(cut) == before
    with ScribbleSystem.resume(cut) as system:
        system.run()
    assert_same_run(cut, whole)


def test_chain_of_cuts_and_damage_is_one_run(cut: Path, whole: Path) -> None:
    """Cut, resumed, cut, its newest checkpoint damaged, resumed, cut, resumed."""
    with ScribbleSystem.resume(cut) as system:
        assert stop_at(system, 10) == "interrupted"
    newest, before = list_checkpoints(cut)[:2]
    assert [int(path.stem) for path in (newest, before)] == [100, 60]
    newest.write_bytes(newest.read_bytes()[:-1])
    for periods, step in ((3, 60), (PERIODS, 72)):
        with ScribbleSystem.resume(cut) as system:
            assert system.step == step
            status = stop_at(system, periods)
    assert status == "done"
    assert_same_run(cut, whole)
    summary = json.loads((cut / "summary.json").read_text("utf-8"))
    # The leg that began at 60 the first time left nothing behind but its checkpoint.
    assert [leg["step"] for leg in summary["resumed"]] == [60, 72]


def test_other_inputs_are_refused(tmp_path: Path) -> None:
    """What a configuration only names: a recording, the weights of a policy."""
    weights, recorded = tmp_path / "policy.json", tmp_path / "recorded"
    own = resources.files("engine.wanda").joinpath("policy.json").read_text("utf-8")
    weights.write_text(own, "utf-8")
    with ScribbleSystem(record(BASE, recorded)) as system:
        system.run()
    config = change(
        load={"kind": "replay", "trace": str(recorded)},
        mesh={"rule": "learned", "policy_path": str(weights)},
    )
    with ScribbleSystem(record(config, tmp_path / "run")) as system:
        stop_at(system, 5)
    other = json.loads(own)
    other["weights"]["output"][0] += 1.0
    weights.write_text(json.dumps(other), "utf-8")
    with pytest.raises(CheckpointError, match="learned weights are not those"):
        ScribbleSystem.resume(tmp_path / "run")
    weights.write_text(own, "utf-8")
    again = change(load={"level": 0.5})
    with ScribbleSystem(record(again, recorded, overwrite=True)) as system:
        system.run()
    with pytest.raises(CheckpointError, match="recorded resources are not those"):
        ScribbleSystem.resume(tmp_path / "run")


def test_record_and_metrics_may_be_others_for_a_leg(cut: Path, whole: Path) -> None:
    """What the command line allows, by hand; the folder keeps what it began with."""
    from engine.system.resumption import build_config, find_checkpoint

    before = (cut / "config.yaml").read_text("utf-8")
    found = find_checkpoint(cut)
    config = build_config(found, cut, None)
    changed = replace(
        record(config, cut, checkpoint_every_s=0.02, checkpoints_kept=5),
        metrics=MetricsConfig(http=True, port=0),
    )
    with ScribbleSystem(changed, checkpoint=found) as system:
        assert stop_at(system, 20) == "interrupted"
        assert len(list_checkpoints(cut)) > 3
    with ScribbleSystem.resume(cut) as system:
        system.run()
    assert (cut / "config.yaml").read_text("utf-8") == before
    assert_same_run(cut, whole)
