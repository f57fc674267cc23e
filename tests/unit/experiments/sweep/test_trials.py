"""Every value of a sweep is composed once, quickly, and as Hydra composes it."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import ConfigError
from experiments.overrides import compose_node, open_hydra
from experiments.sweep import trials as room
from experiments.sweep.plan import span_axes
from experiments.sweep.trials import compose_trials, list_trials


def test_trials_hold_every_value_once_beside_the_first_ones() -> None:
    trials = list_trials(span_axes(["seed=1,2,3", "lattice=chain,fcc"]))
    assert [" ".join(trial) for trial in trials] == [
        "seed=1 lattice=chain",
        "seed=2 lattice=chain",
        "seed=3 lattice=chain",
        "seed=1 lattice=fcc",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["seed=1,2", "lattice=chain,fcc", "lattice.coupling_rad_s=7,8e2"],
        [
            "lattice.shape=[64],[64,64]",
            "mesh.exponent=null,2",
            "record.forecast=true,false",
        ],
        ["+experiment=demo,priced", "dynamics.duration_s=1,2"],
        [
            "tunnel.phi_coefficient=1.5,2",
            "tunnel@rollout.tunnel=default,production",
            "seed=3,4",
        ],
        ["dynamics={dt_s:1e-3},{dt_s:2e-3}", "dynamics.duration_s=2,3"],
        ["load={level:0.1},{level:0.2,kind:synthetic}"],
        ["fault.value='nan','inf'", "mesh=plastic,none", "mesh.gain=0.1,0.2"],
    ],
)
def test_trials_are_what_hydra_composes(words: list[str]) -> None:
    trials = list_trials(span_axes(words))
    with open_hydra():
        whole = [compose_node(trial) for trial in trials]
        assert list(compose_trials(trials)) == whole
    assert len({str(node) for node in whole}) == len(trials)


@pytest.mark.parametrize(
    "words",
    [["seed=1,two"], ["dynamics.dt_s=1e-3,true"], ["mesh.gain=0.1,[1]"]],
)
def test_value_of_the_wrong_type_is_refused_as_by_hydra(words: list[str]) -> None:
    trials = list_trials(span_axes(words))
    with open_hydra():
        with pytest.raises(ConfigError) as whole:
            compose_node(trials[1])
        with pytest.raises(ConfigError) as quick:
            list(compose_trials(trials))
    assert str(quick.value) == str(whole.value)


def test_hydra_composes_once_for_any_number_of_seeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    composed: list[Any] = []

    def count(words: list[str]) -> Any:
        composed.append(words)
        return compose_node(words)

    monkeypatch.setattr(room, "compose_node", count)
    trials = list_trials(span_axes(["seed=range(300)", "lattice=chain,square"]))
    with open_hydra():
        seeds = [node.seed for node in compose_trials(trials)]
    assert seeds == [*range(300), 0]
    assert composed == [["seed=0", "lattice=chain"], ["seed=0", "lattice=square"]]
