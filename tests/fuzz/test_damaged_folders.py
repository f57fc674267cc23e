"""Commands that read the folder of a run or of a sweep in which a file is damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.recording.checkpoint import list_checkpoints
from experiments.cli import main
from experiments.sweep.plan import PLAN_FILE, PlannedJob, SweepPlan, write_plan
from experiments.sweep.status import open_status, write_status
from tests.faults.harness import Ledger, read_summary
from tests.fuzz.mutations import bent, damage, explore, json_values
from tests.inputs import Inputs
from tests.resumed_runs import read_rows

TABLES = ("timeseries.parquet", "trace.parquet")
FEW = pytest.mark.parametrize(
    "examples", [5, pytest.param(300, marks=pytest.mark.faults)]
)


def build_plan() -> SweepPlan:
    jobs = [PlannedJob(number, [f"seed={number}"]) for number in range(2)]
    return SweepPlan("grid", ["seed=0,1"], [], "/", {"is_recorded": True}, jobs)


def run_command(
    words: list[str], capsys: pytest.CaptureFixture[str], inputs: Inputs
) -> int:
    """Run a command, which may refuse its input but must not break; return its code."""
    with inputs.watch():
        code = main(words)
    inputs.note(is_taken=code == 0)
    told = capsys.readouterr().err
    assert code in (0, 1, 2), told
    assert "unexpected" not in told, (words, told)
    assert "Traceback" not in told
    if words[0] not in ("replay", "resume"):  # a run that began may have failed
        assert code != 1, told
        assert told.count("\n") <= 1
    return code


@FEW
@pytest.mark.parametrize(
    "name",
    [
        "summary.json",
        "environment.json",
        "config.yaml",
        "timeseries.parquet",
        "trace.parquet",
    ],
)
def test_report_of_a_damaged_run(
    name: str,
    examples: int,
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ledger: Ledger,
) -> None:
    inputs = ledger.inputs["reports of runs and sweeps"]
    for path in run.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = (run / name).read_bytes()
    damaged = damage(content)
    if name.endswith(".json"):
        values = bent(json.loads(content)) | json_values
        damaged |= values.map(lambda value: json.dumps(value).encode())

    @explore(examples)
    @given(damaged)
    def check(content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        (tmp_path / "report.html").unlink(missing_ok=True)
        run_command(["report", str(tmp_path)], capsys, inputs)

    check()


KINDS = {
    "checkpoint": "checkpoints/*.ckpt",
    "part of a table": "checkpoints/*.parquet",
    "snapshots": "snapshots.arrow",
    "other": "*.[yjp]*",
}
"""Files of a run that was cut off."""


@pytest.mark.parametrize("examples", [3, pytest.param(100, marks=pytest.mark.faults)])
@pytest.mark.parametrize("kind", KINDS)
def test_resuming_a_damaged_run(
    kind: str,
    examples: int,
    cut_and_whole: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ledger: Ledger,
) -> None:
    """It comes to the same end, or is refused with all checkpoints still there."""
    cut, whole = cut_and_whole
    inputs, folder = ledger.inputs["damaged runs resumed"], tmp_path / "run"
    names = [path.relative_to(cut) for path in sorted(cut.glob(KINDS[kind]))]
    damaged = [
        damage((cut / name).read_bytes()).map(lambda part, n=name: (n, part))
        for name in names
    ]

    @explore(examples)
    @given(st.one_of(damaged))
    def check(change: tuple[Path, bytes]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(cut, folder)
        (folder / change[0]).write_bytes(change[1])
        before = list_checkpoints(folder)
        if run_command(["resume", str(folder), "-q"], capsys, inputs):
            assert list_checkpoints(folder) == before
            return
        assert read_summary(folder)["state_digest"] == digest
        for name in TABLES:
            found, wanted = read_rows(folder, name), read_rows(whole, name)
            assert repr(found) == repr(wanted)

    digest = read_summary(whole)["state_digest"]
    check()


COMMANDS = {
    "replay": ["-q", "--no-record"],
    "compare": [],
    "render": ["--overwrite"],
    "export": ["--format", "npz", "--overwrite"],
    "watch": ["--json"],
}
"""Commands beside report that read the folder of a run, and words for them."""


@pytest.mark.parametrize("examples", [2, pytest.param(50, marks=pytest.mark.faults)])
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_on_a_damaged_run(
    command: str,
    examples: int,
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ledger: Ledger,
) -> None:
    inputs, folder = ledger.inputs["runs read by other commands"], tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    whole = {path.name: path.read_bytes() for path in run.iterdir()}
    whole["metrics.json"] = b'{"address": "127.0.0.1", "port": 9100, "pid": 1}'
    damaged = [damage(whole[n]).map(lambda part, n=n: (n, part)) for n in whole]
    for name in filter(lambda name: name.endswith(".json"), whole):
        values = bent(json.loads(whole[name])).map(lambda v: json.dumps(v).encode())
        damaged.append(values.map(lambda part, n=name: (n, part)))
    where = folder.parent if command == "watch" else folder
    words = [command, str(where), *[str(run)] * (command == "compare")]

    @explore(examples)
    @given(st.one_of(damaged))
    def check(change: tuple[str, bytes]) -> None:
        for name, content in (*whole.items(), change):
            (folder / name).unlink(missing_ok=True)
            (folder / name).write_bytes(content)
        run_command([*words, *COMMANDS[command]], capsys, inputs)

    check()


@FEW
def test_table_and_report_of_a_damaged_sweep(
    examples: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ledger: Ledger,
) -> None:
    plan, inputs = build_plan(), ledger.inputs["reports of runs and sweeps"]
    write_plan(tmp_path, plan)
    for job in plan.jobs:
        write_status(tmp_path / str(job.job), open_status(job.job, job.overrides, 1))
    names = (PLAN_FILE, "0/status.json", "1/status.json")
    whole = {name: json.loads((tmp_path / name).read_text("utf-8")) for name in names}
    summary = {"status": "done", "coherence": {"mean": 0.9}, "notes": ["a"]}
    whole["0/summary.json"] = summary
    choices = [bent(content).map(lambda v, n=n: (n, v)) for n, content in whole.items()]

    @explore(examples)
    @given(st.one_of(choices))
    def check(change: tuple[str, Any]) -> None:
        for name, content in (*whole.items(), change):
            (tmp_path / name).write_text(json.dumps(content), "utf-8")
        run_command(["sweep", str(tmp_path)], capsys, inputs)
        run_command(["sweep", "--json", str(tmp_path)], capsys, inputs)
        (tmp_path / "report.html").unlink(missing_ok=True)
        run_command(["report", str(tmp_path)], capsys, inputs)

    check()
