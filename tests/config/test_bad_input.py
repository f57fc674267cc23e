"""Bad input at the command line: one sentence, exit code 2, an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.cli import main

CASES = [
    # words, what the sentence must hold
    ("latice.kind=chain", "latice.kind is not a configuration key; the nearest are: "
     "lattice.kind,"),
    ("lattice.knd=chain", "the nearest are: lattice.kind,"),
    ("+lattice.knd=chain", "the nearest are: lattice.kind,"),
    ("speed=3", "speed is not a configuration key"),
    ("lattice=chian", "lattice is 'chian'; choose one of: chain,"),
    ("lattice=null", "lattice is 'null'; choose one of:"),
    ("+experiment=dmeo", "experiment is 'dmeo'; choose one of: demo,"),
    ("backend=gpu", "choose one of:"),
    ("lattice.kind=hexagonal", "lattice.kind is 'hexagonal'; choose one of:"),
    ("dynamics.dt_s=fast", "dynamics.dt_s is 'fast'; it must be a number."),
    ("dynamics.dt_s=null", "dynamics.dt_s is null; it must be a number."),
    ("dynamics.dt_s=nan", "dynamics.dt_s is nan;"),
    ("dynamics.dt_s=-1", "dynamics.dt_s is -1;"),
    ("dynamics.dt_s=0.01", "a bridge acts at most once per step"),
    ("seed=1.5", "seed is 1.5; it must be a whole number."),
    ("seed=", "seed is ''; it must be a whole number."),
    ("seed=-1", "seed is -1;"),
    ("resources.use_gpus=maybe", "it must be true or false."),
    ("lattice.shape=64", "lattice.shape is 64; it must be a list such as [64,64]"),
    ("lattice.shape=[64,big]", "lattice.shape[1] is 'big'; it must be a whole number."),
    ("lattice.shape=[64,64", "cannot be read; quote lists"),
    ("lattice.shape=64,64", "names several values; write [a,b] for a list, or add -m"),
    ("seed=range(1,4)", "add -m"),
    ("lattice.shape=[63,63]", "an odd number"),
    ("tunnel.min_coherence=1.3", "tunnel.min_coherence is 1.3; it must lie in (0, 1)."),
    ("bridges=file", "bridges.path is not set"),
    ("rollout=gamma", "rollout is 'gamma'; choose one of: alpha,"),
    ("rollout.policy=prod", "rollout.policy is 'prod'; choose one of: production,"),
    ("rollout.tunnel.rungs=0", "rollout.tunnel.rungs is 0; it must"),
    ("rollout.target=alpha", "rollout.tunnel is the one in use"),
    ("load=replay", "load.trace is not set"),
    ("load.profile=trace", "load.profile is 'trace'; choose one of"),
    ("lattice", "is not a setting; write key=value"),
    ("=3", "is not a setting; write key=value"),
    ("~lattice.kind", "would remove lattice.kind"),
    ("seed=${nothing}", "seed: Interpolation key 'nothing' not found."),
    ("hydra.nothing=1", "hydra.nothing is not a setting of Hydra."),
    ("lattice@other=chain", "lattice@other"),
]  # fmt: skip


def read_sentence(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    head, _, rest = captured.err.partition("scribble: error: ")
    assert head == ""
    assert rest.count("\n") == 1
    return rest.strip()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("word", "expected"), CASES, ids=[case[0] for case in CASES])
def test_single_run(
    word: str, expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", word]) == 2
    assert expected in read_sentence(capsys)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "word",
    ["latice.kind=chain", "lattice=square,chian", "seed=1,two", "lattice.shape=[64,"],
)
def test_sweep_is_refused_before_its_first_job(
    word: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "-m", "tunnel=default,production", word]) == 2
    assert read_sentence(capsys)
    assert list(folder.iterdir()) == []


def test_configuration_is_checked_when_only_printed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--cfg", "tunnel.rungs=0"]) == 2
    assert "tunnel.rungs is 0" in read_sentence(capsys)


@pytest.mark.parametrize("argv", [["run", "--fast"], ["frobnicate"], ["monitor", "x"]])
def test_unknown_option_or_command(
    argv: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    assert "error" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["hydra.run.dir=mine"], "write record.folder=mine."),
        (["hydra/launcher=basic"], "hydra/launcher has no effect on a single run"),
        (["-m", "hydra.run.dir=mine", "seed=1,2"], "write hydra.sweep.dir=mine."),
    ],
)
def test_words_for_hydra_that_would_change_nothing(
    words: list[str], expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *words]) == 2
    assert expected in read_sentence(capsys)
    assert list(folder.iterdir()) == []
