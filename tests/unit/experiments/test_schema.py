"""Plain values become a frozen `RunConfig`, or one sentence."""

from __future__ import annotations

import dataclasses

import pytest

from engine.config import RunConfig
from engine.errors import ConfigError
from experiments.run import to_plain
from experiments.schema import find_hint, list_keys, run_config_from_dict


def test_round_trip() -> None:
    config = RunConfig(seed=7)
    assert run_config_from_dict(to_plain(config)) == config


def test_absent_keys_keep_their_defaults() -> None:
    config = run_config_from_dict({"lattice": {"shape": [8, 8]}})
    assert config.lattice.shape == (8, 8)
    assert config.lattice.kind == RunConfig().lattice.kind


def test_result_is_frozen() -> None:
    config = run_config_from_dict({})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"sed": 1}, "sed is not a configuration key; the nearest are: seed"),
        ({"lattice": {"knd": "chain"}}, "lattice.knd is not a configuration key"),
        ({"lattice": 3}, "lattice is 3; it must be a group of keys."),
        ({"seed": True}, "seed is true; it must be a whole number."),
        ({"seed": None}, "seed is null; it must be a whole number."),
        ({"lattice": {"shape": "64"}}, "lattice.shape is '64'; it must be a list"),
        ({"lattice": {"shape": [1.5]}}, "lattice.shape[0] is 1.5; it must be a whole"),
        ({"backend": {"threads": "two"}}, "it must be a whole number or null."),
    ],
)
def test_wrong_value_is_one_sentence(values: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run_config_from_dict(values)
    assert expected in str(caught.value)


def test_every_key_has_a_type() -> None:
    keys = list(list_keys())
    assert "tunnel.min_coherence" in keys
    assert all(find_hint(key) is not None for key in keys)
    assert find_hint("lattice.shape[0]") is int
    assert find_hint("lattice.nothing") is None
