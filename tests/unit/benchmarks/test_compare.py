"""The threshold lies above the noise, and an unknown commit is one sentence."""

from __future__ import annotations

import sys

import pytest

from benchmarks import compare


@pytest.mark.parametrize(
    ("ratios", "factor"),
    [
        ([], 1.05),
        ([1.0, 1.001], 1.05),
        ([1.0, 1.1], 1.15),
        ([1.02] * 99 + [3.0], 1.05),  # one stray benchmark among many
        ([1.2] * 100, 1.3),
    ],
)
def test_threshold(ratios: list[float], factor: float) -> None:
    assert compare.choose_factor(ratios) == pytest.approx(factor)


def test_ratios_are_of_what_both_have() -> None:
    first, second = {"a": 1.0, "b": 2.0, "c": 0.0}, {"a": 2.0, "b": 1.0, "d": 1.0}
    assert compare.find_ratios(first, second) == {"a": 2.0, "b": 2.0}


def test_a_stray_is_set_aside() -> None:
    calm = {str(i): 1.0 + 0.01 * (i % 5) for i in range(19)}
    assert compare.find_strays(calm) == []
    assert compare.find_strays(calm | {"stray": 4.7}) == ["stray"]
    assert compare.find_strays({"a": 1.0, "b": 9.0}) == []
    text = compare.describe_noise(calm | {"stray": 4.7}, ["stray"], 1.06)
    assert "Too noisy to judge: stray (4.70)." in text
    assert text.endswith("Threshold: 1.060.")
    assert "busy" in compare.describe_noise(calm, [], 3.0)


@pytest.mark.parametrize("name", ["no-such-branch", "", "--all"])
def test_unknown_commit_is_bad_input(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["compare.py", "--", name])
    assert compare.main() == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "names no commit" in error
