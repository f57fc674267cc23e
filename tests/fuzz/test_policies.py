"""Weights of a learned policy, damaged: steps that are numbers, or one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from engine.wanda.policy import FEATURES, SHIPPED, load_policy
from tests.faults.harness import Ledger
from tests.fuzz.mutations import bent, damage, explore, json_values

WHOLE = Path(__file__).parents[2].joinpath("engine", "wanda", SHIPPED)
FEATURE_ROWS = np.vstack(
    [np.zeros(FEATURES), np.ones(FEATURES), -9 * np.ones(FEATURES)]
)


def evaluate(path: Path) -> None:
    """Load a policy and let it decide."""
    policy = load_policy(str(path))
    assert np.isfinite(policy.evaluate(FEATURE_ROWS)).all()


@pytest.mark.parametrize(
    "examples", [100, pytest.param(4_000, marks=pytest.mark.faults)]
)
def test_damaged_policies(examples: int, tmp_path: Path, ledger: Ledger) -> None:
    path, inputs = tmp_path / "policy.json", ledger.inputs["policies"]
    whole = WHOLE.read_bytes()
    values = bent(json.loads(whole)) | json_values
    forged = values.map(lambda value: json.dumps(value).encode())

    @explore(examples)
    @given(damage(whole) | forged)
    def check(content: bytes) -> None:
        path.write_bytes(content)
        inputs.attempt(lambda: evaluate(path))

    check()
    assert inputs.taken
    assert inputs.refused


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null", "/", "/nowhere/a.json"])
def test_what_is_no_file(name: str, ledger: Ledger) -> None:
    assert not ledger.inputs["policies"].attempt(lambda: load_policy(name))
