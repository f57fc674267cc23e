"""Every YAML of `conf/` composes, converts and validates, and says how to use it."""

from __future__ import annotations

import dataclasses
import shlex
from importlib import resources
from pathlib import Path

import pytest

from engine.config import RunConfig
from engine.config.hints import list_hints
from experiments.overrides import compose_run_config, list_groups
from experiments.schema import build_schema

CONF = Path(str(resources.files("conf")))
FILES = sorted(path for path in CONF.rglob("*.yaml"))
CHOICES = [(group, name) for group, names in list_groups().items() for name in names]
# These two choices cannot do without a path.
NEEDED = {
    "bridges=file": ["bridges.path=edges.csv"],
    "load=replay": ["load.trace=somewhere"],
}


def compose_choice(group: str, name: str, *more: str) -> RunConfig:
    word = f"{group}={name}"
    return compose_run_config([word, *NEEDED.get(word, []), *more])


def test_every_group_of_the_run_config_has_choices() -> None:
    groups = {field.name for field in dataclasses.fields(RunConfig)} - {"seed"}
    assert set(list_groups()) == groups | {"experiment"}


@pytest.mark.parametrize(("group", "name"), CHOICES)
def test_choice_composes_and_validates(group: str, name: str) -> None:
    assert isinstance(compose_choice(group, name), RunConfig)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_file_starts_with_a_command_line_that_works(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    command = next(line for line in lines if not line.startswith("# @package"))
    assert command.startswith("# scribble run")
    words = shlex.split(command.removeprefix("# scribble run"))
    if "[GROUP=CHOICE" not in command:
        compose_run_config(words)
        own = f"{path.parent.name}={path.stem}"
        assert path.parent == CONF or own in command


def test_default_configuration_is_that_of_the_engine() -> None:
    assert compose_run_config([]) == RunConfig()


def test_default_files_restate_the_defaults_of_the_engine() -> None:
    # The defaults are written out in YAML for readers; they must not drift away.
    for group, name in (("tunnel", "default"), ("resources", "default")):
        assert compose_choice(group, name) == RunConfig()


def test_tunnel_choices_share_ladder_and_floor() -> None:
    for name in ("default", "development", "production"):
        tunnel = compose_choice("tunnel", name).tunnel
        assert tunnel.base_frequency == 432.0
        assert tunnel.min_coherence == 0.87
        assert tunnel.phi_coefficient == 0.618033988749895


def test_resource_choices_are_ordered() -> None:
    thresholds = [
        compose_choice("resources", name).resources.min_memory_threshold
        for name in ("development", "default", "production")
    ]
    assert thresholds == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("name", list_groups()["lattice"])
def test_lattice_choice_names_its_kind(name: str) -> None:
    lattice = compose_choice("lattice", name).lattice
    is_global = name == "mean_field"
    assert lattice.kind == ("square" if is_global else name)
    assert lattice.coupling_range == ("all" if is_global else "nearest")


@pytest.mark.parametrize("name", list_groups()["controller"])
def test_controller_choice_names_its_objective(name: str) -> None:
    assert compose_choice("controller", name).controller.objective == name


@pytest.mark.parametrize("name", list_groups()["fault"])
def test_fault_choice_names_its_kind(name: str) -> None:
    assert compose_choice("fault", name).fault.kind == name


def test_experiment_may_be_named_without_plus() -> None:
    plain = compose_run_config(["experiment=demo"])
    assert plain == compose_run_config(["+experiment=demo"])
    assert plain.load.kind == "synthetic"
    assert plain.load.profile == "square"


def test_typed_value_wins_over_the_experiment() -> None:
    config = compose_run_config(["dynamics.duration_s=3", "+experiment=demo"])
    assert config.dynamics.duration_s == 3.0


@pytest.mark.parametrize(
    ("word", "group", "key", "value"),
    [
        ("lattice.shape=[8,8]", "lattice", "shape", (8, 8)),
        ("lattice.periodic=[true,false]", "lattice", "periodic", (True, False)),
        ("lattice.cutoff_hz=null", "lattice", "cutoff_hz", None),
        ("lattice.cutoff_hz=100", "lattice", "cutoff_hz", 100.0),
        ("backend.threads=null", "backend", "threads", None),
        ("dynamics.dt_s=1e-4", "dynamics", "dt_s", 1e-4),
        ("+dynamics.dt_s=1e-4", "dynamics", "dt_s", 1e-4),
        ("load.trace=runs/2025-01-31_12-00-00", "load", "trace", None),
    ],
)
def test_value_arrives_with_its_type(
    word: str, group: str, key: str, value: object
) -> None:
    got = getattr(getattr(compose_run_config([word]), group), key)
    assert got == (value if key != "trace" else word.partition("=")[2])


def test_schema_has_exactly_the_fields_of_the_engine() -> None:
    schema = build_schema(RunConfig)
    for field in dataclasses.fields(schema):
        hint = list_hints(RunConfig)[field.name]
        if dataclasses.is_dataclass(hint):
            assert isinstance(field.type, type)
            names = [entry.name for entry in dataclasses.fields(field.type)]
            assert names == list(list_hints(hint))
    assert [f.name for f in dataclasses.fields(schema)] == list(list_hints(RunConfig))


def test_schema_classes_are_not_frozen() -> None:
    # OmegaConf makes the node of a frozen class read-only, and overrides break.
    instance = build_schema(RunConfig)()
    instance.seed = 1
    instance.lattice.kind = "chain"
    assert instance.lattice.kind == "chain"


@pytest.mark.parametrize("target", ["alpha", "beta", "production"])
def test_rollout_takes_its_policy_from_the_tunnel_group(target: str) -> None:
    production = compose_choice("tunnel", "production").tunnel
    rollout = compose_choice("rollout", target).rollout
    assert (rollout.target, rollout.tunnel) == (target, production)
    development = compose_choice("tunnel", "development").tunnel
    chosen = compose_choice("rollout", target, "rollout.policy=development")
    assert chosen.rollout.tunnel == development
    assert chosen.tunnel == RunConfig().tunnel
    word = "rollout.tunnel.rungs=9"
    changed = compose_choice("rollout", target, "rollout.policy=development", word)
    assert changed.rollout.tunnel == dataclasses.replace(development, rungs=9)
