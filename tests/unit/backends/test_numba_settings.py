"""Variables of Numba's that no kernel could run with are refused by name."""

from __future__ import annotations

import pytest

from engine.backends import select_backend
from engine.backends.numba_settings import refuse_numba_settings
from engine.config import BackendConfig
from engine.errors import ConfigError
from experiments.doctor import examine_numba_settings


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("NUMBA_NUM_THREADS", "0", "'0'; it must be at least 1"),
        ("NUMBA_NUM_THREADS", "-3", "'-3'; it must be at least 1"),
        ("NUMBA_DISABLE_JIT", "1", "'1'; the CPU back end runs compiled kernels only"),
    ],
)
def test_impossible_settings_are_refused(
    name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"variable {name} is {sentence}"):
        select_backend(BackendConfig("cpu"), 1)
    assert select_backend(BackendConfig("reference"), 1).backend.name == "reference"
    with pytest.raises(ConfigError, match=name):
        examine_numba_settings()


@pytest.mark.parametrize("value", ["", "two", "2"])
def test_other_settings_are_numbas_own_business(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_NUM_THREADS", value)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "0")
    refuse_numba_settings()
    assert list(examine_numba_settings()) == []
