"""Any value in any key: a valid configuration, or one sentence that names the key."""

from __future__ import annotations

from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.config import (
    BRIDGE_KINDS,
    COUPLING_RANGES,
    CPU_TARGETS,
    DISTRIBUTIONS,
    FAULT_KINDS,
    GPU_TARGETS,
    INITIAL_PHASES,
    INTEGRATORS,
    LATTICE_KINDS,
    LIES,
    LOAD_KINDS,
    MESH_RULES,
    OBJECTIVES,
    PLACEMENTS,
    REAL_PROFILES,
    ROLLOUT_TARGETS,
    SAMPLINGS,
    TRACKERS,
    GeneratorConfig,
    RunConfig,
)
from engine.config.hints import list_hints
from engine.errors import ConfigError
from engine.forecast import estimate_memory
from engine.recording.folder import to_yaml
from experiments.schema import list_keys, run_config_from_dict
from experiments.settings import parse_settings
from tests.arbitrary import anything, fitting, texts
from tests.faults.harness import Ledger
from tests.inputs import assert_sentence

CHOICES = {
    "lattice.kind": LATTICE_KINDS,
    "lattice.coupling_range": COUPLING_RANGES,
    "lattice.distribution": DISTRIBUTIONS,
    "lattice.sampling": SAMPLINGS,
    "lattice.initial_phases": INITIAL_PHASES,
    "bridges.kind": BRIDGE_KINDS,
    "dynamics.integrator": INTEGRATORS,
    "controller.objective": OBJECTIVES,
    "rollout.target": ROLLOUT_TARGETS,
    "rollout.objective": OBJECTIVES,
    "load.kind": LOAD_KINDS,
    "load.profile": REAL_PROFILES,
    "record.tracker": TRACKERS,
    "bridges.placement": PLACEMENTS,
    "mesh.rule": MESH_RULES,
    "fault.kind": FAULT_KINDS,
    "fault.value": LIES,
    "cpu_target": CPU_TARGETS,
    "gpu_target": GPU_TARGETS,
    "profile": REAL_PROFILES,
}
KEYS = tuple(list_keys())
HOW_MANY = pytest.mark.parametrize(
    "examples", [200, pytest.param(20_000, marks=pytest.mark.faults)]
)


def find_hint(key: str) -> Any:
    hint: Any = RunConfig
    for part in key.split("."):
        hint = list_hints(hint)[part]
    return hint


def change(config: Any, key: str, value: Any) -> Any:
    """Replace one value of nested dataclasses."""
    name, _, rest = key.partition(".")
    old = getattr(config, name)
    return replace(config, **{name: change(old, rest, value) if rest else value})


def explore(examples: int) -> settings:
    """Settings of a test whose inputs are the same every time."""
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a few keys and a value for each, of the right type more often than not."""
    chosen = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=4, unique=True))
    values = {}
    for key in chosen:
        likely = fitting(find_hint(key), CHOICES.get(key, ()))
        values[key] = draw(st.one_of(likely, likely, anything))
    return values


@HOW_MANY
def test_run_config(examples: int, ledger: Ledger) -> None:
    inputs = ledger.inputs["configurations"]
    before = inputs.taken

    @explore(examples)
    @given(changes())
    def check(values: dict[str, Any]) -> None:
        config = RunConfig()
        for key, value in values.items():
            config = change(config, key, value)
        if not inputs.attempt(config.validate):
            return
        assert estimate_memory(config, "cpu").host_bytes > 0
        assert config.dynamics.step_count >= 1
        stored = run_config_from_dict(yaml.safe_load(to_yaml(asdict(config))))
        assert stored == normalise(config)

    check()
    assert examples / 20 < inputs.taken - before < examples


def normalise(config: Any) -> Any:
    """Give every value the plain type that a file gives back."""
    values = {}
    for entry in fields(config):
        value = getattr(config, entry.name)
        if is_dataclass(value):
            value = normalise(value)
        elif isinstance(value, list | tuple):
            value = tuple(value)
        hint = str(entry.type)
        if "float" in hint and isinstance(value, int):
            value = float(value)
        values[entry.name] = value
    return type(config)(**values)


@HOW_MANY
def test_settings_of_the_load_generator(examples: int, ledger: Ledger) -> None:
    inputs = ledger.inputs["load settings"]
    hints = list_hints(GeneratorConfig)
    names = st.sampled_from(tuple(hints)) | texts

    @explore(examples)
    @given(st.lists(st.tuples(names, texts | anything.map(str)), max_size=4))
    def check(pairs: list[tuple[str, str]]) -> None:
        words = [f"{name}={text}" for name, text in pairs]
        inputs.attempt(lambda: parse_settings(GeneratorConfig, words).validate())

    check()


@pytest.mark.parametrize("key", KEYS)
def test_every_key_refuses_what_it_is_not(key: str) -> None:
    config = change(RunConfig(), key, object())
    with pytest.raises(ConfigError, match=key) as caught:
        config.validate()
    assert_sentence(caught.value)
