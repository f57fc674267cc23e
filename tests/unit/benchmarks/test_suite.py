"""Every benchmark can be set up and called, so that the suite cannot rot."""

from __future__ import annotations

import importlib
import inspect
import json
import math
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import suite
from benchmarks.suite import cases, validation
from benchmarks.suite.engine_calls import LatticeCase, TunnelCase, build_backend
from engine.backends.probe import probe_cuda
from tests.parity import bounds

ROOT = Path(__file__).resolve().parents[3]
KINDS = ("time_", "timeraw_", "track_", "peakmem_")
SMALL = {"duration_s": 0.02, "log2_nodes": 6}
"""Class attributes that make a case quick."""


def list_benchmarks() -> Iterator[tuple[type, str]]:
    for info in pkgutil.iter_modules(suite.__path__):
        module = importlib.import_module(f"benchmarks.suite.{info.name}")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ == module.__name__:
                yield from ((kind, n) for n in vars(kind) if n.startswith(KINDS))


def smallest(kind: type) -> tuple[Any, ...]:
    return tuple(values[0] for values in getattr(kind, "params", ()))


def build(kind: type, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in SMALL.items():
        if hasattr(kind, name):
            monkeypatch.setattr(kind, name, value)
    return kind()


BENCHMARKS = list(list_benchmarks())
IDS = [f"{kind.__module__}.{kind.__name__}.{name}" for kind, name in BENCHMARKS]


@pytest.mark.parametrize(("kind", "name"), BENCHMARKS, ids=IDS)
def test_benchmark_runs(kind: type, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case, params = build(kind, monkeypatch), smallest(kind)
    try:
        case.setup(*params)
    except NotImplementedError as error:
        assert "NVML" in str(error), "only a missing GPU skips the smallest case"
        return
    try:
        result = getattr(case, name)(*params)
    finally:
        getattr(case, "teardown", lambda *_: None)(*params)
    if name.startswith("track_"):
        assert math.isfinite(result)
        assert result > 0
        assert getattr(getattr(case, name), "unit", getattr(case, "unit", None))
    if name.startswith("timeraw_"):
        compile(result, name, "exec")


@pytest.mark.skipif(probe_cuda().is_usable, reason="there is a GPU")
@pytest.mark.parametrize(
    "kind",
    sorted(
        {k for k, _ in BENCHMARKS if "backend" in getattr(k, "param_names", ())},
        key=str,
    ),
    ids=lambda kind: kind.__name__,
)
def test_missing_gpu_skips_with_a_reason(kind: type) -> None:
    params = list(smallest(kind))
    params[kind.param_names.index("backend")] = "cuda"
    with pytest.raises(NotImplementedError, match=r"CUDA is not usable: \w+"):
        kind().setup(*params)


def test_large_sizes_name_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cases.FULL, raising=False)
    with pytest.raises(NotImplementedError, match="SCRIBBLE_BENCH_FULL=1"):
        cases.require("cpu", 24)
    monkeypatch.setenv(cases.FULL, "1")
    cases.require("cpu", 24)
    with pytest.raises(NotImplementedError, match="on a GPU"):
        cases.require("cpu", 30)


def test_bounds_are_those_of_the_parity_tests() -> None:
    case = LatticeCase(build_backend("cpu"), "fcc", 9)
    assert validation.SINE_ERROR == bounds.SINE_ERROR
    assert validation.EVENT_ERROR == bounds.EVENT_ERROR
    assert validation.step_error_turns(case) == pytest.approx(
        bounds.step_error(case.state, 0.00025)
    )


@pytest.mark.parametrize(
    "check", [validation.check_sampled_step, validation.check_parity]
)
@pytest.mark.parametrize("kind", ["chain", "square", "triangular", "bcc", "fcc"])
def test_wrong_steps_are_not_timed(check: Any, kind: str) -> None:
    case = LatticeCase(build_backend("cpu"), kind, 9)
    check(case)
    case.state.detunings = case.detunings_hz + np.float32(1.0)
    with pytest.raises(ValueError, match="not timed"):
        check(case)


def test_wrong_coupling_fails_parity() -> None:
    case = LatticeCase(build_backend("cpu"), "square", 8)
    case.state.coupling_turns *= 1.001
    with pytest.raises(ValueError, match="not timed"):
        validation.check_parity(case)


def test_lost_events_are_not_timed() -> None:
    case = TunnelCase(build_backend("cpu"), 8, 699.0)
    case.period.segments[0, 1] -= 1
    with pytest.raises(ValueError, match="attempts"):
        validation.check_events(case)


def test_digests_of_threads_are_compared() -> None:
    with pytest.raises(ValueError, match="number of threads"):
        validation.check_same("A run", str)


def test_configuration_agrees_with_the_extra() -> None:
    text = (ROOT / "benchmarks" / "asv.conf.json").read_text(encoding="utf-8")
    conf = json.loads(text)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extra = project["project"]["optional-dependencies"]["bench"]
    pins = re.findall(r"^asv_runner==(.+)$", read("constraints.txt"), re.MULTILINE)
    # asv asks for the newest runner; the install command puts the pinned one back.
    assert all(" asv_runner " in command for command in conf["install_command"])
    assert [f"asv-runner=={pin}" for pin in pins] == [
        need for need in extra if need.startswith("asv-runner")
    ]
    assert conf["environment_type"] == "virtualenv"
    assert conf["launch_method"] == "spawn"
    assert conf["project"] == project["project"]["name"]
    assert (ROOT / "benchmarks" / conf["benchmark_dir"] / "__init__.py").is_file()
    commands = conf["build_command"] + conf["install_command"]
    assert all("/constraints.txt " in command for command in commands)


def test_what_asv_writes_is_ignored() -> None:
    assert "/benchmarks/.asv/" in read(".gitignore").splitlines()
    conf = json.loads(read("benchmarks/asv.conf.json"))
    folders = [conf[key] for key in ("env_dir", "results_dir", "html_dir")]
    assert all(folder.startswith(".asv/") for folder in folders)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
