"""Any words on the command line: what was asked, or one sentence and exit code 2."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.cli import build_parser, main
from experiments.overrides import list_groups
from experiments.schema import list_keys
from tests.arbitrary import TEXTS
from tests.faults.harness import Ledger
from tests.fuzz.mutations import explore

PARSERS: dict[str, argparse.ArgumentParser] = next(
    action.choices  # type: ignore[misc]
    for action in build_parser()._actions
    if isinstance(action, argparse._SubParsersAction)
)
"""All commands, so that none is forgotten."""
HARMLESS = {
    "run": ["--cfg"],
    "verify": ["--only", "nothing"],
    "monitor": ["--json"],
    "watch": ["--json"],
    "load": ["--list"],
    "doctor": ["--json"],
    "hysteresis": ["--from", "nan", "--to", "1"],
    "forecast": ["lattice.shape=[4,4]", "rollout.target=alpha"],
}
"""Words that let a command read all others and then do nothing that takes long."""
OPTIONS = (
    *sorted(
        {name for parser in PARSERS.values() for name in parser._option_string_actions}
    ),
    *("--version", "--", "-", "-x", "--x=1"),
)
PATHS = (
    *(".", "..", "/", "/dev/null", "/dev/zero", "/proc/self/mem", "/nowhere", "~"),
    *("a/../../b", "file://x", "http://localhost", "x" * 300, "a/" * 3000),
)
KEYS = (*list_keys(), *list_groups(), "hydra.run.dir", "hydra/launcher", "nothing")
VALUES = (
    *("1", "-1", "0.5", "nan", "inf", "1e999", "9" * 5000, "true", "null", "''", '""'),
    *("[1,2]", "[", "]", "{", "{a:1}", "[[[[", "1,2", "range(1,3)", "range(1,1e9)"),
    *("interval(0,1)", "choice(1,2)", "glob(*)", "${seed}", "${oc.env:HOME}", "???"),
    *("${", "$(id)", "`id`", "a b", "a=b", "=", "file", "square", "[" * 300, "@", "~x"),
)
HOW_MANY = pytest.mark.parametrize(
    "examples", [60, pytest.param(2_000, marks=pytest.mark.faults)]
)
texts = st.sampled_from((*TEXTS, *PATHS, *VALUES)) | st.text(max_size=20)
settings_words = st.builds(
    lambda plus, key, value: f"{plus}{key}={value}",
    st.sampled_from(("", "", "", "+", "++", "~")),
    st.sampled_from(KEYS) | texts,
    texts,
)
words = st.one_of(settings_words, settings_words, texts, st.sampled_from(OPTIONS))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_words(
    argv: list[str], capsys: pytest.CaptureFixture[str], ledger: Ledger
) -> None:
    inputs = ledger.inputs["command lines"]
    with inputs.watch():
        code = main(argv)
    inputs.note(is_taken=code == 0)
    told = capsys.readouterr().err
    assert code in (0, 2), (argv, told)
    assert "Traceback" not in told
    assert "unexpected" not in told
    assert len(told) < 10_000
    if code == 2:
        assert told.strip(), argv


@HOW_MANY
def test_any_words(
    examples: int, folder: Path, capsys: pytest.CaptureFixture[str], ledger: Ledger
) -> None:
    @explore(examples)
    @given(
        st.sampled_from(tuple(PARSERS)) | texts,
        st.lists(words, max_size=3),
        st.booleans(),
    )
    def check(command: str, more: list[str], is_last: bool) -> None:
        harmless = HARMLESS.get(command, [])
        # After -- no word is an option, and harmless ones are.
        is_end = is_last and "--" not in more
        argv = [command, *more, *harmless] if is_end else [command, *harmless, *more]
        run_words(argv, capsys, ledger)

    check()


@HOW_MANY
def test_any_settings(
    examples: int, folder: Path, capsys: pytest.CaptureFixture[str], ledger: Ledger
) -> None:
    @explore(examples)
    @given(st.lists(settings_words, min_size=1, max_size=3))
    def check(more: list[str]) -> None:
        run_words(["run", "--cfg", *more], capsys, ledger)

    check()
    assert list(folder.iterdir()) == []
